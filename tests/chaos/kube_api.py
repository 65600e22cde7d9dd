"""A cluster's API server for the chaos: it answers after a while, and notes what it was asked.

    python -m tests.chaos.kube_api HOST PORT NOTES

Every object ``chaos-<number>`` exists; its name decides how long the answer takes. NOTES gets one line for each that is
asked for, before it is answered: who looks there knows how often a command ran.
"""

from __future__ import annotations

import json
import os
import re
import sys
import zlib
from typing import Any

import anyio

from kubently import archive
from kubently.listen import listen

TOKEN = "a-token-of-the-chaos"  # of a server on loopback that lives for a test
NAMED = re.compile(r"/api/v1/namespaces/default/configmaps/(chaos-[a-z0-9-]+)")


def seconds(name: str) -> float:
    """How long the answer for *name* takes."""
    number = zlib.crc32(name.encode())
    return (number % 50) / 100 if number % 20 else 3.0


class App:
    """An archived cluster, and the objects of the chaos."""

    def __init__(self, notes: int) -> None:
        self._notes = notes
        self._rest = archive.create_app(archive.load(archive.bundled()[0]), token=TOKEN)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        found = NAMED.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._rest(scope, receive, send)
            return
        os.write(self._notes, f"{found[1]}\n".encode())
        await anyio.sleep(seconds(found[1]))
        body = json.dumps(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": found[1], "namespace": "default", "uid": found[1], "resourceVersion": "1"},
                "data": {"name": found[1]},
            }
        ).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def main(host: str, port: int, notes: str) -> None:
    """Serve until killed."""
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    async with listen(App(file), (host, port), date_header=False):
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]), sys.argv[3])
