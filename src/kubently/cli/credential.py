"""``kubently-credential``: the exec credential plugin that kubectl runs before each command.

It prints a cached token as long as that one lasts, without importing anything that takes time (no click, no json, no
TLS): kubectl waits for it each time. Otherwise it asks the API for a new one. The cache is a file of mode 0600,
one a cluster: its first line is when to ask again (seconds of the epoch), its rest the answer for kubectl.
"""

from __future__ import annotations

import os
import sys
import time

USAGE = "usage: kubently-credential [--profile NAME] --cluster ID"
RENEW_BEFORE = 300.0
"""Seconds before its end at which a token is no longer handed out: a command may run for a while."""


def main() -> None:
    """Entry point; exits with 1 and a sentence on stderr when there is no token to be had."""
    show(*_arguments(sys.argv[1:]))


def show(profile: str, cluster: str) -> None:
    """Print the answer for kubectl; exits as `main` does."""
    # The two become a file's name: what could leave the folder is no profile and no cluster.
    if any("/" in part or part.startswith(".") for part in (profile, cluster)):
        sys.exit(USAGE)
    path = cache_path(os.environ, profile, cluster)  # noqa: TID251  # kubently.settings is slow to import
    print(_cached(path) or _fetch(profile, cluster, path))


def cache_path(environ: os._Environ[str] | dict[str, str], profile: str, cluster: str) -> str:
    """Where the token for *cluster* is kept."""
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "."), ".cache")
    return os.path.join(base, "kubently", "credentials", profile or "_environment", f"{cluster}.json")


def _arguments(words: list[str]) -> tuple[str, str]:
    options = dict(zip(words[::2], words[1::2], strict=False))
    cluster = options.pop("--cluster", "")
    profile = options.pop("--profile", "")
    if options or len(words) % 2 or not cluster:
        sys.exit(USAGE)
    return profile, cluster


def _cached(path: str) -> str:
    try:
        with open(path) as file:
            renew_at, _, answer = file.read().partition("\n")
        return answer if float(renew_at) > time.time() else ""
    except (OSError, ValueError):
        return ""


def _fetch(profile: str, cluster: str, path: str) -> str:
    from kubently.cli import tokens
    from kubently.errors import KubentlyError

    try:
        return tokens.fetch(profile, cluster, path, renew_before=RENEW_BEFORE)
    except KubentlyError as error:
        sys.exit(f"kubently: {error.message} [{error.code}]" + (f"; {error.hint}" if error.hint else ""))


if __name__ == "__main__":
    main()
