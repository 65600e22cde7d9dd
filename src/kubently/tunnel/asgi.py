"""ASGI's types, and reading a request's body within a bound."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from kubently.errors import InvalidRequestError, RemoteProtocolError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


BODY_TIMEOUT = 30.0
"""Seconds for a whole body: those that are read at once are small."""


async def read_body(receive: Receive, *, limit: int) -> bytes:
    """The whole body.

    Raises InvalidRequestError over *limit* bytes, when it takes longer than BODY_TIMEOUT, or when the client goes away
    in its middle.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT):  # a quarter of what anyio's costs, once a request
            return await _read_body(receive, limit)
    except TimeoutError:
        raise InvalidRequestError(f"the body did not come within {BODY_TIMEOUT:g} s") from None


async def _read_body(receive: Receive, limit: int) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequestError("the client went away before the end of its body")
        body += message.get("body", b"")
        if len(body) > limit:
            raise InvalidRequestError(f"the body is over {limit} bytes")
        if not message.get("more_body"):
            return body


async def read_json(receive: Receive, *, limit: int = 256 * 1024) -> Any:
    """The body as JSON. Raises InvalidRequestError when it is none, or over *limit* bytes."""
    body = await read_body(receive, limit=limit)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the body is no JSON: {error}") from error


def status_of(head: Iterable[tuple[bytes, bytes]]) -> int:
    """The status of a response head that a tunnel brought. Raises RemoteProtocolError when it has none that can be."""
    text = next((value for name, value in head if name == b":status"), b"")
    if not (len(text) == 3 and text.isdigit() and b"200" <= text <= b"599"):
        raise RemoteProtocolError(f"{text[:20]!r} is no status of a response")
    return int(text)
