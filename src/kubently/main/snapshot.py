"""``kubently snapshot create``: a live cluster, as its executor shows it, written as an archive.

Everything comes through the tunnel, so policy, limits and redaction are those of every other request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from kubently import archive
from kubently.archive import catalog
from kubently.archive.catalog import Resource
from kubently.archive.format import VERSION, LogKey
from kubently.archive.write import Writer
from kubently.cli.progress import progress
from kubently.cli.state import State, pass_state
from kubently.client import Api, ApiError
from kubently.errors import ConfigError
from kubently.kube import objects
from kubently.kube.headers import CLUSTER_DATE
from kubently.kube.objects import KubeObject

PAGE = 500
MAX_PAGE = 64 * 1024 * 1024
MAX_LOG = 256 * 1024
"""Bytes kept of one log: its end."""


@click.group()
def snapshot() -> None:
    """Keep a cluster's picture, for a post-mortem or a test."""


@snapshot.command()
@click.argument("cluster")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-n", "--namespace", "namespaces", multiple=True, metavar="NAME", help="Only this namespace; may repeat.")
@click.option("--max-objects", type=click.IntRange(1, 500_000), default=50_000, show_default=True)
@click.option("--max-logs", type=click.IntRange(0, 5_000), default=200, show_default=True, help="Failing ones first.")
@click.option("--log-lines", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Of each log's end.")
@pass_state
def create(
    state: State,
    *,
    cluster: str,
    folder: Path,
    namespaces: tuple[str, ...],
    max_objects: int,
    max_logs: int,
    log_lines: int,
) -> None:
    """Write CLUSTER's objects, events and logs into the new FOLDER; `kubently up --archive FOLDER` serves it.

    Secrets are left out. What else the executor redacts is redacted here; environment variables in pods are not.
    """
    api = state.api()
    with progress(f"reading {cluster}") as note, Writer(folder) as writer:
        reader = _Reader(api, cluster, namespaces, left=max_objects)
        version = reader.version()
        for resource in reader.resources():
            note(f"{writer.objects} objects, {resource.qualified}")
            writer.add(resource, reader.members(resource))
        for key in _logs_wanted(reader.pods, max_logs):
            note(f"{writer.objects} objects, {writer.logs} logs")
            content = reader.log(key, log_lines)
            if content:
                writer.add_log(key, content)
        title = f"{cluster} at {reader.captured_at:%Y-%m-%d %H:%M} UTC"
        writer.finish(
            name=cluster, title=title, version=version, captured_at=reader.captured_at, labels=reader.labels()
        )
    archive.load(folder)  # who reads it later must not be the first to see a fault
    click.echo(f"{folder}: {writer.objects} objects, {writer.logs} logs of {cluster}")
    for gap in reader.gaps:
        click.echo(f"not in it: {gap}", err=True)


@dataclass(slots=True)
class _Reader:
    """Reads one cluster through the API."""

    api: Api
    cluster: str
    namespaces: tuple[str, ...]
    left: int
    """Objects that may still be read."""
    pods: list[KubeObject] = field(default_factory=list)
    definitions: list[KubeObject] = field(default_factory=list)
    gaps: list[str] = field(default_factory=lambda: ["secrets: never in an archive"])
    captured_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def version(self) -> str:
        """The API server's version, and its clock."""
        document = self._document("/version")
        found = objects.text(document, "gitVersion")
        return found if VERSION.fullmatch(found) else "v0.0.0"

    def labels(self) -> dict[str, str]:
        """The cluster's labels."""
        listed = self.api.get("/api/v1/clusters")
        known = listed if isinstance(listed, list) else objects.mappings(listed, "clusters")
        return next((objects.string_map(c, "labels") for c in known if objects.text(c, "id") == self.cluster), {})

    def resources(self) -> Iterator[Resource]:
        """What an archive can hold: the built-in types, metrics, and those that the cluster's definitions make."""
        for resource in (*catalog.BUILTIN, *catalog.METRICS):
            if resource.qualified != "secrets" and resource != catalog.EVENTS_VIEW:
                yield resource
        for definition in self.definitions:  # read by then, since they are built in
            yield from list(catalog.custom_resources(definition))[:1]

    def members(self, resource: Resource) -> list[dict[str, Any]]:
        """All objects of a type; pods are kept in mind for their logs, definitions for what they define."""
        found = self._all(resource)
        if resource.qualified == "pods":
            self.pods = list(found)
        elif resource.plural == "customresourcedefinitions":
            self.definitions = list(found)
        return found

    def log(self, key: LogKey, lines: int) -> bytes:
        """The end of a log, or nothing where there is none."""
        path = f"/api/v1/namespaces/{key.namespace}/pods/{key.pod}/log?container={quote(key.container)}"
        previous = "&previous=true" if key.previous else ""
        try:
            content, _ = self.api.fetch(
                self._path(f"{path}&tailLines={lines}&timestamps=true{previous}"), limit=16 * 1024 * 1024
            )
        except ApiError:
            return b""
        return content[-MAX_LOG:].partition(b"\n")[2] if len(content) > MAX_LOG else content

    def _all(self, resource: Resource) -> list[dict[str, Any]]:
        wanted: tuple[str, ...] = self.namespaces if self.namespaces and resource.namespaced else ("",)
        try:
            return [member for namespace in wanted for member in self._pages(resource, namespace)]
        except ApiError as error:
            if error.status != 404:
                self.gaps.append(f"{resource.qualified}: {error.message}")
            return []

    def _pages(self, resource: Resource, namespace: str) -> Iterator[dict[str, Any]]:
        root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
        base = f"{root}/namespaces/{namespace}/{resource.plural}" if namespace else f"{root}/{resource.plural}"
        token = ""
        while True:
            page = self._document(f"{base}?limit={PAGE}" + (f"&continue={quote(token, safe='')}" if token else ""))
            members = list(objects.members(page))
            yield from members[: self.left]
            self.left -= min(len(members), self.left)
            token = objects.text(page, "metadata", "continue")
            if self.left == 0 and (token or members):
                self.gaps.append(f"{resource.qualified}: the limit of objects was reached")
                return
            if not token:
                return

    def _document(self, path: str) -> KubeObject:
        content, said = self.api.fetch(self._path(path), limit=MAX_PAGE)
        if path == "/version" and (date := said.get(CLUSTER_DATE.decode())):
            self.captured_at = parsedate_to_datetime(date).astimezone(UTC)
        try:
            document = json.loads(content)
        except ValueError as error:
            raise ConfigError(f"{self.cluster} answered {path} with what is no JSON") from error
        return document if isinstance(document, dict) else {}

    def _path(self, path: str) -> str:
        return f"/clusters/{quote(self.cluster, safe='')}/k8s{path}"


def _logs_wanted(pods: list[KubeObject], most: int) -> list[LogKey]:
    """Of containers that restarted or do not run first, then of the others."""
    failing: list[LogKey] = []
    running: list[LogKey] = []
    for pod in pods:
        for status in (*objects.init_container_statuses(pod), *objects.container_statuses(pod)):
            key = LogKey(objects.namespace(pod), objects.name(pod), objects.text(status, "name"))
            if objects.integer(status, "restartCount") > 0:
                failing += [LogKey(key.namespace, key.pod, key.container, previous=True), key]
            elif objects.flag(status, "ready"):
                running.append(key)
            else:
                failing.append(key)
    return (failing + running)[:most]
