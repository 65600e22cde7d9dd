"""Namespaces whose pods lost the sidecar of a service mesh, since nobody injects it any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubently.analyzers import cases, containers
from kubently.analyzers.base import Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import NAMESPACES, PODS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, Severity

INJECTION_LOST = Condition(
    "namespace/injection-lost",
    Severity.RISK,
    "Older pods of the namespace have a service mesh's sidecar and newer ones have none: its label for that is gone.",
    "Set the namespace's label for injection again, and restart the pods without a sidecar.",
    confidence=Confidence.LIKELY,
)

_SIDECARS = {
    "istio-proxy": ("istio-injection", "istio.io/rev", "istio.io/dataplane-mode"),
    "linkerd-proxy": ("linkerd.io/inject",),
}
"""Names of sidecars, and the labels or annotations of a namespace that ask for them."""
_OWN_WISH = ("sidecar.istio.io/inject", "linkerd.io/inject")
"""By which a pod asks for one, or for none."""
_NOT = ("false", "disabled")


@analyzer("sidecars", needs=(*cases.NEEDS, NAMESPACES), conditions=(INJECTION_LOST,))
def sidecars(snapshot: Snapshot) -> Iterator[Finding]:
    """Report namespaces in which sidecars are not injected any more."""
    for namespace in snapshot.members(NAMESPACES):
        pods = [pod for pod in snapshot.members(PODS, objects.name(namespace)) if not containers.is_finished(pod)]
        for sidecar, asked in _SIDECARS.items():
            having = [pod for pod in pods if sidecar in _names(pod)]
            injected = [pod for pod in having if _was_injected(snapshot, pod, sidecar)]
            if not injected or any(_asks(namespace, key) for key in asked):
                continue
            last = max(map(_made, injected))
            lacking = [pod for pod in pods if pod not in having and _made(pod) > last and not _refuses(pod)]
            if lacking:
                yield _finding(snapshot, namespace, sidecar, injected, lacking)


def _names(pod: KubeObject) -> set[str]:
    return {objects.text(item, "name") for item in objects.all_containers(pod)}


def _was_injected(snapshot: Snapshot, pod: KubeObject, sidecar: str) -> bool:
    """Say whether a pod has a sidecar that neither its template has nor it asks for itself."""
    owner = objects.controller(pod)
    above = snapshot.by_uid(owner.uid) if owner is not None and owner.uid else None
    if above is None or any(objects.labels(pod).get(key) or objects.annotation(pod, key) for key in _OWN_WISH):
        return False
    return sidecar not in _names(above)


def _asks(namespace: KubeObject, key: str) -> bool:
    value = objects.labels(namespace).get(key) or objects.annotation(namespace, key)
    return bool(value) and value not in _NOT


def _made(pod: KubeObject) -> str:
    return objects.text(pod, "metadata", "creationTimestamp")


def _refuses(pod: KubeObject) -> bool:
    told = (objects.labels(pod).get(key) or objects.annotation(pod, key) for key in _OWN_WISH)
    return objects.flag(pod, "spec", "hostNetwork") or any(value in _NOT for value in told)


def _finding(
    snapshot: Snapshot, namespace: KubeObject, sidecar: str, having: Sequence[KubeObject], lacking: Sequence[KubeObject]
) -> Finding:
    ref = objects.ref(namespace)
    workloads = list(dict.fromkeys(snapshot.workload_of(pod) for pod in lacking))
    labels = ", ".join(f"{key}={value}" for key, value in sorted(objects.labels(namespace).items())) or "none"
    oldest = min(lacking, key=_made)
    newest = max(having, key=_made)
    failing = any(not containers.is_ready(pod) for pod in lacking)
    return finding(
        INJECTION_LOST,
        title=f"{cases.display(ref)} asks no more to inject {sidecar}: pods of {len(workloads)} workloads made since "
        f"{_made(oldest)} have none, older ones have it",
        objects=(ref, *workloads, *(objects.ref(pod) for pod in lacking[:20])),
        evidence=(
            quote(f"{cases.display(ref)} metadata.labels", labels),
            quote(cases.pod_source(newest, "containers"), f"{', '.join(sorted(_names(newest)))}; made {_made(newest)}"),
            quote(cases.pod_source(oldest, "containers"), f"{', '.join(sorted(_names(oldest)))}; made {_made(oldest)}"),
        ),
        next_checks=(f"get namespace {ref.name} -o yaml", f"get pods -n {ref.name}"),
        severity=Severity.DEGRADED if failing else None,
    )


ANALYZERS: tuple[Analyzer, ...] = (sidecars,)
