"""A Kubernetes control plane with simulated nodes, made of plain processes on loopback.

etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok run as they are; only nodes and containers are
simulated. So authorization, admission, discovery, watches, events and the audit log are the real ones. `kubectl exec`
into a simulated pod is not set up: kwok would run it on this machine.

    with Cluster("alpha", folder) as cluster:
        cluster.apply({"apiVersion": "v1", ...})
        cluster.kubectl("get", "pods", "-A").stdout
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed import binaries, kwok, metrics, pki
from tests.testbed.build import KUBERNETES_VERSION
from tests.testbed.processes import Process, free_ports, until

_HOST = "127.0.0.1"
_SERVICES, _PODS = "10.96.0.0/16", "10.244.0.0/16"
_KUBERNETES_SERVICE = "10.96.0.1"
_NOBODY = "192.0.2.1"
_START_TIMEOUT = 120.0
_COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")

_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


@dataclass(frozen=True)
class AuditRecord:
    """One request as the API server saw it."""

    user: str
    verb: str
    group: str
    resource: str
    """Empty for a request that is not for a resource."""
    subresource: str
    namespace: str
    name: str
    code: int
    uri: str
    agent: str
    stage: str
    impersonated: str
    """As whom it was taken; empty without impersonation."""
    impersonated_groups: frozenset[str]


class Cluster:
    """One control plane in *folder*. ``up`` starts it, ``down`` leaves no process; or use it as a context manager.

    With *with_metrics* there is a metrics-server, which has its first numbers about half a minute after the start: see
    `wait_metrics`.
    """

    def __init__(
        self, name: str, folder: Path, *, nodes: int = 2, with_metrics: bool = False, host: str = _HOST
    ) -> None:
        self.name = name
        self._host = host
        self._folder = folder
        self._nodes = nodes
        self._components: tuple[str, ...] = (*_COMPONENTS, metrics.PROGRAM) if with_metrics else _COMPONENTS
        self._processes: dict[str, Process] = {}
        self._kubeconfigs: dict[str, Path] = {}
        self._ports = dict(
            zip(("etcd", "peers", "api", "controllers", "scheduler", "kwok", "metrics"), free_ports(7), strict=True)
        )
        self._authority = pki.Authority(f"{name} CA")
        self._pki = folder / "pki"
        self.server = f"https://{self._host}:{self._ports['api']}"

    def __enter__(self) -> Cluster:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # ------------------------------------------------------------------ life

    def up(self) -> None:
        """Start everything and wait until pods can be scheduled."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start etcd and the API server and return while the latter starts; `wait_ready` does the rest."""
        for program in self._components:
            binaries.find(program)
        self._write_files()
        self.start("etcd")
        self._wait_for("etcd", "/health", secure=False)
        self.start("kube-apiserver")

    def wait_ready(self) -> None:
        """Wait for the API server, start the rest and wait until it works."""
        self._wait_for("api", "/readyz")
        self.start("kube-controller-manager")
        self.start("kube-scheduler")
        labels = {"topology.kubernetes.io/zone": "simulated"}
        nodes = [kwok.node(f"{self.name}-{i}", labels, KUBERNETES_VERSION) for i in range(self._nodes)]
        self.create(kwok.logs_definition(), *nodes)
        self.start("kwok")
        if metrics.PROGRAM in self._components:
            self.start(metrics.PROGRAM)
            self.create(*metrics.registration(self._ports["metrics"]))
        self.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s", timeout=90)
        self.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s", timeout=90)
        self._wait_for("scheduler", "/healthz")

    def start(self, component: str) -> None:
        """Start a component, for the first time or again."""
        argv = [*self._entrance(), binaries.find(component), *self._arguments(component)]
        log = self._folder / f"{component}.log"
        self._processes[component] = Process(argv, log=log, env=self._environment(), cwd=self._folder)

    def stop(self, component: str) -> None:
        """End a component: an outage until `start`."""
        # The API server would wait half a minute for its watchers; nobody here needs its last words.
        self._processes.pop(component).stop(grace=1)

    def wait_api(self) -> None:
        """Wait until the API server answers: after `start`."""
        self._wait_for("api", "/readyz")

    def wait_metrics(self, namespace: str) -> None:
        """Wait until there are numbers for nodes, and for pods of a namespace."""
        self.kubectl("wait", "--for=condition=Available", "apiservice", metrics.API, "--timeout=90s", timeout=120)
        for what in (("nodes",), ("pods", "-n", namespace)):
            until(
                lambda what=what: self.kubectl("top", *what, check=False).stdout, f"top {what[0]}", timeout=90, every=1
            )

    def down(self) -> None:
        """End everything and remove the folder. Idempotent."""
        for component in reversed(self._components):
            if component in self._processes:
                self.stop(component)
        shutil.rmtree(self._folder, ignore_errors=True)

    # ------------------------------------------------------------------ use

    def kubectl(
        self, *args: str, user: str = "admin", stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as *user*, for whom `kubeconfig` was called before. Raises AssertionError on failure."""
        done = subprocess.run(
            [binaries.find_kubectl(), f"--kubeconfig={self._kubeconfigs[user]}", *args],
            input=None if stdin is None else stdin.encode(),
            capture_output=True,
            timeout=timeout,
            env={"HOME": str(self._folder), "PATH": ""},
        )
        # Not text=True, which would make line feeds of carriage returns.
        result = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
        assert not check or result.returncode == 0, f"kubectl {' '.join(args)}: {result.stderr[-1000:]}"
        return result

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects as the administrator: kubectl leaves its last-applied annotation on them."""
        self.kubectl("apply", "-f", "-", stdin=_list(objects))

    def create(self, *objects: Mapping[str, Any]) -> None:
        """Create objects as the administrator, with no annotation and no validation by kubectl: many at once."""
        self.kubectl("create", "--validate=false", "-f", "-", stdin=_list(objects))

    def kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a client certificate of *user*; its one context has the cluster's name."""
        if user not in self._kubeconfigs:
            cert, key = self._authority.issue(user, groups)
            entry = {"client-certificate-data": _base64(cert), "client-key-data": _base64(key)}
            cluster = {"server": self.server, "certificate-authority-data": _base64(self._authority.cert)}
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": self.name,
                "clusters": [{"name": self.name, "cluster": cluster}],
                "users": [{"name": f"{self.name}-{user}", "user": entry}],
                "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": f"{self.name}-{user}"}}],
            }
            path = self._folder / f"{user.replace(':', '-')}.kubeconfig"
            self._kubeconfigs[user] = pki.write(path, json.dumps(config).encode())
        return self._kubeconfigs[user]

    def set_logs(self, namespace: str, pod: str, text: str, *, previous: str | None = None) -> Path:
        """Give a pod its own logs, and those of the container before. Lines added to the file given are followed."""
        folder, before = self._folder / "logs", None
        log = folder / f"{namespace}_{pod}.log"
        log.write_text(kwok.cri_lines(text))
        if previous is not None:
            before = folder / f"{namespace}_{pod}.previous.log"
            before.write_text(kwok.cri_lines(previous))
        self.apply(kwok.logs_object(namespace, pod, log, before))
        return log

    def set_pod_status(self, namespace: str, pod: str, status: Mapping[str, Any]) -> None:
        """Merge *status* into that of a pod that runs: how simulated pods fail."""
        patch = json.dumps({"status": status})
        self.kubectl("patch", "pod", pod, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)

    # ------------------------------------------------------------------ audit

    def audit_position(self) -> int:
        """Where the audit log ends now: a `since` for `audit`."""
        return self._audit_log.stat().st_size

    def audit(self, *, user: str = "", since: int = 0) -> list[AuditRecord]:
        """Requests (of *user*) that the API server has noted since a position; a long one is there twice."""
        with self._audit_log.open("rb") as file:
            file.seek(since)
            events = [json.loads(line) for line in file if line.endswith(b"\n")]
        return [_audit_record(event) for event in events if user in ("", event["user"]["username"])]

    @property
    def _audit_log(self) -> Path:
        return self._folder / "audit.log"

    # ------------------------------------------------------------------ how each component is started

    def _entrance(self) -> Sequence[str | Path]:
        """What runs a component, before its own command line."""
        return ()

    def _environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "HOME": str(self._folder)}

    def _arguments(self, component: str) -> Iterator[str]:
        return {
            "etcd": self._etcd,
            "kube-apiserver": self._apiserver,
            "kube-controller-manager": self._controller_manager,
            "kube-scheduler": self._scheduler,
            "kwok": self._kwok,
            metrics.PROGRAM: self._metrics_server,
        }[component]()

    def _etcd(self) -> Iterator[str]:
        clients, peers = (f"http://{self._host}:{self._ports[port]}" for port in ("etcd", "peers"))
        yield from (f"--data-dir={self._folder}/etcd", "--log-level=warn", "--unsafe-no-fsync=true")
        yield from (f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}")
        yield from (f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}")
        yield f"--initial-cluster=default={peers}"

    def _apiserver(self) -> Iterator[str]:
        yield from (f"--etcd-servers=http://{self._host}:{self._ports['etcd']}", "--profiling=false")
        yield from (f"--bind-address={self._host}", f"--secure-port={self._ports['api']}")
        # Endpoints must not be loopback addresses; nothing connects to the one in its place (RFC 5737).
        advertised = _NOBODY if self._host == _HOST else self._host
        yield from (f"--advertise-address={advertised}", f"--service-cluster-ip-range={_SERVICES}")
        yield from (f"--tls-cert-file={self._pki}/server.crt", f"--tls-private-key-file={self._pki}/server.key")
        yield from (f"--client-ca-file={self._pki}/ca.crt", "--authorization-mode=Node,RBAC")
        yield "--enable-admission-plugins=NodeRestriction"
        yield f"--kubelet-client-certificate={self._pki}/kubelet-client.crt"
        yield f"--kubelet-client-key={self._pki}/kubelet-client.key"
        yield "--kubelet-preferred-address-types=InternalIP"
        yield "--service-account-issuer=https://kubernetes.default.svc"
        yield f"--service-account-key-file={self._pki}/accounts.pub"
        yield f"--service-account-signing-key-file={self._pki}/accounts.key"
        yield from (f"--audit-policy-file={self._folder}/audit-policy.yaml", f"--audit-log-path={self._audit_log}")
        if metrics.PROGRAM in self._components:
            yield from metrics.aggregation(self._pki)

    def _controller_manager(self) -> Iterator[str]:
        yield from self._client("system:kube-controller-manager", "controllers")
        yield from ("--use-service-account-credentials=true", "--allocate-node-cidrs=true", f"--cluster-cidr={_PODS}")
        yield from (
            f"--service-account-private-key-file={self._pki}/accounts.key",
            f"--root-ca-file={self._pki}/ca.crt",
        )

    def _scheduler(self) -> Iterator[str]:
        return self._client("system:kube-scheduler", "scheduler")

    def _client(self, user: str, port: str) -> Iterator[str]:
        kubeconfig = self.kubeconfig(user)
        yield from (f"--kubeconfig={kubeconfig}", f"--authentication-kubeconfig={kubeconfig}")
        yield from (f"--authorization-kubeconfig={kubeconfig}", f"--bind-address={self._host}")
        yield from (f"--secure-port={self._ports[port]}", "--leader-elect=false", "--profiling=false")

    def _kwok(self) -> Iterator[str]:
        port = self._ports["kwok"]
        yield from (f"--kubeconfig={self.kubeconfig('system:kwok', ['system:masters'])}", f"--cidr={_PODS}")
        yield from (f"--config={self._folder}/kwok.yaml", "--enable-crds=Logs", "--node-lease-duration-seconds=40")
        yield from ("--manage-all-nodes=false", f"--manage-nodes-with-annotation-selector={kwok.ANNOTATION}=fake")
        yield from (f"--node-ip={_HOST}", f"--node-port={port}", f"--server-address={_HOST}:{port}")
        yield from (f"--tls-cert-file={self._pki}/kwok.crt", f"--tls-private-key-file={self._pki}/kwok.key")

    def _metrics_server(self) -> Iterator[str]:
        kubeconfig = self.kubeconfig(f"system:{metrics.PROGRAM}", ["system:masters"])
        return metrics.arguments(kubeconfig, self._pki, _HOST, self._ports["metrics"])

    # ------------------------------------------------------------------ files and readiness

    def _write_files(self) -> None:
        for folder in (self._pki, self._folder / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        pki.write(self._pki / "ca.crt", self._authority.cert)
        names = ("localhost", self._host, _KUBERNETES_SERVICE, "kubernetes", "kubernetes.default.svc")
        self._issue("server", "kube-apiserver", names=names)
        self._issue("kubelet-client", "kube-apiserver-kubelet-client", groups=["system:masters"])
        self._issue("kwok", "kwok", names=(_HOST,))
        self._issue(metrics.PROGRAM, metrics.PROGRAM, names=("localhost",))
        self._issue(metrics.FRONT_PROXY, metrics.FRONT_PROXY)
        private, public = pki.signing_keys()
        pki.write(self._pki / "accounts.key", private)
        pki.write(self._pki / "accounts.pub", public)
        self.kubeconfig("admin", ["system:masters"])
        (self._folder / "audit-policy.yaml").write_text(_AUDIT_POLICY)
        default_log = self._folder / "logs" / "default.log"
        default_log.write_text(kwok.cri_lines("a simulated container says hello\n"))
        (self._folder / "kwok.yaml").write_text(kwok.configuration(default_log))

    def _issue(self, file: str, user: str, *, groups: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        cert, key = self._authority.issue(user, groups, names=names)
        pki.write(self._pki / f"{file}.crt", cert)
        pki.write(self._pki / f"{file}.key", key)

    def _wait_for(self, port: str, path: str, *, secure: bool = True) -> None:
        until(lambda: self._answers(port, path, secure=secure), f"{port} of {self.name}", timeout=_START_TIMEOUT)

    def _answers(self, port: str, path: str, *, secure: bool) -> bool:
        for component, process in self._processes.items():
            assert process.is_running, f"{component} of {self.name} ended:\n{process.tail()}"
        address = (self._host, self._ports[port])
        connection = (
            http.client.HTTPSConnection(*address, timeout=5, context=self._probe_context(port))
            if secure
            else http.client.HTTPConnection(*address, timeout=5)
        )
        with closing(connection):
            try:
                connection.request("GET", path)
                return connection.getresponse().status == 200
            except ssl.SSLCertVerificationError:
                raise
            except OSError:
                return False

    def _probe_context(self, port: str) -> ssl.SSLContext:
        if port == "api":
            return pki.client_context(self._authority.cert)
        # Controllers and scheduler make certificates of their own in memory; only their health is asked here.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


def _audit_record(event: Mapping[str, Any]) -> AuditRecord:
    reference = event.get("objectRef", {})
    return AuditRecord(
        user=event["user"]["username"],
        verb=event["verb"],
        group=reference.get("apiGroup", ""),
        resource=reference.get("resource", ""),
        subresource=reference.get("subresource", ""),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        uri=event["requestURI"],
        agent=event.get("userAgent", ""),
        stage=event["stage"],
        impersonated=event.get("impersonatedUser", {}).get("username", ""),
        impersonated_groups=frozenset(event.get("impersonatedUser", {}).get("groups", ())),
    )


def _list(objects: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
