"""Real cert-manager and an ACME server behind the chart: its own chain, issuance, and renewals under load."""

from __future__ import annotations

import base64
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from kubently.client import Api
from kubently.settings import TrustSettings
from tests.chart import cases
from tests.e2e.harness import ADMIN_KEY, ApiProcess, Cli, Fleet
from tests.testbed import acme, releases
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until

LIFETIME = 60
RENEWED = ("--set", "tls.external.renewBeforePercentage=75")
"""So that they are renewed after a quarter of their life, and the rest of it is left for slow machines."""
HOST = "api.kubently.example.com"
# What cert-manager writes stays when the chart is removed: it is no object of Helm's.
KEPT = {"secret/kubently-api-tls", "secret/kubently-ca", "persistentvolumeclaim/data-kubently-redis-master-0"}


class NamedApi(ApiProcess):
    """One whose certificate is for its DNS name, though it is dialled on this machine."""

    def client(self, key: str = ADMIN_KEY) -> Api:
        return Api(self.url, key, settings=TrustSettings(ca_cert=str(self.ca), server_name=HOST))


@dataclass(frozen=True)
class Issued:
    """Scenario 1 and the API of scenario 3, installed beside each other."""

    internal: releases.Release
    external: releases.Release
    pebble: acme.Pebble


@pytest.fixture(scope="module")
def issued(cluster: Cluster, folder: Path) -> Iterator[Issued]:
    with ExitStack() as stack:
        edge = stack.enter_context(acme.Edge(cluster))
        pebble = stack.enter_context(acme.Pebble(folder / "pebble", edge.port, lifetime=LIFETIME))
        stack.enter_context(acme.CertManager(cluster, folder / "cert-manager", edge.port))
        cluster.create(pebble.issuer("letsencrypt-prod"))
        spaces = [stack.enter_context(releases.namespace(cluster, f"issued-{name}")) for name in ("inside", "outside")]
        case_inside, case_outside = (cases.named(f"guide-scenario-{name}") for name in ("1", "3-api"))
        inside = releases.Release(cluster, case_inside.release, spaces[0])
        outside = releases.Release(cluster, case_outside.release, spaces[1])
        outside.install({}, *RENEWED, files=[case_outside.path])
        inside.install({}, files=[case_inside.path])
        yield Issued(inside, outside, pebble)
        cluster.kubectl("delete", "clusterissuer", "letsencrypt-prod")


def wait_ready(release: releases.Release, *names: str) -> None:
    words = ("--for=condition=Ready", *(f"certificate/{name}" for name in names), "-n", release.namespace)
    release.cluster.kubectl("wait", *words, "--timeout=60s", timeout=90)


def pem(release: releases.Release, secret: str, key: str) -> bytes:
    return base64.b64decode(release.secret(secret)[key])


def names_in(pem: bytes) -> set[str]:
    leaf = x509.load_pem_x509_certificate(pem)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


def verify(folder: Path, root: bytes, chain: bytes, *words: str) -> str:
    """By OpenSSL, as strictly as Python 3.13 does."""
    (folder / "root.crt").write_bytes(root)
    (folder / "chain.crt").write_bytes(chain)
    argv = ["openssl", "verify", "-x509_strict", "-CAfile", str(folder / "root.crt")]
    argv += ["-untrusted", str(folder / "chain.crt"), *words, str(folder / "chain.crt")]
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_own_chain_is_ready_and_verifies(issued: Issued, tmp_path: Path) -> None:
    wait_ready(issued.internal, "kubently-ca", "kubently-api-tls")

    chain, root = (pem(issued.internal, "kubently-api-tls", key) for key in ("tls.crt", "ca.crt"))
    assert root == pem(issued.internal, "kubently-ca", "tls.crt")
    assert verify(tmp_path, root, chain, "-verify_hostname", "kubently-api").endswith("OK\n")
    assert {"kubently-api", "kubently-api.issued-inside.svc.cluster.local", "kubently.local"} <= names_in(chain)
    assert x509.load_pem_x509_certificate(root).extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_acme_issues_for_the_domain(issued: Issued, tmp_path: Path) -> None:
    wait_ready(issued.external, "kubently-api-tls")

    chain = pem(issued.external, "kubently-api-tls", "tls.crt")
    assert names_in(chain) == {HOST}
    assert verify(tmp_path, issued.pebble.root().encode(), chain, "-verify_hostname", HOST).endswith("OK\n")
    assert "verification failed" in verify(
        tmp_path, pem(issued.internal, "kubently-ca", "tls.crt"), chain, "-verify_hostname", HOST
    )


def test_renewal_loses_no_command_and_no_tunnel(issued: Issued, cluster: Cluster, folder: Path) -> None:
    """The API serves what stands in the Secret, as a mounted volume shows it; the executor trusts the root alone."""
    wait_ready(issued.external, "kubently-api-tls")
    here = folder / "renewal"
    mount = here / "mount"
    mount.mkdir(parents=True)
    files = {"KUBENTLY_TLS_CERT": str(mount / "tls.crt"), "KUBENTLY_TLS_KEY": str(mount / "tls.key")}
    named = {"KUBENTLY_TLS_SERVER_NAME": HOST}
    api = NamedApi(here / "api", extra=files)
    api.ca.write_text(issued.pebble.root())
    cli = Cli({**Cli.of(api, here / "cli").environ, **named})
    fleet = Fleet(api, cli, here)
    with ExitStack() as stack:
        stack.enter_context(mounted(issued.external, "kubently-api-tls", mount))
        stack.callback(fleet.stop)
        api.start()
        executor = fleet.add("b", cluster.kubeconfig("admin"), extra=named)
        until(lambda: cli.run("b", "get", "nodes").code == 0, "connected", every=0.3)
        first, results = served(api), []

        def renewed() -> bool:
            results.append(cli.run("b", "get", "nodes"))
            return served(api) != first

        until(renewed, "another certificate is served", timeout=LIFETIME, every=0.2)
        results += [cli.run("b", "get", "nodes") for _ in range(3)]

        assert len(results) > 5
        assert {done.code for done in results} == {0}, [done.err for done in results if done.code]
        events = {line["event"] for line in executor.log()}
        assert "connected to the API" in events
        assert "the session ended" not in events


def served(api: ApiProcess) -> str:
    """The certificate that a handshake shows."""
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{api.port}", "-servername", HOST]
    said = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20).stdout
    return said[said.index("-----BEGIN") : said.index("-----END")]


@contextmanager
def mounted(release: releases.Release, secret: str, folder: Path) -> Iterator[None]:
    """Keeps files in *folder* as a Secret is, as a kubelet does for a volume, while the block runs."""
    ended = threading.Event()

    def write() -> None:
        for key in ("tls.crt", "tls.key"):
            new = folder / f".{key}"
            new.write_bytes(pem(release, secret, key))
            new.rename(folder / key)

    def follow() -> None:
        while not ended.wait(1):
            write()

    write()
    kubelet = threading.Thread(target=follow)
    kubelet.start()
    try:
        yield
    finally:
        ended.set()
        kubelet.join()


def test_uninstalling_leaves_the_certificates_and_nothing_else(issued: Issued) -> None:
    for release in (issued.internal, issued.external):
        made = releases.everything(release.cluster, release.namespace)
        release.uninstall()
        release.cluster.kubectl("wait", "--for=delete", "pod", "--all", "-n", release.namespace, "--timeout=60s")
        owned = {name for name in made if "/kubently" in name or "/data-kubently" in name}

        def left(release: releases.Release = release, owned: set[str] = owned) -> set[str]:
            return releases.everything(release.cluster, release.namespace) & owned

        until(lambda left=left: left() <= KEPT, "the rest is gone", timeout=30, every=1)  # type: ignore[misc]
