"""The executor's own Secret where it stands among others: its name stays, so that lists and watches are whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OwnSecret = tuple[str, str]
"""Namespace and name."""

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def hidden(obj: Mapping[str, Any], own: OwnSecret | None) -> dict[str, Any] | None:
    """Return what is shown instead if *obj* (a Secret or a Table's row of one) is the executor's own, else None."""
    if own is None:
        return None
    if isinstance(cells := obj.get("cells"), list):
        return _hidden_row(cells, obj.get("object"), own)
    return stub(obj) if _is_own(obj, own) else None


def stub(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return nothing of an object but what it is, and which."""
    metadata = obj.get("metadata")
    kept = {key: metadata[key] for key in _METADATA if key in metadata} if isinstance(metadata, Mapping) else {}
    return {key: obj[key] for key in ("kind", "apiVersion") if key in obj} | {"metadata": kept}


def _hidden_row(cells: list[Any], shown: object, own: OwnSecret) -> dict[str, Any] | None:
    row: dict[str, Any] = {"cells": [own[1], *[None for _ in cells[1:]]]}
    if isinstance(shown, Mapping):
        return row | {"object": stub(shown)} if _is_own(shown, own) else None
    # Without its object a row does not tell its namespace: then a Secret of the same name elsewhere is hidden too.
    return row if cells[:1] == [own[1]] else None


def _is_own(obj: Mapping[str, Any], own: OwnSecret) -> bool:
    metadata = obj.get("metadata")
    if not isinstance(metadata, Mapping):
        return False
    return (metadata.get("namespace", own[0]), metadata.get("name")) == own
