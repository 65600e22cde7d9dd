"""What executors answer in JSON, read with suspicion."""

from __future__ import annotations

import json
from typing import Any

from kubently.errors import RemoteProtocolError
from kubently.schema import problems
from kubently.tunnel import Exchange, status_of

MAX_BYTES = 64 * 1024
"""Of an answer that is one object."""


_STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


async def check_head(stream: Exchange) -> None:
    """Wait for the head of an answer; raises what its problem document says unless all is well."""
    head = await stream.head()
    status = status_of(head)
    if status == 200:
        return
    try:
        problem = read_object(await read_body(stream))
    except RemoteProtocolError:
        problem = {}
    raise problems.from_problem(status, problem)


async def read_body(stream: Exchange) -> bytes:
    """The body, cut after MAX_BYTES."""
    body = b""
    while (chunk := await stream.read()) and len(body) < MAX_BYTES:
        body += chunk
    return body


def read_object(payload: bytes) -> dict[str, Any]:
    """JSON from an executor. Raises RemoteProtocolError unless it is an object that can be told on as JSON."""
    try:
        value = json.loads(payload)
        # Python reads more than may be written: NaN, numbers without end, half a surrogate pair.
        _STRICT.encode(value).encode()
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("the executor's JSON cannot be read") from error
    if not isinstance(value, dict):
        raise RemoteProtocolError("the executor's JSON is no object")
    return value
