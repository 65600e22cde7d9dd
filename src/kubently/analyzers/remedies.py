"""What a person could do about a finding, as lines for a shell.

Nothing here is ever run: the lines are text, every word from the cluster in them is quoted for a POSIX shell, and words
in capitals stand for what only a person knows.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kubently.analyzers import containers
from kubently.analyzers.base import clean
from kubently.analyzers.cases import display
from kubently.analyzers.deliveries import HELM
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.schema.findings import Finding, Remedy, ResourceRef, Severity

_MOST = 4
_ROLLED = ("Deployment", "StatefulSet", "DaemonSet")


def of(snapshot: Snapshot, finding: Finding) -> Remedy | None:
    """Return the condition's remedy with the commands that fit this finding."""
    if finding.remedy is None:
        return None
    lines = (*_undo(finding), *_COMMANDS.get(finding.code, _none)(snapshot, finding))
    # A line that would have to be changed to be shown is not shown: half a command is worse than none.
    whole = [line for line in lines if clean(line) == line]
    return finding.remedy.model_copy(update={"commands": tuple(whole[:_MOST])})


def _undo(finding: Finding) -> Iterator[str]:
    """Going back is the first thing to think of where the pods' template was changed shortly before it broke."""
    ref, sources = finding.objects[0], [change.source for change in finding.changes]
    if ref.kind not in _ROLLED or finding.severity.rank > Severity.DEGRADED.rank:
        return
    # What Helm delivered, Helm takes back: it would bring the next revision from where it believes to be.
    releases = [source.removeprefix(HELM).partition("/") for source in sources if source.startswith(HELM)]
    if releases:
        namespace, _, name = releases[0]
        yield shlex.join(("helm", "rollback", name, "-n", namespace))
    elif any(source.startswith(f"{display(ref)} revision ") for source in sources):
        yield _kubectl("rollout", "undo", f"{ref.kind.lower()}/{ref.name}", of=ref)


def _kubectl(*words: str, of: ResourceRef) -> str:
    place = ("-n", of.namespace) if of.namespace else ()
    return shlex.join(("kubectl", *words, *place))


def _patch(ref: ResourceRef, change: Mapping[str, Any]) -> str:
    kind = f"{ref.kind.lower()}.{ref.group}" if ref.group else ref.kind.lower()
    return _kubectl("patch", kind, ref.name, "--type=merge", "-p", json.dumps(change, separators=(",", ":")), of=ref)


# ---- by condition


def _none(_: Snapshot, __: Finding) -> Iterator[str]:
    return iter(())


def _scale(_: Snapshot, finding: Finding) -> Iterator[str]:
    ref = finding.objects[0]
    yield _kubectl("scale", f"{ref.kind.lower()}/{ref.name}", "--replicas=1", of=ref)


def _resume(_: Snapshot, finding: Finding) -> Iterator[str]:
    ref = finding.objects[0]
    yield _kubectl("rollout", "resume", f"{ref.kind.lower()}/{ref.name}", of=ref)


def _image(snapshot: Snapshot, finding: Finding) -> Iterator[str]:
    ref = finding.objects[0]
    container = next((c for c in _containers(snapshot, ref) if not c.is_ready), None)
    if container is not None and ref.kind in _ROLLED:
        image = container.image.rpartition("@")[0] or container.image
        name = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
        yield _kubectl("set", "image", f"{ref.kind.lower()}/{ref.name}", f"{container.name}={name}:TAG", of=ref)


def _memory(snapshot: Snapshot, finding: Finding) -> Iterator[str]:
    ref = finding.objects[0]
    container = next(
        (c for c in _containers(snapshot, ref) if objects.text(c.spec, "resources", "limits", "memory")), None
    )
    if container is not None and ref.kind in _ROLLED:
        words = (f"{ref.kind.lower()}/{ref.name}", "-c", container.name, "--limits=memory=SIZE")
        yield _kubectl("set", "resources", *words, of=ref)


_KEY = re.compile(r' needs key "([^"]+)" of ')
"""Where a title of pod/config-missing names a key: then the object exists, or a key alone would not be missed."""


def _config(_: Snapshot, finding: Finding) -> Iterator[str]:
    key = _KEY.search(finding.title)
    for ref in finding.objects:
        if ref.kind not in ("ConfigMap", "Secret"):
            continue
        if key is not None:
            yield _patch(ref, {"data" if ref.kind == "ConfigMap" else "stringData": {key[1]: "VALUE"}})
        else:
            words = ("configmap",) if ref.kind == "ConfigMap" else ("secret", "generic")
            yield _kubectl("create", *words, ref.name, "--from-literal=KEY=VALUE", of=ref)


def _selector(snapshot: Snapshot, finding: Finding) -> Iterator[str]:
    near = snapshot.find(finding.objects[1]) if len(finding.objects) > 1 else None
    service = snapshot.find(finding.objects[0])
    if near is None or service is None:
        return
    labels = objects.pod_labels(near)
    wanted = {key: labels.get(key) for key in objects.string_map(service, "spec", "selector")}
    if any(value is not None for value in wanted.values()):
        yield _patch(finding.objects[0], {"spec": {"selector": wanted}})


def _account(_: Snapshot, finding: Finding) -> Iterator[str]:
    for ref in finding.objects:
        if ref.kind == "ServiceAccount":
            yield _kubectl("create", "serviceaccount", ref.name, of=ref)


def _quota(snapshot: Snapshot, finding: Finding) -> Iterator[str]:
    for ref in finding.objects:
        if ref.kind == "ResourceQuota":
            yield _patch(ref, {"spec": {"hard": {"RESOURCE": "AMOUNT"}}})


def _uncordon(_: Snapshot, finding: Finding) -> Iterator[str]:
    yield shlex.join(("kubectl", "uncordon", finding.objects[0].name))


def _unsuspend(_: Snapshot, finding: Finding) -> Iterator[str]:
    yield _patch(finding.objects[0], {"spec": {"suspend": False}})


def _budget(_: Snapshot, finding: Finding) -> Iterator[str]:
    yield _patch(finding.objects[0], {"spec": {"minAvailable": None, "maxUnavailable": 1}})


def _restart(_: Snapshot, finding: Finding) -> Iterator[str]:
    ref = finding.objects[0]
    if ref.kind in _ROLLED:
        yield _kubectl("rollout", "restart", f"{ref.kind.lower()}/{ref.name}", of=ref)


def _let_go(_: Snapshot, finding: Finding) -> Iterator[str]:
    for ref in finding.objects:
        if ref.kind == "Pod":
            yield _patch(ref, {"metadata": {"finalizers": None}})
            return


def _drop_webhook(_: Snapshot, finding: Finding) -> Iterator[str]:
    ref = finding.objects[0]
    yield shlex.join(("kubectl", "delete", ref.kind.lower(), ref.name))


def _containers(snapshot: Snapshot, workload: ResourceRef) -> Iterator[containers.Container]:
    for pod in snapshot.pods_of(workload):
        yield from containers.containers_of(pod)


_COMMANDS: Mapping[str, Callable[[Snapshot, Finding], Iterator[str]]] = {
    "workload/scaled-to-zero": _scale,
    "workload/rollout-paused": _resume,
    "workload/service-account-missing": _account,
    "workload/quota-exceeded": _quota,
    "workload/config-stale": _restart,
    "pod/image-not-found": _image,
    "pod/image-bad-name": _image,
    "pod/image-wrong-architecture": _image,
    "pod/oom-killed": _memory,
    "pod/config-missing": _config,
    "pod/stuck-terminating": _let_go,
    "service/selector-matches-nothing": _selector,
    "node/cordoned": _uncordon,
    "cronjob/suspended": _unsuspend,
    "pdb/allows-nothing": _budget,
    "webhook/service-missing": _drop_webhook,
}
