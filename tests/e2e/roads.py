"""The roads to a cluster: ``/clusters/ID/k8s`` of the API, its API server itself, and the contexts that people use."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubently import trust
from tests.e2e.harness import ADMIN_KEY, ApiProcess, Fleet
from tests.testbed import binaries, pki
from tests.testbed.cluster import Cluster


@dataclass(frozen=True)
class Reply:
    """An answer, its body as it was on the wire."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass(frozen=True)
class Road:
    """Where to connect, and what to send with every request."""

    host: str
    port: int
    context: ssl.SSLContext
    prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def through(cls, api: ApiProcess, cluster: str, key: str = ADMIN_KEY) -> Road:
        """Through Kubently."""
        context = trust.client_context(ca=str(api.ca))
        return cls("localhost", api.port, context, f"/clusters/{cluster}/k8s", {"Authorization": f"Bearer {key}"})

    @classmethod
    def direct(cls, cluster: Cluster, user: str, folder: Path) -> Road:
        """To the API server itself as *user*; *folder* is for a key of theirs."""
        config = json.loads(cluster.kubeconfig(user).read_text())
        server, entry = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = pki.client_context(base64.b64decode(server["certificate-authority-data"]))
        pair = b"".join(base64.b64decode(entry[f"client-{part}-data"]) for part in ("certificate", "key"))
        context.load_cert_chain(pki.write(folder / f"{user.replace(':', '-')}.pem", pair))
        return cls("127.0.0.1", int(cluster.server.rpartition(":")[2]), context)

    def get(self, path: str, **headers: str) -> Reply:
        """GET; underscores in names of *headers* are dashes."""
        with self.opened(path, **headers) as response:
            return Reply(response.status, _fields(response), response.read())

    @contextmanager
    def opened(self, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """An answer whose body is read while the block lasts, which ends the request."""
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=30, context=self.context)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", self.prefix + path, headers={**self.headers, **sent})
            yield connection.getresponse()
        finally:
            connection.close()


@dataclass(frozen=True)
class Context:
    """What ``kubently kubeconfig`` wrote for one cluster; tools that use it run in ``environ``."""

    path: Path
    name: str
    environ: Mapping[str, str]

    @classmethod
    def written(cls, fleet: Fleet, cluster: str, folder: Path) -> Context:
        """A new file in *folder*, which is also the home of an administrator who has cached nothing yet."""
        path = folder / "kubeconfig"
        made = fleet.cli("kubeconfig", cluster, "--kubeconfig", str(path))
        assert made.code == 0, made.err
        return cls(path, f"kubently-{cluster}", {**fleet.cli.environ, "HOME": str(folder)})

    def kubectl(self, *args: str) -> list[str | Path]:
        """The command line of a kubectl."""
        return [binaries.find_kubectl(), f"--kubeconfig={self.path}", f"--context={self.name}", *args]


def _fields(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}
