"""The context to dial with, made anew when what it is made of changed.

A context can be added to and never taken from, so a change makes a new one. What cannot be used is refused as a whole:
the context of before stays, and whoever keeps it is told once a change.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from kubently.errors import ConfigError
from kubently.settings import TrustSettings
from kubently.trust import contexts, sources
from kubently.trust.sources import Source


class Keeper:
    """Whom we trust now. *on_loaded* hears of every new context, *on_refused* of every change that is not taken."""

    def __init__(
        self,
        settings: TrustSettings,
        *,
        clock: Callable[[], float] = time.time,
        on_loaded: Callable[[tuple[Source, ...]], None] = lambda _: None,
        on_refused: Callable[[ConfigError], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._on_loaded = on_loaded
        self._on_refused = on_refused
        self._context: ssl.SSLContext | None = None
        self._seen = ""
        """Digest of what was last looked at, good or not."""

    def context(self) -> ssl.SSLContext:
        """The context for the next handshake. Raises ConfigError as long as there never was a good one."""
        try:
            pieces = sources.read(self.settings)
        except ConfigError as error:
            return self._kept(error, hashlib.sha256(error.message.encode()).hexdigest())
        digest = self._digest(pieces)
        if self._context is not None and digest == self._seen:
            return self._context
        try:
            trusted = tuple(sources.parse(piece, now=self._clock()) for piece in pieces)
            self._context = contexts.make_context(self.settings, trusted)
        except ConfigError as error:
            return self._kept(error, digest)
        self._seen = digest
        self._on_loaded(trusted)
        return self._context

    def _kept(self, error: ConfigError, digest: str) -> ssl.SSLContext:
        if self._context is None:
            raise error
        if digest != self._seen:
            self._seen = digest
            self._on_refused(error)
        return self._context

    def _digest(self, pieces: tuple[sources.Piece, ...]) -> str:
        digest = hashlib.sha256()
        pair = [path for path in (self.settings.client_cert, self.settings.client_key) if path]
        contents = [(piece.name, piece.content) for piece in pieces] + [(str(path), _content(path)) for path in pair]
        for name, content in contents:
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        digest.update(_system().encode())
        return digest.hexdigest()


def _content(path: Path) -> bytes:
    try:
        return sources.read_file(path)
    except (OSError, ValueError) as error:
        return str(error).encode()


def _system() -> str:
    """The system's own file of roots, by its status: it is large, and mounted over rather than written to."""
    path = ssl.get_default_verify_paths().openssl_cafile
    try:
        found = Path(path).stat()
    except OSError:
        return ""
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"
