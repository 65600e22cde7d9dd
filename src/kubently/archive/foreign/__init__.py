"""Archives that other programs wrote, read leniently: what cannot be used is left out, with a reason.

A layout is a module with ``LAYOUT``, ``top`` (recognises it by the names of files) and ``read`` (makes a picture);
`build` makes an archive of the picture, which says what it does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from kubently.archive import format
from kubently.archive.foreign import build, cluster_info, must_gather, picture, source, support_bundle, tarball
from kubently.errors import ConfigError

__all__ = ["read"]

_LAYOUTS: tuple[
    tuple[
        str,
        Callable[[frozenset[str]], str | None],
        Callable[[source.Source, str], picture.Picture],
    ],
    ...,
] = (
    (support_bundle.LAYOUT, support_bundle.top, support_bundle.read),
    (cluster_info.LAYOUT, cluster_info.top, cluster_info.read),
    (must_gather.LAYOUT, must_gather.top, must_gather.read),
)
_ENDINGS = re.compile(r"\.(?:tar\.gz|tgz)$", re.IGNORECASE)


def read(path: Path) -> format.Archive:
    """Read a folder, or a .tar.gz, of another program. Raises ConfigError if it is of none that is known."""
    found: source.Source = source.Folder(path) if path.is_dir() else tarball.Tarball(path)
    names = frozenset(found.names())
    for _, recognise, take in _LAYOUTS:
        prefix = recognise(names)
        if prefix is not None:
            taken = take(found, prefix)
            _say_others(found, names)
            return build.build(taken, _name(path))
    known = ", ".join(f"a {layout}" for layout, _, _ in _LAYOUTS)
    raise ConfigError(
        f"{path} is no archive that is known here",
        hint=f"give a folder with an archive.yaml in it, or the folder or .tar.gz of one of these: {known}",
    )


def _say_others(found: source.Source, names: frozenset[str]) -> None:
    others = sorted(names - found.taken)
    if others:
        such = ", ".join(others[:3])
        many = "1 other file" if len(others) == 1 else f"{len(others)} other files"
        found.left_out.add(many, f"no objects or logs of pods are where such lie: {such}")


def _name(path: Path) -> str:
    """Return a cluster id made of a file's name."""
    plain = _ENDINGS.sub("", path.resolve().name).lower()
    parts = re.split(r"[^a-z0-9]+", plain)
    return "-".join(filter(None, parts))[:63].strip("-") or "archive"
