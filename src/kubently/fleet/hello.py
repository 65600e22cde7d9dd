"""What an executor says of itself in SETTINGS, read with suspicion.

It is shown to people, stored and selected by: text is cut and made printable, labels that are none are left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from kubently.schema import Refusal

CERTIFICATES = ("api", "trusted", "client", "identity")
"""Names of the certificates that an executor may tell of: they become labels of a metric."""
MAX_TEXT = 256
MAX_SENTENCE = 1024
MAX_ENTRIES = 64
"""Labels, and capabilities, that are kept."""

MAX_HOLD = 120.0
"""Seconds of silence that a doctor may look at."""
_MAX_INSTANT = 253402300800

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
    certificates: Mapping[str, datetime] = field(default_factory=dict)
    """When those of `CERTIFICATES` end that it knows."""
    last_problem: Refusal | None = None
    """What kept it out before."""
    purpose: str = ""
    """``probe`` for a doctor, who is no executor."""
    probe: str = ""
    """What it came for: ``echo``, ``view`` or ``hold``."""
    hold: float = 0.0
    """Seconds of silence that it wants to see."""


def parse(info: Mapping[str, Any]) -> Hello:
    """Read the info of SETTINGS; what is no text counts as empty."""
    labels = _pairs(info.get("labels"))
    return Hello(
        _text(info.get("instance")),
        _text(info.get("lane")),
        _text(info.get("version")),
        _text(info.get("kubernetes_version")),
        _text(info.get("kube_system_uid")),
        _shared(tuple((k, v) for k, v in labels.items() if _KEY.fullmatch(k) and _VALUE.fullmatch(v))),
        _shared(tuple((_text(name), _text(value)) for name, value in _pairs(info.get("capabilities")).items())),
        _ends(info.get("certificates")),
        _problem(info.get("last_problem")),
        _text(info.get("purpose")),
        _text(info.get("probe")),
        _seconds(info.get("hold")),
    )


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(min(MAX_HOLD, value)) if value > 0 else 0.0  # an integer may be too large for a float


def _ends(value: Any) -> Mapping[str, datetime]:
    if not isinstance(value, Mapping):
        return {}
    return {name: end for name in CERTIFICATES if (end := _instant(value.get(name))) is not None}


def _problem(value: Any) -> Refusal | None:
    if not isinstance(value, Mapping) or not (message := _text(value.get("message"), most=MAX_SENTENCE)):
        return None
    return Refusal(code=_text(value.get("code"))[:64], message=message, at=_instant(value.get("at")))


def _instant(value: Any) -> datetime | None:
    """Seconds of the epoch, until the year 9999."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_INSTANT:
        return None
    return datetime.fromtimestamp(value, UTC)


def _pairs(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {name: text for name, text in islice(value.items(), MAX_ENTRIES) if isinstance(text, str)}


@lru_cache(maxsize=256)  # of up to 32 KiB each, where an executor means ill
def _shared(pairs: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """Thousands of executors of one chart say the same."""
    return dict(pairs)


def _text(value: Any, *, most: int = MAX_TEXT) -> str:
    if not isinstance(value, str):
        return ""
    if value.isprintable() and len(value) <= most:
        return sys.intern(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value[:most])
