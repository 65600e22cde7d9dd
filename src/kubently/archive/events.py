"""The events.k8s.io view of core events: the same events under other field names."""

from __future__ import annotations

from typing import Any

from kubently.kube import objects

_RENAMED = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}


def view(event: objects.KubeObject) -> dict[str, Any]:
    """Return a core event as events.k8s.io/v1 shows it."""
    renamed = {_RENAMED.get(field, field): value for field, value in event.items()}
    # Core events always name who reported them, if only with an empty text; here an empty one is left out.
    shown = {field: value for field, value in renamed.items() if value != "" or not field.startswith("reporting")}
    return {**shown, "apiVersion": "events.k8s.io/v1"}


def core(event: objects.KubeObject) -> objects.KubeObject:
    """Return an event of either API as a core event."""
    if "regarding" not in event:
        return event
    back = {new: old for old, new in _RENAMED.items()}
    return {back.get(field, field): value for field, value in event.items()}
