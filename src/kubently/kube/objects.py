"""Reading Kubernetes objects that were parsed from JSON.

Objects come from clusters and are not trusted to have the shape that their kind promises: every reader here takes an
object as it is and answers a default (empty text, None, an empty sequence) where something is missing or of another
type. Only the functions named ``parse_*`` raise, and only ValueError. Nothing here changes an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from kubently.schema.findings import ResourceRef

KubeObject = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as the JSON parser made it."""

# ---- reading by path


def at(obj: object, *path: str | int) -> Any:
    """Return the value at *path* (keys of mappings, indexes of lists), or None if any step is missing."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(obj, Mapping):
                return None
            obj = obj.get(step)
        elif isinstance(obj, list) and -len(obj) <= step < len(obj):
            obj = obj[step]
        else:
            return None
    return obj


def text(obj: object, *path: str | int, default: str = "") -> str:
    """Return the string at *path*, or *default* if there is none."""
    value = at(obj, *path)
    return value if isinstance(value, str) else default


def integer(obj: object, *path: str | int, default: int = 0) -> int:
    """Return the whole number at *path*, or *default* if there is none (booleans and fractions are none)."""
    value = at(obj, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def flag(obj: object, *path: str | int, default: bool = False) -> bool:
    """Return the boolean at *path*, or *default* if there is none."""
    value = at(obj, *path)
    return value if isinstance(value, bool) else default


def mapping(obj: object, *path: str | int) -> KubeObject:
    """Return the mapping at *path*, or an empty one."""
    value = at(obj, *path)
    return value if isinstance(value, Mapping) else {}


def mappings(obj: object, *path: str | int) -> list[KubeObject]:
    """Return the mappings in the list at *path*; members of other types are left out."""
    value = at(obj, *path)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def strings(obj: object, *path: str | int) -> list[str]:
    """Return the strings in the list at *path*; members of other types are left out."""
    value = at(obj, *path)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def string_map(obj: object, *path: str | int) -> dict[str, str]:
    """Return the string-to-string pairs of the mapping at *path*; others are left out."""
    pairs = mapping(obj, *path).items()
    return {key: value for key, value in pairs if isinstance(key, str) and isinstance(value, str)}


# ---- metadata


def kind(obj: object) -> str:
    """Return the kind, or an empty string (members of a list carry none, see `members`)."""
    return text(obj, "kind")


def group(obj: object) -> str:
    """Return the API group, empty for core."""
    return group_of(text(obj, "apiVersion"))


def group_of(api_version: str) -> str:
    """Return the group in an apiVersion: "apps/v1" gives "apps", "v1" gives an empty string."""
    return api_version.rpartition("/")[0]


def name(obj: object) -> str:
    """Return metadata.name."""
    return text(obj, "metadata", "name")


def namespace(obj: object) -> str:
    """Return metadata.namespace, empty for cluster-scoped objects."""
    return text(obj, "metadata", "namespace")


def uid(obj: object) -> str:
    """Return metadata.uid."""
    return text(obj, "metadata", "uid")


def labels(obj: object) -> dict[str, str]:
    """Return metadata.labels."""
    return string_map(obj, "metadata", "labels")


def annotation(obj: object, key: str) -> str:
    """Return one of metadata.annotations, or an empty string."""
    return text(obj, "metadata", "annotations", key)


def created_at(obj: object) -> datetime | None:
    """Return metadata.creationTimestamp."""
    return instant(obj, "metadata", "creationTimestamp")


def deleted_at(obj: object) -> datetime | None:
    """Return metadata.deletionTimestamp: set while the object is terminating."""
    return instant(obj, "metadata", "deletionTimestamp")


def ref(obj: object) -> ResourceRef:
    """Name *obj*; the kind is "Unknown" where the object does not say it."""
    return ResourceRef(group=group(obj), kind=kind(obj) or "Unknown", namespace=namespace(obj), name=name(obj))


def members(collection: KubeObject) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list, each with the kind and apiVersion that the apiserver leaves out of list members."""
    list_kind = kind(collection)
    member_kind = list_kind.removesuffix("List") if list_kind != "List" else ""
    defaults = {"apiVersion": text(collection, "apiVersion"), "kind": member_kind} if member_kind else {}
    for item in mappings(collection, "items"):
        yield {**defaults, **item}


# ---- owners and conditions


@dataclass(frozen=True, slots=True)
class OwnerReference:
    """One entry of metadata.ownerReferences; owners live in the namespace of what they own, or in none."""

    group: str
    kind: str
    name: str
    uid: str
    is_controller: bool


def owners(obj: object) -> tuple[OwnerReference, ...]:
    """Return the owner references."""
    return tuple(
        OwnerReference(
            group=group(item),
            kind=kind(item),
            name=text(item, "name"),
            uid=text(item, "uid"),
            is_controller=flag(item, "controller"),
        )
        for item in mappings(obj, "metadata", "ownerReferences")
    )


def controller(obj: object) -> OwnerReference | None:
    """Return the owner that controls *obj*, if any."""
    return next((owner for owner in owners(obj) if owner.is_controller), None)


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of status.conditions."""

    type: str
    status: str
    """"True", "False" or "Unknown"; empty if the object does not say."""
    reason: str
    message: str
    changed_at: datetime | None
    """lastTransitionTime."""

    @property
    def is_true(self) -> bool:
        """Whether the status is "True"."""
        return self.status == "True"

    @property
    def is_false(self) -> bool:
        """Whether the status is "False"; Unknown is neither."""
        return self.status == "False"


def conditions(obj: object) -> tuple[Condition, ...]:
    """Return status.conditions."""
    return tuple(
        Condition(
            type=text(item, "type"),
            status=text(item, "status"),
            reason=text(item, "reason"),
            message=text(item, "message"),
            changed_at=instant(item, "lastTransitionTime"),
        )
        for item in mappings(obj, "status", "conditions")
    )


def condition(obj: object, condition_type: str) -> Condition | None:
    """Return the condition of this type, or None."""
    return next((item for item in conditions(obj) if item.type == condition_type), None)


# ---- pods


def pod_spec(obj: object) -> KubeObject:
    """Return the pod spec of a Pod, PodTemplate, workload or CronJob, or an empty mapping."""
    if kind(obj) == "Pod":
        return mapping(obj, "spec")
    for path in (
        ("spec", "template", "spec"),
        ("spec", "jobTemplate", "spec", "template", "spec"),
        ("template", "spec"),
    ):
        if spec := mapping(obj, *path):
            return spec
    # A member of a PodList may come without its kind.
    return mapping(obj, "spec") if isinstance(at(obj, "spec", "containers"), list) else {}


def pod_labels(obj: object) -> dict[str, str]:
    """Return the labels that the pods of a workload get, or the labels of a Pod."""
    for path in (("spec", "template"), ("spec", "jobTemplate", "spec", "template"), ("template",)):
        if template := mapping(obj, *path):
            return labels(template)
    return labels(obj)


def containers(obj: object) -> list[KubeObject]:
    """Return the ordinary containers of a Pod or of a workload's template."""
    return mappings(pod_spec(obj), "containers")


def init_containers(obj: object) -> list[KubeObject]:
    """Return the init containers; those with restartPolicy Always are sidecars."""
    return mappings(pod_spec(obj), "initContainers")


def all_containers(obj: object) -> list[KubeObject]:
    """Return init, ordinary and ephemeral containers."""
    spec = pod_spec(obj)
    return [*mappings(spec, "initContainers"), *mappings(spec, "containers"), *mappings(spec, "ephemeralContainers")]


def container_statuses(pod: object) -> list[KubeObject]:
    """Return the statuses of the ordinary containers of a Pod."""
    return mappings(pod, "status", "containerStatuses")


def init_container_statuses(pod: object) -> list[KubeObject]:
    """Return the statuses of the init containers of a Pod."""
    return mappings(pod, "status", "initContainerStatuses")


def container(obj: object, container_name: str) -> KubeObject | None:
    """Return the container of this name, of whatever sort."""
    return next((item for item in all_containers(obj) if text(item, "name") == container_name), None)


# ---- quantities (k8s.io/apimachinery/pkg/api/resource)

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


# ---- label selectors (k8s.io/apimachinery/pkg/labels)

Operator = Literal["in", "notin", "exists", "!", "gt", "lt"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on the labels of an object; "notin" also holds where the key is absent."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, object_labels: Mapping[str, str]) -> bool:
        """Say whether labels meet this requirement."""
        value = object_labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        bound = next(iter(self.values), "")
        if not (_WHOLE.fullmatch(value) and _WHOLE.fullmatch(bound)):
            return False
        return int(value) > int(bound) if self.operator == "gt" else int(value) < int(bound)


_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that all must hold; none select everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, object_labels: Mapping[str, str]) -> bool:
        """Say whether labels meet every requirement."""
        return all(item.matches(object_labels) for item in self.requirements)

    @property
    def selects_everything(self) -> bool:
        """Whether there is no requirement at all."""
        return not self.requirements


_EXPRESSION_OPERATORS: Mapping[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def parse_label_selector(selector: object) -> Selector:
    """Read a metav1.LabelSelector (matchLabels, matchExpressions); an empty one selects everything.

    Raises ValueError if it is not a mapping or holds an unknown operator, or an operator without its values.
    """
    if not isinstance(selector, Mapping):
        raise ValueError("a label selector is a mapping")
    equal = [Requirement(key, "in", frozenset([value])) for key, value in string_map(selector, "matchLabels").items()]
    return Selector((*equal, *map(_parse_expression, mappings(selector, "matchExpressions"))))


def _parse_expression(expression: KubeObject) -> Requirement:
    operator = _EXPRESSION_OPERATORS.get(text(expression, "operator"))
    values = frozenset(strings(expression, "values"))
    if operator is None or (operator in ("in", "notin")) != bool(values):
        raise ValueError(f"{text(expression, 'operator')[:80]!r} with {len(values)} values is not a selector operator")
    return Requirement(text(expression, "key"), operator, values)


def selects(selector: object, object_labels: Mapping[str, str]) -> bool:
    """Say whether a metav1.LabelSelector selects these labels; none, or one that cannot be read, selects nothing."""
    try:
        return parse_label_selector(selector).matches(object_labels)
    except ValueError:
        return False


def map_selects(selector: object, object_labels: Mapping[str, str]) -> bool:
    """Say whether a plain map, as in a Service's spec.selector, selects these labels; an empty map selects nothing."""
    pairs = string_map({"selector": selector}, "selector")
    return bool(pairs) and all(object_labels.get(key) == value for key, value in pairs.items())


_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!<>(),]|[^ \t\r\n=!<>(),]+|$)")


def parse_selector(value: str) -> Selector:
    """Read the text form that kubectl's --selector takes: "env=prod,tier in (a,b),!canary,weight>3".

    Raises ValueError where kubectl would refuse it for its syntax; the characters of keys and values are not checked.
    """
    parser = _SelectorParser(tuple(_tokens(value)))
    return Selector(parser.requirements())


def _tokens(value: str) -> Iterator[str]:
    position = 0
    while position < len(value):
        match = _TOKEN.match(value, position)
        assert match is not None, "the pattern matches at every position"
        position = match.end()
        if match.group(1):
            yield match.group(1)


_COMPARISONS: Mapping[str, Operator] = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}
_SYMBOLS = frozenset({*_COMPARISONS, "!", "(", ")", ","})


class _SelectorParser:
    """Recursive descent over the tokens of one selector."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self._position = 0

    def requirements(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while self._peek():
            found.append(self._requirement())
            if not self._peek():
                break
            self._expect(",")
            if not self._peek():
                raise ValueError("a selector ends with a comma")
        return tuple(found)

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._next()
            return Requirement(self._word("a label key"), "!")
        key = self._word("a label key")
        operator = self._peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self._next()
        if operator in ("in", "notin"):
            return Requirement(key, "in" if operator == "in" else "notin", self._values())
        if operator in _COMPARISONS:
            return Requirement(key, _COMPARISONS[operator], frozenset([self._value()]))
        raise ValueError(f"{operator[:80]!r} is not a selector operator")

    def _values(self) -> frozenset[str]:
        self._expect("(")
        values = [self._value()]
        while self._peek() == ",":
            self._next()
            values.append(self._value())
        self._expect(")")
        return frozenset(values)

    def _value(self) -> str:
        """Return the next word, or an empty value where the text has none ("env=")."""
        return "" if self._peek() in ("", ",", ")") else self._word("a label value")

    def _word(self, what: str) -> str:
        token = self._next()
        if not token or token in _SYMBOLS:
            raise ValueError(f"{token or 'the end'!r} stands where {what} is expected")
        return token

    def _expect(self, symbol: str) -> None:
        token = self._next()
        if token != symbol:
            raise ValueError(f"{token or 'the end'!r} stands where {symbol!r} is expected")

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token
