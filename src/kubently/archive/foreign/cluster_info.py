"""Reads what ``kubectl cluster-info dump --output-directory`` writes, as JSON or YAML.

::

    nodes.json
    <namespace>/{events,replication-controllers,services,daemonsets,deployments,replicasets,pods}.json
    <namespace>/<pod>/logs.txt      the containers' present logs, one after another

It holds nothing else, and does not say which namespaces there are besides.
"""

from __future__ import annotations

import re

from kubently.archive import format
from kubently.archive.foreign.picture import Key, Picture
from kubently.archive.foreign.source import Source

LAYOUT = "cluster-info dump"
_KINDS: dict[str, Key] = {
    "daemonsets": ("apps", "daemonsets"),
    "deployments": ("apps", "deployments"),
    "events": ("", "events"),
    "pods": ("", "pods"),
    "replicasets": ("apps", "replicasets"),
    "replication-controllers": ("", "replicationcontrollers"),
    "services": ("", "services"),
}
_PODS = re.compile(r"((?:[^/]+/)*)[^/]+/pods\.(json|yaml)")
_START = re.compile(rb"==== START logs for container (\S+) of pod (\S+)/(\S+) ====\n")
_END = re.compile(rb"==== END logs for container (\S+) of pod (\S+)/(\S+) ====\n")
_FAILED = re.compile(rb"(?:Create log request error|Request log error): ([^\n]*)\n")


def top(names: frozenset[str]) -> str | None:
    """Return the folder of a dump, ending in a slash unless empty; None if it is no dump."""
    found = {match[1] for name in names if (match := _PODS.fullmatch(name)) and f"{match[1]}nodes.{match[2]}" in names}
    return min(found, key=len, default=None)


def read(source: Source, prefix: str) -> Picture:
    """Read the dump below *prefix*."""
    picture = Picture(LAYOUT, source)
    for name in sorted(source.names()):
        match name.removeprefix(prefix).split("/") if name.startswith(prefix) else []:
            case ["nodes.json" | "nodes.yaml"]:
                _list(picture, name, ("", "nodes"), "")
            case [namespace, file] if file.endswith((".json", ".yaml")) and file[:-5] in _KINDS:
                _list(picture, name, _KINDS[file[:-5]], namespace)
            case [namespace, pod, "logs.txt"]:
                _logs(picture, name, namespace, pod)
    return picture


def _list(picture: Picture, name: str, key: Key, namespace: str) -> None:
    found = picture.take(key, name, namespace)
    if found is not None and found.is_whole:
        picture.hold(key, namespace)
    if namespace:
        picture.namespaces.add(namespace)


def _logs(picture: Picture, name: str, namespace: str, pod: str) -> None:
    text = picture.source.read(name)
    if text is None:
        return
    found = split(text, namespace, pod)
    if text and not found:
        picture.source.left_out.add(name, "it holds no log of its pod")
    for container, content in found:
        failed = _FAILED.fullmatch(content)
        if failed is None:
            picture.logs[format.LogKey(namespace, pod, container)] = content
        else:
            why = failed[1].decode("utf-8", "replace")
            picture.source.left_out.add(f"{name} {container}", f"kubectl could not read the log: {why}")


def split(text: bytes, namespace: str, pod: str) -> list[tuple[str, bytes]]:
    """Return the log of each container of a pod's file; of a file that was too long, the beginning may be missing.

    The file has no escapes, so a log that holds the line that ends it, followed by one that begins another, is told
    from such by nothing: it can only put words into the mouths of its own pod's containers.
    """
    found: list[tuple[str, bytes]] = []
    owner = (namespace.encode(), pod.encode())
    position = 0
    while position < len(text):
        start = _START.match(text, position)
        begin = start.end() if start else position
        # The end comes right behind the log: on its last line, if that has no line end.
        end = next((end for end in _END.finditer(text, begin) if _is_last(text, end)), None)
        mark = start or end
        if mark is None or mark.groups()[1:] != owner or (start is None and found):
            break
        found.append((mark[1].decode("utf-8", "replace"), text[begin : end.start() if end else len(text)]))
        position = end.end() if end else len(text)
    return found


def _is_last(text: bytes, end: re.Match[bytes]) -> bool:
    """Say whether nothing, or another beginning, follows."""
    return end.end() == len(text) or _START.match(text, end.end()) is not None
