"""Where an executor keeps its own key and certificate: a folder, or a Secret of its cluster."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import anyio

from kubently.errors import ConfigError, KubeError
from kubently.executor.apiserver import ApiServer

_MAX_SECRET = 2 * 1024 * 1024
_CERT, _KEY = "tls.crt", "tls.key"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM."""

    cert: str
    key: str


class Keeping(Protocol):
    """Keeps one pair. All methods raise ConfigError, KubeError or OSError where that fails."""

    async def load(self) -> KeyPair | None:
        """What is kept now, perhaps by another replica; None before the first enrolment."""
        ...

    async def save(self, pair: KeyPair) -> bool:
        """Replace what the last `load` saw; False when another replica was faster, whose pair counts then."""
        ...


class Folder:
    """Two files, each replaced as a whole; for one executor alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def load(self) -> KeyPair | None:
        """See `Keeping.load`."""
        return await anyio.to_thread.run_sync(self._load)

    async def save(self, pair: KeyPair) -> bool:
        """See `Keeping.save`."""
        await anyio.to_thread.run_sync(self._save, pair)
        return True

    def _load(self) -> KeyPair | None:
        try:
            return KeyPair((self._path / _CERT).read_text(), (self._path / _KEY).read_text())
        except (FileNotFoundError, UnicodeDecodeError):  # what is no text is no pair
            return None
        except OSError as error:  # it would look like a failure of the connection
            raise ConfigError(
                f"the executor's identity in {self._path} cannot be read: {error.strerror}",
                hint="check the folder of KUBENTLY_IDENTITY_DIR, and whose its files are",
            ) from error

    def _save(self, pair: KeyPair) -> None:
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The key first: a key without its certificate is enrolled again, the reverse would look like a broken pair.
        self._replace(_KEY, pair.key)
        self._replace(_CERT, pair.cert)

    def _replace(self, name: str, text: str) -> None:
        handle, made = tempfile.mkstemp(dir=self._path, prefix=f".{name}-")  # mode 0600
        try:
            with open(handle, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(made, self._path / name)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made)
            raise


class Secret:
    """A Secret that exists already: read and updated by name, so that the role needs no more. *name* has its namespace.

    Replicas share it; the API server's resourceVersion lets the first writer win.
    """

    def __init__(self, api_server: ApiServer, name: str) -> None:
        self._api_server = api_server
        self._name = name
        namespace, _, secret = name.partition("/")
        self._path = f"/api/v1/namespaces/{namespace}/secrets/{secret}".encode()
        self._seen: dict[str, Any] = {}

    async def load(self) -> KeyPair | None:
        """See `Keeping.load`."""
        status, found = await self._request(b"GET")
        if status != 200:
            raise self._refused(status, found, "read", "get")
        self._seen = found
        data = found.get("data") or {}
        try:
            cert, key = (base64.b64decode(data[name]).decode() for name in (_CERT, _KEY))
        except (KeyError, ValueError, TypeError):
            return None
        return KeyPair(cert, key) if cert and key else None

    async def save(self, pair: KeyPair) -> bool:
        """See `Keeping.save`."""
        if not self._seen:
            await self.load()
        data = {
            _CERT: base64.b64encode(pair.cert.encode()).decode(),
            _KEY: base64.b64encode(pair.key.encode()).decode(),
        }
        changed = {**self._seen, "data": {**(self._seen.get("data") or {}), **data}}
        status, found = await self._request(b"PUT", json.dumps(changed).encode())
        if status == 409:
            return False
        if status != 200:
            raise self._refused(status, found, "written", "update")
        self._seen = found
        return True

    async def _request(self, method: bytes, body: bytes = b"") -> tuple[int, dict[str, Any]]:
        headers = [(b"accept", b"application/json"), (b"content-type", b"application/json")]
        response = await self._api_server.request(method, self._path, headers, body)
        try:
            text = b""
            while chunk := await response.read():
                text += chunk
                if len(text) > _MAX_SECRET:
                    raise KubeError(f"the Secret {self._name} is larger than any Secret may be")
        finally:
            response.close()
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        return response.status, found if isinstance(found, dict) else {}

    def _refused(self, status: int, found: dict[str, Any], what: str, verb: str) -> ConfigError:
        return ConfigError(
            f"the Secret {self._name} for the executor's identity cannot be {what}: "
            f"the API server answered {status} {str(found.get('message', ''))[:200]}".rstrip(),
            hint=f"it must exist (it may be empty), and the executor's role must {verb} it by name",
        )
