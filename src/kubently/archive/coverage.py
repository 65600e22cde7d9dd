"""What an archive does not hold, said so that nobody takes it for empty.

A type or namespace of which nothing was collected is refused; an answer that may lack something carries a Warning.
"""

from __future__ import annotations

from kubently.archive import answers, asked, catalog, format
from kubently.kube import objects
from kubently.kube.partial import Partial

_WHOLE = format.Held(everywhere=True)
_NOTHING = format.Held(everywhere=False)


def missing(archive: format.Archive, resource: catalog.Resource, target: asked.Target) -> Partial | None:
    """Return what an answer may lack, None for nothing.

    Raises RefusedError (403) if nothing of it was collected: to say "not found" would claim that it is not there.
    """
    key = (resource.group, resource.plural)
    held = _WHOLE if archive.held is None else archive.held.get(key, _NOTHING)
    if held.everywhere or (target.namespace and target.namespace in held.namespaces):
        return None
    there = _objects(archive, key, target.namespace)
    if target.name:
        if any(objects.name(item) == target.name for item in there):
            return None
        raise _not_collected(archive, resource, target)
    known = frozenset() if target.namespace else held.namespaces
    if not there and not known:
        raise _not_collected(archive, resource, target)
    return Partial(f"the {archive.layout} may lack {resource.plural}", known)


def missing_types(archive: format.Archive) -> Partial | None:
    """Return what is not known of the types that there are."""
    if archive.knows_types:
        return None
    return Partial(f"the {archive.layout} does not say which custom resources there are")


def _objects(archive: format.Archive, key: tuple[str, str], namespace: str) -> list[objects.KubeObject]:
    stored = ("", "events") if key == (catalog.EVENTS_VIEW.group, catalog.EVENTS_VIEW.plural) else key
    found = archive.by_type.get(stored, ())
    return [item for item in found if not namespace or objects.namespace(item) == namespace]


def _not_collected(archive: format.Archive, resource: catalog.Resource, target: asked.Target) -> answers.RefusedError:
    where = f" of the namespace {target.namespace}" if target.namespace else ""
    sentence = f"the {archive.layout} did not collect {resource.plural}{where}"
    return answers.forbidden(resource.qualified, target.name, sentence)
