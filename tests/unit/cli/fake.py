"""An API of a few canned answers on loopback, and the command line run against it."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from click.testing import CliRunner, Result
from tests.unit.trust.servers import serving

from kubently.main import root

Answer = tuple[int, Any]
"""Status, and JSON; a list of JSON in a `Lines` is NDJSON."""


class Lines(list[Any]):
    """An answer line by line."""


@dataclass(frozen=True)
class Request:
    """What the command line asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class FakeApi:
    """Answers by method and path; anything else is a 404."""

    answers: Mapping[tuple[str, str], Answer]
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def __call__(self, connection: socket.socket) -> None:
        """Answer one connection, which carries one request."""
        request = _read(connection)
        if request is None:
            return
        self.requests.append(request)
        missing = (404, {"code": "not-found", "detail": f"nothing at {request.path}"})
        status, body = self.answers.get((request.method, request.path), missing)
        connection.sendall(_encode(status, body))

    def run(self, *words: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Result:
        """Run ``kubently`` with *words* against this API."""
        return run(*words, env={"KUBENTLY_URL": self.url, "KUBENTLY_API_KEY": "kbk_test", **(env or {})}, stdin=stdin)


def run(*words: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Result:
    """Run ``kubently`` with *words*, without profiles, output piped."""
    clean = {
        "KUBENTLY_CONFIG": "/nonexistent/config.json",
        **dict.fromkeys(("KUBENTLY_URL", "KUBENTLY_API_KEY", "KUBENTLY_CA_CERT", "KUBENTLY_PROFILE"), None),
        **dict.fromkeys(("FORCE_COLOR", "NO_COLOR", "COLUMNS"), None),
        **(env or {}),
    }
    return CliRunner().invoke(root, words, env=clean, input=stdin, prog_name="kubently")


@contextlib.contextmanager
def fake_api(answers: Mapping[tuple[str, str], Answer]) -> Iterator[FakeApi]:
    """Serve *answers* while the block runs."""
    fake = FakeApi(answers)
    with serving(fake) as port:
        fake.url = f"http://127.0.0.1:{port}"
        yield fake


def outcome(cluster: str = "prod", exit_code: int | None = 0, ending: str = "exited", **more: Any) -> dict[str, Any]:
    """The last line about one cluster."""
    return {
        "cluster": cluster,
        "outcome": {"id": "1", "cluster": cluster, "ending": ending, "exit_code": exit_code, **more},
    }


def problem(code: str, *, detail: str = "it is so", hint: str = "") -> dict[str, Any]:
    """A problem document."""
    return {"code": code, "detail": detail, **({"hint": hint} if hint else {})}


def _read(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    method, path, _ = first.split(" ")
    return Request(method, path, headers, json.loads(body) if body else None)


def _encode(status: int, body: Any) -> bytes:
    texts: Sequence[str] = [json.dumps(line) + "\n" for line in body] if isinstance(body, Lines) else [json.dumps(body)]
    content = "".join(texts).encode() if body is not None else b""
    return f"HTTP/1.1 {status} x\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
