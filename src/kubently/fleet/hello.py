"""What an executor says of itself in SETTINGS, read with suspicion.

It is shown to people, stored and selected by: text is cut and made printable, labels that are none are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

MAX_TEXT = 256
MAX_ENTRIES = 64
"""Labels, and capabilities, that are kept."""

# A Kubernetes label: an optional DNS prefix and a name; a value that may be empty.
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@dataclass(frozen=True, slots=True)
class Hello:
    """One executor's words."""

    instance: str = ""
    """Random name of its run."""
    lane: str = ""
    """Its name for this session: a later session of that name takes its place."""
    version: str = ""
    kubernetes_version: str = ""
    kube_system_uid: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    capabilities: Mapping[str, str] = field(default_factory=dict)


def parse(info: Mapping[str, Any]) -> Hello:
    """Read the info of SETTINGS; what is no text counts as empty."""
    labels = _pairs(info.get("labels"))
    return Hello(
        _text(info.get("instance")),
        _text(info.get("lane")),
        _text(info.get("version")),
        _text(info.get("kubernetes_version")),
        _text(info.get("kube_system_uid")),
        {name: value for name, value in labels.items() if _KEY.fullmatch(name) and _VALUE.fullmatch(value)},
        {_text(name): _text(value) for name, value in _pairs(info.get("capabilities")).items()},
    )


def _pairs(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {name: text for name, text in islice(value.items(), MAX_ENTRIES) if isinstance(text, str)}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value[:MAX_TEXT])
