"""The chart installed in a cluster: install, upgrade, roll back, uninstall, and what is there then."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed import helm
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until

READY_TIMEOUT = 60.0
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
# They come and go by themselves, or are made by Kubernetes for each namespace.
_NOT_OURS = {"events", "events.events.k8s.io", "leases.coordination.k8s.io", "componentstatuses"}


@dataclass(frozen=True)
class Release:
    """A release of the chart in a namespace of a cluster. Every method raises HelmError with Helm's words."""

    cluster: Cluster
    name: str
    namespace: str
    chart: Path = helm.CHART

    def install(self, values: Mapping[str, Any] | None = None, *more: str, files: Sequence[Path] = ()) -> str:
        """Install by server-side apply, Helm's way; the namespace must be there."""
        return self._with_values("install", values, more, files)

    def upgrade(self, values: Mapping[str, Any] | None = None, *more: str, files: Sequence[Path] = ()) -> str:
        """Upgrade with exactly these values."""
        return self._with_values("upgrade", values, more, files)

    def rollback(self, revision: int) -> str:
        """Go back to a revision."""
        return self._helm("rollback", self.name, str(revision))

    def uninstall(self) -> str:
        """Remove it; what Helm removes is still ending when this returns."""
        return self._helm("uninstall", self.name)

    def revision(self) -> int:
        """The number of the revision that is there."""
        return int(json.loads(self._helm("status", self.name, "--output=json"))["version"])

    def get(self, kind: str, name: str = "") -> Any:
        """An object, or all of a kind in the namespace."""
        words = (kind, name) if name else (kind,)
        found = json.loads(self.cluster.kubectl("get", *words, "-n", self.namespace, "-o", "json").stdout)
        return found if name else found["items"]

    def secret(self, name: str) -> dict[str, str]:
        """A Secret's data, as it stands there."""
        data: dict[str, str] = self.get("secret", name).get("data", {})
        return data

    def wait_ready(self) -> None:
        """Wait until every pod of every workload is the newest and ready."""
        until(self._is_ready, f"{self.name} in {self.namespace} ready", timeout=READY_TIMEOUT, every=1)

    def _is_ready(self) -> bool:
        found = json.loads(self.cluster.kubectl("get", "deploy,sts", "-n", self.namespace, "-o", "json").stdout)
        return all(_is_current(workload) for workload in found["items"])

    def _with_values(
        self, verb: str, values: Mapping[str, Any] | None, more: Sequence[str], files: Sequence[Path]
    ) -> str:
        options = [f"--values={path}" for path in files]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump(values or {}, file)
            file.flush()
            return self._helm(verb, self.name, str(self.chart), *options, f"--values={file.name}", *more)

    def _helm(self, *words: str) -> str:
        return helm.helm(*words, f"--namespace={self.namespace}", kubeconfig=self.cluster.kubeconfig("admin"))


def _is_current(workload: helm.Object) -> bool:
    status, wanted = workload.get("status", {}), workload["spec"]["replicas"]
    if status.get("observedGeneration") != workload["metadata"]["generation"]:
        return False
    counts = {status.get(count, 0) for count in ("replicas", "readyReplicas", "updatedReplicas")}
    return counts == {wanted}


@contextmanager
def namespace(cluster: Cluster, name: str, labels: Mapping[str, str] = RESTRICTED) -> Iterator[str]:
    """A namespace while the block runs; only pods of the restricted profile, unless *labels* differ."""
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}})
    try:
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name)
        yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def everything(cluster: Cluster, within: str = "") -> set[str]:
    """``resource/name`` of all that is in a namespace, or of all that is in none."""
    where = ("-n", within) if within else ()
    wanted = _resources(cluster, is_namespaced=bool(within))
    return set(cluster.kubectl("get", wanted, *where, "-o", "name", "--ignore-not-found").stdout.split())


@functools.cache
def _resources(cluster: Cluster, *, is_namespaced: bool) -> str:
    options = ("--verbs=list", f"--namespaced={str(is_namespaced).lower()}", "-o", "name")
    kinds = cluster.kubectl("api-resources", *options).stdout.split()
    return ",".join(kind for kind in kinds if kind not in _NOT_OURS)


def without(names: Iterable[str], *kinds: str) -> set[str]:
    """The names but for those of some resources."""
    return {name for name in names if name.split("/")[0] not in kinds}
