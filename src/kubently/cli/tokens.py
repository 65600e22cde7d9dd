"""Tokens for kubectl: asked from the API, kept in files of mode 0600."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kubently.cli import profiles
from kubently.cli.credential import cache_path
from kubently.client import Api
from kubently.errors import ConfigError
from kubently.settings import process_environ

API_VERSION = "client.authentication.k8s.io/v1"


def fetch(profile: str, cluster: str, path: str, *, renew_before: float) -> str:
    """Ask for a new token, keep it in *path*, and return what kubectl wants to read (an ExecCredential).

    Raises ConfigError, ApiError, ApiUnreachableError.
    """
    chosen = profiles.choose(process_environ(), name=profile)
    settings = profiles.trusting(process_environ(), chosen)
    if not settings.verify and chosen.url.startswith("https"):
        print(profiles.UNVERIFIED, file=sys.stderr)
    made = Api(chosen.url, chosen.key, settings=settings).post(f"/api/v1/clusters/{cluster}/kubernetes-token")
    expires = datetime.now(UTC) + timedelta(seconds=made["expires_in"])
    answer = json.dumps(
        {
            "apiVersion": API_VERSION,
            "kind": "ExecCredential",
            "status": {"token": made["token"], "expirationTimestamp": expires.isoformat(timespec="seconds")},
        }
    )
    _keep(Path(path), f"{time.time() + made['expires_in'] - renew_before}\n{answer}")
    return answer


def forget(profile: str) -> None:
    """Remove the tokens kept for a profile: its endpoint or key changed."""
    shutil.rmtree(Path(cache_path(dict(process_environ()), profile, "x")).parent, ignore_errors=True)


def _keep(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with open(handle, "w") as file:
            file.write(text)
        os.replace(name, path)
    except OSError as error:
        raise ConfigError(
            f"the token cannot be kept in {path}: {error}", hint="check the folder, or XDG_CACHE_HOME"
        ) from error
