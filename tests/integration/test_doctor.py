"""The doctor and `kubently cert` against real TLS servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.integration.tls_peers import DAY, Identity, authority, server, tls
from tests.unit.trust.servers import serving

from kubently.cli.app import root

ROOT = authority()
CHAINS: dict[str, Callable[[], list[Identity]]] = {
    "tls-expired": lambda: [server(issuer=ROOT, begins=-3 * DAY, ends=-DAY)],
    "tls-wrong-host": lambda: [server("other.example", issuer=ROOT)],
    "tls-unknown-ca": lambda: [server(issuer=authority("Other Root"))],
    "tls-self-signed": lambda: [server()],
}


def _doctor(url: str, ca: Path) -> tuple[int, dict[str, dict[str, str]]]:
    run = CliRunner().invoke(
        root, ["doctor", "--url", url, "--ca", str(ca), "-o", "json"], env={"HOME": str(ca.parent)}
    )
    return run.exit_code, {check["id"]: check for check in json.loads(run.stdout)["checks"]}


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_bytes(ROOT.pem)
    return path


@pytest.mark.parametrize("code", CHAINS)
def test_fault_of_a_chain_has_its_code(code: str, ca: Path, tmp_path: Path) -> None:
    with serving(tls(tmp_path, CHAINS[code]())) as port:
        exit_code, checks = _doctor(f"https://localhost:{port}", ca)

    assert (exit_code, checks["tls-handshake"]["status"], checks["tls-handshake"]["code"]) == (3, "error", code)
    assert checks["http-health"]["status"] == "skipped"


def test_plain_http_behind_https_is_told(ca: Path) -> None:
    with serving(lambda c: c.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")) as port:
        _, checks = _doctor(f"https://localhost:{port}", ca)

    assert checks["tls-handshake"]["code"] == "tls-plain-http"


def test_something_else_than_kubently_is_told(ca: Path, tmp_path: Path) -> None:
    with serving(tls(tmp_path, [server(issuer=ROOT)])) as port:
        _, checks = _doctor(f"https://localhost:{port}", ca)

    assert checks["tls-handshake"]["status"] == "pass"
    assert checks["http-health"]["code"] == "not-kubently"


@pytest.mark.parametrize(
    ("begins", "ends", "exit_code"),
    [(-DAY, 60 * DAY, 0), (-100 * DAY, 3 * DAY, 3), (-100 * DAY, 10 * DAY, 4), (timedelta(hours=-1), 2 * DAY, 0)],
)
def test_cert_check_judges_by_days_or_by_share(
    begins: timedelta, ends: timedelta, exit_code: int, tmp_path: Path
) -> None:
    with serving(tls(tmp_path, [server(issuer=ROOT, begins=begins, ends=ends)])) as port:
        run = CliRunner().invoke(root, ["cert", "check", "--fail-on", "warning", f"localhost:{port}"])

    assert run.exit_code == exit_code, run.output


def test_a_trusted_ca_that_inspects_is_a_warning(ca: Path, tmp_path: Path) -> None:
    inspector = authority("Zscaler Intermediate Root CA")
    ca.write_bytes(inspector.pem)
    with serving(tls(tmp_path, [server(issuer=inspector)])) as port:
        _, checks = _doctor(f"https://localhost:{port}", ca)

    assert checks["tls-handshake"]["status"] == "pass"
    assert (checks["tls-inspection"]["status"], checks["tls-inspection"]["code"]) == ("warning", "tls-inspected")


def test_every_address_is_tried_and_the_certificate_without_a_name_shown(ca: Path, tmp_path: Path) -> None:
    with serving(tls(tmp_path, [server(issuer=ROOT)])) as port:
        _, checks = _doctor(f"https://127.0.0.1:{port}", ca)
        _, named = _doctor(f"https://localhost:{port}", ca)

    assert checks["tcp-addresses"]["status"] == "pass"
    assert list(checks["tcp-addresses"]["evidence"]["addresses"]) == ["127.0.0.1"]  # type: ignore[index]
    assert named["tls-name"]["detail"] == "the same certificate without a name"


@pytest.mark.parametrize(
    ("url", "exceptions", "code"),
    [
        ("https://kubently-api.kubently.svc:8443", "", "proxy-internal"),
        ("https://kubently-api.kubently.svc:8443", ".svc", ""),
        ("https://kubently-api", "", "proxy-internal"),
        ("https://api.example.com", "", ""),
        ("https://[2001:db8::1]", "", ""),
    ],
)
def test_an_internal_name_that_a_proxy_would_be_asked_for_is_told(
    url: str, exceptions: str, code: str, tmp_path: Path
) -> None:
    env = {"HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": exceptions}
    skip = [word for check in ("dns-resolves", "tcp-connects") for word in ("--skip", check)]

    run = CliRunner().invoke(root, ["doctor", "--url", url, "--only", "dns", "-o", "json", *skip], env=env)

    checks = {check["id"]: check for check in json.loads(run.stdout)["checks"]}
    assert checks["dns-proxy"]["code"] == code


def test_cert_commands_say_what_a_person_wants_to_know(tmp_path: Path) -> None:
    over = server("old.example", issuer=ROOT, begins=-9 * DAY, ends=-2 * DAY)
    file = tmp_path / "chain.pem"
    file.write_bytes(over.pem + ROOT.pem)

    shown = CliRunner().invoke(root, ["cert", "show", str(file)]).stdout.splitlines()
    checked = CliRunner().invoke(root, ["cert", "check", str(file), "localhost:1"])

    assert next(line for line in shown if line.startswith("    left")) == "    left     over for 2.0 d"
    assert "    issuer   itself" in shown
    assert "    key      ECDSA 256, signed with SHA-256" in shown
    first, second, third = checked.stdout.splitlines()
    assert first == f'error    {file}  "old.example"  over for 2.0 d'
    assert second.startswith(f'ok       {file}  "Test Root"  ')
    assert third == "error    localhost:1  shows no certificate"
    assert checked.exit_code == 3
