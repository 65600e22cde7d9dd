"""The installation on real nodes: every container is one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.nodes import edge, workloads
from tests.nodes.installation import DOMAIN, INTERNAL_DOMAIN, NAMESPACE, Installation
from tests.nodes.people import Person
from tests.testbed import helm, namespaces
from tests.testbed.cluster import Cluster
from tests.testbed.node import Node

_HUB, _REMOTE = 11, 12


class Nodes(Installation):
    """Two clusters with a real node each."""

    level = "real nodes: containerd, runc, kubelet, kube-proxy, CoreDNS, a bridge"

    def __init__(self, folder: Path, archive: Path) -> None:
        super().__init__(folder)
        self.names = {DOMAIN: namespaces.address(_HUB), INTERNAL_DOMAIN: namespaces.address(_HUB)}
        self.hub: Node = Node("hub", folder / "hub", index=_HUB, images=archive, names=self.names)
        self.remote: Node = Node("remote", folder / "remote", index=_REMOTE, images=archive, names=self.names)
        self.edge = (self.hub.address, edge.PORT)

    def up(self) -> None:
        self.hub.launch()
        self.remote.launch()
        self.hub.wait_ready()
        self.remote.wait_ready()
        self._make_namespaces()
        self._make_volume()

    def down(self) -> None:
        self.hub.down()
        self.remote.down()

    def helm_test(self, cluster: Cluster, release: str) -> str:
        words = ("test", release, f"--namespace={NAMESPACE}", "--timeout=3m", "--logs")
        return helm.helm(*words, kubeconfig=cluster.kubeconfig("admin"))

    def put_workloads(self) -> None:
        self.remote.apply(*workloads.objects())

    def person(self, host: str, ca: bytes) -> Person:
        home = self.folder / "people" / host
        key = self.secret("kubently-api", "admin-key").decode()
        return Person(home, f"https://{host}", key, ca, self.names)

    def running_images(self, cluster: Cluster, component: str) -> set[str]:
        pods = self.shown(cluster, "pods", "-l", f"app={component}")["items"]
        running = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return {container["image"] for pod in running for container in pod["spec"]["containers"]}

    def execute(self, cluster: Node, *argv: str, check: bool = True) -> str:
        """Run a program in the executor's pod; what it prints."""
        return cluster.execute(NAMESPACE, "deployment/kubently-executor", *argv, check=check)

    def remains(self) -> list[str]:
        looks = (
            ("ip", "-o", "link", "show"),
            ("nft", "list", "tables"),
            ("cat", "/proc/self/mounts"),
            ("find", "/sys/fs/cgroup", "-name", "kubently-*"),
        )
        lines = [line for argv in looks for line in _printed(*argv).splitlines()]
        ours = [line for line in lines if re.search(f"kubently|kube-proxy|{re.escape(str(self.folder))}", line)]
        return [*super().remains(), *ours]

    def _settle(self, cluster: Cluster) -> None:
        for ingress in self.shown(cluster, "ingresses")["items"]:
            (entry,) = ingress["spec"]["tls"]
            cluster.apply(*edge.objects(NAMESPACE, entry["secretName"]))
        listed = cluster.kubectl("get", "deployments,statefulsets", "-n", NAMESPACE, "-o", "name").stdout
        for workload in listed.split():
            cluster.kubectl("rollout", "status", workload, "-n", NAMESPACE, "--timeout=180s", timeout=200)

    def _make_volume(self) -> None:
        """A volume for Redis: nothing makes volumes here when they are wanted."""
        self.hub.make_folder("/var/lib/volumes/redis")
        terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [self.hub.node]}]}]
        spec = {
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": "/var/lib/volumes/redis"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        }
        self.hub.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "redis"}, "spec": spec})


def _printed(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True).stdout
