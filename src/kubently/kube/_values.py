"""Quantities (k8s.io/apimachinery/pkg/api/resource) and instants; part of `objects`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

from kubently.kube._fields import at

_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40}))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,3}))?"
)
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def parse_quantity(value: str | int | float) -> Decimal:
    """Return the number that a quantity stands for: "500m" is 0.5, "1Ki" 1024, "1E" 10^18, "1E3" 1000.

    Raises ValueError for anything that is not a quantity, and for more than 40 digits or an exponent above 99.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"a quantity is text or a number, not {type(value).__name__}")
    match = _QUANTITY.fullmatch(value if isinstance(value, str) else repr(value)[:100])
    if match is None:
        raise ValueError(f"{str(value)[:80]!r} is not a quantity")
    number, suffix, exponent = match.groups()
    if exponent is not None and abs(int(exponent)) > 99:
        raise ValueError(f"the exponent of {str(value)[:80]!r} is beyond 99")
    factor = _SUFFIXES[suffix] if suffix else Decimal(1).scaleb(int(exponent or 0))
    return Decimal(number) * factor


def quantity(obj: object, *path: str | int) -> Decimal | None:
    """Return the quantity at *path*, or None if there is none or it cannot be read."""
    try:
        return parse_quantity(at(obj, *path))
    except ValueError:
        return None


# ---- instants

_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,12}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parse_instant(value: str) -> datetime:
    """Read an RFC 3339 instant as Time and MicroTime write it; digits below a microsecond are cut.

    Raises ValueError for anything else.
    """
    match = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{str(value)[:80]!r} is not an RFC 3339 instant")
    date, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in "Zz" else zone
    return datetime.fromisoformat(f"{date}T{clock}.{(fraction or '')[:6]:0<6}{offset}")


def instant(obj: object, *path: str | int) -> datetime | None:
    """Return the instant at *path* in UTC, or None if there is none or it cannot be read."""
    try:
        return parse_instant(at(obj, *path)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
