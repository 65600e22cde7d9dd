"""What a `get` asks for, as far as its words tell: pure, and None for everything that is left to kubectl."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from kubently.executor.native.resources import Resource, ResourceTable
from kubently.executor.native.unsure import Unsure
from kubently.kube.kubectl import KubectlCommand

Output = Literal["", "wide", "name", "json", "yaml"]

DEFAULT_NAMESPACE = "default"
_CHUNK = 500
"""Objects in one page: kubectl's default."""
_MAX_TARGETS = 1000
"""Objects named in one command: thousands of types times hundreds of names would stall everybody else for a minute."""

_KNOWN = frozenset(
    {
        "all-namespaces",
        "chunk-size",
        "disable-compression",
        "field-selector",
        "ignore-not-found",
        "label-columns",
        "namespace",
        "no-headers",
        "output",
        "selector",
        "show-kind",
        "show-labels",
        "show-managed-fields",
        "subresource",
    }
)
_OUTPUTS: dict[str, Output] = {"": "", "wide": "wide", "name": "name", "json": "json", "yaml": "yaml"}
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9.-]{0,300}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,252}")
_COUNT = re.compile(r"0|[1-9][0-9]{0,8}")
_LABEL_COLUMNS = re.compile(r"[A-Za-z0-9._/-]+(?:,[A-Za-z0-9._/-]+)*")


@dataclass(frozen=True, slots=True)
class GetOptions:
    """The flags of a `get`."""

    output: Output
    namespace: str
    """Empty: all namespaces."""
    label_selector: str = ""
    field_selector: str = ""
    chunk: int = _CHUNK
    subresource: str = ""
    ignore_not_found: bool = False
    no_headers: bool = False
    show_kind: bool = False
    show_labels: bool = False
    show_managed_fields: bool = False
    label_columns: tuple[str, ...] = ()

    @property
    def is_table(self) -> bool:
        """Whether people read the answer."""
        return self.output in ("", "wide")


@dataclass(frozen=True, slots=True)
class Target:
    """One request: a list, or the object with this name."""

    resource: Resource
    name: str = ""


@dataclass(frozen=True, slots=True)
class GetPlan:
    """What to ask, in order."""

    options: GetOptions
    targets: tuple[Target, ...]

    @property
    def by_name(self) -> bool:
        """Whether objects are named, so that each may be missing."""
        return bool(self.targets[0].name)


def options_of(command: KubectlCommand) -> GetOptions:
    """Read the flags. Raises Unsure for one that only kubectl knows to honour."""
    if not {name for name, _ in command.flags} <= _KNOWN:
        raise Unsure("a flag of kubectl's own")
    output = _OUTPUTS.get(command.output)
    if output is None:
        raise Unsure("a format of kubectl's own")
    options = GetOptions(
        output=output,
        namespace="" if command.all_namespaces else command.namespace or DEFAULT_NAMESPACE,
        label_selector=_selector(command.flag("selector")),
        field_selector=_selector(command.flag("field-selector")),
        chunk=_chunk(command.flag("chunk-size", str(_CHUNK))),
        subresource=command.flag("subresource"),
        ignore_not_found=command.flag("ignore-not-found") == "true",
        no_headers=command.flag("no-headers") == "true",
        show_kind=command.flag("show-kind") == "true",
        show_labels=command.flag("show-labels") == "true",
        show_managed_fields=command.flag("show-managed-fields") == "true",
        label_columns=_label_columns(command),
    )
    if not options.is_table and (options.show_labels or options.label_columns):
        raise Unsure("flags that do not go together")
    return options


def _selector(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise Unsure("an unusual selector")
    return text.strip(" ")


def _chunk(text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise Unsure("an unusual number")
    return int(text)


def _label_columns(command: KubectlCommand) -> tuple[str, ...]:
    values = [value for name, value in command.flags if name == "label-columns"]
    if not all(map(_LABEL_COLUMNS.fullmatch, values)):
        raise Unsure("unusual label columns")
    return tuple(label for value in values for label in value.split(","))


def plan_get(command: KubectlCommand, options: GetOptions, table: ResourceTable) -> GetPlan:
    """Say what a `get` asks for. Raises Unsure for words that kubectl refuses, or that it reads in other ways."""
    words = _one_type_each(command.positionals)
    if words and all("/" in word for word in words):
        targets = [_named(*_split(word), table) for word in words]
    elif len(words) == 1:
        return GetPlan(options, _lists(words[0], options, table))
    elif len(words) > 1 and not any("/" in word for word in words):
        if table.expand_category(words[0]) != words[0]:
            raise Unsure("names in a category")
        targets = [_named(words[0], name, table) for name in words[1:]]
    else:
        raise Unsure("words that kubectl refuses")
    if options.label_selector or options.field_selector or not options.namespace:
        raise Unsure("names together with a selector or all namespaces")
    return GetPlan(options, tuple(targets))


def _one_type_each(words: tuple[str, ...]) -> tuple[str, ...]:
    """Write "a,b x y" as "a/x a/y b/x b/y"."""
    types = tuple(dict.fromkeys(words[0].split(","))) if len(words) > 1 else ()
    if len(types) < 2:
        return words
    if len(types) * (len(words) - 1) > _MAX_TARGETS:
        raise Unsure("very many objects")
    return tuple(f"{type_}/{name}" for type_ in types for name in words[1:])


def _split(word: str) -> tuple[str, str]:
    type_, _, name = word.partition("/")
    return type_, name


def _named(type_: str, name: str, table: ResourceTable) -> Target:
    if not _NAME.fullmatch(name):
        raise Unsure("an unusual name")
    return Target(_find(type_, table), name)


def _find(type_: str, table: ResourceTable) -> Resource:
    if not _TYPE.fullmatch(type_):
        raise Unsure("an unusual type")
    return table.find(type_)


def _lists(word: str, options: GetOptions, table: ResourceTable) -> tuple[Target, ...]:
    if options.subresource:
        raise Unsure("a subresource of a list")
    types = ",".join(table.expand_category(part) for part in word.split(","))
    found = [_find(type_, table) for type_ in dict.fromkeys(types.split(","))]
    return tuple(map(Target, dict.fromkeys(found)))
