"""One installation of the chart that grows: a hub with the API, and a cluster elsewhere that dials it by name."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.nodes import edge
from tests.nodes.people import Load, Person, served
from tests.testbed import helm, namespaces, pki
from tests.testbed.helm import CHART
from tests.testbed.images import nodes
from tests.testbed.node import Node
from tests.testbed.processes import until

NAMESPACE = "kubently"
DOMAIN, INTERNAL_DOMAIN = "api.kubently.example.com", "kubently.local"
HOME, REMOTE = "home", "remote"
PUBLIC_SECRET = "kubently-public-tls"
_HUB, _REMOTE = 11, 12

Values = dict[str, Any]


def images(tag: str = "1") -> Values:
    """The images that the nodes have. One's second tag is what an upgrade brings."""
    api, executor, redis = (name.rpartition(":")[0] for name in (nodes.API, nodes.EXECUTOR, nodes.REDIS))
    return {
        "api": {"image": {"repository": api, "tag": tag}},
        "executor": {"image": {"repository": executor, "tag": tag}},
        "redis": {"image": {"repository": redis, "tag": "1"}},
    }


class Installation:
    """The clusters, and what is installed in them. ``down`` leaves nothing."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.folder = folder
        names = {DOMAIN: namespaces.address(_HUB), INTERNAL_DOMAIN: namespaces.address(_HUB)}
        self.hub = Node("hub", folder / "hub", index=_HUB, images=archive, names=names)
        self.remote = Node("remote", folder / "remote", index=_REMOTE, images=archive, names=names)
        self.authority = pki.Authority("Example Corp CA")
        self._names = names

    def up(self) -> None:
        """Start both clusters."""
        self.hub.launch()
        self.remote.launch()
        self.hub.wait_ready()
        self.remote.wait_ready()
        self._make_volume()

    def down(self) -> None:
        """End both. Idempotent."""
        self.hub.down()
        self.remote.down()

    # ------------------------------------------------------------------ what an operator does

    def helm(self, cluster: Node, release: str, *values: Values) -> None:
        """Install or upgrade a release with *values*, later ones over earlier, and wait until it is as it should be.

        The edge follows the Ingress meanwhile, as an ingress controller would.
        """
        with tempfile.TemporaryDirectory() as folder:
            options = []
            for number, part in enumerate(values):
                file = Path(folder, f"{number}.yaml")
                file.write_text(json.dumps(part))
                options.append(f"--values={file}")
            kubeconfig = cluster.kubeconfig("admin")
            words = ("upgrade", "--install", release, str(CHART), f"--namespace={NAMESPACE}", "--create-namespace")
            helm.helm(*words, *options, kubeconfig=kubeconfig)
        self._put_edge(cluster)
        shown = cluster.kubectl("get", "deployments,statefulsets", "-n", NAMESPACE, "-o", "name")
        for workload in shown.stdout.split():
            cluster.rolled_out(NAMESPACE, workload)

    def helm_test(self, cluster: Node, release: str) -> str:
        """Run the release's own tests; what their pods print."""
        words = ("test", release, f"--namespace={NAMESPACE}", "--timeout=3m", "--logs")
        return helm.helm(*words, kubeconfig=cluster.kubeconfig("admin"))

    def put_certificate(self, name: str = DOMAIN) -> bytes:
        """Put a new certificate for *name* into the public Secret, as whoever renews it would; its PEM."""
        cert, key = self.authority.issue(name, names=(name,))
        data = {"tls.crt": _text(cert), "tls.key": _text(key)}
        where = {"name": PUBLIC_SECRET, "namespace": NAMESPACE}
        self.hub.apply(
            {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": where, "data": data}
        )
        return cert

    # ------------------------------------------------------------------ what others see

    def running_images(self, cluster: Node, component: str) -> set[str]:
        """The images of a component's pods that are not about to end."""
        shown = cluster.kubectl("get", "pods", "-n", NAMESPACE, "-l", f"app={component}", "-o", "json")
        pods = [pod for pod in json.loads(shown.stdout)["items"] if "deletionTimestamp" not in pod["metadata"]]
        return {container["image"] for pod in pods for container in pod["spec"]["containers"]}

    def secret(self, name: str, key: str) -> bytes:
        """A value of a Secret of the hub."""
        shown = self.hub.kubectl("get", "secret", name, "-n", NAMESPACE, "-o", "json")
        return base64.b64decode(json.loads(shown.stdout)["data"][key])

    def person(self, host: str, ca: bytes) -> Person:
        """Somebody with the installation's first key, who asks it as *host* and trusts *ca*."""
        home = self.folder / "people" / host
        home.mkdir(parents=True, exist_ok=True)
        (home / "ca.crt").write_bytes(ca)
        key = self.secret("kubently-api", "admin-key").decode()
        return Person(home, f"https://{host}", key, home / "ca.crt", self._names)

    def load(self, *clusters: str) -> Load:
        """Commands without end on *clusters*, through the edge."""
        key = self.secret("kubently-api", "admin-key").decode()
        return Load(self.hub.address, edge.PORT, DOMAIN, self.authority.cert, key, clusters)

    def served(self) -> bytes:
        """The certificate that the edge serves."""
        return served(self.hub.address, edge.PORT, DOMAIN)

    def wait_connected(self, person: Person, *clusters: str) -> None:
        """Wait until just these clusters are connected."""
        until(lambda: self.states(person) == dict.fromkeys(clusters, "connected"), f"{clusters} connected", timeout=60)

    def states(self, person: Person) -> Mapping[str, str]:
        """Each cluster's state."""
        done = person.kubently("clusters", "-o", "json")
        return {c["id"]: c["state"] for c in json.loads(done.stdout)} if done.returncode == 0 else {}

    def _put_edge(self, cluster: Node) -> None:
        shown = cluster.kubectl("get", "ingresses", "-n", NAMESPACE, "-o", "json")
        for ingress in json.loads(shown.stdout)["items"]:
            (entry,) = ingress["spec"]["tls"]
            cluster.apply(*edge.objects(NAMESPACE, entry["secretName"]))

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


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
