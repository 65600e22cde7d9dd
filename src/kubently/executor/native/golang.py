"""Numbers and quoted text as Go writes them."""

from __future__ import annotations

import re
from decimal import Decimal

from kubently.executor.native.unsure import Unsure

_PLAIN = re.compile(r"[ !#-\[\]-~]*")


def quote(text: str) -> str:
    """Write *text* as fmt's %q does. Raises Unsure for text that is not plain ASCII."""
    if not _PLAIN.fullmatch(text.replace('"', "").replace("\\", "")):
        raise Unsure("text that Go may quote in another way")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def json_float(value: float) -> str:
    """Write a float as encoding/json does: the shortest digits, an exponent only for the very small and very large."""
    if value != value or value in (float("inf"), float("-inf")):
        raise Unsure("a number that is none")
    size = abs(value)
    if size != 0 and (size < 1e-6 or size >= 1e21):
        # Go drops the zero of exponents like e-09, and keeps those of two digits.
        return re.sub(r"e-0([0-9])$", r"e-\1", _scientific(value))
    return _positional(value)


def shortest_float(value: float) -> str:
    """Write a float as fmt's %v and strconv's 'g' with the shortest precision do."""
    exponent = _digits(value)[1] - 1
    return _scientific(value) if value and (exponent < -4 or exponent >= 6) else _positional(value)


def _digits(value: float) -> tuple[str, int]:
    """The shortest digits that read back as *value*, and where the decimal point stands among them."""
    parts = Decimal(repr(abs(value))).normalize().as_tuple()
    digits = "".join(map(str, parts.digits))
    return digits, len(digits) + int(parts.exponent)


def _sign(value: float) -> str:
    return "-" if str(value).startswith("-") else ""


def _positional(value: float) -> str:
    if value == 0:
        return f"{_sign(value)}0"
    return _sign(value) + format(Decimal(repr(abs(value))).normalize(), "f")


def _scientific(value: float) -> str:
    digits, point = _digits(value)
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    exponent = point - 1
    return f"{_sign(value)}{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
