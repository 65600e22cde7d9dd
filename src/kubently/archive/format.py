"""What an archive is: one cluster at one instant, as a folder and as a value.

The folder::

    archive.yaml                                     name, title, version, captured_at, labels
    objects/_cluster/<resource>[.<group>].yaml       cluster-scoped objects
    objects/<namespace>/<resource>[.<group>].yaml    namespaced objects
    logs/<namespace>/<pod>/<container>.log           what the running (or last) container wrote
    logs/<namespace>/<pod>/<container>.previous.log  what the one before it wrote

An objects file holds documents, or List objects, of one resource type. A log line begins with an RFC 3339 instant and a
space, as kubelet keeps it; lines without one are accepted. Secrets are archived without their data or not at all.
``kubently.archive.load`` reads the folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from kubently.archive import catalog
from kubently.kube import objects

MANIFEST = "archive.yaml"
OBJECTS = "objects"
CLUSTER_SCOPE = "_cluster"
"""Folder of the cluster-scoped objects: no namespace can have an underscore in its name."""
LOGS = "logs"
LOG_SUFFIX = ".log"
PREVIOUS_LOG_SUFFIX = ".previous.log"
VERSION = re.compile(r"v[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?:[-+][0-9A-Za-z.+-]{1,60})?")
"""An API server's version, whole."""

NAME = re.compile(r"[a-z0-9A-Z:]([-a-z0-9A-Z.:_]{0,251}[a-z0-9A-Z.:_])?")
"""An object's name, or a namespace's."""


@dataclass(frozen=True, slots=True)
class LogKey:
    """Whose log it is; ``previous`` is the container before the running one."""

    namespace: str
    pod: str
    container: str
    previous: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """How much of one resource type an archive holds."""

    everywhere: bool
    """Whether every object in the cluster is in it."""
    namespaces: frozenset[str] = frozenset()
    """Namespaces of which every object is in it."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A cluster at one instant."""

    name: str
    title: str
    version: str
    """The API server's version, such as v1.36.3."""
    captured_at: datetime
    """The cluster's own clock: ages and "since" count from here."""
    labels: Mapping[str, str]
    resources: tuple[catalog.Resource, ...]
    """Every resource type that can be asked for, in discovery's order."""
    by_type: Mapping[tuple[str, str], tuple[objects.KubeObject, ...]]
    """Objects by (group, plural), sorted as an API server lists them."""
    logs: Mapping[LogKey, bytes]
    resource_version: int
    """The newest resourceVersion in the archive: that of every list."""
    held: Mapping[tuple[str, str], Held] | None = None
    """What was collected, by (group, plural); None if it is all there was. What is not a key was not collected."""
    knows_types: bool = True
    """Whether there are no other types in the cluster than those in ``resources``."""
    layout: str = ""
    """What wrote it, such as "support bundle"; empty for our own."""
    left_out: tuple[str, ...] = ()
    """What could not be read, with reasons: the first thousand."""
    left_out_count: int = 0

    def find(self, group: str, version: str, plural: str) -> catalog.Resource | None:
        """Return the resource type at a path, or None if the cluster does not serve it."""
        for item in self.resources:
            if (item.group, item.version, item.plural) == (group, version, plural):
                return item
        return None


def sort_key(item: objects.KubeObject) -> str:
    """Return the key by which an API server sorts a list: its place in the store."""
    namespace, name = objects.namespace(item), objects.name(item)
    return f"{namespace}/{name}" if namespace else name


def resource_version(item: objects.KubeObject) -> int:
    """Return an object's resourceVersion, 0 if it has none or one that no API server gives."""
    value = objects.text(item, "metadata", "resourceVersion")
    return int(value) if value.isdecimal() and value.isascii() and len(value) < 20 else 0
