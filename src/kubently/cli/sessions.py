"""Sessions kept on this machine: in the keyring where one is usable, else in files of mode 0600.

A session belongs to one URL and is sent nowhere else. One that is about to end is renewed with the provider's refresh
token, where there is one; a lock keeps two commands from using that token up twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kubently.errors import ConfigError, KubentlyError, SessionExpiredError
from kubently.settings import TrustSettings

RENEW_BEFORE = 60.0
"""Seconds before its end at which a session is renewed."""
_SERVICE = "kubently"
_SECRETS = ("token", "refresh_token")


@dataclass(frozen=True, slots=True)
class Kept:
    """One session, and what it takes to renew it."""

    url: str
    id: str
    expires_at: float
    """Seconds of the epoch, by this machine's clock."""
    issuer: str
    client_id: str
    public_client_secret: str = ""
    token: str = ""
    refresh_token: str = ""

    def __repr__(self) -> str:
        return f"Kept({self.url!r}, {self.id!r})"


def path_of(config: Path, profile: str) -> Path:
    """Where the session of *profile* is kept, beside the file of the profiles *config*."""
    if "/" in profile or profile.startswith("."):
        raise ConfigError(f"{profile!r} cannot name a profile", hint="use letters, digits and -")
    return config.parent / "sessions" / f"{profile or '_environment'}.json"


def load(path: Path) -> Kept | None:
    """The session kept in *path*, or None. Raises ConfigError."""
    try:
        document = json.loads(path.read_text())
        if document.pop("keyring", False):
            secret = json.loads(_keyring().get_password(_SERVICE, str(path)) or "{}")
            document |= {name: secret.get(name, "") for name in _SECRETS}
        return Kept(**document)
    except FileNotFoundError:
        return None
    except Exception as error:  # of a keyring: each backend has its own
        raise ConfigError(f"the session in {path} cannot be read: {error}", hint="kubently login again") from error


def save(path: Path, kept: Kept) -> str:
    """Keep it; says where its secrets are: "keyring" or "file"."""
    document: dict[str, Any] = asdict(kept)
    where = "file"
    if backend := _usable_keyring():
        with contextlib.suppress(Exception):  # a locked or failing keyring: the file is there
            backend.set_password(_SERVICE, str(path), json.dumps({name: document[name] for name in _SECRETS}))
            document = {name: value for name, value in document.items() if name not in _SECRETS} | {"keyring": True}
            where = "keyring"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".session-")  # of mode 0600
        with open(handle, "w") as file:
            json.dump(document, file)
        os.replace(name, path)
    except OSError as error:
        raise ConfigError(f"the session cannot be kept in {path}: {error}", hint="check the folder") from error
    return where


def forget(path: Path) -> None:
    """Remove it, from the keyring too. Idempotent."""
    with contextlib.suppress(Exception):
        if json.loads(path.read_text()).get("keyring"):
            _keyring().delete_password(_SERVICE, str(path))
    path.unlink(missing_ok=True)


def current(path: Path, url: str, settings: TrustSettings) -> str:
    """The token of the session kept for *url*, renewed where it must be; empty without a session.

    Raises SessionExpiredError for one that is over and cannot be renewed.
    """
    kept = load(path)
    if kept is None or kept.url != url.rstrip("/"):
        return ""
    if kept.expires_at - time.time() > RENEW_BEFORE:
        return kept.token
    with _locked(path):
        kept = load(path) or kept  # another command may have done it
        if kept.expires_at - time.time() <= RENEW_BEFORE:
            kept = _renewed(path, kept, settings)
    return kept.token


def _renewed(path: Path, kept: Kept, settings: TrustSettings) -> Kept:
    from kubently.cli import oidc_flows
    from kubently.client.identity_provider import IdentityProvider, LoginRefusedError

    if not kept.refresh_token:
        raise SessionExpiredError("your session has expired", hint="run kubently login")
    provider = IdentityProvider(kept.issuer, kept.client_id, kept.public_client_secret, settings)
    try:
        provider.discover()
        tokens = oidc_flows.renew(provider, kept.refresh_token)
        # At once: providers that rotate refresh tokens take the old one for stolen when it comes again.
        save(path, replace(kept, refresh_token=tokens.refresh_token))
        made = exchange(kept.url, tokens.id_token, "", settings)
    except LoginRefusedError as error:
        raise SessionExpiredError(
            f"your session has expired and cannot be renewed: {error.message}", hint="run kubently login"
        ) from error
    except KubentlyError as error:
        if kept.expires_at > time.time():
            return kept
        error.hint = error.hint or "run kubently login"
        raise
    renewed = replace(kept, refresh_token=tokens.refresh_token, **of_answer(made))
    save(path, renewed)
    return renewed


def exchange(url: str, id_token: str, nonce: str, settings: TrustSettings) -> Mapping[str, Any]:
    """A session of the API at *url* for an ID token. Raises ApiError, ApiUnreachableError."""
    from kubently.client import Api

    made: Mapping[str, Any] = Api(url, "", settings=settings).post(
        "/api/v1/login", {"id_token": id_token, "nonce": nonce}
    )
    return made


def of_answer(made: Mapping[str, Any]) -> dict[str, Any]:
    """What of the API's answer is kept."""
    return {"id": made["info"]["id"], "token": made["token"], "expires_at": time.time() + float(made["expires_in"])}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path.with_suffix(".lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _keyring() -> Any:
    return importlib.import_module("keyring")


def _usable_keyring() -> Any:
    """The keyring's module when it has a backend that keeps something, else None."""
    try:
        module = _keyring()
        return module if module.get_keyring().priority >= 1 else None
    except Exception:  # not installed, or a backend that cannot start: there are files
        return None
