"""A WebSocket's opening (RFC 6455 section 4.2) at whose end the application has the bare connection.

The application is asked as ASGI asks it, and refuses as it would there. Where it would accept, it may instead `take`
the connection with an asyncio protocol of its own: the answer 101 is written, what comes is that protocol's, and no
task and no object of the HTTP server stays behind. An idle WebSocket of ASGI costs twelve times the memory, and each
message two tasks' turns (docs/adr/0021-taken-over-socket.md).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import http
import logging
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Protocol, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kubently.errors import LocalProtocolError
from kubently.listen.cork import CorkedTransport

log = logging.getLogger(__name__)

_OPENING = "kubently.opening"
"""Under this name a scope has what `take` needs."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = b"13"

Fields = Iterable[tuple[bytes, bytes]]


class Successor(Protocol):
    """The asyncio protocol that goes on with a connection; it has ``siblings`` and, at the server's end, `shutdown`."""

    siblings: set[Any]
    """The server's open connections: it takes itself out when it is lost, or the server waits for it at its end."""

    def shutdown(self) -> None:
        """The server ends."""
        ...

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is its own from now on."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        ...


def can_be_taken(scope: Mapping[str, Any]) -> bool:
    """Whether the connection of this WebSocket may be taken; where it may not, ASGI's own way is open."""
    return _OPENING in scope


def take(scope: Mapping[str, Any], successor: Successor, *, subprotocol: str) -> None:
    """Accept the WebSocket of *scope* and give *successor* its connection. The application returns then.

    A client that is gone already is `connection_lost` in the next turn of the loop.
    """
    opening: Opening = scope[_OPENING]
    opening.hand_over(successor, subprotocol)


class Opening:
    """One WebSocket's; the server's *protocol* has read its head, and reads nothing until it is decided."""

    def __init__(self, protocol: HttpToolsProtocol, scope: MutableMapping[str, Any]) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._asked = False
        self._decided = False
        self._refusal: tuple[int, Fields] | None = None
        self._body = b""
        self._fields: dict[bytes, list[bytes]] = {}
        for name, value in protocol.headers:
            self._fields.setdefault(name, []).append(value.strip())
        url = httptools.parse_url(protocol.url)
        self.scope: MutableMapping[str, Any] = {
            **scope,
            "type": "websocket",
            "scheme": "wss" if protocol.scheme == "https" else "ws",
            "path": unquote(url.path.decode("ascii")),
            "raw_path": url.path,
            "query_string": url.query or b"",
            "subprotocols": self._list(b"sec-websocket-protocol"),
            "extensions": {"websocket.http.response": {}},
            _OPENING: self,
        }

    def begin(self, early: bytes) -> None:
        """Answer what is no opening; ask the application about all others. *early* is what came behind the head."""
        if problem := self._problem(early):
            status, text = problem
            fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"sec-websocket-version", _VERSION)]
            self._answer(status, fields, text.encode())
            return
        self._transport.pause_reading()
        tasks = self._protocol.tasks
        task = self._protocol.loop.create_task(self._ask())
        task.add_done_callback(tasks.discard)
        tasks.add(task)

    def _problem(self, early: bytes) -> tuple[int, str] | None:
        keys = self._fields.get(b"sec-websocket-key", [])
        if self._protocol.scope["method"] != "GET" or self._protocol.scope["http_version"] != "1.1":
            return 400, "a WebSocket is opened by GET over HTTP/1.1"
        if len(self._fields.get(b"host", ())) != 1:
            return 400, "exactly one Host is needed"
        if (versions := self._fields.get(b"sec-websocket-version")) != [_VERSION]:
            return 426 if versions else 400, "WebSockets of version 13 are spoken here"
        if len(keys) != 1 or not _is_key(keys[0]):
            return 400, "exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed"
        if early:
            return 400, "nothing may be sent before the WebSocket is open"
        return None

    def _list(self, name: bytes) -> list[str]:
        words = b",".join(self._fields.get(name, ())).split(b",")
        return [word.strip().decode("latin-1") for word in words if word.strip()]

    # ------------------------------------------------------------------ the application

    async def _ask(self) -> None:
        try:
            await self._protocol.app(self.scope, self._receive, self._send)
        except Exception:
            log.exception("the opening of a WebSocket failed")
        if not self._decided:
            self._answer(500, (), b"")
        del self.scope[_OPENING]  # a cycle: what is gone is to be gone at once

    async def _receive(self) -> dict[str, Any]:
        if self._asked:
            raise LocalProtocolError("an application that wants messages takes the connection")
        self._asked = True
        return {"type": "websocket.connect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "websocket.http.response.start":
                self._refusal = message["status"], message["headers"]
            case "websocket.http.response.body":
                assert self._refusal is not None
                self._body += message.get("body", b"")
                if not message.get("more_body"):
                    self._answer(*self._refusal, self._body)
            case "websocket.close":
                self._answer(403, (), b"")
            case other:
                raise LocalProtocolError(f"{other} is not understood by an opening")

    # ------------------------------------------------------------------ how it ends

    def hand_over(self, successor: Successor, subprotocol: str) -> None:
        """Accept."""
        if self._decided:
            raise LocalProtocolError("this WebSocket was decided already")
        self._decided = True
        key = self._fields[b"sec-websocket-key"][0]
        digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
        siblings = self._protocol.connections
        siblings.discard(self._protocol)
        successor.siblings = siblings
        siblings.add(cast("HttpToolsProtocol", successor))
        # What it is given is the connection, and not what the server made of it.
        transport = self._transport.release() if isinstance(self._transport, CorkedTransport) else self._transport
        if self._is_lost:
            successor.connection_made(transport)
            self._protocol.loop.call_soon(successor.connection_lost, None)
            return
        transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-accept: %b\r\nsec-websocket-protocol: %b\r\n\r\n"
            % (base64.b64encode(digest), subprotocol.encode())
        )
        successor.connection_made(transport)
        transport.set_protocol(cast("asyncio.BaseProtocol", successor))
        transport.resume_reading()

    @property
    def _is_lost(self) -> bool:
        return self._protocol.parser is None  # taken away when the connection is lost

    def _answer(self, status: int, fields: Fields, body: bytes) -> None:
        """Refuse."""
        if self._decided or self._is_lost:
            return
        self._decided = True
        head = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}".encode(), b"connection: close"]
        head += [b"%b: %b" % field for field in (*self._protocol.server_state.default_headers, *fields)]
        if not any(name == b"content-length" for name, _ in fields):
            head.append(b"content-length: %d" % len(body))
        self._transport.write(b"\r\n".join([*head, b"", body]))
        self._transport.close()


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False
