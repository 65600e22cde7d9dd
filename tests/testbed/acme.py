"""cert-manager's own controllers and Let's Encrypt's test server, as processes, for a cluster of simulated nodes.

The challenge is HTTP-01 by an Ingress. Its solver pod is simulated like every pod, so an edge of ours stands for the
ingress controller and the pod: it answers a path that cert-manager's Ingress routes with the key that is in the pod's
arguments. Where cert-manager made none of them, nothing is answered.

    with Edge(cluster) as edge, Pebble(folder, edge.port, lifetime=60) as ca, CertManager(cluster, folder, edge.port):
        cluster.create(ca.issuer("letsencrypt-prod"))
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.testbed import binaries, pki
from tests.testbed.cluster import Cluster
from tests.testbed.processes import Process, free_ports, until

ISSUERS = "cert-manager"
"""Namespace of what belongs to ClusterIssuers."""
_HOST = "127.0.0.1"
_START_TIMEOUT = 30.0


class Edge:
    """An ingress controller for challenges; to cert-manager also a proxy, so that it asks here for any host."""

    def __init__(self, cluster: Cluster) -> None:
        edge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                # A proxy is asked for a whole URL, a server for its path.
                asked = urlsplit(self.path)
                key = edge._answer(asked.hostname or self.headers["Host"].partition(":")[0], asked.path)
                self.send_response(200 if key else 404)
                self.end_headers()
                self.wfile.write(key.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._cluster = cluster
        self._server = ThreadingHTTPServer((_HOST, 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Edge:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, host: str, path: str) -> str:
        found = json.loads(self._cluster.kubectl("get", "pods,ingresses", "-A", "-o", "json").stdout)["items"]
        spaces = {o["metadata"]["namespace"] for o in found if o["kind"] == "Ingress" and _routes(o, host, path)}
        for pod in found:
            if pod["kind"] == "Pod" and pod["metadata"]["namespace"] in spaces:
                options = dict(word.partition("=")[::2] for word in pod["spec"]["containers"][0].get("args", ()))
                if options.get("--domain") == host and path.endswith(f"/{options.get('--token')}"):
                    return str(options["--key"])
        return ""


def _routes(ingress: dict[str, Any], host: str, path: str) -> bool:
    rules = ingress["spec"].get("rules", ())
    return any(
        rule.get("host") == host and any(one["path"] == path for one in rule["http"]["paths"])
        for rule in rules
        if path.startswith("/.well-known/acme-challenge/")
    )


class Pebble:
    """An ACME server whose certificates live *lifetime* seconds, and its DNS, in which every name is this machine."""

    def __init__(self, folder: Path, challenges: int, *, lifetime: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._port, self._management, self._dns, self._dns_management = free_ports(4)
        self._authority = pki.Authority("pebble's own")
        cert, key = self._authority.issue("pebble", names=["localhost"])
        settings = {
            "listenAddress": f"{_HOST}:{self._port}",
            "managementListenAddress": f"{_HOST}:{self._management}",
            "certificate": str(pki.write(folder / "server.crt", cert)),
            "privateKey": str(pki.write(folder / "server.key", key)),
            "httpPort": challenges,
            "tlsPort": 1,
            "retryAfter": {"authz": 1, "order": 1},
            "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "for tests", "validityPeriod": lifetime}},
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        self._processes: list[Process] = []

    def __enter__(self) -> Pebble:
        dns = ["-dnsserver", f"{_HOST}:{self._dns}", "-management", f"{_HOST}:{self._dns_management}"]
        others = [word for name in ("http01", "https01", "tlsalpn01", "doh") for word in (f"-{name}", "")]
        self._start("pebble-challtestsrv", *dns, *others, "-defaultIPv4", _HOST, "-defaultIPv6", "")
        self._start("pebble", "-config", str(self._folder / "pebble.json"), "-dnsserver", f"{_HOST}:{self._dns}")
        until(self._answers, "pebble answers", timeout=_START_TIMEOUT)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._processes:
            process.stop()

    def root(self) -> str:
        """The CA (PEM) that its certificates lead to; new at each start."""
        return self._get(f"https://localhost:{self._management}/roots/0")

    def issuer(self, name: str) -> dict[str, Any]:
        """A ClusterIssuer that uses it."""
        solver = {"http01": {"ingress": {"ingressClassName": "nginx"}}}
        acme = {
            "server": f"https://localhost:{self._port}/dir",
            "caBundle": base64.b64encode(self._authority.cert).decode(),
            "privateKeySecretRef": {"name": f"{name}-account"},
            "solvers": [solver],
        }
        kind = {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": name}}
        return {**kind, "spec": {"acme": acme}}

    def _start(self, program: str, *words: str) -> None:
        # Another order for the same name within minutes is not challenged again, as at Let's Encrypt.
        environ = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "100"}
        log = self._folder / f"{program}.log"
        argv = [binaries.find(program), *words]
        self._processes.append(Process(argv, log=log, env=environ, cwd=self._folder))

    def _answers(self) -> bool:
        for process in self._processes:
            assert process.is_running, process.tail()
        try:
            return bool(self.root())
        except OSError:
            return False

    def _get(self, url: str) -> str:
        context: ssl.SSLContext = pki.client_context(self._authority.cert)
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            text: str = answer.read().decode()
        return text


class CertManager:
    """Its controllers, with every right; what they looked at last is in ``log``."""

    def __init__(self, cluster: Cluster, folder: Path, challenges: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._cluster, self._folder = cluster, folder
        self._environ = {"HOME": str(folder), "HTTP_PROXY": f"http://{_HOST}:{challenges}"}
        self.log = folder / "cert-manager.log"

    def __enter__(self) -> CertManager:
        program = binaries.find("cert-manager")
        self._cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ISSUERS}})
        argv = [program, self._cluster.kubeconfig("admin"), ISSUERS]
        self._process = Process(argv, log=self.log, env=self._environ, cwd=self._folder)
        until(lambda: "started" in self.log.read_text(), "cert-manager started", timeout=_START_TIMEOUT)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.stop()
