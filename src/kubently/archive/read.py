"""Reads an archive of whatever program: our own strictly, others as far as they go."""

from __future__ import annotations

from pathlib import Path

from kubently.archive import foreign, format
from kubently.archive.load import load
from kubently.errors import ConfigError


def read(path: Path) -> format.Archive:
    """Read our own folder, or what another program wrote, as a folder or a .tar.gz. Raises ConfigError."""
    if not path.exists():
        raise ConfigError(f"{path} is not there", hint="give the folder or the .tar.gz of an archive")
    if (path / format.MANIFEST).exists():
        return load(path)
    return foreign.read(path)
