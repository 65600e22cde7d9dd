"""The archives that come with the program."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent / "bundled"


def bundled() -> tuple[Path, ...]:
    """Return the folders of the bundled archives, in the order of their names."""
    return tuple(sorted(path for path in _FOLDER.iterdir() if (path / "archive.yaml").is_file()))
