"""One container of one pod: its specification and its status, joined by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from kubently.analyzers.resources import PODS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject


@dataclass(frozen=True, slots=True)
class Termination:
    """How a run of a container ended."""

    exit_code: int
    reason: str
    message: str
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Container:
    """A container that has a status."""

    pod: KubeObject
    name: str
    spec: KubeObject
    status: KubeObject
    path: str
    """Where the status stands in the pod."""
    is_init: bool

    @property
    def waiting_reason(self) -> str:
        """Why it waits, or empty if it does not."""
        return objects.text(self.status, "state", "waiting", "reason")

    @property
    def waiting_message(self) -> str:
        """The kubelet's sentence about the waiting."""
        return objects.text(self.status, "state", "waiting", "message")

    @property
    def image(self) -> str:
        """The image as the pod names it."""
        return objects.text(self.spec, "image") or objects.text(self.status, "image")

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return objects.integer(self.status, "restartCount")

    def is_restarted_after(self, exit_code: int) -> bool:
        """Say whether the kubelet starts it again after it ended so."""
        own = objects.text(self.spec, "restartPolicy")
        policy = own or objects.text(self.pod, "spec", "restartPolicy", default="Always")
        if self.is_init and own != "Always" and policy == "Always":
            policy = "OnFailure"
        return policy == "Always" or (policy == "OnFailure" and exit_code != 0)

    @property
    def is_ready(self) -> bool:
        """Whether it passes its readiness probe."""
        return objects.flag(self.status, "ready")

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return bool(objects.mapping(self.status, "state", "running"))

    @property
    def is_working_init(self) -> bool:
        """Whether it is an init container that runs, for whose end the others wait."""
        return self.is_init and self.is_running and objects.text(self.spec, "restartPolicy") != "Always"

    @property
    def running_since(self) -> datetime | None:
        """When the current run began."""
        return objects.instant(self.status, "state", "running", "startedAt")

    @property
    def termination(self) -> Termination | None:
        """How it ended, if it is not running and not to be started again."""
        return _termination(objects.mapping(self.status, "state", "terminated"))

    @property
    def last_termination(self) -> Termination | None:
        """How its newest finished run ended."""
        return self.termination or _termination(objects.mapping(self.status, "lastState", "terminated"))


def _termination(state: KubeObject) -> Termination | None:
    if not state:
        return None
    return Termination(
        exit_code=objects.integer(state, "exitCode"),
        reason=objects.text(state, "reason"),
        message=objects.text(state, "message"),
        started_at=objects.instant(state, "startedAt"),
        finished_at=objects.instant(state, "finishedAt"),
    )


def of_living_pods(snapshot: Snapshot) -> Sequence[Container]:
    """Return the containers of all pods that are not finished."""
    living = (pod for pod in snapshot.members(PODS) if not is_finished(pod))
    return snapshot.once("containers", lambda: tuple(item for pod in living for item in containers_of(pod)))


def containers_of(pod: KubeObject) -> Iterator[Container]:
    """Yield the containers of a pod that have a status, init containers first."""
    sorts = (
        ("initContainerStatuses", objects.init_container_statuses(pod), True),
        ("containerStatuses", objects.container_statuses(pod), False),
    )
    for field, statuses, is_init in sorts:
        for index, status in enumerate(statuses):
            name = objects.text(status, "name")
            if name:
                spec = objects.container(pod, name) or {}
                yield Container(pod, name, spec, status, f"status.{field}[{index}]", is_init)


def is_finished(pod: KubeObject) -> bool:
    """Say whether a pod has run to its end or is being deleted: nothing about it is a fault any more."""
    return objects.text(pod, "status", "phase") == "Succeeded" or objects.deleted_at(pod) is not None


def is_ready(pod: KubeObject) -> bool:
    """Say whether a pod may receive traffic."""
    condition = objects.condition(pod, "Ready")
    return condition is not None and condition.is_true and objects.deleted_at(pod) is None


def is_young(snapshot: Snapshot, pod: KubeObject, *, seconds: float) -> bool:
    """Say whether a pod was created less than so many seconds ago."""
    return snapshot.age(objects.created_at(pod)).total_seconds() < seconds
