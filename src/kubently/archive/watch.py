"""Watches: what is there now, then silence, for an archive does not change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubently.archive import answers, asked, catalog, format, lists, negotiate, tables
from kubently.kube import objects

# An API server picks a random time between half an hour and an hour; clients watch again when it is over.
DEFAULT_SECONDS = 1800.0


def as_watch(
    archive: format.Archive, resource: catalog.Resource, target: asked.Target, request: asked.Asked
) -> answers.Answer:
    """Answer a watch: initial ADDED events where the client asked for them, then an open, quiet stream."""
    form = negotiate.form(request.headers.get("accept", ""))
    seconds = request.number("timeoutSeconds")
    chunks = tuple(answers.encode(event) for event in _events(archive, resource, target, request, form))
    return answers.Answer(200, chunks, hold=float(seconds) if seconds else DEFAULT_SECONDS)


def _events(
    archive: format.Archive,
    resource: catalog.Resource,
    target: asked.Target,
    request: asked.Asked,
    form: negotiate.Form,
) -> Iterator[dict[str, Any]]:
    initial = _wants_initial_events(request)
    version = request.query.get("resourceVersion", "")
    items = lists.matching(archive, resource, target, request)
    if initial or (initial is None and version in ("", "0")):
        for index, item in enumerate(items):
            yield {"type": "ADDED", "object": _shown(archive, resource, item, form, first=index == 0)}
    elif _number(version) < archive.resource_version and version not in ("", "0"):
        yield {"type": "ERROR", "object": _expired(version, archive.resource_version).status()}
        return
    if initial and request.flag("allowWatchBookmarks"):
        yield {"type": "BOOKMARK", "object": _bookmark(archive, resource, form)}


def _wants_initial_events(request: asked.Asked) -> bool | None:
    """Return what the client said, or None if it said nothing."""
    match = request.query.get("resourceVersionMatch", "")
    if "sendInitialEvents" not in request.query:
        if match:
            raise _option_error("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        return None
    if match != "NotOlderThan":
        raise _option_error("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    return request.flag("sendInitialEvents")


def _option_error(message: str) -> answers.RefusedError:
    cause = ("resourceVersionMatch", "FieldValueForbidden", f"Forbidden: {message}")
    return answers.invalid("ListOptions.meta.k8s.io", "", [cause])


def _number(version: str) -> int:
    if not version.isdigit():
        if not version:
            return 0
        message = f'strconv.ParseUint: parsing "{version}": invalid syntax'
        raise answers.bad_request(f'resourceVersion: Invalid value: "{version}": {message}')
    return int(version)


def _expired(version: str, oldest: int) -> answers.RefusedError:
    """Say that the history before the archive is gone: the client lists anew."""
    return answers.RefusedError(410, "Expired", f"too old resource version: {version} ({oldest})")


def _shown(
    archive: format.Archive,
    resource: catalog.Resource,
    item: objects.KubeObject,
    form: negotiate.Form,
    *,
    first: bool,
) -> dict[str, Any]:
    if form.kind == "Table":
        table = tables.table(archive, resource, [item], include="Metadata", form=form)
        # The columns are sent once: they are the same in every event.
        columns = table["columnDefinitions"] if first else None
        metadata = {"resourceVersion": objects.text(item, "metadata", "resourceVersion")}
        return {**table, "metadata": metadata, "columnDefinitions": columns}
    if form.kind:
        return tables.partial(item, form.api_version)
    return lists.typed(item)


def _bookmark(archive: format.Archive, resource: catalog.Resource, form: negotiate.Form) -> dict[str, Any]:
    """Return the end of the initial events, in the form of the events."""
    metadata = {
        "resourceVersion": str(archive.resource_version),
        "annotations": {"k8s.io/initial-events-end": "true"},
    }
    if form.kind == "Table":
        row = {
            "cells": [],
            "object": {"kind": "PartialObjectMetadata", "apiVersion": form.api_version, "metadata": metadata},
        }
        return {
            "kind": "Table",
            "apiVersion": form.api_version,
            "metadata": {"resourceVersion": metadata["resourceVersion"]},
            "columnDefinitions": None,
            "rows": [row],
        }
    if form.kind:
        return {"kind": "PartialObjectMetadata", "apiVersion": form.api_version, "metadata": metadata}
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
