"""What delivered an object, and when it last did: Helm's releases, Argo CD's and Flux's histories."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from kubently.analyzers.base import clean, quote
from kubently.analyzers.resources import ARGO_APPLICATIONS, FLUX_HELM_RELEASES, FLUX_KUSTOMIZATIONS, SECRETS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence

HELM = "Helm release "
"""Begins the source of what Helm delivered; namespace and name of the release follow."""

_HELM_RELEASE = "meta.helm.sh/release-name"
_HELM_NAMESPACE = "meta.helm.sh/release-namespace"
_HELM_TYPE = "helm.sh/release.v1"
_ARGO_TRACKING = "argocd.argoproj.io/tracking-id"
_ARGO_INSTANCE = "app.kubernetes.io/instance"
_FLUX = (
    (FLUX_KUSTOMIZATIONS, "kustomize.toolkit.fluxcd.io"),
    (FLUX_HELM_RELEASES, "helm.toolkit.fluxcd.io"),
)


def last_of(snapshot: Snapshot, member: KubeObject) -> Iterator[tuple[datetime, Evidence]]:
    """Yield when each tool that delivers *member* last did, and what it says of that."""
    yield from _by_helm(snapshot, member)
    yield from _by_argo(snapshot, member)
    yield from _by_flux(snapshot, member)


def _by_helm(snapshot: Snapshot, member: KubeObject) -> Iterator[tuple[datetime, Evidence]]:
    """Helm keeps each revision in a Secret, whose labels say all that matters here."""
    name = objects.annotation(member, _HELM_RELEASE)
    namespace = objects.annotation(member, _HELM_NAMESPACE) or objects.namespace(member)
    if not name:
        return
    kept = [
        (created, objects.labels(secret))
        for secret in snapshot.members(SECRETS, namespace)
        if objects.text(secret, "type") == _HELM_TYPE
        and objects.labels(secret).get("name") == name
        and (created := objects.created_at(secret)) is not None
    ]
    if kept:
        at, labels = max(kept, key=lambda pair: pair[0])
        words = f"revision {labels.get('version', '?')}, {labels.get('status', 'of unknown status')}"
        yield at, quote(f"{HELM}{clean(namespace, limit=63)}/{clean(name, limit=63)}", words)


def _by_argo(snapshot: Snapshot, member: KubeObject) -> Iterator[tuple[datetime, Evidence]]:
    tracked = objects.annotation(member, _ARGO_TRACKING).partition(":")[0]
    name = tracked.rpartition("_")[2] or objects.labels(member).get(_ARGO_INSTANCE, "")
    for application in snapshot.members(ARGO_APPLICATIONS):
        if not name or objects.name(application) != name:
            continue
        syncs = [
            (at, entry)
            for entry in objects.mappings(application, "status", "history")
            if (at := objects.instant(entry, "deployedAt")) is not None
        ]
        if syncs:
            at, entry = max(syncs, key=lambda pair: pair[0])
            source = f"Argo CD application {objects.namespace(application)}/{name}"
            yield at, quote(source, f"synced to {clean(objects.text(entry, 'revision'), limit=60) or 'a revision'}")


def _by_flux(snapshot: Snapshot, member: KubeObject) -> Iterator[tuple[datetime, Evidence]]:
    labels = objects.labels(member)
    for resource, prefix in _FLUX:
        owner = snapshot.get(resource, labels.get(f"{prefix}/namespace", ""), labels.get(f"{prefix}/name", ""))
        ready = objects.condition(owner, "Ready") if owner is not None else None
        if owner is None or ready is None or ready.changed_at is None:
            continue
        history = objects.mappings(owner, "status", "history")
        deployed = objects.instant(history[0], "lastDeployed") if history else None
        revision = objects.text(owner, "status", "lastAppliedRevision")
        chart = objects.text(history[0], "chartVersion") if history else ""
        words = f"applied {clean(revision or chart, limit=80) or 'a revision'}"
        source = f"Flux {resource.kind} {objects.namespace(owner)}/{objects.name(owner)}"
        yield deployed or ready.changed_at, quote(source, words)
