"""The deployment guide, run as it stands: its files written, its commands given to a shell, in their order.

Both clusters are real control planes with simulated nodes; what needs pods that really run is run by ``tests/nodes``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.harness import ADMIN_KEY, ApiProcess
from tests.testbed import binaries, document, pki
from tests.testbed.cluster import Cluster
from tests.testbed.document import Block
from tests.testbed.helm import ROOT

NAMESPACE = "kubently"
BLOCKS = document.blocks()
ELSEWHERE = ("pods of the hub", "pods of the remote")


def test_every_block_says_what_it_is() -> None:
    places = {"hub", "remote", "person", *ELSEWHERE}

    assert len(BLOCKS) >= 40
    assert [b for b in BLOCKS if not (b.what == "file" or (b.what == "run" and b.where in places))] == []


class Desk:
    """Somebody who follows the guide: a folder with the repository's charts in it, a shell, two clusters, an API."""

    def __init__(self, folder: Path, hub: Cluster, remote: Cluster, api: ApiProcess) -> None:
        self.folder = folder
        self._clusters = {"hub": hub, "remote": remote}
        self._api = api
        self._section = ""
        for name in ("deployment", "helm"):
            (folder / name).symlink_to(ROOT / name)
        authority = pki.Authority("Company CA")
        pki.write(folder / "company-ca.crt", authority.cert)
        cert, key = authority.issue("api", names=["api.kubently.example.com"])
        pki.write(folder / "new.crt", cert)
        pki.write(folder / "new.key", key)

    def do(self, block: Block) -> None:
        """Follow one block. Raises AssertionError with what the shell said."""
        if block.section != self._section and block.what == "run" and block.where == "remote":
            self._clear("remote")
            self._section = block.section
        if block.what == "file":
            (self.folder / block.where).write_text(block.text)
        elif block.where not in ELSEWHERE:
            if block.where == "hub" and block.text.startswith("helm install"):
                self._clear("hub")
            self._run(block)
            if block.where == "hub" and block.text.startswith("helm install"):
                self._issue()

    def _issue(self) -> None:
        """What cert-manager would do, whose definitions are here without it: the Secret of the certificate."""
        files = "--from-file=tls.crt=new.crt --from-file=tls.key=new.key --from-file=ca.crt=company-ca.crt"
        secret = f"kubectl -n {NAMESPACE} create secret generic kubently-api-tls {files} --type=kubernetes.io/tls"
        shown = f"kubectl -n {NAMESPACE} get secret kubently-api-tls"
        self._run(Block("", "run", "hub", f"{shown} >/dev/null 2>&1 || {secret}"))

    def _run(self, block: Block) -> None:
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", block.text],
            cwd=self.folder,
            env=self._environ(block.where),
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"

    def _environ(self, where: str) -> Mapping[str, str]:
        programs = {Path(sys.executable).parent, binaries.find("helm").parent, Path("/usr/bin"), Path("/bin")}
        environ = {"PATH": ":".join(map(str, sorted(programs, reverse=True))), "HOME": str(self.folder)}
        if where in self._clusters:
            return {**environ, "KUBECONFIG": str(self._clusters[where].kubeconfig("admin"))}
        return {
            **environ,
            "KUBENTLY_URL": self._api.url,
            "KUBENTLY_API_KEY": ADMIN_KEY,
            "KUBENTLY_CA_CERT": str(self._api.ca),
        }

    def _clear(self, where: str) -> None:
        """Take away what an earlier part of the guide installed; volumes stay, as they do for everybody."""
        uninstall = f"helm list -n {NAMESPACE} -q | xargs -r -n1 helm uninstall -n {NAMESPACE} --wait"
        delete = f"kubectl delete secrets,configmaps --all -n {NAMESPACE} --ignore-not-found"
        self._run(Block("", "run", where, f"{uninstall}\n{delete}"))


@pytest.fixture(scope="module")
def desk(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("guide")
    api = ApiProcess(folder / "api")
    with Cluster("guide", folder / "remote", nodes=1) as remote:
        api.start()
        try:
            made = Desk(folder, cluster, remote, api)
            made.do(Block("", "run", "person", "kubently token create home"))
            yield made
        finally:
            api.stop()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("block", BLOCKS, ids=[f"{number}-{b.where}" for number, b in enumerate(BLOCKS)])
def test_block(desk: Desk, block: Block) -> None:
    desk.do(block)
