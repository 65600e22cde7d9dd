"""The types of a cluster as its discovery lists them, which newer must-gathers keep beside the objects.

Aggregated APIs, such as OpenShift's routes, have no CustomResourceDefinition: this is the only word on them.
"""

from __future__ import annotations

from collections.abc import Iterator

from kubently.archive import catalog
from kubently.kube import objects

MAX_TYPES = 5_000


def listed(discovery: object) -> Iterator[catalog.Resource]:
    """Yield the types that can be listed, of an APIGroupDiscoveryList."""
    found = 0
    for group in objects.mappings(discovery, "items"):
        for version in objects.mappings(group, "versions"):
            for item in objects.mappings(version, "resources"):
                if "list" not in objects.strings(item, "verbs") or found == MAX_TYPES:
                    continue
                found += 1
                yield _resource(objects.name(group), objects.text(version, "version"), item)


def _resource(group: str, version: str, item: objects.KubeObject) -> catalog.Resource:
    kind = objects.text(item, "responseKind", "kind")
    return catalog.Resource(
        group=group,
        version=version,
        plural=objects.text(item, "resource"),
        kind=kind,
        namespaced=objects.text(item, "scope") == "Namespaced",
        singular=objects.text(item, "singularResource") or kind.lower(),
        short_names=tuple(objects.strings(item, "shortNames")),
        custom=True,
        schema={},
    )
