"""What the printers of several kinds share: columns, ages, labels, selectors, shortened lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubently.kube import objects

Cell = str | int | float | bool | None
Printer = Callable[[objects.KubeObject, datetime], list[Cell]]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a Table; ``wide`` ones are shown by ``-o wide`` only."""

    name: str
    type: str = "string"
    format: str = ""
    wide: bool = False

    def definition(self) -> dict[str, str | int]:
        """Return the TableColumnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": "",
            "priority": int(self.wide),
        }


@dataclass(frozen=True, slots=True)
class Layout:
    """How the objects of one type become rows; the printer gets the object and the cluster's now."""

    group: str
    plural: str
    columns: tuple[Column, ...]
    printer: Printer


NAME = Column("Name", format="name")
AGE = Column("Age")
NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"

# ---- time


def age(item: objects.KubeObject, now: datetime) -> str:
    """Return how long ago an object was created."""
    return since(objects.created_at(item), now)


def since(instant: datetime | None, now: datetime) -> str:
    """Return the time from an instant to *now* as people read it."""
    return UNKNOWN if instant is None else human_duration(now - instant)


_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def human_duration(duration: timedelta) -> str:
    """Return a duration with two figures at most, as every Kubernetes tool writes ages."""
    seconds = int(duration.total_seconds())
    if seconds < -1:
        return "<invalid>"
    if seconds < 2 * _MINUTE:
        return f"{max(seconds, 0)}s"
    if seconds < 10 * _MINUTE:
        return _two(seconds, _MINUTE, "m", 1, "s")
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < 8 * _HOUR:
        return _two(seconds, _HOUR, "h", _MINUTE, "m")
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR}h"
    if seconds < 8 * _DAY:
        return _two(seconds, _DAY, "d", _HOUR, "h")
    if seconds < 2 * _YEAR:
        return f"{seconds // _DAY}d"
    if seconds < 8 * _YEAR:
        return _two(seconds, _YEAR, "y", _DAY, "d")
    return f"{seconds // _YEAR}y"


def _two(seconds: int, unit: int, name: str, lesser: int, lesser_name: str) -> str:
    whole, rest = seconds // unit, seconds % unit // lesser
    return f"{whole}{name}{rest}{lesser_name}" if rest else f"{whole}{name}"


# ---- labels and selectors


def label_map(labels: object) -> str:
    """Return a map of labels as "key=value" pairs in the order of their keys."""
    pairs = sorted(objects.string_map({"labels": labels}, "labels").items())
    return ",".join(f"{key}={value}" for key, value in pairs) or NONE


def selector(item: objects.KubeObject, *path: str) -> str:
    """Return the metav1.LabelSelector at *path* in its text form."""
    return selector_text(objects.mapping(item, *path)) or NONE


def selector_text(label_selector: objects.KubeObject) -> str:
    """Return a metav1.LabelSelector in its text form, empty if it has no requirement."""
    pairs = objects.string_map(label_selector, "matchLabels").items()
    terms = [(key, f"{key}={value}") for key, value in pairs]
    expressions = objects.mappings(label_selector, "matchExpressions")
    terms += [(objects.text(item, "key"), _expression(item)) for item in expressions]
    return ",".join(term for _, term in sorted(terms, key=lambda pair: pair[0]))


def _expression(expression: objects.KubeObject) -> str:
    key, values = objects.text(expression, "key"), ",".join(sorted(objects.strings(expression, "values")))
    match objects.text(expression, "operator"):
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "DoesNotExist":
            return f"!{key}"
        case _:
            return key


# ---- containers

CONTAINERS = (Column("Containers", wide=True), Column("Images", wide=True))
SELECTOR = Column("Selector", wide=True)


def containers(item: objects.KubeObject) -> list[Cell]:
    """Return the names and the images of a workload's containers, each joined by commas."""
    found = objects.containers(item)
    return [",".join(objects.text(each, field) for each in found) for field in ("name", "image")]


# ---- lists


def shortened(parts: Sequence[str], *, most: int, empty: str, separator: str = ",") -> str:
    """Return the first *most* parts and how many more there are."""
    text = separator.join(parts[:most])
    if len(parts) > most:
        return f"{text} + {len(parts) - most} more..."
    return text or empty


def plain(value: object, default: str = "") -> str:
    """Return a quantity or an int-or-string as text."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    return default


def truth(value: object, default: str = UNSET) -> str:
    """Return True or False as text, or *default* for no boolean."""
    return str(value) if isinstance(value, bool) else default
