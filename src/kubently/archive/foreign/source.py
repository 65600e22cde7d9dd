"""The files of somebody else's archive: a folder, or a .tar.gz that is read in one pass and never unpacked to disk.

Nothing in it is trusted. Links are not followed, names that lead elsewhere are not used, and all of it is bounded:
what is one file too many, or unpacks to far more than it is, ends the reading; a single file that is too large is
left out, and of a log the end is kept.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kubently.errors import ConfigError

MAX_FILES = 200_000
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_LOG_BYTES = 8 * 1024 * 1024
"""Of a longer log the end is kept."""
MAX_TOTAL_BYTES = 512 * 1024 * 1024
"""What is kept of all files together."""
MAX_NAME = 1024
MAX_REASONS = 1000
MAX_REASON = 400

_OBJECTS = (".json", ".yaml", ".yml")
_LOGS = (".log", ".txt")
_NAMES = ("timestamp",)


@dataclass(slots=True)
class LeftOut:
    """What was not taken, with reasons: a bounded list and the whole number."""

    reasons: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, what: str, why: str) -> None:
        """Note one thing; its words come from the archive, and are made harmless."""
        self.count += 1
        if len(self.reasons) < MAX_REASONS:
            text = f"{_cut(what, MAX_REASON // 2)}: {_cut(why, MAX_REASON // 2)}"
            self.reasons.append("".join(c if c.isprintable() else "?" for c in text))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


class Source(Protocol):
    """Files by names with slashes, relative to the archive's top."""

    left_out: LeftOut
    taken: set[str]
    """What was read."""

    def names(self) -> Iterable[str]:
        """Return the names of files that may be objects, logs or marks of a layout."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None if it was left out."""


class Folder:
    """The files below a folder, read when asked for."""

    def __init__(self, root: Path) -> None:
        self.left_out = LeftOut()
        self.taken: set[str] = set()
        self._root = root
        self._room = Room()
        self._links: dict[str, str] = {}
        self._names = frozenset(name for name in self._walk(root, "") if is_wanted(name))
        say_links(self._links, self._names, self.left_out)

    def names(self) -> Iterable[str]:
        return self._names

    def read(self, name: str) -> bytes | None:
        self.taken.add(name)
        try:
            with open(os.open(self._root / name, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                if is_log(name) and size > MAX_LOG_BYTES:
                    self.left_out.add(name, f"only its last {MAX_LOG_BYTES} bytes are kept")
                    stream.seek(size - MAX_LOG_BYTES)
                content = stream.read(limit(name) + (0 if is_log(name) else 1))
        except OSError as error:
            self.left_out.add(name, f"it cannot be read: {error.strerror}")
            return None
        return self._room.take(name, content, self.left_out)

    def _walk(self, folder: Path, prefix: str) -> Iterator[str]:
        """Yield the files below *folder*; deeper than any layout goes is not looked."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.left_out.add(prefix or ".", f"it cannot be read: {error.strerror}")
            return
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if not self._room.is_name(name, self.left_out):
                continue
            if entry.is_symlink():
                self._links[name] = os.path.join(os.path.dirname(name), os.readlink(entry.path))
            elif entry.is_dir():
                yield from self._walk(Path(entry.path), f"{name}/")
            elif entry.is_file():
                yield name


class Room:
    """Counts what has been taken of an archive."""

    def __init__(self) -> None:
        self._files = 0
        self._bytes = 0

    def is_name(self, name: str, left_out: LeftOut) -> bool:
        """Count an entry and say whether its name can be used. Raises ConfigError for one entry too many."""
        self._files += 1
        if self._files > MAX_FILES:
            raise ConfigError(f"the archive holds more than {MAX_FILES} files", hint="pack what matters of it")
        parts = name.split("/")
        if len(name) > MAX_NAME or len(parts) > 20:
            left_out.add(name, "its name is too long")
        elif not name.isprintable() or any(part in ("", ".", "..") for part in parts) or "\\" in name:
            left_out.add(name, "its name leads elsewhere")
        else:
            return True
        return False

    def take(self, name: str, content: bytes, left_out: LeftOut) -> bytes | None:
        """Count a file's bytes; None, and a reason, if it is too much."""
        if len(content) > limit(name):
            left_out.add(name, f"it is larger than {limit(name)} bytes")
            return None
        if self._bytes + len(content) > MAX_TOTAL_BYTES:
            left_out.add(name, f"all files together are larger than {MAX_TOTAL_BYTES} bytes")
            return None
        self._bytes += len(content)
        return content


def say_links(links: Mapping[str, str], names: Container[str], left_out: LeftOut) -> None:
    """Note the links that are no second name of a file that is here: none is followed."""
    for name, target in links.items():
        if is_wanted(name) and os.path.normpath(target) not in names:
            left_out.add(name, "it is a link to what is not in the archive, or is no file")


def is_wanted(name: str) -> bool:
    """Say by its name whether a file may be of use."""
    return name.endswith((*_OBJECTS, *_LOGS)) or name.rpartition("/")[2] in _NAMES


def is_log(name: str) -> bool:
    """Say by its name whether a file may be a log."""
    return name.endswith(_LOGS)


def limit(name: str) -> int:
    """Return how many bytes of a file are kept."""
    return MAX_LOG_BYTES if is_log(name) else MAX_FILE_BYTES
