"""A .tar.gz as files in memory, read in one pass.

The bounds count unpacked bytes as they come out of gzip, so a small file that stands for a huge one is given up before
it is unpacked. Links, devices and sparse files are left out; nothing is written.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

from kubently.archive.foreign import source
from kubently.errors import ConfigError

MAX_UNPACKED = 8 * 1024 * 1024 * 1024
MAX_RATIO = 200
"""Unpacked bytes for each packed one; logs come to some fifty."""
MAX_HEADERS = 1024 * 1024
"""Bytes before one member's content: long names, extended attributes, maps of sparse files."""
FREE = 64 * 1024 * 1024
"""Unpacked bytes that count towards no ratio: a small bundle of empty lists packs very well."""


class Tarball:
    """The wanted files of a .tar.gz. Raises ConfigError for what is no such file, or too much of one."""

    def __init__(self, path: Path) -> None:
        self.left_out = source.LeftOut()
        self.taken: set[str] = set()
        self._links: dict[str, str] = {}
        self._room = source.Room()
        self._files: dict[str, bytes] = {}
        try:
            with path.open("rb") as packed, gzip.GzipFile(fileobj=packed) as unpacked:
                self._take_all(_Bounded(cast("IO[bytes]", unpacked), packed))
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is not a whole .tar.gz: {str(error)[:300]}") from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        source.say_links(self._links, self._files, self.left_out)

    def names(self) -> Iterable[str]:
        return self._files

    def read(self, name: str) -> bytes | None:
        self.taken.add(name)
        return self._files.get(name)

    def _take_all(self, stream: _Bounded) -> None:
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:") as members:
            while (member := members.next()) is not None:
                members.members = []  # type: ignore[attr-defined]  # its list of past members would only grow
                self._take(members, member, stream)
                stream.next_headers()

    def _take(self, members: tarfile.TarFile, member: tarfile.TarInfo, stream: _Bounded) -> None:
        name = member.name.removeprefix("./").rstrip("/")
        if member.isdir() and name in ("", "."):
            return
        if not self._room.is_name(name, self.left_out) or member.isdir():
            return
        if member.issym() or member.islnk():
            # A hard link names its target from the top.
            folder = os.path.dirname(name) if member.issym() else ""
            self._links[name] = os.path.join(folder, member.linkname.removeprefix("./"))
        elif not member.isreg() or member.issparse():
            self.left_out.add(name, "it is no plain file")
        elif name in self._files:
            self.left_out.add(name, "the archive holds this name twice; the first is taken")
        elif source.is_wanted(name):
            self._keep(name, members, member, stream)

    def _keep(self, name: str, members: tarfile.TarFile, member: tarfile.TarInfo, stream: _Bounded) -> None:
        if member.size > source.limit(name) and not source.is_log(name):
            self.left_out.add(name, f"it is larger than {source.limit(name)} bytes")
            return
        if member.size > source.limit(name):
            self.left_out.add(name, f"only its last {source.limit(name)} bytes are kept")
        content = members.extractfile(member)
        if content is None:
            return
        stream.next_content()
        kept = self._room.take(name, _end(content, source.limit(name)), self.left_out)
        if kept is not None:
            self._files[name] = kept


def _end(content: IO[bytes], length: int) -> bytes:
    """Return the last bytes of a file."""
    kept = b""
    while part := content.read(1024 * 1024):
        kept = (kept + part)[-length:]
    return kept


class _Bounded:
    """What comes out of gzip, forward only, up to a size and a ratio. Raises ConfigError beyond."""

    def __init__(self, unpacked: IO[bytes], packed: IO[bytes]) -> None:
        self._unpacked = unpacked
        self._packed = packed
        self._position = 0
        self._room = MAX_HEADERS

    def next_headers(self) -> None:
        """Expect the headers of one member: tarfile reads as much of them as they claim."""
        self._room = MAX_HEADERS

    def next_content(self) -> None:
        """Expect one member's content."""
        self._room = MAX_UNPACKED

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._room:
            raise ConfigError("the archive is malformed: it has endless headers")
        self._room -= size
        part = self._unpacked.read(size)
        self._position += len(part)
        over_ratio = self._position > FREE and self._position > MAX_RATIO * max(self._packed.tell(), 1)
        if self._position > MAX_UNPACKED or over_ratio:
            raise ConfigError("the archive unpacks to far more than it is", hint="unpack it, and give the folder")
        return part

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = 0) -> int:
        """Go on to *position*."""
        if whence or position < self._position:
            raise ConfigError("the archive is malformed: it leads backwards")
        room, self._room = self._room, MAX_UNPACKED
        while self._position < position and self.read(min(position - self._position, 1024 * 1024)):
            pass
        self._room = room
        return self._position
