"""Types that cross a process border: their JSON form is the public API."""

from kubently.schema.audit import AuditEvent, AuditPage, AuditRecord
from kubently.schema.clusters import Cluster, ClusterState, ExecutorInfo
from kubently.schema.commands import DEFAULT_TIMEOUT, MAX_TIMEOUT, Command, Ending, FleetCommand, Outcome
from kubently.schema.findings import (
    Blind,
    ClusterDiagnosis,
    Coverage,
    Diagnosis,
    DiagnosisRequest,
    Evidence,
    Finding,
    ResourceRef,
    Severity,
)
from kubently.schema.identity import (
    PERMISSIONS,
    KeyInfo,
    KeyRequest,
    KubernetesToken,
    Limit,
    NewKey,
    NewToken,
    Permission,
    Principal,
    Role,
    TokenInfo,
)
from kubently.schema.ids import CLUSTER_ID_PATTERN, ClusterId, parse_cluster_id
from kubently.schema.policies import Authority, PolicyAnswer, PolicyQuestion, PolicyVerdict

__all__ = [
    "CLUSTER_ID_PATTERN",
    "DEFAULT_TIMEOUT",
    "MAX_TIMEOUT",
    "PERMISSIONS",
    "AuditEvent",
    "AuditPage",
    "AuditRecord",
    "Authority",
    "Blind",
    "Cluster",
    "ClusterDiagnosis",
    "ClusterId",
    "ClusterState",
    "Command",
    "Coverage",
    "Diagnosis",
    "DiagnosisRequest",
    "Ending",
    "Evidence",
    "ExecutorInfo",
    "Finding",
    "FleetCommand",
    "KeyInfo",
    "KeyRequest",
    "KubernetesToken",
    "Limit",
    "NewKey",
    "NewToken",
    "Outcome",
    "Permission",
    "PolicyAnswer",
    "PolicyQuestion",
    "PolicyVerdict",
    "Principal",
    "ResourceRef",
    "Role",
    "Severity",
    "TokenInfo",
    "parse_cluster_id",
]
