"""Kubeconfig files: contexts of ours written into them without harm to what else they hold.

A file is replaced in one step, its former content is kept beside it, and the lock is kubectl's own (``<file>.lock``,
made exclusively), so that two writers, kubectl included, never lose each other's change.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from kubently import trust
from kubently.cli.profiles import Profile
from kubently.errors import ConfigError

PREFIX = "kubently-"
_LOCK_PATIENCE = 10.0

Config = dict[str, Any]


def default_path(environ: Mapping[str, str]) -> Path:
    """The file that kubectl writes to: the first of KUBECONFIG, else ~/.kube/config."""
    first = next(filter(None, environ.get("KUBECONFIG", "").split(os.pathsep)), "")
    return Path(first) if first else Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config"


def entries(profile: Profile, profile_name: str, clusters: Sequence[str], *, plugin: Sequence[str]) -> Config:
    """A kubeconfig with a context ``kubently-<cluster>`` for each of *clusters*; *plugin* is the credential command.

    Raises ConfigError when the profile's CA cannot be read.
    """
    verifying = {"certificate-authority-data": _ca(profile)} if profile.ca else {}
    names = [PREFIX + cluster for cluster in clusters]
    named = ["--profile", profile_name] if profile_name else []
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": names[0],
        "clusters": [
            {"name": name, "cluster": {"server": f"{profile.url.rstrip('/')}/clusters/{cluster}/k8s", **verifying}}
            for name, cluster in zip(names, clusters, strict=True)
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "exec": {
                        "apiVersion": "client.authentication.k8s.io/v1",
                        "command": plugin[0],
                        "args": [*plugin[1:], *named, "--cluster", cluster],
                        "interactiveMode": "Never",
                        "provideClusterInfo": False,
                    }
                },
            }
            for name, cluster in zip(names, clusters, strict=True)
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
    }


def merge(into: Config, ours: Config) -> Config:
    """*into* with our entries added or replaced by name; its current context stays where it has one."""
    merged = {**into, "apiVersion": "v1", "kind": "Config"}
    for plural in ("clusters", "users", "contexts"):
        new = {entry["name"] for entry in ours[plural]}
        kept = [entry for entry in _list(into, plural) if entry.get("name") not in new]
        merged[plural] = [*kept, *ours[plural]]
    merged["current-context"] = into.get("current-context") or ours["current-context"]
    return merged


def without(config: Config, clusters: Sequence[str]) -> Config:
    """*config* without the entries of *clusters*; with none named, without all of ours."""
    names = {PREFIX + cluster for cluster in clusters}

    def ours(name: object) -> bool:
        return name in names if names else str(name).startswith(PREFIX)

    rest = dict(config)
    for plural in ("clusters", "users", "contexts"):
        rest[plural] = [entry for entry in _list(config, plural) if not ours(entry.get("name"))]
    if ours(rest.get("current-context", "")):
        rest["current-context"] = ""
    return rest


def read(path: Path) -> Config:
    """The file's content; empty when there is none. Raises ConfigError for what is no kubeconfig."""
    try:
        config = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", hint="it is left as it is; mend it, or name another"
        ) from error
    if config is None:
        return {}
    if not isinstance(config, dict) or any(not isinstance(config.get(p) or [], list) for p in ("clusters", "users")):
        raise ConfigError(f"{path} is no kubeconfig", hint="it is left as it is; name another with --kubeconfig")
    return config


@contextlib.contextmanager
def changing(path: Path) -> Iterator[Config]:
    """Give the file's content to be changed in place, and write it when the block ends well. Raises ConfigError."""
    target = path.resolve()  # a link stays a link
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(target):
            config = read(target)
            before = yaml.safe_dump(config)
            yield config
            if yaml.safe_dump(config) != before:
                _replace(target, config)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = path.with_name(path.name + ".lock")
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            break
        except FileExistsError:
            if time.monotonic() >= deadline:
                raise ConfigError(f"{lock} says that another writer is at work", hint="remove it if none is") from None
            time.sleep(0.02)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _replace(path: Path, config: Config) -> None:
    mode = 0o600
    if path.exists():
        mode = path.stat().st_mode & 0o777
        shutil.copy2(path, path.with_name(path.name + ".kubently-backup"))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "w") as file:
            yaml.safe_dump(config, file, sort_keys=False)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _list(config: Config, plural: str) -> list[dict[str, Any]]:
    return [entry for entry in config.get(plural) or () if isinstance(entry, dict)]


def _ca(profile: Profile) -> str:
    return base64.b64encode(trust.bundle(profile.ca).encode()).decode()
