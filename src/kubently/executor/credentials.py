"""Who this executor is, as it tells the API: by a static token, or by a certificate whose key it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import anyio


class Credentials(Protocol):
    """What a dial needs. One object serves all sessions of an executor."""

    async def headers(self) -> Mapping[str, str]:
        """The request headers that say who we are, asked for before each dial.

        May enrol first. Raises KubentlyError or OSError where there is no credential to show.
        """
        ...

    def received(self, payload: bytes, send: Callable[[bytes], None], *, host: str) -> None:
        """Answer what the API says of our identity in an AUTH frame; *host* is the one that was dialled."""
        ...

    def refused(self, code: str) -> None:
        """The API refused the dial with the error *code*: another credential may be needed."""
        ...


class StaticToken:
    """The token of the deployment guide, which another program made and handed out."""

    def __init__(self, token: str, file: Path | None = None) -> None:
        self._token, self._file = token, file

    async def headers(self) -> Mapping[str, str]:
        """The token, from its file where it has one: a rotated token needs no restart."""
        if self._file is not None:
            with contextlib.suppress(OSError, UnicodeDecodeError):  # being replaced: what was read before may still do
                self._token = (await anyio.Path(self._file).read_text()).strip() or self._token
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def received(self, payload: bytes, send: Callable[[bytes], None], *, host: str) -> None:
        """A token has nothing to prove."""

    def refused(self, code: str) -> None:
        """A token is what was configured; there is no other."""
