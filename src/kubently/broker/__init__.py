"""The rules around one request to a cluster."""

from kubently.broker import fanout, narrowing, own_analyzers
from kubently.broker.admission import Admission
from kubently.broker.audit import Audit
from kubently.broker.auditing import Auditing, open_auditing
from kubently.broker.commands import Commands, Running, new_request_id
from kubently.broker.diagnoses import Diagnoses
from kubently.broker.kubernetes import KubernetesRequests, PolicyDeniedError
from kubently.broker.limits import Limits, Rate, Slots
from kubently.broker.policies import Policies

__all__ = [
    "Admission",
    "Audit",
    "Auditing",
    "Commands",
    "Diagnoses",
    "KubernetesRequests",
    "Limits",
    "Policies",
    "PolicyDeniedError",
    "Rate",
    "Running",
    "Slots",
    "fanout",
    "narrowing",
    "new_request_id",
    "open_auditing",
    "own_analyzers",
]
