"""Discovery: which API groups, versions and resource types there are, in its plain and its aggregated form."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from kubently.archive import answers, asked, catalog, format, negotiate

_CLIENTS = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:443"}]


def version(archive: format.Archive) -> dict[str, str]:
    """Return the document at /version."""
    major, minor, _ = archive.version.removeprefix("v").split(".", 2)
    return {
        "major": major,
        "minor": minor,
        "gitVersion": archive.version,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def as_root(archive: format.Archive, request: asked.Asked, *, core: bool) -> answers.Answer:
    """Answer /api (the core group) or /apis (all others), plain or aggregated as the client accepts."""
    aggregated = negotiate.discovery_version(request.headers.get("accept", ""))
    groups = {name: found for name, found in _groups(archive).items() if (not name) == core}
    if aggregated:
        return _aggregated(groups, aggregated, request)
    if core:
        body: dict[str, Any] = {
            "kind": "APIVersions",
            "versions": list(groups[""]),
            "serverAddressByClientCIDRs": _CLIENTS,
        }
    else:
        listed = [_group(name, versions) for name, versions in groups.items()]
        body = {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    return answers.answer(body, pretty=request.pretty)


def group(archive: format.Archive, name: str) -> dict[str, Any] | None:
    """Return the document of one API group, or None if there is none."""
    versions = _groups(archive).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions and name else None


def group_version(archive: format.Archive, name: str, api_version: str) -> dict[str, Any] | None:
    """Return the resource list of one version of a group, or None if it is not served."""
    found = _groups(archive).get(name, {}).get(api_version)
    if found is None:
        return None
    resources = [entry for item in sorted(found, key=lambda each: each.plural) for entry in _plain(item)]
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if name else {}),
        "groupVersion": found[0].api_version,
        "resources": resources,
    }


_Groups = Mapping[str, Mapping[str, list[catalog.Resource]]]


def _groups(archive: format.Archive) -> _Groups:
    """Return the resource types by group and version; of a group's versions the preferred one comes first."""
    found: dict[str, dict[str, list[catalog.Resource]]] = {}
    for item in archive.resources:
        found.setdefault(item.group, {}).setdefault(item.version, []).append(item)
    for name, versions in found.items():
        order = sorted(versions, key=catalog.version_priority, reverse=True)
        found[name] = {each: versions[each] for each in order}
    return found


def _group(name: str, versions: Mapping[str, list[catalog.Resource]]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{each}", "version": each} for each in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _plain(item: catalog.Resource) -> list[dict[str, Any]]:
    entry: dict[str, Any] = {
        "name": item.plural,
        "singularName": item.singular,
        "namespaced": item.namespaced,
        "kind": item.kind,
        "verbs": item.verbs,
    }
    if item.short_names:
        entry["shortNames"] = item.short_names
    if item.categories:
        entry["categories"] = item.categories
    subresources = [
        {
            "name": f"{item.plural}/{sub.name}",
            "singularName": "",
            "namespaced": item.namespaced,
            "kind": sub.kind,
            "verbs": sub.verbs,
        }
        for sub in item.subresources
    ]
    return [entry, *subresources]


# ---- aggregated


def _aggregated(groups: _Groups, api_version: str, request: asked.Asked) -> answers.Answer:
    body = answers.encode(
        {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{api_version}",
            "metadata": {},
            "items": [_group_discovery(name, versions) for name, versions in groups.items()],
        }
    )
    etag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
    headers = {"etag": etag, "vary": "Accept", "cache-control": "public"}
    content_type = f"{answers.JSON};g=apidiscovery.k8s.io;v={api_version};as=APIGroupDiscoveryList"
    if etag in request.headers.get("if-none-match", ""):
        return answers.Answer(304, (), content_type, headers)
    return answers.Answer(200, (body,), content_type, headers)


def _group_discovery(name: str, versions: Mapping[str, list[catalog.Resource]]) -> dict[str, Any]:
    return {
        "metadata": {"name": name} if name else {},
        "versions": [
            {
                "version": each,
                "resources": [_resource_discovery(item) for item in sorted(found, key=lambda found: found.plural)],
                "freshness": "Current",
            }
            for each, found in versions.items()
        ],
    }


def _resource_discovery(item: catalog.Resource) -> dict[str, Any]:
    kind = {"group": "", "version": "", "kind": item.kind}
    entry: dict[str, Any] = {
        "resource": item.plural,
        "responseKind": kind,
        "scope": "Namespaced" if item.namespaced else "Cluster",
        "singularResource": item.singular,
        "verbs": item.verbs,
    }
    if item.short_names:
        entry["shortNames"] = item.short_names
    if item.categories:
        entry["categories"] = item.categories
    if item.subresources:
        entry["subresources"] = [
            {"subresource": sub.name, "responseKind": {**kind, "kind": sub.kind}, "verbs": sub.verbs}
            for sub in item.subresources
        ]
    return entry
