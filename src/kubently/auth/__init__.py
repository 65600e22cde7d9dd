"""Who is it, and what may they touch."""

from kubently.auth import grants
from kubently.auth.api_keys import ApiKeys
from kubently.auth.executors import ExecutorTokens

__all__ = ["ApiKeys", "ExecutorTokens", "grants"]
