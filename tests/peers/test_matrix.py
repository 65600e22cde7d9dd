"""What executor and command line say of real servers that are wrong in one way each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from kubently.cli.app import root
from kubently.doctor import results
from tests.integration.test_trust_matrix import cli, client_pair, executor_fails
from tests.integration.tls_peers import DAY, Identity, Wish, authority, make, server
from tests.peers.servers import PROXIES, SERVERS, Plan, running

FOREIGN = tuple(kind for kind in SERVERS if kind != "kubently")
"""Ours lets clients without a certificate into TLS, and says what it thinks of them in words."""

ROOT, OTHER = authority(), authority("Other Root")
MIDDLE = make(Wish("Test Middle", ca=True), ROOT)


@dataclass(frozen=True)
class Row:
    """One way to be wrong; {url} stands in *says* for the URL."""

    chain: Sequence[Identity]
    code: str
    says: str
    host: str = "localhost"
    scheme: str = "https"
    clients: Identity | None = None
    shows: Callable[[Path], Mapping[str, str]] = lambda _: {}
    plan: Mapping[str, object] = field(default_factory=dict)
    servers: Sequence[str] = SERVERS


def person(issuer: Identity, **wish: object) -> Callable[[Path], Mapping[str, str]]:
    """An environment with a client certificate."""
    made = make(Wish("executor", usage=ExtendedKeyUsageOID.CLIENT_AUTH, **wish), issuer)  # type: ignore[arg-type]
    return lambda folder: client_pair(folder, made)


GOOD = server(issuer=ROOT)
ROWS = {
    "expired": Row(
        [server(issuer=ROOT, begins=-9 * DAY, ends=-2 * DAY)],
        "tls-expired",
        "the certificate of {url} expired 2 d ago (",
    ),
    "not yet valid": Row(
        [server(issuer=ROOT, begins=DAY)], "tls-not-yet-valid", "the certificate of {url} is valid only from "
    ),
    "wrong host": Row(
        [server("a.example", ROOT)],
        "tls-wrong-host",
        "the certificate of {url} is for another name: it is for a.example, not for localhost",
    ),
    "common name only": Row([server(issuer=ROOT, names=())], "tls-no-san", "the certificate of {url} lists no names: "),
    "address in the URL": Row(
        [GOOD], "tls-ip-in-url", "the certificate of {url} does not list the address", host="127.0.0.1"
    ),
    "self-signed": Row([server()], "tls-self-signed", "{url} shows a self-signed certificate that is not trusted here"),
    "default certificate": Row(
        [make(Wish("Kubernetes Ingress Controller Fake Certificate", names=("ingress.local",)))],
        "tls-self-signed",
        "{url} shows an ingress controller's default certificate (",
    ),
    "unknown CA": Row(
        [server(issuer=OTHER)],
        "tls-unknown-ca",
        'the certificate of {url} is signed by a CA that is not trusted here: "Other Root" is not among the ',
    ),
    "unknown CA, sent": Row(
        [server(issuer=OTHER), OTHER], "tls-unknown-ca", "the certificate of {url} is signed by a CA that"
    ),
    "missing intermediate": Row(
        [server(issuer=MIDDLE, where="http://ca.example/m.crt")],
        "tls-missing-intermediate",
        '{url} sends an incomplete chain: "Test Middle", which signed "localhost"',
    ),
    "not for servers": Row(
        [server(issuer=ROOT, usage=ExtendedKeyUsageOID.CLIENT_AUTH)],
        "tls-wrong-usage",
        "the certificate of {url} is not for servers (",
        servers=("nginx", "haproxy", "caddy", "openssl", "kubently"),  # Envoy does not start with it
    ),
    "weak key": Row(
        [server(issuer=ROOT, key=lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024))],
        "tls-weak",
        "a key or signature in the chain of {url} is too weak (",
        plan={"only": "1.2"},
        servers=("nginx", "haproxy"),
    ),
    "TLS 1.1 only": Row(
        [GOOD],
        "tls-version",
        "{url} offers no TLS version that is accepted here, 1.2 or later (",
        plan={"only": "1.1"},
        servers=("nginx", "haproxy", "openssl"),
    ),
    "client certificate wanted": Row(
        [GOOD],
        "tls-client-cert-required",
        "{url} wants a client certificate, and none is configured (",
        clients=ROOT,
        servers=FOREIGN,
    ),
    "client certificate of another CA": Row(
        [GOOD],
        "tls-client-cert-refused",
        "{url} does not accept our client certificate (",
        clients=ROOT,
        shows=person(OTHER),
        servers=FOREIGN,
    ),
    "client certificate expired": Row(
        [GOOD],
        "tls-client-cert-expired",
        "{url} does not accept our client certificate: it expired 3 d ago (",
        clients=ROOT,
        shows=person(ROOT, begins=-9 * DAY, ends=-3 * DAY),
        servers=FOREIGN,
    ),
    "http to the https port": Row([GOOD], "tls-expected", "{url} speaks TLS on that port", scheme="http"),
    "redirect to another host": Row(
        [GOOD],
        "redirected",
        "{url} redirects to https://sso.example/login",
        plan={"redirect": "https://sso.example/login"},
        servers=PROXIES,
    ),
    "default backend": Row([GOOD], "not-kubently", "{url} answers", plan={"status": 404}, servers=PROXIES),
    "nothing behind it": Row([GOOD], "bad-gateway", "a proxy in front of {url} answered 50", servers=PROXIES),
}

CASES = [(name, kind) for name, row in ROWS.items() for kind in row.servers]


@pytest.mark.parametrize(("name", "kind"), CASES, ids=[f"{kind}-{name}" for name, kind in CASES])
def test_row(name: str, kind: str, tmp_path: Path) -> None:
    row = ROWS[name]
    plan = Plan(
        [identity.pem for identity in row.chain],
        row.chain[0].key_pem,
        clients=row.clients.pem if row.clients else b"",
        **row.plan,  # type: ignore[arg-type]
    )
    environ = {"KUBENTLY_CA_CERT": ROOT.pem.decode(), **row.shows(tmp_path)}
    with running(kind, tmp_path, plan) as peer:
        url = peer.url(row.scheme, row.host)
        logged, supervisor = executor_fails(url, environ)
        printed = cli(url, environ, tmp_path)
        found = doctor_code(url, environ, tmp_path)

    says = row.says.format(url=url)
    assert logged.fields["code"] == row.code, logged.fields
    assert logged.fields["reason"].startswith(says)
    assert f"[{row.code}]" in supervisor.problem
    first = printed.stderr.splitlines()[0]
    assert first.startswith("error: ")
    assert first.endswith(f" [{row.code}]")
    assert found == row.code


def doctor_code(url: str, environ: Mapping[str, str], folder: Path) -> str:
    """The code of the first fault that the doctor finds."""
    names = ("KUBENTLY_CA_CERT", "SSL_CERT_FILE", "SSL_CERT_DIR", "KUBENTLY_PROFILE", "KUBENTLY_API_KEY")
    clean = {**dict.fromkeys(names), "KUBENTLY_CONFIG": str(folder / "config.json"), **environ}
    run = CliRunner().invoke(root, ["doctor", "--url", url, "-o", "json"], env=clean)
    assert run.exit_code == results.ERRORS, run.output
    return next(str(c["code"]) for c in json.loads(run.stdout)["checks"] if c["status"] == "error")
