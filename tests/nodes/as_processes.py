"""The installation where no container can run: Helm, API server and controllers are real, pods are plain processes.

An nginx is the edge and, without TLS, the API's Service.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.nodes import edge, workloads
from tests.nodes.installation import DOMAIN, NAMESPACE, Installation, Values
from tests.nodes.people import Person
from tests.nodes.pods import Given, Object, Pod
from tests.testbed import helm, kwok
from tests.testbed.cluster import Cluster
from tests.testbed.processes import Process, free_ports, until

_EDGE, _SERVICE, _PODS = "127.77.0.1", "127.77.0.2", "127.77.1"
_NOBODY = "127.77.0.3:9"


class Processes(Installation):
    """Two clusters whose nodes are simulated, and processes."""

    level = "plain processes: real Helm, API servers and programs, simulated nodes, no containers"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.hub = Cluster("hub", folder / "hub", nodes=1)
        self.remote = Cluster("remote", folder / "remote", nodes=1)
        self.edge = (_EDGE, free_ports(1)[0])
        self._pods: dict[tuple[str, str], tuple[str, list[Pod]]] = {}
        """By cluster and workload: what they were made of, and they."""
        self._leaving: list[Pod] = []
        """Those that serve until the new ones do."""
        self._numbers = itertools.count(1)
        self._nginx: Process | None = None
        self._served = ""
        self._end = threading.Event()
        self._counting: threading.Thread | None = None

    def up(self) -> None:
        self.hub.launch()
        self.remote.launch()
        self.hub.wait_ready()
        self.remote.wait_ready()
        self._make_namespaces()

    def down(self) -> None:
        self._end.set()
        if self._counting is not None:
            self._counting.join(10)
        for _, pods in self._pods.values():
            for pod in pods:
                pod.kill()
        if self._nginx is not None:
            self._nginx.stop()
        self.hub.down()
        self.remote.down()

    # ------------------------------------------------------------------ what an operator does

    def helm(self, cluster: Cluster, release: str, *values: Values) -> None:
        hosts: Values = {"api": {"extraHosts": [_EDGE, _SERVICE]}}
        super().helm(cluster, release, *values, hosts)

    def helm_test(self, cluster: Cluster, release: str) -> str:
        words = ("get", "hooks", release, f"--namespace={NAMESPACE}")
        hooks = yaml.safe_load_all(helm.helm(*words, kubeconfig=cluster.kubeconfig("admin")))
        pods = [self._start(cluster, hook) for hook in hooks if hook]
        return "\n".join(pod.finish(120) for pod in pods)

    def put_workloads(self) -> None:
        self.remote.apply(*workloads.objects())
        for name in (workloads.COUNTER, workloads.CRASHING):
            self.remote.kubectl("rollout", "status", f"deployment/{name}", "-n", workloads.NAMESPACE, timeout=90)
        log = self.remote.set_logs(workloads.NAMESPACE, self._pod_of(workloads.COUNTER), "line 0\n")
        self._counting = threading.Thread(target=self._count, args=(log,))
        self._counting.start()
        words = f"starting\n{workloads.LAST_WORDS}\n"
        crashing = self._pod_of(workloads.CRASHING)
        self.remote.set_logs(workloads.NAMESPACE, crashing, words, previous=words)
        self.remote.set_pod_status(workloads.NAMESPACE, crashing, workloads.crashed())

    def person(self, host: str, ca: bytes) -> Person:
        key = self.secret("kubently-api", "admin-key").decode()
        named = {} if host == DOMAIN else {"KUBENTLY_TLS_SERVER_NAME": host}
        address, port = self.edge
        return Person(self.folder / "people" / host, f"https://{address}:{port}", key, ca, more=named)

    def running_images(self, cluster: Cluster, component: str) -> set[str]:
        _, pods = self._pods[cluster.name, f"kubently-{component}"]
        return {pod.image for pod in pods}

    @contextmanager
    def rotation(self) -> Iterator[None]:
        given = self._given(self.hub)
        for (cluster, _), (_, pods) in self._pods.items():
            for pod in pods if cluster == self.hub.name else ():
                pod.mount(given)
        self._put_certificate(given)
        yield

    def _public_names(self) -> tuple[str, ...]:
        return (DOMAIN, _EDGE)

    # ------------------------------------------------------------------ in place of kubelet and kube-proxy

    def _settle(self, cluster: Cluster) -> None:
        """New pods first; when all are ready, the old ones end."""
        if cluster is self.hub:
            self._put_certificate(self._given(cluster))
        wanted = self._wanted(cluster)
        here = {key: value for key, value in self._pods.items() if key[0] == cluster.name}
        old = {key: pods for key, (made_of, pods) in here.items() if key not in wanted or wanted[key][0] != made_of}
        new = {key: value for key, value in wanted.items() if key not in self._pods or key in old}
        self._leaving = old.get((self.hub.name, "kubently-api"), [])
        for key, (made_of, template, count) in new.items():
            self._pods[key] = (made_of, [self._start(cluster, template) for _ in range(count)])
        until(self._all_ready, "all pods are ready", timeout=120)
        for key in old.keys() - wanted.keys():
            del self._pods[key]
        self._leaving = []
        self._serve()
        ending = [threading.Thread(target=pod.stop) for pods in old.values() for pod in pods]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join()

    def _wanted(self, cluster: Cluster) -> dict[tuple[str, str], tuple[str, Object, int]]:
        found = {}
        # Redis first: others are told where it is.
        for workload in self.shown(cluster, "statefulsets")["items"] + self.shown(cluster, "deployments")["items"]:
            template = workload["spec"]["template"]
            made_of = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()
            found[cluster.name, workload["metadata"]["name"]] = (made_of, template, workload["spec"]["replicas"])
        return found

    def _start(self, cluster: Cluster, template: Object) -> Pod:
        given = self._given(cluster)
        number = next(self._numbers)
        address, port = self.edge
        meanings = {f"https://{DOMAIN}": f"https://{address}:{port}", "kubently-api": _SERVICE}
        redis = self._pods.get((cluster.name, "kubently-redis-master"))
        if redis:
            meanings["kubently-redis-master"] = redis[1][0].address
        folder = self.folder / "pods" / str(number)
        pod = Pod(template, given, folder, f"{_PODS}.{number}", meanings)
        pod.start(given, self._account(cluster, template["spec"], folder))
        return pod

    def _account(self, cluster: Cluster, spec: Object, folder: Path) -> Mapping[str, str]:
        """Who has a service account in a pod has a kubeconfig with its token here."""
        if not spec.get("automountServiceAccountToken"):
            return {}
        words = ("create", "token", spec["serviceAccountName"], "-n", NAMESPACE, "--duration=2h")
        config: dict[str, Any] = json.loads(cluster.kubeconfig("admin").read_text())
        config["users"][0]["user"] = {"token": cluster.kubectl(*words).stdout.strip()}
        (folder / "kubeconfig").write_text(json.dumps(config))
        return {"KUBENTLY_KUBECONFIG": str(folder / "kubeconfig")}

    def _given(self, cluster: Cluster) -> Given:
        secrets = {
            item["metadata"]["name"]: {key: base64.b64decode(value) for key, value in item.get("data", {}).items()}
            for item in self.shown(cluster, "secrets")["items"]
        }
        configs = {
            item["metadata"]["name"]: {key: value.encode() for key, value in item.get("data", {}).items()}
            for item in self.shown(cluster, "configmaps")["items"]
        }
        return Given(secrets, configs)

    def _put_certificate(self, given: Given) -> None:
        """What the Ingress names is what the edge serves."""
        (ingress,) = self.shown(self.hub, "ingresses")["items"]
        (entry,) = ingress["spec"]["tls"]
        folder = self.folder / "edge"
        folder.mkdir(exist_ok=True)
        # Both files change at once, as kubelet does it.
        made = self.folder / f"edge-{next(self._numbers)}"
        made.mkdir()
        for name in ("tls.crt", "tls.key"):
            (made / name).write_bytes(given.secrets[entry["secretName"]][name])
        link = self.folder / "edge-current.new"
        link.symlink_to(made)
        link.rename(self.folder / "edge-current")

    def _all_ready(self) -> bool:
        self._serve()
        return all(pod.is_ready() for _, pods in self._pods.values() for pod in pods)

    def _serve(self) -> None:
        """Let nginx know which of the API's pods take requests."""
        _, pods = self._pods.get((self.hub.name, "kubently-api"), ("", []))
        ready = [f"{pod.address}:8080" for pod in (*self._leaving, *pods) if pod.is_ready()] or [_NOBODY]
        folder = self.folder / "edge"
        listen, user = "{}:{}".format(*self.edge), "" if os.geteuid() else "root"
        certificate = str(self.folder / "edge-current")
        text = edge.nginx(listen, certificate, ready, plain=f"{_SERVICE}:8080", user=user, scratch=str(folder))
        if text == self._served:
            return
        self._served = text
        (folder / "nginx.conf").write_text(text)
        if self._nginx is not None:
            self._nginx.send(signal.SIGHUP)
            return
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin")
        assert nginx is not None, "nginx is not installed"
        argv: list[str | Path] = [nginx, "-c", folder / "nginx.conf", "-e", folder / "error.log", "-g", "daemon off;"]
        self._nginx = Process(argv, log=folder / "log", env={}, cwd=folder)

    # ------------------------------------------------------------------ in place of workloads

    def _pod_of(self, name: str) -> str:
        words = ("get", "pods", "-n", workloads.NAMESPACE, "-l", f"app={name}", "-o", "name")
        return self.remote.kubectl(*words).stdout.strip().removeprefix("pod/")

    def _count(self, log: Path) -> None:
        for number in itertools.count(1):
            if self._end.wait(0.2):
                return
            with log.open("a") as file:
                file.write(kwok.cri_lines(f"line {number}\n"))
