"""One installation of the chart that grows: a hub with the API, and a cluster elsewhere that dials it by name.

Where pods are real it is `on_nodes.Nodes`; where a machine cannot have them, `as_processes.Processes`.
"""

from __future__ import annotations

import base64
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.nodes.people import Load, Person, served
from tests.testbed import helm, pki
from tests.testbed.cluster import Cluster
from tests.testbed.helm import CHART
from tests.testbed.images import nodes
from tests.testbed.processes import command_lines, until

NAMESPACE = "kubently"
DOMAIN, INTERNAL_DOMAIN = "api.kubently.example.com", "kubently.local"
HOME, REMOTE = "home", "remote"
PUBLIC_SECRET = "kubently-public-tls"

Values = dict[str, Any]


def images(tag: str = "1") -> Values:
    """The images that there are. One's second tag is what an upgrade brings."""
    api, executor, redis = (name.rpartition(":")[0] for name in (nodes.API, nodes.EXECUTOR, nodes.REDIS))
    return {
        "api": {"image": {"repository": api, "tag": tag}},
        "executor": {"image": {"repository": executor, "tag": tag}},
        "redis": {"image": {"repository": redis, "tag": "1"}},
    }


class Installation(ABC):
    """The clusters, and what is installed in them. ``down`` leaves nothing."""

    level = ""
    """What is real in it."""
    hub: Cluster
    remote: Cluster
    edge: tuple[str, int]
    """Where the edge is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = pki.Authority("Example Corp CA")

    @abstractmethod
    def up(self) -> None:
        """Start both clusters."""

    @abstractmethod
    def down(self) -> None:
        """End both. Idempotent."""

    def remains(self) -> list[str]:
        """What is still there of it on this machine."""
        lines = [" ".join(argv) for argv in command_lines().values()]
        return [line for line in lines if str(self.folder) in line]

    def _make_namespaces(self) -> None:
        """In both clusters: only pods of the restricted profile are let in."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        for cluster in (self.hub, self.remote):
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})

    # ------------------------------------------------------------------ what an operator does

    def helm(self, cluster: Cluster, release: str, *values: Values) -> None:
        """Install or upgrade a release with *values*, later ones over earlier, and wait until it is as it should be.

        The edge follows the Ingress meanwhile, as an ingress controller would.
        """
        with tempfile.TemporaryDirectory() as folder:
            options = []
            for number, part in enumerate(values):
                file = Path(folder, f"{number}.yaml")
                file.write_text(json.dumps(part))
                options.append(f"--values={file}")
            words = ("upgrade", "--install", release, str(CHART), f"--namespace={NAMESPACE}")
            helm.helm(*words, *options, kubeconfig=cluster.kubeconfig("admin"))
        self._settle(cluster)

    def put_certificate(self) -> bytes:
        """Put a new certificate into the public Secret, as whoever renews it would; its PEM."""
        cert, key = self.authority.issue(DOMAIN, names=self._public_names())
        data = {"tls.crt": _text(cert), "tls.key": _text(key)}
        where = {"name": PUBLIC_SECRET, "namespace": NAMESPACE}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": where, "data": data}
        self.hub.apply(secret)
        return cert

    @abstractmethod
    def helm_test(self, cluster: Cluster, release: str) -> str:
        """Run the release's own tests; what their pods print."""

    @abstractmethod
    def put_workloads(self) -> None:
        """Let `workloads` run in the remote cluster."""

    @abstractmethod
    def _settle(self, cluster: Cluster) -> None:
        """Wait until what the cluster's objects say is so."""

    def _public_names(self) -> tuple[str, ...]:
        return (DOMAIN,)

    # ------------------------------------------------------------------ what others see

    def secret(self, name: str, key: str) -> bytes:
        """A value of a Secret of the hub."""
        return base64.b64decode(self.shown(self.hub, "secret", name)["data"][key])

    def shown(self, cluster: Cluster, *what: str) -> dict[str, Any]:
        """An object or list of them."""
        answer: dict[str, Any] = json.loads(cluster.kubectl("get", *what, "-n", NAMESPACE, "-o", "json").stdout)
        return answer

    @abstractmethod
    def person(self, host: str, ca: bytes) -> Person:
        """Somebody with the installation's first key, who asks it as *host* and trusts *ca*."""

    def load(self, *clusters: str) -> Load:
        """Commands without end on *clusters*, through the edge."""
        key = self.secret("kubently-api", "admin-key").decode()
        return Load(self.edge, DOMAIN, self.authority.cert, key, clusters)

    def served(self) -> bytes:
        """The certificate that the edge serves."""
        return served(self.edge, DOMAIN)

    @abstractmethod
    def running_images(self, cluster: Cluster, component: str) -> set[str]:
        """The images of a component's pods that are not about to end."""

    @contextmanager
    def rotation(self) -> Iterator[None]:
        """While it lasts, Secrets that change reach whoever has them mounted."""
        yield

    def node(self, cluster: Cluster) -> str:
        """What `get nodes -o name` prints there."""
        return cluster.kubectl("get", "nodes", "-o", "name").stdout

    def wait_connected(self, person: Person, *clusters: str) -> None:
        """Wait until just these clusters are connected."""
        until(lambda: self.states(person) == dict.fromkeys(clusters, "connected"), f"{clusters} connected", timeout=60)

    def states(self, person: Person) -> Mapping[str, str]:
        """Each cluster's state."""
        done = person.kubently("clusters", "-o", "json")
        return {c["id"]: c["state"] for c in json.loads(done.stdout)} if done.returncode == 0 else {}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
