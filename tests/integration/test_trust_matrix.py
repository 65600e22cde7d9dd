"""What is wrong with a TLS connection, row by row: what the executor logs and what the command line prints.

Each row is a real handshake with a server of this test's; both programs read the same environment.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.integration import tls_peers
from tests.integration.tls_peers import DAY, Answer, Identity, Wish, authority, make, server
from tests.unit.trust.servers import serving

from kubently import trust
from kubently.client import Api
from kubently.client.api import ApiUnreachableError
from kubently.executor.supervisor import Supervisor
from kubently.main import root
from kubently.main.servers import BACKEND
from kubently.settings import ExecutorSettings, TimingSettings, TrustSettings

ROOT, OTHER = authority(), authority("Other Root")


@dataclass(frozen=True)
class Peer:
    """Who answers, and how the two programs are set up."""

    answer: Answer
    environ: Mapping[str, str] = field(default_factory=dict)
    host: str = "localhost"
    scheme: str = "https"


@dataclass(frozen=True)
class Row:
    """One row of the matrix; ``{url}`` stands in *says* for the URL, ``...`` for what is not compared."""

    make: Callable[[Path], Peer]
    code: str
    says: str


class NoApiServer:
    """The cluster does not answer, which does not matter here."""

    async def request(self, *_: object) -> NoApiServer:
        return self

    status = 503

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


class FirstFailure(logging.Handler):
    """Keeps what the executor logs of its first failed dial, and the warnings before it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.failed = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if record.getMessage() == "cannot connect to the API":
            self.failed.set()

    @property
    def fields(self) -> dict[str, Any]:
        return vars(next(r for r in self.records if r.getMessage() == "cannot connect to the API"))


def executor_fails(url: str, environ: Mapping[str, str]) -> tuple[FirstFailure, Supervisor]:
    """Run an executor until its first dial failed."""
    settings = ExecutorSettings(
        url, "prod", "token", trust=TrustSettings.from_env(environ), timing=TimingSettings(dial_timeout=5)
    )
    one = Supervisor(settings, None, NoApiServer(), capabilities={})  # type: ignore[arg-type]

    async def run() -> FirstFailure:
        handler = FirstFailure()
        logging.getLogger("kubently").addHandler(handler)
        try:
            with anyio.fail_after(30):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(one.run)
                    await handler.failed.wait()
                    tasks.cancel_scope.cancel()
        finally:
            logging.getLogger("kubently").removeHandler(handler)
        return handler

    return anyio.run(run, backend_options=BACKEND), one


def cli(url: str, environ: Mapping[str, str], folder: Path) -> Any:
    names = ("KUBENTLY_CA_CERT", "SSL_CERT_FILE", "SSL_CERT_DIR", "KUBENTLY_PROFILE")
    clean: dict[str, str | None] = dict.fromkeys(names)
    own = {"KUBENTLY_CONFIG": str(folder / "config.json"), "KUBENTLY_URL": url, "KUBENTLY_API_KEY": "key"}
    return CliRunner().invoke(root, ["clusters"], env={**clean, **own, **environ})


def trusting(ca: Identity, answer: Answer, **more: Any) -> Peer:
    return Peer(answer, {"KUBENTLY_CA_CERT": ca.pem.decode()}, **more)


def shows(*chain: Identity, **more: Any) -> Callable[[Path], Peer]:
    """A server that shows this chain, to clients that trust the test's root."""
    return lambda folder: trusting(ROOT, tls_peers.tls(folder, chain), **more)


def expired_above() -> tuple[Identity, Identity]:
    middle = make(Wish("Old Middle", ca=True, begins=-9 * DAY, ends=-2 * DAY), ROOT)
    return server(issuer=middle), middle


def signed_by_a_leaf() -> tuple[Identity, Identity]:
    no_ca = make(Wish("No CA", ca=False), ROOT)
    return server(issuer=no_ca), no_ca


def too_deep() -> tuple[Identity, ...]:
    flat = make(Wish("Flat", ca=True, path_length=0), ROOT)
    deep = make(Wish("Deep", ca=True), flat)
    return server(issuer=deep), deep, flat


def middle(name: str = "Test Middle", **wish: Any) -> Identity:
    return make(Wish(name, ca=True, **wish), ROOT)


def plain_http(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def no_http_either(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    connection.recv(4096)


def resets(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() sends RST


def old_tls(folder: Path) -> Peer:
    versions = (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1)
    return trusting(ROOT, tls_peers.tls(folder, [server(issuer=ROOT)], versions=versions))


def tls_1_2_where_1_3_is_wanted(folder: Path) -> Peer:
    versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    peer = trusting(ROOT, tls_peers.tls(folder, [server(issuer=ROOT)], versions=versions))
    return Peer(peer.answer, {**peer.environ, "KUBENTLY_TLS_MIN_VERSION": "1.3"})


def asks_clients(
    client: Identity | None = None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Callable[[Path], Peer]:
    def peer(folder: Path) -> Peer:
        answer = tls_peers.tls(folder, [server(issuer=ROOT)], versions=(version, version), clients=ROOT)
        found = trusting(ROOT, answer)
        if client is None:
            return found
        return Peer(answer, {**found.environ, **client_pair(folder, client)})

    return peer


def client_pair(folder: Path, client: Identity, key: Identity | None = None) -> dict[str, str]:
    (folder / "client.crt").write_bytes(client.pem)
    (folder / "client.key").write_bytes((key or client).key_pem)
    return {"KUBENTLY_CLIENT_CERT": str(folder / "client.crt"), "KUBENTLY_CLIENT_KEY": str(folder / "client.key")}


def person(issuer: Identity, **wish: Any) -> Identity:
    return make(Wish("executor", usage=ExtendedKeyUsageOID.CLIENT_AUTH, **wish), issuer)


def _weak_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


ROWS = {
    "expired": Row(
        shows(server(issuer=ROOT, begins=-9 * DAY, ends=-DAY - timedelta(hours=1))),
        "tls-expired",
        "the certificate of {url} expired 1 d ago (",
    ),
    "expired intermediate": Row(
        shows(*expired_above()), "tls-expired", 'the certificate "Old Middle" in the chain of {url} expired 2 d ago ('
    ),
    "not yet valid": Row(
        shows(server(issuer=ROOT, begins=DAY)), "tls-not-yet-valid", "the certificate of {url} is valid only from "
    ),
    "wrong host": Row(
        shows(server("a.example", ROOT, names=("a.example", "b.example"))),
        "tls-wrong-host",
        "the certificate of {url} is for another name: it is for a.example, b.example, not for localhost",
    ),
    "wrong server name": Row(
        lambda folder: Peer(
            tls_peers.tls(folder, [server(issuer=ROOT)]),
            {"KUBENTLY_CA_CERT": ROOT.pem.decode(), "KUBENTLY_TLS_SERVER_NAME": "api.internal"},
        ),
        "tls-wrong-host",
        "the certificate of {url} is for another name: it is for localhost, not for api.internal",
    ),
    "common name only": Row(
        shows(server(issuer=ROOT, names=())),
        "tls-no-san",
        'the certificate of {url} lists no names: "localhost" stands in its common name, which is not read',
    ),
    "address in the URL": Row(
        shows(server(issuer=ROOT), host="127.0.0.1"),
        "tls-ip-in-url",
        "the certificate of {url} does not list the address 127.0.0.1: it is for localhost",
    ),
    "self-signed": Row(
        shows(server()),
        "tls-self-signed",
        '{url} shows a self-signed certificate that is not trusted here ("localhost"',
    ),
    "default certificate of an ingress controller": Row(
        shows(make(Wish("Kubernetes Ingress Controller Fake Certificate", names=("ingress.local",)))),
        "tls-self-signed",
        "{url} shows an ingress controller's default certificate (",
    ),
    "unknown CA, leaf alone": Row(
        shows(server(issuer=OTHER)),
        "tls-unknown-ca",
        'the certificate of {url} is signed by a CA that is not trusted here: "Other Root" is not among the ',
    ),
    "unknown CA, with its root": Row(
        shows(server(issuer=OTHER), OTHER),
        "tls-unknown-ca",
        'the certificate of {url} is signed by a CA that is not trusted here: "Other Root" is not among the ',
    ),
    "same name, another key": Row(
        shows(server(issuer=authority())),
        "tls-unknown-ca",
        'the certificate of {url} is signed by a CA that is not trusted here: "Test Root" is trusted with another key',
    ),
    "missing intermediate, root sent": Row(
        shows(server(issuer=middle()), ROOT),
        "tls-missing-intermediate",
        '{url} sends an incomplete chain: "Test Middle", which signed "localhost" or the last of its chain, is not in '
        "it; what it sends above does not join on",
    ),
    "missing intermediate, leaf says where": Row(
        shows(server(issuer=middle(), where="http://ca.example/middle.crt")),
        "tls-missing-intermediate",
        '{url} sends an incomplete chain: "Test Middle", which signed "localhost" or the last of its chain, is not in '
        "it; the certificate says where to fetch it",
    ),
    "weak key": Row(
        shows(server(issuer=ROOT, key=_weak_key)), "tls-weak", "a key or signature in the chain of {url} is too weak ("
    ),
    "signer is no CA": Row(
        shows(*signed_by_a_leaf()),
        "tls-bad-signer",
        '"No CA", which signed the certificate of {url}, may not sign it (',
    ),
    "too deep": Row(
        shows(*too_deep()), "tls-bad-signer", '"Deep", which signed the certificate of {url}, may not sign it ('
    ),
    "not for servers": Row(
        shows(server(issuer=ROOT, usage=ExtendedKeyUsageOID.CLIENT_AUTH)),
        "tls-wrong-usage",
        "the certificate of {url} is not for servers (",
    ),
    "client certificate wanted, TLS 1.3": Row(
        asks_clients(),
        "tls-client-cert-required",
        "{url} wants a client certificate, and none is configured (",
    ),
    "client certificate wanted, TLS 1.2": Row(
        asks_clients(version=ssl.TLSVersion.TLSv1_2),
        "tls-client-cert-required",
        "{url} wants a client certificate, and none is configured (",
    ),
    "client certificate of another CA": Row(
        asks_clients(person(OTHER)), "tls-client-cert-refused", "{url} does not accept our client certificate ("
    ),
    "client certificate expired": Row(
        asks_clients(person(ROOT, begins=-9 * DAY, ends=-3 * DAY)),
        "tls-client-cert-expired",
        "{url} does not accept our client certificate: it expired 3 d ago (",
    ),
    "client key of another": Row(
        lambda folder: Peer(plain_http, client_pair(folder, person(ROOT), key=person(ROOT))),
        "tls-client-pair",
        "the client key ",
    ),
    "TLS 1.1 only": Row(old_tls, "tls-version", "{url} offers no TLS version that is accepted here, 1.2 or later ("),
    "TLS 1.2 where 1.3 is wanted": Row(
        tls_1_2_where_1_3_is_wanted,
        "tls-version",
        "{url} offers no TLS version that is accepted here, 1.3 or later (",
    ),
    "plain HTTP on the https port": Row(
        lambda _: Peer(plain_http), "tls-plain-http", "{url} does not speak TLS on that port, but plain HTTP"
    ),
    "neither TLS nor HTTP": Row(
        lambda _: Peer(no_http_either), "tls-not-spoken", "{url} does not speak TLS on that port"
    ),
    "TLS on the http port": Row(
        shows(server(issuer=ROOT), scheme="http"), "tls-expected", "{url} speaks TLS on that port"
    ),
    "reset in the handshake": Row(
        lambda _: Peer(resets), "tls-cut", "{url} cut the connection during or right after the TLS handshake"
    ),
    "name that is not found": Row(
        lambda _: Peer(plain_http, host="nowhere.invalid"),
        "dial-dns",
        "the name nowhere.invalid of {url} is not found (",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    peer = row.make(tmp_path)
    with serving(peer.answer) as port:
        url = f"{peer.scheme}://{peer.host}:{port}"
        logged, supervisor = executor_fails(url, peer.environ)
        printed = cli(url, peer.environ, tmp_path)

    says = row.says.format(url=url)
    assert logged.fields["code"] == row.code
    assert logged.fields["reason"].startswith(says)
    assert supervisor.problem == f"{logged.fields['reason']}; {logged.fields['hint']} [{row.code}]"
    first, second = printed.stderr.splitlines()
    assert first.startswith(f"error: {says}")
    assert first.endswith(f" [{row.code}]")
    assert second == f"  try: {logged.fields['hint']}"
    assert printed.exit_code == (64 if row.code == "tls-client-pair" else 69)


def test_nothing_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}"
    logged, _ = executor_fails(url, {})
    printed = cli(url, {}, tmp_path)

    assert logged.fields["code"] == "dial-refused"
    assert printed.stderr.startswith(f"error: nothing listens at {url} [dial-refused]\n")


# ---------------------------------------------------------------------- what is accepted


def _file(name: str, content: bytes) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / "cas").mkdir()
        (folder / "cas" / name).write_bytes(content)
        return str(folder / "cas" / name)

    return write


def _folder(folder: Path) -> str:
    return str(Path(_file("unhashed.crt", ROOT.pem)(folder)).parent)


ACCEPTED: Mapping[str, Callable[[Path], Mapping[str, str]]] = {
    "file": lambda folder: {"KUBENTLY_CA_CERT": _file("ca.crt", ROOT.pem)(folder)},
    "DER": lambda folder: {"KUBENTLY_CA_CERT": _file("ca.der", ROOT.der)(folder)},
    "text": lambda _: {"KUBENTLY_CA_CERT": ROOT.pem.decode()},
    "folder": lambda folder: {"KUBENTLY_CA_CERT": _folder(folder)},
    "exclusive": lambda _: {"KUBENTLY_CA_CERT": ROOT.pem.decode(), "KUBENTLY_CA_MODE": "exclusive"},
    "SSL_CERT_FILE": lambda folder: {"SSL_CERT_FILE": _file("ca.crt", ROOT.pem)(folder)},
    "SSL_CERT_DIR, names not hashed": lambda folder: {"SSL_CERT_DIR": _folder(folder)},
    "two CAs during a change": lambda _: {"KUBENTLY_CA_CERT": (OTHER.pem + ROOT.pem).decode()},
    "verification said to be on": lambda _: {"KUBENTLY_CA_CERT": ROOT.pem.decode(), "KUBENTLY_SSL_VERIFY": "true"},
    "TLS 1.3": lambda _: {"KUBENTLY_CA_CERT": ROOT.pem.decode(), "KUBENTLY_TLS_MIN_VERSION": "1.3"},
}


def accepted(answer: Answer, environ: Mapping[str, str], folder: Path) -> tuple[FirstFailure, Any]:
    """Both programs get through TLS; the server is no Kubently API, which the executor then says."""
    with serving(answer) as port:
        url = f"https://localhost:{port}"
        logged, _ = executor_fails(url, environ)
        printed = cli(url, environ, folder)
    assert logged.fields["reason"] == f"{url} answered the WebSocket upgrade with 200"
    assert printed.exit_code == 0, printed.stderr
    assert "no cluster has connected yet" in printed.stderr
    return logged, printed


@pytest.mark.parametrize("source", ACCEPTED)
def test_source_is_trusted(source: str, tmp_path: Path) -> None:
    accepted(tls_peers.tls(tmp_path, [server(issuer=ROOT)]), ACCEPTED[source](tmp_path), tmp_path)


def test_whole_chain_is_accepted(tmp_path: Path) -> None:
    between = middle()
    answer = tls_peers.tls(tmp_path, [server(issuer=between), between])

    accepted(answer, {"KUBENTLY_CA_CERT": ROOT.pem.decode()}, tmp_path)


def test_server_name_replaces_that_of_the_url(tmp_path: Path) -> None:
    environ = {"KUBENTLY_CA_CERT": ROOT.pem.decode(), "KUBENTLY_TLS_SERVER_NAME": "api.internal"}

    accepted(tls_peers.tls(tmp_path, [server("api.internal", ROOT)]), environ, tmp_path)


def test_ca_without_key_identifiers_is_accepted_by_every_python(tmp_path: Path) -> None:
    ca = authority("Plain Root", identifiers=False)
    answer = tls_peers.tls(tmp_path, [server(issuer=ca, identifiers=False)])

    accepted(answer, {"KUBENTLY_CA_CERT": ca.pem.decode()}, tmp_path)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificate_is_shown(version: ssl.TLSVersion, tmp_path: Path) -> None:
    peer = asks_clients(person(ROOT), version)(tmp_path)

    accepted(peer.answer, peer.environ, tmp_path)


def test_unverified_is_said_by_both(tmp_path: Path) -> None:
    environ = {"KUBENTLY_SSL_VERIFY": "false", "KUBENTLY_INSECURE_ACKNOWLEDGED": "i-understand"}

    logged, printed = accepted(tls_peers.tls(tmp_path, [server("other.example")]), environ, tmp_path)

    warned = next(r for r in logged.records if r.getMessage() == "the API's certificate is not verified")
    assert warned.levelno == logging.WARNING
    assert printed.stderr.startswith("warning: KUBENTLY_SSL_VERIFY=false: ")


def test_exclusive_trusts_no_other_source(tmp_path: Path) -> None:
    file = _file("ca.crt", ROOT.pem)(tmp_path)
    environ = {"KUBENTLY_CA_CERT": OTHER.pem.decode(), "KUBENTLY_CA_MODE": "exclusive", "SSL_CERT_FILE": file}

    with serving(tls_peers.tls(tmp_path, [server(issuer=ROOT)])) as port:
        printed = cli(f"https://localhost:{port}", environ, tmp_path)

    assert '"Test Root" is not among the 1 CAs that are [tls-unknown-ca]' in printed.stderr


def test_strict_verification_of_another_program_is_explained(tmp_path: Path) -> None:
    """Ours is not strict; whoever hands in a context of Python 3.13's own making gets the sentence."""
    ca = authority("Plain Root", identifiers=False)
    strict = trust.client_context(ca=ca.pem.decode())
    strict.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT

    with (
        serving(tls_peers.tls(tmp_path, [server(issuer=ca, identifiers=False)])) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        pytest.raises(ssl.SSLError) as caught,
    ):
        strict.wrap_socket(plain, server_hostname="localhost")

    said = trust.explain(caught.value, "https://h")
    assert said.code == "tls-not-conformant"
    assert "Missing Authority Key Identifier" in said.message or "Missing Subject Key Identifier" in said.message


def test_changed_ca_is_trusted_by_the_next_request_and_the_removed_one_no_more(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(OTHER.pem)
    outcomes = []
    with serving(tls_peers.tls(tmp_path, [server(issuer=ROOT)])) as port:
        api = Api(f"https://localhost:{port}", "key", ca=str(file))
        for content in (OTHER.pem, ROOT.pem, OTHER.pem):
            file.write_bytes(content)
            try:
                outcomes.append(api.get("/"))
            except ApiUnreachableError as error:
                outcomes.append(error.code)

    assert outcomes == ["tls-unknown-ca", [], "tls-unknown-ca"]


def test_nothing_but_a_handshake_reaches_a_server_that_is_not_trusted(tmp_path: Path) -> None:
    received: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls_peers.tls(tmp_path, [server(issuer=OTHER)])
    context.load_cert_chain(tmp_path / "served.crt", tmp_path / "served.key")

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            received.append(wrapped.recv(4096))

    with serving(answer) as port:
        executor_fails(f"https://localhost:{port}", {})
        cli(f"https://localhost:{port}", {}, tmp_path)

    assert b"".join(received) == b""
