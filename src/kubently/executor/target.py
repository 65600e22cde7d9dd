"""Where the cluster's API server is and how this executor proves itself there: kubeconfig or service account."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio
import yaml

from kubently import trust
from kubently.errors import ConfigError
from kubently.settings import process_environ

log = logging.getLogger(__name__)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_EXEC_TIMEOUT = 60.0


class Credential(Protocol):
    """Gives the value of the Authorization header."""

    async def authorization(self) -> bytes | None:
        """The header's value for one request; None when the TLS client certificate is the proof."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """One API server."""

    host: str
    port: int
    path: str
    """Prefix of every request's path, without a trailing slash."""
    tls: ssl.SSLContext | None
    server_name: str
    credential: Credential


class NoCredential:
    """A client certificate, or an API server that wants nothing."""

    async def authorization(self) -> bytes | None:
        """Nothing."""
        return None


@dataclass(slots=True)
class StaticCredential:
    """A fixed header."""

    value: bytes = field(repr=False)

    async def authorization(self) -> bytes | None:
        """The fixed value."""
        return self.value


class FileToken:
    """A token that the kubelet rotates in its file; read again every minute."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._value = b""
        self._read_at = float("-inf")

    async def authorization(self) -> bytes | None:
        """The token in the file now; the last good one while the file cannot be read."""
        if time.monotonic() - self._read_at >= 60:
            try:
                self._value = b"Bearer " + self._path.read_bytes().strip()
                self._read_at = time.monotonic()
            except OSError as error:
                if not self._value:
                    raise ConfigError(f"the token file {self._path} cannot be read: {error}") from error
                log.warning("the token file cannot be read; the last token is used", extra={"path": str(self._path)})
        return self._value


class ExecToken:
    """A credential plugin (client.authentication.k8s.io/v1), run again when its token expires."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._command = str(spec.get("command", ""))
        self._args = [str(a) for a in spec.get("args") or ()]
        self._env = {str(e["name"]): str(e["value"]) for e in spec.get("env") or ()}
        self._version = str(spec.get("apiVersion", "client.authentication.k8s.io/v1"))
        self._value = b""
        self._expires_at = float("inf")
        self._lock = asyncio.Lock()

    async def authorization(self) -> bytes | None:
        """The plugin's token. Raises ConfigError when the plugin fails."""
        async with self._lock:
            if not self._value or time.time() >= self._expires_at - 30:
                await self._run()
            return self._value

    async def _run(self) -> None:
        try:
            status = await self._ask()
            token, expires = _bearer(status["token"]), status.get("expirationTimestamp")
            expires_at = datetime.fromisoformat(expires).timestamp() if expires else float("inf")
        except (OSError, TimeoutError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"the credential plugin {self._command} failed: {error!r}") from error
        self._value, self._expires_at = token, expires_at

    async def _ask(self) -> Mapping[str, Any]:
        info = {"apiVersion": self._version, "kind": "ExecCredential", "spec": {"interactive": False}}
        env = {**process_environ(), **self._env, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        child = await asyncio.create_subprocess_exec(
            self._command,
            *self._args,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            stdout, stderr = await asyncio.wait_for(child.communicate(), _EXEC_TIMEOUT)
        finally:
            # One that hangs, or whose caller went away, would be left behind with each request.
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                with anyio.CancelScope(shield=True):
                    await child.wait()
        if child.returncode:
            why = stderr.decode(errors="replace").strip()[-300:]
            raise ConfigError(f"the credential plugin {self._command} gave no token: {why}")
        status: Mapping[str, Any] = json.loads(stdout)["status"]
        return status


def in_cluster(environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Target:
    """The API server of the pod that this process runs in. Raises ConfigError outside of one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (folder / "token").exists():
        raise ConfigError(
            "no cluster is configured: this is no pod with a service account",
            hint="set KUBENTLY_KUBECONFIG (and KUBENTLY_CONTEXT), or run in a pod with a service-account token",
        )
    try:
        context = _verifying((folder / "ca.crt").read_text())
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"the service account's CA {folder / 'ca.crt'} cannot be used: {error}") from error
    return Target(host, int(port), "", context, host, FileToken(folder / "token"))


def from_kubeconfig(path: Path, context: str = "") -> Target:
    """The API server of a kubeconfig's context (empty: the current one). Raises ConfigError that says what is wrong."""
    config = read_kubeconfig(path)
    name = context or str(config.get("current-context", ""))
    ctx = _named(config, "contexts", "context", name, path)
    cluster = _named(config, "clusters", "cluster", str(ctx.get("cluster", "")), path)
    user = _named(config, "users", "user", str(ctx["user"]), path) if ctx.get("user") else {}
    url = urlsplit(str(cluster.get("server", "")))
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigError(f"context {name!r} of {path} has no usable server: {cluster.get('server')!r}")
    return Target(
        url.hostname,
        url.port or (443 if url.scheme == "https" else 80),
        url.path.rstrip("/"),
        _tls(cluster, user, path.parent) if url.scheme == "https" else None,
        str(cluster.get("tls-server-name") or url.hostname),
        _credential(user, path.parent),
    )


def contexts(path: Path) -> list[str]:
    """Names of a kubeconfig's contexts. Raises ConfigError."""
    return [str(entry.get("name")) for entry in read_kubeconfig(path).get("contexts") or () if isinstance(entry, dict)]


def read_kubeconfig(path: Path) -> dict[str, Any]:
    """Parse a kubeconfig file. Raises ConfigError."""
    try:
        config = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"the kubeconfig {path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"the kubeconfig {path} is not a mapping")
    return config


def _named(config: Mapping[str, Any], plural: str, singular: str, name: str, path: Path) -> Mapping[str, Any]:
    for entry in config.get(plural) or ():
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry.get(singular) or {}
    raise ConfigError(f"{path} has no {singular} named {name!r}", hint="kubectl config get-contexts shows them")


def _material(source: Mapping[str, Any], key: str, folder: Path) -> bytes | None:
    if source.get(f"{key}-data"):
        return base64.b64decode(source[f"{key}-data"])
    if source.get(key):
        path = folder / str(source[key])
        try:
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error}") from error
    return None


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    ca = _material(cluster, "certificate-authority", folder)
    try:
        context = _verifying(ca.decode() if ca else None)
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        cert, key = _material(user, "client-certificate", folder), _material(user, "client-key", folder)
        if cert and key:
            trust.Pair(cert, key).load_into(context)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"the kubeconfig's certificates cannot be used: {error}") from error
    return context


def _verifying(ca: str | None) -> ssl.SSLContext:
    """Verify against *ca* (PEM), or the system's roots, as kubectl does."""
    context = ssl.create_default_context(cadata=ca)
    trust.set_rules(context)
    return context


def _credential(user: Mapping[str, Any], folder: Path) -> Credential:
    if user.get("token"):
        return StaticCredential(_bearer(user["token"]))
    if user.get("tokenFile"):
        return FileToken(folder / str(user["tokenFile"]))
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        return StaticCredential(b"Basic " + base64.b64encode(pair))
    if user.get("exec"):
        return ExecToken(user["exec"])
    if user.get("auth-provider"):
        raise ConfigError("the kubeconfig uses an auth-provider, which Kubernetes removed", hint="use its exec plugin")
    return NoCredential()


def _bearer(token: Any) -> bytes:
    """The header's value. Raises ConfigError for a token that would write more than one header."""
    text = str(token).strip()
    if not text.isascii() or not text.isprintable():
        raise ConfigError("the token has characters that no HTTP header may have")
    return b"Bearer " + text.encode()
