"""The executor's own proxy before a real API server: raw requests, and the real kubectl with no policy in front of it.

A kubectl child can reach nothing else, so what is refused here is refused whatever its arguments were. Where it says
something, the same request is first sent to the API server itself, to show that it is an attack and not a typing error.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from kubently.executor.apiserver import ApiServer
from kubently.executor.caller import Caller
from kubently.executor.kubeapi import KubeApi
from kubently.executor.proxy import Proxy
from kubently.executor.target import from_kubeconfig
from kubently.kube.policy import DEFAULT_POLICY
from tests.e2e.content import DIRECT, EXECUTOR, FORMS
from tests.testbed import pki
from tests.testbed.binaries import find_kubectl
from tests.testbed.cluster import Cluster

NAMESPACE = "/api/v1/namespaces/shop"


class Server:
    """A TLS server to which raw bytes are sent. ``greeting`` is the credential's header, where there is one."""

    def __init__(self, port: int, context: ssl.SSLContext, greeting: str = "") -> None:
        self.port = port
        self.context = context
        self.greeting = greeting

    def exchange(self, data: bytes, *, timeout: float = 10) -> bytes:
        """Send bytes, and give all that comes until the server closes or says nothing more."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as plain,
            self.context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(data)
            connection.settimeout(0.7)
            got = b""
            try:
                while chunk := connection.recv(65536):
                    got += chunk
            except (TimeoutError, ssl.SSLError, ConnectionResetError):
                pass
            return got

    def ask(self, line: str, *headers: str, body: str = "", close: bool = True) -> bytes:
        """Send one request: "METHOD TARGET" and further headers."""
        fields = [f"{line} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", self.greeting, *headers]
        fields.append("Connection: close" if close else "")
        if body:
            fields += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return self.exchange(("\r\n".join(filter(None, fields)) + "\r\n\r\n" + body).encode("latin-1"))


@pytest.fixture(scope="module")
def door(alpha: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig that a kubectl child would get; its proxy runs in a thread of this process."""
    kubeconfig = alpha.kubeconfig(EXECUTOR)
    with start_blocking_portal() as portal:
        api_server = portal.call(lambda: ApiServer(from_kubeconfig(kubeconfig)))
        proxy = Proxy(KubeApi(api_server, DEFAULT_POLICY))
        with portal.wrap_async_context_manager(proxy.serve()), proxy.door(Caller("e2e")) as opened:
            path = tmp_path_factory.mktemp("door") / "kubeconfig"
            path.write_bytes(opened.kubeconfig)
            yield path
        portal.call(api_server.aclose)


@pytest.fixture(scope="module")
def proxy(door: Path) -> Server:
    """The proxy, with a child's token."""
    config = json.loads(door.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=ca)
    return Server(int(cluster["server"].rpartition(":")[2]), context, f"Authorization: Bearer {user['token']}")


@pytest.fixture(scope="module")
def apiserver(alpha: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The API server itself, as a user with the executor's rights."""
    config = json.loads(alpha.kubeconfig(DIRECT).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    pair = tmp_path_factory.mktemp("direct") / "client.pem"
    pair.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
    context = pki.client_context(base64.b64decode(cluster["certificate-authority-data"]))
    context.load_cert_chain(pair)
    return Server(int(alpha.server.rpartition(":")[2]), context)


def shows_secret(answer: bytes) -> bool:
    """Whether the planted value stands in it, in any form."""
    return any(form in answer for form in FORMS)


def status_of(answer: bytes) -> int:
    """The HTTP status; 0 where the connection was closed without a word."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def assert_refused(answer: bytes) -> None:
    """No secret, and a refusal."""
    assert not shows_secret(answer)
    assert status_of(answer) in (0, 400, 401, 403, 404, 405), answer[:500]


ACCEPTS = (
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/yaml",
    "application/cbor",
)

REVEALING = (
    f"GET {NAMESPACE}/secrets",
    f"GET {NAMESPACE}/secrets/db",
    "GET /api/v1/secrets",
    "GET /api/v1/secrets?limit=500",
    "GET /api/v1/namespaces/shop%2Fsecrets",
    "GET /api%2Fv1%2Fsecrets",
    "GET /api/v1/namespaces//secrets",
    "GET /api/v1/%73ecrets",
    f"GET {NAMESPACE}/secrets?fieldSelector=metadata.name%3Ddb",
    f"GET {NAMESPACE}/secrets?includeObject=Object",
    f"GET {NAMESPACE}/secrets?watch=true&timeoutSeconds=1",
    "GET /api/v1/watch/secrets?timeoutSeconds=1",
    "GET /api/v1/watch/namespaces/shop/secrets/db?timeoutSeconds=1",
)
"""Requests to which the API server itself answers with the planted value."""

OTHERS = (
    "GET //api/v1/secrets",
    "GET /api/v1//secrets",
    "GET /api/v1/./secrets",
    "GET /api/v1/pods/../secrets",
    "GET /api/v1/pods%2f..%2fsecrets",
    "GET /api/v1/pods/%2e%2e/secrets",
    "GET /api/v1/Secrets",
    "GET /api/v1/secrets%00",
    "GET /api/v1/secrets;x",
    "GET /api/v1\\secrets",
    "GET /api/v1%5Csecrets",
    "GET https://127.0.0.1/api/v1/secrets",
    "GET http://127.0.0.1:1/api/v1/secrets",
    "GET api/v1/secrets",
    "HEAD /api/v1/secrets",
    "OPTIONS /api/v1/secrets",
    "TRACE /api/v1/secrets",
    "CONNECT 127.0.0.1:1",
    "POST /api/v1/secrets",
    f"PUT {NAMESPACE}/secrets/db",
    f"PATCH {NAMESPACE}/secrets/db?dryRun=All",
    f"PATCH {NAMESPACE}/configmaps/settings?dryRun=All&fieldManager=kubectl-client-side-diff",
    f"DELETE {NAMESPACE}/pods/queue-0?dryRun=All",
    f"DELETE {NAMESPACE}/pods",
    f"POST {NAMESPACE}/pods?dryRun=All",
    f"POST {NAMESPACE}/serviceaccounts/robot/token?dryRun=All",
    f"POST {NAMESPACE}/serviceaccounts/robot/token",
    f"POST {NAMESPACE}/pods/queue-0/exec?command=id",
    f"POST {NAMESPACE}/pods/queue-0/eviction?dryRun=All",
    f"POST {NAMESPACE}/pods/queue-0/binding",
    f"GET {NAMESPACE}/pods/queue-0/exec?command=id&stdout=true",
    f"GET {NAMESPACE}/pods/queue-0/attach?stdout=true",
    f"GET {NAMESPACE}/pods/queue-0/portforward?ports=80",
    f"GET {NAMESPACE}/pods/queue-0/proxy/",
    f"GET {NAMESPACE}/services/web:80/proxy/",
    f"GET {NAMESPACE}/services/https:web:443/proxy/x",
    "GET /api/v1/nodes/alpha-0/proxy/configz",
    "GET /api/v1/proxy/nodes/alpha-0/pods",
    f"GET {NAMESPACE}/pods/queue-0/log?insecureSkipTLSVerifyBackend=true",
    f"GET {NAMESPACE}/pods/queue-0/ephemeralcontainers",
    "POST /apis/authentication.k8s.io/v1/tokenreviews",
    "POST /apis/authorization.k8s.io/v1/subjectaccessreviews",
    "POST /apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews",
    "POST /apis/certificates.k8s.io/v1/certificatesigningrequests",
    "GET /metrics",
    "GET /logs/",
    "GET /debug/pprof/",
    "GET /configz",
    "GET /openid/v1/jwks",
    "GET /.well-known/openid-configuration",
    "GET /",
)

UPGRADES = (
    ("Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"),
    ("Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"),
    ("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
)


@pytest.mark.parametrize("line", REVEALING)
def test_what_would_reveal_a_secret_is_refused(line: str, apiserver: Server, proxy: Server) -> None:
    assert shows_secret(apiserver.ask(line)), "the API server itself does not show it: this is no attack"

    assert_refused(proxy.ask(line))


@pytest.mark.parametrize("accept", ACCEPTS)
def test_no_form_of_an_answer_shows_a_secret(accept: str, apiserver: Server, proxy: Server) -> None:
    shown = []
    for line in (f"GET {NAMESPACE}/secrets?includeObject=Object", f"GET {NAMESPACE}/secrets/db"):
        shown.append(shows_secret(apiserver.ask(line, f"Accept: {accept}")))
        assert_refused(proxy.ask(line, f"Accept: {accept}"))

    assert any(shown) or "cbor" in accept


@pytest.mark.parametrize("line", OTHERS)
def test_everything_else_that_is_no_read_is_refused(line: str, proxy: Server) -> None:
    method = line.split()[0]
    assert_refused(proxy.ask(line, body="{}" if method in ("POST", "PUT", "PATCH", "DELETE") else ""))


@pytest.mark.parametrize("headers", UPGRADES, ids=lambda headers: headers[0])
@pytest.mark.parametrize(
    "line",
    [
        f"GET {NAMESPACE}/pods?watch=true",
        f"GET {NAMESPACE}/secrets?watch=true",
        f"GET {NAMESPACE}/pods/queue-0/exec?command=id&stdout=true",
        f"GET {NAMESPACE}/pods/queue-0/attach?stdout=true",
        f"GET {NAMESPACE}/pods/queue-0/portforward?ports=80",
        f"GET {NAMESPACE}/pods/queue-0/log?follow=true",
    ],
)
def test_no_request_changes_the_protocol(line: str, headers: tuple[str, ...], proxy: Server) -> None:
    answer = proxy.ask(line, "Connection: Upgrade", *headers, close=False)

    assert_refused(answer)
    assert status_of(answer) != 101


def test_a_watch_can_be_upgraded_at_the_api_server(apiserver: Server) -> None:
    headers = ("Connection: Upgrade", *UPGRADES[0], f"Origin: https://127.0.0.1:{apiserver.port}")
    answer = apiserver.ask(f"GET {NAMESPACE}/secrets?watch=true&timeoutSeconds=1", *headers, close=False)

    assert status_of(answer) == 101
    assert shows_secret(answer)


def test_a_dry_run_makes_a_token_at_the_api_server(apiserver: Server) -> None:
    body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    answer = apiserver.ask(f"POST {NAMESPACE}/serviceaccounts/robot/token?dryRun=All", body=body)

    assert status_of(answer) == 201


def framed(proxy: Server, *fields: str, body: str = "", newline: str = "\r\n") -> bytes:
    """Bytes of a request whose framing is in question."""
    head = newline.join((*fields[:1], "Host: 127.0.0.1", proxy.greeting, *fields[1:]))
    return (head + newline * 2 + body).encode("latin-1")


SMUGGLED = f"GET {NAMESPACE}/secrets HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("both lengths", ("Content-Length: 5", "Transfer-Encoding: chunked")),
        ("two lengths", ("Content-Length: 0", "Content-Length: 5")),
        ("a list of lengths", ("Content-Length: 0, 5",)),
        ("a length with a sign", ("Content-Length: +5",)),
        ("an unknown coding", ("Transfer-Encoding: xchunked",)),
        ("a hidden coding", ("Transfer-Encoding : chunked",)),
        ("a folded header", ("X-Folded: a\r\n b",)),
        ("a folded impersonation", ("X-Folded: a\r\n\tImpersonate-User: admin",)),
        ("a bare line feed", ("X-Bare: a\nImpersonate-User: admin",)),
        ("a bare carriage return", ("X-Bare: a\rImpersonate-User: admin",)),
        ("a control character", ("X-Control: a\x00b",)),
        ("a name with a space", ("Imper sonate: x",)),
        ("two hosts", ("Host: elsewhere",)),
    ],
)
def test_doubtful_framing_smuggles_nothing(name: str, fields: tuple[str, ...], proxy: Server) -> None:
    request = framed(proxy, f"POST {NAMESPACE}/pods HTTP/1.1", *fields, body="0\r\n\r\n" + SMUGGLED)
    answer = proxy.exchange(request)

    assert not shows_secret(answer), name
    assert status_of(answer) in (0, 400, 403), answer[:300]


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_each_of_several_requests_on_one_connection_is_decided(newline: str, proxy: Server) -> None:
    first = framed(proxy, f"GET {NAMESPACE}/configmaps HTTP/1.1", newline=newline)
    second = framed(proxy, f"GET {NAMESPACE}/secrets HTTP/1.1", newline=newline)
    answer = proxy.exchange(first + second)

    assert not shows_secret(answer)


def test_the_body_of_a_read_goes_nowhere(proxy: Server) -> None:
    answer = proxy.ask(f"GET {NAMESPACE}/configmaps", f"Content-Length: {len(SMUGGLED)}", body="")
    assert not shows_secret(answer)

    head = framed(proxy, f"GET {NAMESPACE}/configmaps HTTP/1.1", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED)
    answer = proxy.exchange(head)
    assert not shows_secret(answer)


def whoami(server: Server, *headers: str) -> dict[str, object]:
    """How the API server sees whoever asks."""
    body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    answer = server.ask("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", *headers, body=body)
    text = answer.partition(b"\r\n\r\n")[2].decode()
    found: dict[str, object] = json.loads(text[text.index("{") : text.rindex("}") + 1])["status"]["userInfo"]
    return found


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Impersonate-User: admin", "Impersonate-Group: system:masters"),
        ("X-Remote-User: admin", "X-Remote-Group: system:masters"),
        ("X-Forwarded-User: admin", "Cookie: a=b"),
        ("X-Kubently-Principal: admin",),
    ],
)
def test_no_header_makes_another_user(headers: tuple[str, ...], proxy: Server) -> None:
    assert whoami(proxy, *headers)["username"] == EXECUTOR


@pytest.mark.parametrize("token", ["", "Authorization: Bearer wrong", "Authorization: Basic eDp5"])
def test_only_a_childs_own_token_opens_the_door(token: str, proxy: Server) -> None:
    stranger = Server(proxy.port, proxy.context, token)

    assert status_of(stranger.ask(f"GET {NAMESPACE}/pods")) == 401


KUBECTL_ATTACKS = (
    "get secrets -A -o yaml",
    "get secret db -n shop -o jsonpath={.data.password}",
    "get secrets -n shop",
    "describe secret db -n shop",
    "get --raw /api/v1/secrets",
    "get --raw /api/v1/namespaces/shop%2Fsecrets",
    "annotate --list secret db -n shop",
    "annotate pod queue-0 a=b -n shop",
    "create token robot -n shop",
    "exec queue-0 -n shop -- id",
    "attach queue-0 -n shop",
    "cp shop/queue-0:/etc/passwd x",
    "delete pod queue-0 -n shop",
    "delete pod queue-0 -n shop --dry-run=server",
    "label pod queue-0 a=b -n shop",
    "scale deployment/web --replicas=0 -n shop",
    "rollout restart deployment/web -n shop",
    "cordon alpha-0",
    "drain alpha-0",
    "run x --image=x -n shop",
    "create configmap x -n shop",
    "debug queue-0 -n shop --image=x",
    "set image deployment/web web=x -n shop",
    "get pods queue-0 -n shop --subresource=proxy",
    "get pods -n shop --as=admin --as-group=system:masters --subresource=exec",
    "wait secret/db --for=create -o yaml -n shop",
    "port-forward pod/queue-0 0:8080 -n shop",
    "certificate approve x",
    "auth can-i get pods --as=admin -n shop -v=9",
    "get pods,secrets -n shop -o yaml",
    "set env deployment/web --list --resolve -n shop",
)


@pytest.mark.parametrize("line", KUBECTL_ATTACKS)
def test_kubectl_with_any_arguments_shows_no_secret_and_changes_nothing(
    line: str, door: Path, tmp_path: Path, alpha: Cluster
) -> None:
    before = alpha.audit_position()
    result = subprocess.run(
        [find_kubectl(), f"--kubeconfig={door}", *line.split()],
        capture_output=True,
        timeout=30,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": ""},
        stdin=subprocess.DEVNULL,
    )

    assert not shows_secret(result.stdout + result.stderr)
    harm = [r for r in alpha.audit(user=EXECUTOR, since=before) if r.verb not in ("get", "list", "watch", "create")]
    assert harm == []
