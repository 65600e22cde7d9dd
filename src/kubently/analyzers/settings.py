"""What the programs of a workload are told: by variables, arguments and ConfigMaps, as variables or as files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kubently.analyzers.resources import CONFIG_MAPS, SECRETS
from kubently.analyzers.snapshot import Snapshot, is_name
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import ResourceRef

TEXT_CHARS = 64_000
"""Of a file in a ConfigMap, how much is read."""

_FLAG = re.compile(r"-{1,2}[\w.-]{1,80}=|[A-Za-z_][\w.]{0,80}=")
_MOST_WORDS = 100
_QUOTED = re.compile(r"[\"'`]([^\"'`\n]{3,200})[\"'`]")
# A word that is more than a word: with a sign, a digit or a capital inside.
_IDENTIFIER = re.compile(r"(?<![\w.-])[A-Za-z][a-z]{0,60}[A-Z0-9_./:@-][\w./:@-]{0,200}")
_IDENTIFIER_CHARS = 5


@dataclass(frozen=True, slots=True)
class Setting:
    """What a workload is told at one place."""

    where: str
    """As it follows the holder's name: container web variable API_URL, key API_URL."""
    holder: ResourceRef
    """Where it stands: the workload itself, or a ConfigMap."""
    text: str
    """What is said; not bounded."""


def settings_of(snapshot: Snapshot, workload: KubeObject) -> Iterator[Setting]:
    """Yield what the containers of a workload or pod are told, but for Secrets."""
    ref = objects.ref(workload)
    for container in objects.all_containers(workload):
        place = f"container {objects.text(container, 'name')}"
        for item in objects.mappings(container, "env"):
            yield Setting(f"{place} variable {objects.text(item, 'name')}", ref, objects.text(item, "value"))
        for word in (*objects.strings(container, "command"), *objects.strings(container, "args")):
            flag, _, value = word.partition("=") if _FLAG.match(word) else ("", "", word)
            yield Setting(f"{place} argument {flag}".rstrip(), ref, value)
    for config, keys in config_maps_of(snapshot, workload):
        for key, value in objects.string_map(config, "data").items():
            if keys is None or key in keys:
                yield Setting(f"key {key}", objects.ref(config), value)


def config_maps_of(snapshot: Snapshot, workload: KubeObject) -> Iterator[tuple[KubeObject, frozenset[str] | None]]:
    """Yield the ConfigMaps that a workload reads, each with the keys that it reads, or None for all."""
    own, spec = objects.namespace(workload), objects.pod_spec(workload)
    named: dict[str, set[str] | None] = {}
    for volume in objects.mappings(spec, "volumes"):
        for source in (volume, *objects.mappings(volume, "projected", "sources")):
            _add(named, objects.mapping(source, "configMap"), objects.mappings(source, "configMap", "items"))
    for container in objects.all_containers(workload):
        for source in objects.mappings(container, "envFrom"):
            _add(named, objects.mapping(source, "configMapRef"), [])
        for item in objects.mappings(container, "env"):
            reference = objects.mapping(item, "valueFrom", "configMapKeyRef")
            _add(named, reference, [reference])
    for name, keys in named.items():
        config = snapshot.get(CONFIG_MAPS, own, name)
        if config is not None:
            yield config, None if keys is None else frozenset(keys)


def keys_of(source: KubeObject) -> set[str]:
    """Return the keys of a ConfigMap or Secret."""
    fields = (objects.mapping(source, "data"), objects.mapping(source, "binaryData"))
    return {key for field in fields for key in field if isinstance(key, str)}


def _add(named: dict[str, set[str] | None], source: KubeObject, items: list[KubeObject]) -> None:
    """Note that *source* is read: the keys of *items*, or all."""
    name = objects.text(source, "name")
    if not is_name(name):
        return
    keys = {objects.text(item, "key") for item in items}
    known = named.get(name, set())
    named[name] = known | keys if keys and known is not None else None


def spoken_of(snapshot: Snapshot, pod: KubeObject, words: str) -> Iterator[tuple[ResourceRef, str]]:
    """Yield the ConfigMaps and Secrets that a pod reads and *words* name, its own or its caller's, each with the word.

    A word counts if it is quoted or looks like no word of a language, and is the name of a variable or file, or
    stands in the value. Of Secrets only names are known.
    """
    own = objects.name(pod)
    told = [word for word in dict.fromkeys(_words(words)) if word not in own][:_MOST_WORDS]
    for ref, known in _sources(snapshot, pod):
        for word in told:
            if re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", known):
                yield ref, word
                break


def _words(text: str) -> Iterator[str]:
    yield from (match[1] for match in _QUOTED.finditer(text))
    yield from (match[0].rstrip("./:-") for match in _IDENTIFIER.finditer(text) if len(match[0]) > _IDENTIFIER_CHARS)


def _sources(snapshot: Snapshot, pod: KubeObject) -> Iterator[tuple[ResourceRef, str]]:
    """Yield each ConfigMap and Secret with its names, and with its values if it is a ConfigMap."""
    named = _variables(pod)
    for config, keys in config_maps_of(snapshot, pod):
        data = {key: value for key, value in objects.string_map(config, "data").items() if keys is None or key in keys}
        ref = objects.ref(config)
        yield ref, "\n".join((*named.get(ref, ()), *data, *(value[:TEXT_CHARS] for value in data.values())))
    for ref, names in named.items():
        if ref.kind == SECRETS.kind:
            yield ref, "\n".join(names)


def _variables(pod: KubeObject) -> dict[ResourceRef, list[str]]:
    """The variables that come from each ConfigMap and Secret."""
    named: dict[ResourceRef, list[str]] = {}
    for container in objects.all_containers(pod):
        for item in objects.mappings(container, "env"):
            for kind, field in ((CONFIG_MAPS.kind, "configMapKeyRef"), (SECRETS.kind, "secretKeyRef")):
                source = objects.mapping(item, "valueFrom", field)
                name = objects.text(source, "name")
                if is_name(name):
                    ref = ResourceRef(kind=kind, namespace=objects.namespace(pod), name=name)
                    named.setdefault(ref, []).extend((objects.text(item, "name"), objects.text(source, "key")))
    return named
