"""Events of both API groups, read into one type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from kubently.kube import objects
from kubently.kube.objects import KubeObject


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a component reported about an object; repeated reports are one event with a count."""

    kind: str
    namespace: str
    """Namespace of the object that the event is about; empty for cluster-scoped ones."""
    name: str
    uid: str
    reason: str
    message: str
    container: str
    """The container that it is about, or empty."""
    count: int
    first_at: datetime | None
    last_at: datetime | None


_CONTAINER = re.compile(r"spec\.(?:initContainers|containers|ephemeralContainers)\{([^{}]+)\}")


def parse_event(event: KubeObject) -> Event:
    """Read a core v1 or events.k8s.io v1 event; what is missing is empty."""
    about = objects.mapping(event, "involvedObject") or objects.mapping(event, "regarding")
    field_path = _CONTAINER.fullmatch(objects.text(about, "fieldPath"))
    counts = (objects.integer(event, "series", "count"), objects.integer(event, "count"), 1)
    return Event(
        kind=objects.text(about, "kind"),
        namespace=objects.text(about, "namespace"),
        name=objects.text(about, "name"),
        uid=objects.text(about, "uid"),
        reason=objects.text(event, "reason"),
        message=objects.text(event, "message") or objects.text(event, "note"),
        container=field_path.group(1) if field_path else "",
        count=max(*counts, objects.integer(event, "deprecatedCount")),
        first_at=_first_at(event),
        last_at=_last_at(event),
    )


def _first_at(event: KubeObject) -> datetime | None:
    """Return when it was reported for the first time."""
    candidates = (
        objects.instant(event, "firstTimestamp"),
        objects.instant(event, "deprecatedFirstTimestamp"),
        objects.instant(event, "eventTime"),
        objects.created_at(event),
    )
    return next((instant for instant in candidates if instant is not None), None)


def _last_at(event: KubeObject) -> datetime | None:
    """Return when it was last reported: which field says so depends on the age and API of the reporter."""
    candidates = (
        objects.instant(event, "series", "lastObservedTime"),
        objects.instant(event, "lastTimestamp"),
        objects.instant(event, "deprecatedLastTimestamp"),
        objects.instant(event, "eventTime"),
        objects.created_at(event),
    )
    return next((instant for instant in candidates if instant is not None), None)
