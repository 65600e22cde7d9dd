"""Who is it, and what may they touch."""

from kubently.auth import grants
from kubently.auth.api_keys import ApiKeys
from kubently.auth.executors import ExecutorTokens
from kubently.auth.kube_tokens import KubeTokens

__all__ = ["ApiKeys", "ExecutorTokens", "KubeTokens", "grants"]
