"""Analyzers that are declared rather than programmed: YAML, with conditions in the Common Expression Language (CEL).

    analyzers:
    - code: acme/no-owner
      severity: hygiene
      summary: A Deployment has no label that says whose it is.
      whatToDo: Set the label team.
      resource: {apiVersion: apps/v1, kind: Deployment, plural: deployments}
      when: "!has(object.metadata.labels) || !('team' in object.metadata.labels)"
      title: "'has no label team'"
      evidence:
      - {source: metadata.labels, quote: "has(object.metadata.labels) ? object.metadata.labels : 'none'"}

An expression sees ``object``, ``pods`` (the objects of a workload's pods), ``events`` (reason, message and count of
those about the object, newest first), ``now`` (the cluster's clock) and ``age`` (a duration, since it was created); the
function ``quantity("1Gi")`` reads a Kubernetes quantity as a number, ``string_of(x)`` writes anything as text. An
expression that fails for an object, for instance because a field is not there, does not match it; coverage says how
many failed and why. So does one that would take too many steps (`expressions`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from kubently.analyzers import cases
from kubently.analyzers.base import Analyzer, Condition, clean, finding, quote
from kubently.analyzers.expressions import MOST_STEPS, Expression, Value, largest, words
from kubently.analyzers.resources import EVENTS, PODS, Resource, resource_of
from kubently.analyzers.snapshot import Snapshot
from kubently.errors import ConfigError
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, Severity

MOST = 200
"""Analyzers of one file."""

_CODE = r"^[a-z][a-z0-9]{0,30}(?:-[a-z0-9]+){0,5}/[a-z0-9]+(?:-[a-z0-9]+){0,9}$"
_NAME = r"^[a-z0-9](?:[-a-z0-9.]{0,250}[a-z0-9])?$"
_VERSION = r"^(?:[a-z0-9.-]{1,253}/)?v[0-9][a-z0-9]{0,20}$"
_MOST_EVENTS = 50
_MOST_PODS = 1_000
_MOST_STEPS_IN_ALL = 20 * MOST_STEPS
"""Of one analyzer over all objects of a cluster."""


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Which(_Declared):
    """Which objects are looked at."""

    api_version: str = Field(pattern=_VERSION)
    kind: str = Field(pattern=r"^[A-Z][A-Za-z0-9]{0,62}$")
    plural: str = Field(pattern=_NAME)
    """As in URLs and RBAC."""
    namespaced: bool = True


class Quote(_Declared):
    """One piece of evidence."""

    source: str = Field(min_length=1, max_length=200)
    """Where it stands in the object, for a person."""
    quote: str = Field(min_length=1, max_length=2000)
    """An expression; what is not a string is written as YAML would."""


class Declaration(_Declared):
    """One analyzer, which can report one condition."""

    code: str = Field(pattern=_CODE)
    severity: Severity
    summary: str = Field(min_length=1, max_length=300)
    what_to_do: str = Field(min_length=1, max_length=500)
    resource: Which
    when: str = Field(min_length=1, max_length=4000)
    title: str = Field(min_length=1, max_length=2000)
    """An expression for the words behind the object's name."""
    evidence: tuple[Quote, ...] = Field(min_length=1, max_length=10)
    next_checks: tuple[str, ...] = Field(default=(), max_length=10)
    """"{name}" and "{namespace}" stand for the object's."""
    symptom_of: tuple[str, ...] = Field(default=(), max_length=50)


class _File(_Declared):
    analyzers: tuple[Declaration, ...] = Field(max_length=MOST)


def read(document: object, source: str) -> tuple[Analyzer, ...]:
    """Make analyzers of a parsed YAML document. Raises ConfigError that names *source*, the place and the fault."""
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"{source}: {place}: {first['msg']}", hint="docs/howto/own-analyzers.md shows the form"
        ) from None
    return tuple(_analyzer(declaration, source) for declaration in file.analyzers)


def _analyzer(declaration: Declaration, source: str) -> Analyzer:
    rule = _Rule.of(declaration, source)
    needs = (rule.resource, PODS, EVENTS) if rule.wants_surroundings else (rule.resource,)
    return Analyzer(f"declared {declaration.code}", needs, (rule.condition,), rule.run, is_own=True)


@dataclass(frozen=True, slots=True)
class _Rule:
    declaration: Declaration
    condition: Condition
    resource: Resource
    when: Expression
    title: Expression
    quotes: tuple[tuple[str, Expression], ...]

    @classmethod
    def of(cls, declaration: Declaration, source: str) -> _Rule:
        """Compile a declaration. Raises ConfigError."""
        where = f"{source}: {declaration.code}"
        when, title = (Expression.of(text, where) for text in (declaration.when, declaration.title))
        quotes = tuple((item.source, Expression.of(item.quote, where)) for item in declaration.evidence)
        condition = Condition(
            declaration.code,
            declaration.severity,
            declaration.summary,
            declaration.what_to_do,
            symptom_of=declaration.symptom_of,
        )
        return cls(declaration, condition, _resource(declaration.resource, where), when, title, quotes)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """All that it evaluates."""
        return (self.when, self.title, *(expression for _, expression in self.quotes))

    @property
    def variables(self) -> frozenset[str]:
        """What they see."""
        return frozenset().union(*(expression.variables for expression in self.expressions))

    @property
    def wants_surroundings(self) -> bool:
        """Whether it looks at more than the object."""
        return bool(self.variables & {"pods", "events"})

    def run(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Report the objects for which ``when`` holds. Raises DeclaredError once all were looked at, if some failed."""
        failed: list[str] = []
        left = _MOST_STEPS_IN_ALL
        for member in snapshot.members(self.resource):
            if objects.deleted_at(member) is not None:
                continue
            try:
                context = self._context(snapshot, member)
                steps = self._steps(context)
                left -= steps
                if steps > MOST_STEPS or left < 0:
                    raise DeclaredError(f"its lists are too long: up to {steps:,} steps")
                if self.when.evaluate(context) is True:
                    yield self._finding(member, context)
            except Exception as error:  # whatever CEL makes of an object of any shape
                failed.append(f"{objects.name(member)}: {clean(str(error), limit=200) or type(error).__name__}")
        if failed:
            raise DeclaredError(f"{len(failed)} objects could not be judged, the first: {failed[0]}")

    def _steps(self, context: Mapping[str, Value]) -> int:
        """What all expressions together may take over one object; what goes through no list counts little."""
        if not any(expression.depth for expression in self.expressions):
            return 1
        widest = max(map(largest, context.values()))
        return sum(expression.steps(widest) for expression in self.expressions)

    def _context(self, snapshot: Snapshot, member: KubeObject) -> Mapping[str, Value]:
        values: dict[str, Value] = {"object": member, "now": snapshot.read_at}
        values["age"] = snapshot.age(objects.created_at(member))
        if "pods" in self.variables:
            values["pods"] = list(snapshot.pods_of(objects.ref(member))[:_MOST_PODS])
        if "events" in self.variables:
            values["events"] = [
                {"reason": event.reason, "message": event.message, "count": event.count}
                for event in snapshot.events(member)[:_MOST_EVENTS]
            ]
        return values

    def _finding(self, member: KubeObject, context: Mapping[str, Value]) -> Finding:
        ref = objects.ref(member)
        names = {"name": ref.name, "namespace": ref.namespace}
        return finding(
            self.condition,
            title=f"{cases.display(ref)} {words(self.title.evaluate(context))}",
            objects=(ref,),
            evidence=tuple(
                _evidence(f"{cases.display(ref)} {source}", q.evaluate(context)) for source, q in self.quotes
            ),
            next_checks=tuple(_filled(check, names) for check in self.declaration.next_checks),
        )


class DeclaredError(Exception):
    """An analyzer could not judge an object, or some; the rest of its findings hold."""


def _resource(which: Which, where: str) -> Resource:
    group, _, version = which.api_version.rpartition("/")
    known = resource_of(group, which.kind)
    if known is None:
        return Resource(group, version, which.plural, which.kind, is_namespaced=which.namespaced, is_addon=True)
    if (known.version, known.plural) != (version, which.plural):
        read = f"{known.api_version} {known.plural}"
        raise ConfigError(
            f"{where}: {which.kind} is read as {read}, not as {which.api_version} {which.plural}",
            hint="write it as it is read",
        )
    return known


def _evidence(source: str, value: object) -> Evidence:
    return quote(source, words(value) or "empty")


def _filled(check: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        check = check.replace(f"{{{name}}}", value)
    return check
