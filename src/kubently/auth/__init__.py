"""Who is it, and what may they touch."""

from kubently.auth import grants
from kubently.auth.api_keys import ApiKeys
from kubently.auth.authority import open_authority, read_certificates
from kubently.auth.blocklist import Blocklist
from kubently.auth.enrolment import Enrolments
from kubently.auth.executors import ExecutorTokens
from kubently.auth.identities import PROOF_TIMEOUT, Admitted, Identities, Possession
from kubently.auth.kube_tokens import KubeTokens

__all__ = [
    "PROOF_TIMEOUT",
    "Admitted",
    "ApiKeys",
    "Blocklist",
    "Enrolments",
    "ExecutorTokens",
    "Identities",
    "KubeTokens",
    "Possession",
    "grants",
    "open_authority",
    "read_certificates",
]
