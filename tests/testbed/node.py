"""A Kubernetes cluster with one real node: containerd, runc, kubelet, kube-proxy and CoreDNS, in namespaces of its own.

Pods are real, with real logs, probes, Services, names, Secrets that change in them, and crashes. Several clusters run
beside each other, and reach each other and this machine at `Node.address`. What is not there: NetworkPolicy is not
enforced, volumes are not made on demand, and no container can reach beyond this machine. Root is needed, and more: see
`namespaces.obstacle`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.testbed import binaries, namespaces, node_files
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until

_CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_NODE = ("containerd", "kubelet", "kube-proxy")
_HELPERS = ("containerd-shim-runc-v2", "ctr")


class Node(Cluster):
    """The cluster *name*; *index* (2 to 254) is its own on this machine.

    *images* is an OCI archive: nothing can be pulled. *names* are addresses by name that its pods can resolve.
    """

    def __init__(
        self, name: str, folder: Path, *, index: int, images: Path, names: Mapping[str, str] | None = None
    ) -> None:
        self.address = namespaces.address(index)
        super().__init__(name, folder, nodes=0, host=self.address)
        self._components = (*_CONTROL_PLANE, *_NODE)
        self._space = namespaces.Namespaces(name, index, folder)
        self._images = images
        self._names = names or {}
        self._pool = ThreadPoolExecutor(1)
        self._importing: Future[None] = Future()
        self.node = f"{name}-node"

    # ------------------------------------------------------------------ life

    def launch(self) -> None:
        """Make the namespaces, start containerd, etcd and the API server, and begin to import the images."""
        for program in _HELPERS:
            binaries.find(program)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._space.up()
        (self._folder / "resolv.conf").write_text("")
        self._start_containerd()
        self._importing = self._pool.submit(self._import, binaries.find("ctr"))
        super().launch()

    def wait_ready(self) -> None:
        """Wait for the API server, start the rest and wait until pods run and names resolve."""
        self.wait_api()
        self.start("kube-controller-manager")
        self.start("kube-scheduler")
        self._importing.result()
        self._start_node()
        self.kubectl("wait", "--for=create", f"node/{self.node}", "--timeout=60s", timeout=90)
        self.kubectl("wait", "--for=condition=Ready", f"node/{self.node}", "--timeout=90s", timeout=120)
        self.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s", timeout=90)
        self.create(*node_files.coredns(self._names))
        self.rolled_out("kube-system", "deployment/coredns")

    def down(self) -> None:
        """End everything and remove the folder. Idempotent."""
        self._space.down()
        self._pool.shutdown()
        for process in self._processes.values():
            process.kill()
        self._processes.clear()
        # Mounts of a namespace that ended go a moment later.
        until(self._remove_folder, f"the end of {self.name}'s mounts")

    def stop(self, component: str) -> None:
        """End a component: an outage until `start`."""
        process = self._processes.pop(component)
        for child in _children(process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        process.wait(30)

    def cut(self, *, is_cut: bool) -> None:
        """Cut the cluster off from this machine and all other clusters, or heal that."""
        self._space.cut(is_cut=is_cut)

    # ------------------------------------------------------------------ use

    def rolled_out(self, namespace: str, workload: str, timeout: int = 120) -> None:
        """Wait until a workload is as it should be."""
        self.kubectl("rollout", "status", workload, "-n", namespace, f"--timeout={timeout}s", timeout=timeout + 30)

    def make_folder(self, path: str) -> None:
        """Make a folder on the node, for a volume."""
        self._space.run("mkdir", "-p", path)

    def execute(self, namespace: str, pod: str, *argv: str, check: bool = True) -> str:
        """Run a program in a pod (or deployment/name); what it prints."""
        result = self.kubectl("exec", "-n", namespace, pod, "--", *argv, check=check)
        return result.stdout + result.stderr

    # ------------------------------------------------------------------ parts

    def _entrance(self) -> Sequence[str | Path]:
        return self._space.entrance()

    def _start_containerd(self) -> None:
        runc = shutil.which("runc")
        assert runc is not None
        folder = self._folder
        (folder / "containerd.toml").write_text(node_files.containerd(folder, runc))
        (folder / "cni").mkdir()
        (folder / "cni" / "10-pods.conflist").write_text(json.dumps(node_files.cni(folder)))
        self.start("containerd")

    def _import(self, ctr: Path) -> None:
        words = (ctr, "-a", node_files.SOCKET, "-n", "k8s.io")
        until(lambda: self._space.run(*words, "version", check=False).returncode == 0, "containerd", timeout=60)
        self._space.run(*words, "images", "import", self._images, timeout=300)

    def _start_node(self) -> None:
        self._issue("kubelet", self.node, names=(self.node, self.address))
        configuration = node_files.kubelet(self._folder, self._pki, self._space.cgroup)
        (self._folder / "kubelet.json").write_text(json.dumps(configuration))
        kubeconfig = self.kubeconfig("system:kube-proxy")
        (self._folder / "kube-proxy.json").write_text(json.dumps(node_files.kube_proxy(kubeconfig, self.node)))
        self.start("kubelet")
        self.start("kube-proxy")

    def _arguments(self, component: str) -> Iterator[str]:
        if component == "containerd":
            return iter((f"--config={self._folder}/containerd.toml",))
        if component == "kubelet":
            return self._kubelet()
        if component == "kube-proxy":
            return iter((f"--config={self._folder}/kube-proxy.json",))
        return super()._arguments(component)

    def _kubelet(self) -> Iterator[str]:
        kubeconfig = self.kubeconfig(f"system:node:{self.node}", ["system:nodes"])
        yield from (f"--config={self._folder}/kubelet.json", f"--kubeconfig={kubeconfig}")
        yield from (f"--hostname-override={self.node}", f"--node-ip={self.address}", "--root-dir=/var/lib/kubelet")

    def _apiserver(self) -> Iterator[str]:
        yield from super()._apiserver()
        # So that an edge can have port 443 of the node, as a load balancer would give it.
        yield "--service-node-port-range=80-32767"

    def _environment(self) -> Mapping[str, str]:
        shim = binaries.find(_HELPERS[0]).parent
        return {**super()._environment(), "PATH": f"{shim}:{os.environ.get('PATH', '')}"}

    def _remove_folder(self) -> bool:
        shutil.rmtree(self._folder, ignore_errors=True)
        return not self._folder.exists()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
