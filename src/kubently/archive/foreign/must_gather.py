"""Reads what ``oc adm must-gather`` and ``oc adm inspect`` of OpenShift write.

Below one folder for each image that gathered, or at the top::

    timestamp                                                    when it began and ended
    aggregated-discovery-apis.yaml                               the types that there are; newer ones have it
    cluster-scoped-resources/<group>/<plural>/<name>.yaml        one object
    cluster-scoped-resources/<group>/<plural>.yaml               a list
    namespaces/<namespace>/<namespace>.yaml
    namespaces/<namespace>/<group>/<plural>.yaml                 a list: all of the namespace
    namespaces/<namespace>/<group>/<plural>/<name>.yaml          one object
    namespaces/<namespace>/pods/<pod>/<pod>.yaml
    namespaces/<namespace>/pods/<pod>/<container>/<container>/logs/current.log, previous.log

The core group is written "core". Of most namespaces nothing is gathered, and it is not said which there are.
"""

from __future__ import annotations

import re
from datetime import UTC

from kubently.archive import format
from kubently.archive.foreign import types
from kubently.archive.foreign.picture import Key, Picture
from kubently.archive.foreign.source import Source
from kubently.kube import objects

LAYOUT = "must-gather"
_SCOPED = "cluster-scoped-resources"
_NAMESPACES = "namespaces"
_TOP = re.compile(rf"((?:[^/]+/)*?)(?:{_SCOPED}/[^/]+/[^/]|{_NAMESPACES}/[^/]+/[^/])")
_HOSTED = re.compile(r"(?:^|/)hostedcluster-[^/]*/")
_DISCOVERY = ("aggregated-discovery-api.yaml", "aggregated-discovery-apis.yaml")
_POD = re.compile(rf"((?:[^/]+/)*?{_NAMESPACES}/([^/]+)/)pods/([^/]+)/\3\.yaml")
_STARTED = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d\d)(\d\d)\b")

# Of these it asks for all, if for any; other objects of the cluster are those that an operator named.
_ALL: frozenset[Key] = frozenset(
    (
        ("", "nodes"),
        ("", "persistentvolumes"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("certificates.k8s.io", "certificatesigningrequests"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
    )
)


def top(names: frozenset[str]) -> str | None:
    """Return the folder above all that was gathered; None if it is no must-gather."""
    plain = (name for name in names if name.endswith((".yaml", ".log")) and not _HOSTED.search(name))
    found = {match[1] for name in plain if (match := _TOP.match(name))}
    return min(found, key=len, default=None)


def read(source: Source, prefix: str) -> Picture:
    """Read all that was gathered; *prefix* is of no use, since each image has its own."""
    picture = Picture(LAYOUT, source)
    for name in sorted(source.names()):
        folder, _, file = name.rpartition("/")
        if _HOSTED.search(f"{folder}/"):
            continue  # another cluster, whose control plane this one hosts
        if file == "timestamp":
            _timestamp(picture, name)
        if file in _DISCOVERY:
            picture.types += [item for document in picture.documents(name) for item in types.listed(document)]
        match = _TOP.match(name)
        if match is not None and not _is_in_a_list(picture, name):
            _file(picture, name, name[len(match[1]) :].split("/"))
    return picture


def _is_in_a_list(picture: Picture, name: str) -> bool:
    """Say whether a file repeats a pod that the same image listed: reading YAML is slow, and these are half of it."""
    match = _POD.fullmatch(name)
    if match is None or match[2] not in picture.whole_in.get(("", "pods"), ()):
        return False
    if f"{match[1]}core/pods.yaml" not in picture.source.taken:
        return False
    picture.source.taken.add(name)
    return True


def _file(picture: Picture, name: str, parts: list[str]) -> None:
    match parts:
        case ["namespaces", namespace, "pods", pod, outer, inner, "logs", log] if outer == inner:
            _log(picture, name, format.LogKey(namespace, pod, inner, log == "previous.log"), log)
        case ["namespaces", namespace, file] if file == f"{namespace}.yaml":
            picture.take(("", "namespaces"), name, "")
            picture.namespaces.add(namespace)
        case ["namespaces", namespace, "pods", pod, file] if file == f"{pod}.yaml":
            picture.take(("", "pods"), name, namespace)
        case ["namespaces", namespace, group, file] if file.endswith(".yaml") and group != "pods":
            _list(picture, name, _key(group, file.removesuffix(".yaml")), namespace)
        case ["namespaces", namespace, group, plural, file] if file.endswith(".yaml") and group != "pods":
            picture.take(_key(group, plural), name, namespace)
        case ["cluster-scoped-resources", group, file] if file.endswith(".yaml"):
            _list(picture, name, _key(group, file.removesuffix(".yaml")), "")
        case ["cluster-scoped-resources", group, plural, file] if file.endswith(".yaml"):
            key = _key(group, plural)
            found = picture.take(key, name, "")
            if found is None or found.is_broken:
                picture.lacking.add(key)
            elif key in _ALL:
                picture.hold(key)


def _key(group: str, plural: str) -> Key:
    return "" if group == "core" else group, plural


def _list(picture: Picture, name: str, key: Key, namespace: str) -> None:
    """Take a list; below "all" lie lists of all namespaces, whose members say where they are."""
    of_all = namespace == "all"
    found = picture.take(key, name, None if of_all else namespace)
    if found is None:
        return
    if namespace and not of_all:
        picture.namespaces.add(namespace)
    if found.is_whole:
        picture.hold(key, "" if of_all else namespace)


def _log(picture: Picture, name: str, key: format.LogKey, log: str) -> None:
    if log not in ("current.log", "previous.log"):
        return
    content = picture.source.read(name)
    # It writes an empty file where there was no run before.
    if content or (content is not None and not key.previous):
        picture.logs[key] = content


def _timestamp(picture: Picture, name: str) -> None:
    """Take the instant at which gathering began: what came later is then new, never old."""
    match = _STARTED.search((picture.source.read(name) or b"").decode("utf-8", "replace")[:1000])
    if match is None:
        return
    try:
        instant = objects.parse_instant(f"{match[1]}T{match[2]}{match[3]}:{match[4]}").astimezone(UTC)
    except (ValueError, OverflowError):
        return
    picture.captured_at = min(picture.captured_at or instant, instant)
