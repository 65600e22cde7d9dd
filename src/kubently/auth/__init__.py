"""Who is it, and what may they touch."""

from kubently.auth import grants
from kubently.auth.api_keys import ApiKeys
from kubently.auth.authority import STORED as EXECUTOR_CA
from kubently.auth.authority import open_authority, read_certificates
from kubently.auth.blocklist import Blocklist
from kubently.auth.callers import Callers
from kubently.auth.enrolment import Enrolments
from kubently.auth.executors import ExecutorTokens
from kubently.auth.identities import PROOF_TIMEOUT, Admitted, Identities, Possession
from kubently.auth.kube_tokens import KubeTokens
from kubently.auth.logins import Logins
from kubently.auth.oidc import Provider
from kubently.auth.peers import Caller, PeerTrust, agree, open_peer_trust
from kubently.auth.roles import Roles

__all__ = [
    "EXECUTOR_CA",
    "PROOF_TIMEOUT",
    "Admitted",
    "ApiKeys",
    "Blocklist",
    "Caller",
    "Callers",
    "Enrolments",
    "ExecutorTokens",
    "Identities",
    "KubeTokens",
    "Logins",
    "PeerTrust",
    "Possession",
    "Provider",
    "Roles",
    "agree",
    "grants",
    "open_authority",
    "open_peer_trust",
    "read_certificates",
]
