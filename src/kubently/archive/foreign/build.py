"""Makes an archive of a picture: what can be served is kept, what cannot is left out with a reason.

Of Secrets only what names them is kept. Of an object that stands in several files the newest is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubently.archive import catalog, format
from kubently.archive.foreign import clock
from kubently.archive.foreign.picture import Claim, Key, Picture
from kubently.archive.foreign.source import LeftOut
from kubently.kube import objects

_DEFINITIONS: Key = ("apiextensions.k8s.io", "customresourcedefinitions")
_SECRETS: Key = ("", "secrets")
_EVENTS_VIEW: Key = (catalog.EVENTS_VIEW.group, catalog.EVENTS_VIEW.plural)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_Types = Mapping[Key, list[catalog.Resource]]


def build(picture: Picture, name: str) -> format.Archive:
    """Return the archive of what *picture* holds, under the cluster id *name*."""
    found = _Objects(_types(picture), picture.source.left_out)
    for claim in picture.claims:
        found.add(claim)
    found.say_unknown()
    by_type = {key: tuple(sorted(items.values(), key=format.sort_key)) for key, items in found.by_type.items()}
    everything = [item for items in by_type.values() for item in items]
    held = _held(picture, found)
    said = picture.captured_at
    captured_at = said if said and clock.is_likely(said) else clock.newest(everything)
    return format.Archive(
        name=name,
        title=f"{picture.layout}, taken {captured_at:%Y-%m-%d %H:%M} UTC",
        version=clock.version(picture.version, by_type.get(("", "nodes"), ())),
        captured_at=captured_at,
        labels={},
        resources=_served(found.types, by_type),
        by_type=by_type,
        logs=picture.logs,
        resource_version=max((format.resource_version(item) for item in everything), default=1),
        held=held,
        knows_types=bool(picture.types) or (_DEFINITIONS in held and held[_DEFINITIONS].everywhere),
        layout=picture.layout,
        left_out=tuple(picture.source.left_out.reasons),
        left_out_count=picture.source.left_out.count,
    )


# ---- types


def _types(picture: Picture) -> dict[Key, list[catalog.Resource]]:
    """Return the types by name: built-in ones, metrics, and those that a definition or discovery tells of."""
    types: dict[Key, list[catalog.Resource]] = {}
    for item in (*catalog.BUILTIN, *catalog.METRICS):
        types.setdefault((item.group, item.plural), []).append(item)
    taken = set(types)
    definitions = [claim.item for claim in picture.claims if claim.key == _DEFINITIONS]
    defined = (custom for item in definitions for custom in catalog.custom_resources(item))
    for custom in (*defined, *picture.types):
        key = (custom.group, custom.plural)
        known = types.get(key, [])
        # A definition can add no version to a type of Kubernetes itself: what is served there is not custom.
        is_new = all(item.version != custom.version and item.kind == custom.kind for item in known)
        if key not in taken and _is_sound(custom) and is_new:
            types.setdefault(key, []).append(custom)
    return types


def _is_sound(item: catalog.Resource) -> bool:
    """Say whether the words of a definition can stand in a path."""
    words = (item.group, item.version, item.plural, item.kind)
    return all(format.NAME.fullmatch(word) for word in words) and "." in item.group


def _served(types: _Types, by_type: Mapping[Key, object]) -> tuple[catalog.Resource, ...]:
    served = [item for items in types.values() for item in items if item not in catalog.METRICS]
    metrics = [item for item in catalog.METRICS if (item.group, item.plural) in by_type]
    return (*served, *catalog.REVIEWS, *metrics)


# ---- objects


@dataclass(slots=True)
class _Objects:
    types: dict[Key, list[catalog.Resource]]
    left_out: LeftOut
    by_type: dict[Key, dict[str, dict[str, Any]]] = field(default_factory=dict)
    faulty: set[Key] = field(default_factory=set)
    """Types of which an object was left out: what is not there may be one of those."""
    _unknown: dict[Key, int] = field(default_factory=dict)

    def add(self, claim: Claim) -> None:
        """Keep an object, or note why not."""
        types = self.types.get(claim.key)
        if types is None:
            self._unknown[claim.key] = self._unknown.get(claim.key, 0) + 1
            return
        item = _completed(claim, types[0])
        reason = _fault(claim, item, types)
        if reason:
            self.faulty.add(claim.key)
            self.left_out.add(f"{claim.file} {objects.name(item)}".rstrip(), reason)
            return
        if claim.key == _SECRETS:
            item = _without_data(item)
        kept = self.by_type.setdefault(claim.key, {})
        key = format.sort_key(item)
        if key not in kept or format.resource_version(kept[key]) < format.resource_version(item):
            kept[key] = item

    def say_unknown(self) -> None:
        """Note, once for each type, what no definition in the archive describes."""
        for (group, plural), count in self._unknown.items():
            name = f"{plural}.{group}" if group else plural
            many = "1 object" if count == 1 else f"{count} objects"
            self.left_out.add(name, f"{many} of a type that no definition in the archive describes")


def _completed(claim: Claim, resource: catalog.Resource) -> dict[str, Any]:
    """Add what members of a list are written without."""
    item = dict(claim.item)
    item["apiVersion"] = item.get("apiVersion") or resource.api_version
    item["kind"] = item.get("kind") or resource.kind
    metadata = item.get("metadata")
    if claim.namespace and resource.namespaced and isinstance(metadata, dict) and not metadata.get("namespace"):
        item["metadata"] = {**metadata, "namespace": claim.namespace}
    return item


def _fault(claim: Claim, item: objects.KubeObject, types: list[catalog.Resource]) -> str:
    """Return why an object cannot be served, or nothing."""
    namespace = objects.namespace(item)
    if not format.NAME.fullmatch(objects.name(item)):
        return "metadata.name is missing or not a name"
    if objects.kind(item) != types[0].kind or objects.text(item, "apiVersion") not in _versions(types):
        said = f"{objects.kind(item) or 'something'} in {objects.text(item, 'apiVersion')}"
        return f"it is a {said}, and only {types[0].kind} in {', '.join(_versions(types))} is served here"
    if types[0].namespaced != bool(namespace):
        return "it has no namespace" if types[0].namespaced else "it has a namespace, and its type has none"
    if namespace and not format.NAME.fullmatch(namespace):
        return "metadata.namespace is not a name"
    if claim.namespace not in (None, namespace):
        return f"it is of the namespace {namespace}, and its file of another"
    return ""


def _versions(types: list[catalog.Resource]) -> list[str]:
    return [item.api_version for item in types]


def _without_data(secret: dict[str, Any]) -> dict[str, Any]:
    """Keep of a Secret what names it and its type; annotations are where kubectl keeps a copy of the data."""
    kept = {key: value for key, value in secret.items() if key in ("apiVersion", "kind", "metadata", "type")}
    metadata = kept.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("annotations"), dict):
        annotations = {key: value for key, value in metadata["annotations"].items() if key != _LAST_APPLIED}
        kept["metadata"] = {**metadata, "annotations": annotations}
    return kept


# ---- what is whole


def _held(picture: Picture, found: _Objects) -> dict[Key, format.Held]:
    """Say of which types all was collected, where; types that are not in the answer were not collected at all."""
    held: dict[Key, format.Held] = {}
    for key in {*picture.whole, *picture.whole_in, *found.by_type}:
        if key not in found.types:
            continue
        namespaces = frozenset(picture.whole_in.get(key, ()))
        everywhere = picture.knows_namespaces and picture.namespaces <= namespaces
        is_whole = (key in picture.whole or everywhere) and key not in found.faulty | picture.lacking
        held[key] = format.Held(is_whole, frozenset() if key in found.faulty else namespaces)
    if ("", "events") in held:
        held[_EVENTS_VIEW] = held["", "events"]
    return held
