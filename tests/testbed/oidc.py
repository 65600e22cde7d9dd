"""OpenID providers for tests: the real one of the test bed, and a small one that can be told to misbehave."""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.testbed import binaries
from tests.testbed.processes import Process, free_ports, until

CLIENT = "kubently"
PASSWORD = "very-secret"
USERS: Mapping[str, tuple[str, ...]] = {"alice": ("platform",), "bob": ("support", "shop"), "mallory": ()}

ROLES = """\
rules:
- groups: [platform]
  role: admin
- groups: [support]
  role: operator
  clusters: [alpha]
  limits:
  - namespaces: [shop]
- groups: [shop]
  role: viewer
"""


@dataclass
class RealProvider:
    """The test bed's program. What a person would do in a browser, `browse` and `approve` do."""

    folder: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: Process | None = None

    @property
    def issuer(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        users = self.folder / "users.json"
        users.write_text(json.dumps({name: _user(name, groups) for name, groups in USERS.items()}))
        command = [binaries.find("oidc"), str(self.port), users]
        self.process = Process(command, log=self.folder / "oidc.log", env={}, cwd=self.folder)
        until(self._answers, "the OpenID provider answers", timeout=20)

    def stop(self) -> None:
        """End it. Idempotent."""
        if self.process is not None:
            self.process.stop(grace=5)

    def control(self, path: str) -> None:
        """Ask for a change: "rotate", "lifetime?seconds=N"."""
        httpx.post(f"{self.issuer}/control/{path}", trust_env=False).raise_for_status()

    def browse(self, url: str, user: str, password: str = PASSWORD) -> httpx.Response:
        """Follow a login to its end at the callback, as a browser would."""
        with httpx.Client(follow_redirects=True, trust_env=False, timeout=20) as browser:
            page = browser.get(url)
            form = re.search(r'name="id" value="([^"]+)"', page.text)
            assert form, page.text
            target = urllib.parse.urljoin(str(page.url), "/login/username")
            return browser.post(target, data={"username": user, "password": password, "id": form[1]})

    def approve(self, code: str, user: str, *, action: str = "allowed") -> None:
        """Say yes or no to a device."""
        with httpx.Client(base_url=self.issuer, trust_env=False, timeout=20) as browser:
            login = {"user_code": code, "username": user, "password": PASSWORD}
            browser.post("/device/login", data=login).raise_for_status()
            browser.get("/device/confirm", params={"action": action}).raise_for_status()

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            url = f"{self.issuer}/.well-known/openid-configuration"
            return httpx.get(url, trust_env=False).status_code == 200
        return False


def _user(name: str, groups: tuple[str, ...]) -> dict[str, Any]:
    return {
        "ID": name,
        "Username": name,
        "Password": PASSWORD,
        "Email": f"{name}@example.org",
        "EmailVerified": True,
        "Groups": list(groups),
    }


@dataclass
class StubProvider:
    """Publishes keys, and signs what it is told; `answers` replaces what it says at a path."""

    issuer: str
    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    answers: dict[str, Callable[[], tuple[int, Mapping[str, str], bytes]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def rotate(self, name: str) -> None:
        """Sign with, and publish, a new key and no other."""
        self.keys = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    def sign(self, *, headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """An ID token of alice, changed by *claims*; those that are None are left out."""
        now = int(time.time())
        name, key = next(iter(self.keys.items()))
        values = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "alice",
            "email": "alice@example.org",
            "email_verified": True,
            "groups": ["platform"],
            "iat": now,
            "exp": now + 300,
            "jti": str(time.monotonic_ns()),
        }
        kept = {k: v for k, v in {**values, **claims}.items() if v is not None}
        return jwt.encode(kept, key, algorithm="RS256", headers={"kid": name, **(headers or {})})

    def jwks(self) -> dict[str, Any]:
        """What it publishes."""
        return {"keys": [public_jwk(name, key) for name, key in self.keys.items()]}

    def discovery(self) -> dict[str, Any]:
        """Its configuration."""
        names = {"jwks_uri": "keys", "authorization_endpoint": "auth", "token_endpoint": "token"}
        return {"issuer": self.issuer, **{name: f"{self.issuer}/{path}" for name, path in names.items()}}

    def answer(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body for a path."""
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]()
        if path == "/.well-known/openid-configuration":
            return 200, {}, json.dumps(self.discovery()).encode()
        if path == "/keys":
            return 200, {}, json.dumps(self.jwks()).encode()
        return 404, {}, b""


def public_jwk(name: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """A public key as a provider publishes it."""
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**jwk, "kid": name, "use": "sig", "alg": "RS256"}


@contextmanager
def stub() -> Iterator[StubProvider]:
    """A stub that listens while the block runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(*provider.answer(self.path))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self._say(*provider.answer(self.path))

        def _say(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            with suppress(OSError):
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider = StubProvider(f"http://127.0.0.1:{server.server_port}")
    provider.rotate("first")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
