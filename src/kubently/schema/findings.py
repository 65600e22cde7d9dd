"""What a deterministic diagnosis says."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from kubently.schema.base import Frozen


class Severity(StrEnum):
    """How bad a finding is, worst first."""

    OUTAGE = "outage"
    """Something that should serve does not serve."""
    DEGRADED = "degraded"
    """It serves, but less than it should, or a change cannot complete."""
    RISK = "risk"
    """It serves now; the next restart, node loss or date breaks it."""
    HYGIENE = "hygiene"
    """Nothing is wrong today; good practice says otherwise."""

    @property
    def rank(self) -> int:
        """0 is worst."""
        return list(Severity).index(self)


class ResourceRef(Frozen):
    """One Kubernetes object, named as RBAC names it plus its kind; or the Registry of an image, named by its host."""

    group: str = ""
    """API group, empty for core."""
    kind: str
    namespace: str = ""
    """Empty for cluster-scoped objects."""
    name: str

    def __str__(self) -> str:
        kind = f"{self.kind}.{self.group}" if self.group else self.kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


class Evidence(Frozen):
    """A quoted fact and where it stands, so that a person can check it."""

    id: str = ""
    """By which a statement can cite it: a digest of source and quote, 8 hexadecimal digits."""
    source: str
    """Where: an object and field path ("pod shop/web-1 status.containerStatuses[0].state.waiting"), an event, a log."""
    quote: str
    """The words or values found there, shortened to 1,000 characters, of a log to 4,000."""


class Confidence(StrEnum):
    """How sure a finding is of its cause."""

    CERTAIN = "certain"
    """The cluster says so itself, or it follows from objects that were read."""
    LIKELY = "likely"
    """Signs agree, and another cause would be unusual."""
    POSSIBLE = "possible"
    """It fits, and so might something else."""


class Remedy(Frozen):
    """What would mend it, for a person to judge and do; Kubently changes nothing."""

    text: str
    commands: tuple[str, ...] = ()
    """Shell lines with kubectl, filled in as far as the cluster shows what is meant; words in capitals are to be
    replaced."""


class Finding(Frozen):
    """One condition that an analyzer recognised, with what supports it."""

    id: str
    """Stable across runs while the condition lasts: a digest of code and objects, 12 hexadecimal digits."""
    code: str
    """Documented condition, for example "pod/crash-loop"."""
    severity: Severity
    severity_reason: str = ""
    """Why it is that severe here."""
    confidence: Confidence = Confidence.CERTAIN
    title: str
    """One sentence without a full stop that names the object and the cause as far as it is known."""
    objects: tuple[ResourceRef, ...]
    """The object at fault first, then others concerned."""
    evidence: tuple[Evidence, ...]
    changes: tuple[Evidence, ...] = ()
    """What was changed on these objects within the two hours before, newest first."""
    next_checks: tuple[str, ...] = ()
    """Commands or questions that would confirm or narrow the cause; commands are argument lists for `kubently run`,
    written as "get pods -n shop"."""
    remedy: Remedy | None = None
    page: str = ""
    """Where the condition is documented: a path and an anchor within the documentation."""
    symptoms: tuple[str, ...] = ()
    """Ids of findings that this one explains."""
    affects: tuple[ResourceRef, ...] = ()
    """Services and Ingresses that depend on the object at fault."""
    first_seen: datetime | None = None
    """When it was first seen, where continuous diagnosis keeps a history; null where it does not, or not yet."""


class FindingRecord(Frozen):
    """What the history of continuous diagnosis keeps of one finding of one cluster. Instants are the API's clock."""

    cluster: str
    id: str
    code: str
    severity: Severity
    """The last that it had."""
    title: str
    objects: tuple[ResourceRef, ...]
    """The object at fault first; at most ten."""
    explained_by: str = ""
    """Id of the finding of which it was a symptom when last seen; empty for a cause."""
    first_seen: datetime
    began_at: datetime
    """When it was seen again after it had been resolved; `first_seen` where it never was."""
    last_seen: datetime
    resolved_at: datetime | None = None
    """When it was first absent, of those that stayed away; null while it is open."""
    recurrences: int = 0
    """How often it came back after it had been resolved."""


class FindingState(StrEnum):
    """Which findings of a history are asked for."""

    OPEN = "open"
    RESOLVED = "resolved"
    ALL = "all"


class ClusterHistory(Frozen):
    """How well the history of one cluster is known: nothing open is an answer only together with this."""

    cluster: str
    is_on: bool
    """Whether this cluster is to be diagnosed continuously."""
    unbroken_since: datetime | None = None
    """Since when it was diagnosed without a gap of over an hour; null where it never was."""
    analysed_at: datetime | None = None
    """When it was last diagnosed: nothing is known of the time after."""
    not_seen: tuple[str, ...] = ()
    """What that diagnosis could not read."""
    not_kept: int = 0
    """Open findings beyond those that are kept."""


class FindingsPage(Frozen):
    """Findings of the histories that the caller may see."""

    findings: tuple[FindingRecord, ...]
    """Open ones first, the worst first, then those resolved, the last first."""
    clusters: tuple[ClusterHistory, ...]


class Since(Frozen):
    """How a diagnosis differs from an earlier instant, by the cluster's history."""

    since: datetime
    history: ClusterHistory
    """Before its `unbroken_since` nothing is known for sure."""
    new: tuple[str, ...]
    """Ids of the findings that began since."""
    resolved: tuple[FindingRecord, ...]
    """Those that were resolved since and are not among the findings now."""


class Blind(Frozen):
    """Something an analyzer wanted to read and could not."""

    resource: str
    """"secrets", "ingresses.networking.k8s.io", "logs shop/web-1"."""
    reason: str


class Coverage(Frozen):
    """What was looked at; nothing found is an answer only together with this."""

    objects: int
    resources: tuple[str, ...]
    """Resources read, as plural.group."""
    analyzers: tuple[str, ...]
    blind: tuple[Blind, ...] = ()


class Diagnosis(Frozen):
    """The findings of one cluster at one instant, most important first."""

    cluster: str
    read_at: datetime
    """The cluster's own clock when the snapshot was taken."""
    findings: tuple[Finding, ...]
    symptoms: tuple[Finding, ...] = ()
    """Findings that others explain; those name them by id."""
    coverage: Coverage
    seconds: float = Field(default=0.0)
    """Time spent collecting and analysing."""
    since: Since | None = None
    """Where the request names an instant."""


class DiagnosisRequest(Frozen):
    """Which clusters to diagnose: exactly one of ``clusters``, ``selector`` and ``all``."""

    clusters: tuple[str, ...] = ()
    selector: str = ""
    all: bool = False
    namespace: str = ""
    """Only this namespace; empty for all."""
    since: datetime | None = None
    """Also say what is new and what was resolved since, by the history of continuous diagnosis."""


class ClusterDiagnosis(Frozen):
    """What a fleet diagnosis says of one cluster."""

    cluster: str
    diagnosis: Diagnosis | None = None
    problem: dict[str, Any] | None = None
    """A problem document (RFC 9457) when the cluster could not be read."""
