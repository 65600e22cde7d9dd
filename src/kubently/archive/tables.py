"""Objects as meta.k8s.io Tables: the columns and cells that kubectl prints.

The layouts of the built-in types stand in the ``columns_*`` modules; a type without one shows when it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubently.archive import (
    catalog,
    cells,
    columns_cluster,
    columns_custom,
    columns_network,
    columns_pods,
    columns_storage,
    columns_workloads,
    format,
    negotiate,
)
from kubently.kube import objects

LAYOUTS: tuple[cells.Layout, ...] = (
    *columns_pods.LAYOUTS,
    *columns_workloads.LAYOUTS,
    *columns_network.LAYOUTS,
    *columns_storage.LAYOUTS,
    *columns_cluster.LAYOUTS,
)
_BY_TYPE = {(item.group, item.plural): item for item in LAYOUTS}
_PLAIN = cells.Layout(
    "",
    "",
    (cells.NAME, cells.Column("Created At", "date")),
    lambda item, now: [objects.name(item), objects.text(item, "metadata", "creationTimestamp")],
)


def layout(resource: catalog.Resource) -> cells.Layout:
    """Return how objects of a type become rows."""
    if resource.custom:
        return columns_custom.layout(resource)
    return _BY_TYPE.get((resource.group, resource.plural), _PLAIN)


def table(
    archive: format.Archive,
    resource: catalog.Resource,
    items: Sequence[objects.KubeObject],
    *,
    include: str,
    form: negotiate.Form,
) -> dict[str, Any]:
    """Return a Table without metadata; *include* is None, Metadata or Object, as in the includeObject parameter."""
    found = layout(resource)
    return {
        "kind": "Table",
        "apiVersion": form.api_version,
        "metadata": {},
        "columnDefinitions": [column.definition() for column in found.columns],
        "rows": [_row(archive, resource, found, item, include, form) for item in items],
    }


def _row(
    archive: format.Archive,
    resource: catalog.Resource,
    found: cells.Layout,
    item: objects.KubeObject,
    include: str,
    form: negotiate.Form,
) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": found.printer(item, archive.captured_at)}
    if resource.qualified == "pods" and (conditions := columns_pods.row_conditions(item)):
        row["conditions"] = conditions
    if include == "Metadata":
        return {**row, "object": partial(item, form.api_version)}
    return {**row, "object": item if include == "Object" else None}


def partial(item: objects.KubeObject, api_version: str) -> dict[str, Any]:
    """Return the PartialObjectMetadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": objects.mapping(item, "metadata")}
