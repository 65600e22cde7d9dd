"""Reading objects out of an archive: one, a page of a list, and the forms in which a client may want them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kubently.archive import answers, asked, catalog, events, format, negotiate, selectors, tables
from kubently.kube import objects


def matching(
    archive: format.Archive, resource: catalog.Resource, target: asked.Target, request: asked.Asked
) -> list[objects.KubeObject]:
    """Return the objects that a list or watch asks for, in the API server's order."""
    selection = _selection(resource, target, request)
    return [item for item in _stored(archive, resource, target.namespace) if selection.matches(item)]


def _selection(resource: catalog.Resource, target: asked.Target, request: asked.Asked) -> selectors.Selection:
    query = request.query
    return selectors.parse(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))


def _stored(archive: format.Archive, resource: catalog.Resource, namespace: str) -> Sequence[objects.KubeObject]:
    if resource == catalog.EVENTS_VIEW:
        found: Sequence[objects.KubeObject] = [events.view(item) for item in archive.by_type.get(("", "events"), ())]
    else:
        found = archive.by_type.get((resource.group, resource.plural), ())
        if resource.custom:
            # The only conversion that needs no webhook: the same fields under the version that was asked for.
            found = [{**item, "apiVersion": resource.api_version} for item in found]
    if not namespace:
        return found
    return [item for item in found if objects.namespace(item) == namespace]


def get(archive: format.Archive, resource: catalog.Resource, target: asked.Target) -> objects.KubeObject:
    """Return one object.

    Raises RefusedError (404) if there is none.
    """
    for item in _stored(archive, resource, target.namespace):
        if objects.name(item) == target.name:
            return item
    raise answers.not_found(resource.qualified, target.name)


# ---- pages


def page(
    archive: format.Archive, resource: catalog.Resource, target: asked.Target, request: asked.Asked
) -> tuple[list[objects.KubeObject], dict[str, Any]]:
    """Return one page of a list and the list's metadata (resourceVersion, continue, remainingItemCount)."""
    _check_options(archive, request)
    selection = _selection(resource, target, request)
    found = [item for item in _stored(archive, resource, target.namespace) if selection.matches(item)]
    after = _continued(request.query.get("continue", ""))
    if after:
        found = [item for item in found if format.sort_key(item) >= after]
    metadata: dict[str, Any] = {"resourceVersion": str(archive.resource_version)}
    limit = request.number("limit") or 0
    if limit <= 0 or len(found) <= limit:
        return found, metadata
    rest, found = found[limit:], found[:limit]
    metadata["continue"] = _token(archive, found[-1])
    if selection.selects_everything:
        metadata["remainingItemCount"] = len(rest)
    return found, metadata


def _check_options(archive: format.Archive, request: asked.Asked) -> None:
    query = request.query
    if "sendInitialEvents" in query:
        raise _option_error("sendInitialEvents", "sendInitialEvents is forbidden for list")
    if "resourceVersionMatch" in query and not query.get("resourceVersion"):
        message = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise _option_error("resourceVersionMatch", message)
    version = query.get("resourceVersion", "") or "0"
    if not version.isdigit():
        problem = f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
        raise answers.bad_request(f"invalid resource version: {problem}")
    if int(version) > archive.resource_version:
        raise _too_large(int(version), archive.resource_version)


def _option_error(field: str, message: str) -> answers.RefusedError:
    cause = (field, "FieldValueForbidden", f"Forbidden: {message}")
    return answers.invalid("ListOptions.meta.k8s.io", "", [cause])


def _too_large(wanted: int, newest: int) -> answers.RefusedError:
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Timeout: Too large resource version: {wanted}, current: {newest}"
    details = {"causes": causes, "retryAfterSeconds": 1}
    return answers.RefusedError(504, "Timeout", message, details=details)


def _token(archive: format.Archive, last: objects.KubeObject) -> str:
    """Return a continue token: where the next page starts, right after *last*."""
    start = f"/{format.sort_key(last)}\0"
    content = json.dumps({"v": "meta.k8s.io/v1", "rv": archive.resource_version, "start": start})
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _continued(token: str) -> str:
    """Return the sort key at which a continued list goes on, or an empty one."""
    if not token:
        return ""
    try:
        content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        start = content["start"]
        if not isinstance(start, str) or not start.startswith("/"):
            raise ValueError("no start")
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise answers.bad_request("invalid continue token: continue key is not valid") from None
    return start[1:]


# ---- forms


def as_list(
    archive: format.Archive, resource: catalog.Resource, target: asked.Target, request: asked.Asked
) -> answers.Answer:
    """Answer a list request in the form that the client accepts."""
    form = negotiate.form(request.headers.get("accept", ""))
    if form.kind == "PartialObjectMetadata":
        raise _wrong_form(f"you requested {form.kind}, but the requested object is a list ({resource.kind}List)")
    found, metadata = page(archive, resource, target, request)
    pretty = form.pretty or request.pretty
    if form.kind == "Table":
        table = tables.table(archive, resource, found, include=_include(request), form=form)
        return answers.answer({**table, "metadata": metadata}, pretty=pretty)
    if form.kind == "PartialObjectMetadataList":
        items = [tables.partial(item, form.api_version) for item in found]
        return answers.answer(_list(form.kind, form.api_version, metadata, items), pretty=pretty)
    members = [item if resource.custom else _without_type(item) for item in found]
    return answers.answer(_list(f"{resource.kind}List", resource.api_version, metadata, members), pretty=pretty)


def as_object(
    archive: format.Archive, resource: catalog.Resource, target: asked.Target, request: asked.Asked
) -> answers.Answer:
    """Answer a get request in the form that the client accepts."""
    form = negotiate.form(request.headers.get("accept", ""))
    item = get(archive, resource, target)
    pretty = form.pretty or request.pretty
    if form.kind == "PartialObjectMetadataList":
        raise _wrong_form(f"you requested {form.kind}, but the requested object is not a list ({resource.kind})")
    if form.kind == "Table":
        table = tables.table(archive, resource, [item], include=_include(request), form=form)
        metadata = {"resourceVersion": objects.text(item, "metadata", "resourceVersion")}
        return answers.answer({**table, "metadata": metadata}, pretty=pretty)
    if form.kind:
        return answers.answer(tables.partial(item, form.api_version), pretty=pretty)
    return answers.answer(typed(item), pretty=pretty)


def _include(request: asked.Asked) -> str:
    include = request.query.get("includeObject", "")
    if include not in ("", "None", "Metadata", "Object"):
        raise answers.bad_request(f'unrecognized includeObject value: "{include}"')
    return include or "Metadata"


def _wrong_form(message: str) -> answers.RefusedError:
    return answers.RefusedError(406, "NotAcceptable", message)


def typed(item: objects.KubeObject) -> dict[str, Any]:
    """Return an object with kind and apiVersion in front, as an API server writes it."""
    return {"kind": objects.kind(item), "apiVersion": objects.text(item, "apiVersion"), **_without_type(item)}


def _without_type(item: objects.KubeObject) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}


def _list(
    kind: str, api_version: str, metadata: Mapping[str, Any], items: Sequence[objects.KubeObject]
) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items}
