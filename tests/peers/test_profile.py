"""Our own listener against Mozilla's intermediate profile, by a scanner that is not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubently import trust
from kubently.client import Api
from kubently.errors import KubentlyError
from tests.peers.servers import PATH
from tests.testbed.processes import Process, free_ports, until

CONFIGURATION = Path(__file__).resolve().parents[2] / "deployment" / "docker" / "openssl.cnf"
KUBENTLY = Path(sys.executable).with_name("kubently")


def scanner() -> str:
    """sslyze, which lives apart: it wants other versions of our libraries."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "~")).expanduser() / ".cache"
    found = shutil.which("sslyze") or shutil.which("sslyze", path=str(Path(cache, "kubently", "sslyze", "bin")))
    if found is None:
        if os.environ.get("TESTBED_REQUIRED"):
            raise AssertionError("sslyze is not installed")
        pytest.skip("sslyze is not installed: python -m venv ~/.cache/kubently/sslyze, and pip install sslyze there")
    return found


@contextmanager
def api(folder: Path, configuration: Path | None) -> Iterator[tuple[int, Path]]:
    """``kubently api`` with a TLS listener of its own: its port, and its CA."""
    authority = trust.make_authority("profile")
    ca = folder / "ca.crt"
    ca.write_bytes(authority.cert)
    trust.issue(authority, ["localhost"]).write(folder / "tls.crt", folder / "tls.key")
    plain, port = free_ports(2)
    environ = {
        "PATH": PATH,
        "HOME": str(folder),
        "KUBENTLY_LISTEN": f"127.0.0.1:{plain}",
        "KUBENTLY_TLS_LISTEN": f"127.0.0.1:{port}",
        "KUBENTLY_TLS_CERT": str(folder / "tls.crt"),
        "KUBENTLY_TLS_KEY": str(folder / "tls.key"),
        "KUBENTLY_ADMIN_KEY": "profile-admin-key-0123456789",
        **({"OPENSSL_CONF": str(configuration)} if configuration else {}),
    }
    process = Process([KUBENTLY, "api"], log=folder / "log", env=environ, cwd=folder)
    client = Api(f"https://localhost:{port}", "profile-admin-key-0123456789", ca=str(ca))

    def answers() -> bool:
        assert process.is_running, process.tail()
        try:
            return bool(client.get("/healthz"))
        except KubentlyError:
            return False

    try:
        until(answers, "the API answers")
        yield port, ca
    finally:
        process.stop()


def scan(port: int, ca: Path) -> tuple[int, str]:
    """sslyze's exit code and what it says of the profile."""
    argv = [scanner(), "--mozilla_config=intermediate", f"--certinfo_ca_file={ca}", f"localhost:{port}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.partition("COMPLIANCE AGAINST TLS CONFIGURATION")[2]


def test_the_images_configuration_passes(tmp_path: Path) -> None:
    with api(tmp_path, CONFIGURATION) as (port, ca):
        code, said = scan(port, ca)

    assert "OK - Compliant" in said, said
    assert code == 0


def test_without_it_the_scan_finds_the_groups_and_nothing_else(tmp_path: Path) -> None:
    with api(tmp_path, None) as (port, ca):
        code, said = scan(port, ca)

    assert code != 0
    found = [line.strip() for line in said.splitlines() if line.strip().startswith("* ")]
    assert [line.partition(":")[0] for line in found] == ["* tls_curves"], said
