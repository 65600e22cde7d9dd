"""When somebody else's archive was made, and of which version the cluster was, where no file says it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from kubently.archive import format
from kubently.kube import objects

UNKNOWN_VERSION = "v0.0.0"
_OF_OBJECTS = (
    ("metadata", "creationTimestamp"),
    ("lastTimestamp",),
    ("eventTime",),
    ("series", "lastObservedTime"),
    ("spec", "renewTime"),
)
_OF_CONDITIONS = (("lastHeartbeatTime",), ("lastProbeTime",), ("lastTransitionTime",), ("lastUpdateTime",))
_OF_CONTAINERS = tuple(
    (state, *place)
    for state in ("state", "lastState")
    for place in (("running", "startedAt"), ("terminated", "finishedAt"))
)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def newest(items: Iterable[objects.KubeObject]) -> datetime:
    """Return the newest instant at which something happened to one of the objects; 1970 if nothing tells.

    Leases of nodes are renewed every ten seconds, so this is close where they, or events, were collected.
    """
    return max((instant for item in items for instant in _instants(item)), default=_LONG_AGO)


def is_likely(instant: datetime) -> bool:
    """Say whether a cluster's clock may have shown *instant*: Go writes the year 1 for none, others what they like."""
    return 1970 < instant.year < 2200


def _instants(item: objects.KubeObject) -> Iterator[datetime]:
    parts: list[tuple[objects.KubeObject, tuple[tuple[str, ...], ...]]] = [(item, _OF_OBJECTS)]
    parts += [(part, _OF_CONDITIONS) for part in objects.mappings(item, "status", "conditions")]
    parts += [(part, (("time",),)) for part in objects.mappings(item, "metadata", "managedFields")]
    parts += [(part, _OF_CONTAINERS) for part in objects.container_statuses(item)]
    for part, places in parts:
        for place in places:
            found = objects.instant(part, *place)
            if found is not None and is_likely(found):
                yield found


def version(said: str, nodes: Iterable[objects.KubeObject]) -> str:
    """Return the API server's version as the archive says it, or else the newest of a kubelet."""
    if format.VERSION.fullmatch(said):
        return said
    found = [objects.text(node, "status", "nodeInfo", "kubeletVersion") for node in nodes]
    return max((text for text in found if format.VERSION.fullmatch(text)), key=_numbers, default=UNKNOWN_VERSION)


def _numbers(text: str) -> tuple[int, ...]:
    plain = text.removeprefix("v").partition("-")[0].partition("+")[0]
    return tuple(int(part) for part in plain.split("."))
