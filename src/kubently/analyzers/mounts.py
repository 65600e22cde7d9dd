"""What stands at a path of a container: which volume is mounted there, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass

from kubently.analyzers import relations, settings
from kubently.analyzers.containers import Container
from kubently.analyzers.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, SECRETS
from kubently.analyzers.snapshot import Snapshot, is_name
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import ResourceRef


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount of a container."""

    path: str
    """Where, without a slash at the end."""
    sub_path: str
    is_read_only: bool
    volume: KubeObject
    """Of the pod's spec; empty if it has none of that name."""

    def holds(self, path: str) -> bool:
        """Say whether a path leads there."""
        return path == self.path or path.startswith(f"{self.path}/") or self.path == "/"


def mounts_of(container: Container) -> list[Mount]:
    """Return a container's mounts, the deepest first."""
    volumes = {objects.text(item, "name"): item for item in objects.mappings(container.pod, "spec", "volumes")}
    found = [
        Mount(
            objects.text(item, "mountPath").rstrip("/") or "/",
            objects.text(item, "subPath"),
            objects.flag(item, "readOnly"),
            volumes.get(objects.text(item, "name"), {}),
        )
        for item in objects.mappings(container.spec, "volumeMounts")
    ]
    return sorted(found, key=lambda mount: -len(mount.path))


def mount_of(container: Container, path: str) -> Mount | None:
    """Return the mount in which a path lies, if it lies in one."""
    return next((mount for mount in mounts_of(container) if mount.holds(path)), None)


def files_of(snapshot: Snapshot, own: str, volume: KubeObject) -> tuple[ResourceRef, set[str]] | None:
    """Return the ConfigMap or Secret of a volume with the files that it puts there, if they are known."""
    for resource, field, named in ((CONFIG_MAPS, "configMap", "name"), (SECRETS, "secret", "secretName")):
        name = objects.text(volume, field, named)
        source = snapshot.get(resource, own, name) if is_name(name) else None
        if source is None:
            continue
        items = objects.mappings(volume, field, "items")
        return objects.ref(source), {objects.text(item, "path") for item in items} or settings.keys_of(source)
    return None


def claim_of(pod: KubeObject, mount: Mount) -> ResourceRef | None:
    """Return the claim behind a mount of a pod, if one is."""
    for name in relations.claims_of({**pod, "spec": {"volumes": [mount.volume]}}):
        return ResourceRef(kind=PERSISTENT_VOLUME_CLAIMS.kind, namespace=objects.namespace(pod), name=name)
    return None
