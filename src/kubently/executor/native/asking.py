"""Requests of the native road: made of `KubeApi`, with the same decisions and redaction as those of a child.

There is no second road to the API server: what is asked here is served as if kubectl had asked it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from kubently import __version__
from kubently.executor.caller import Caller
from kubently.executor.kubeapi import KubeApi
from kubently.executor.native.unsure import Unsure
from kubently.tunnel import Message

JSON = "application/json"
TABLE = f"{JSON};as=Table;v=v1;g=meta.k8s.io,{JSON};as=Table;v=v1beta1;g=meta.k8s.io,{JSON}"
DISCOVERY = f"{JSON};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,{JSON}"

_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\["\\])*)"')


class Budget:
    """Bytes of answers that all native commands may hold together."""

    def __init__(self, limit: int) -> None:
        self.left = limit


@dataclass(slots=True)
class Held:
    """What one command holds of the budget; ``limit`` is its own. Close it with the command."""

    budget: Budget
    limit: int
    held: int = 0

    def take(self, count: int) -> None:
        """Count further bytes. Raises Unsure beyond a limit: kubectl has memory of its own."""
        self.held += count
        self.budget.left -= count
        if self.held > self.limit or self.budget.left < 0:
            raise Unsure("a large answer")

    def give(self, count: int) -> None:
        """Give bytes back that are no longer held."""
        self.held -= count
        self.budget.left += count

    def close(self) -> None:
        """Give all of it back."""
        self.give(self.held)


@dataclass(slots=True)
class Answer:
    """One answer."""

    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    warnings: list[str] = field(default_factory=list)

    @property
    def is_success(self) -> bool:
        """Whether what was asked for is in the body; 204 is the log of a pod that runs nowhere."""
        return 200 <= self.status < 300


Piece = Callable[[bytes], Awaitable[None]]


class Asker:
    """Asks for one caller."""

    def __init__(self, kube_api: KubeApi, caller: Caller, held: Held) -> None:
        self._kube_api = kube_api
        self._caller = caller
        self.held = held

    async def get(self, path: str, query: dict[str, str] | None = None, *, accept: str = JSON) -> Answer:
        """Ask and read the whole answer. Raises Unsure when it is too large, and UpstreamError when it breaks off."""
        answer = Answer()

        async def add(piece: bytes) -> None:
            self.held.take(len(piece))
            answer.body += piece

        await self._serve(answer, path, query or {}, accept, add)
        return answer

    async def stream(self, path: str, query: dict[str, str], write: Piece) -> Answer:
        """Ask, and give a successful answer to *write* piece by piece; another one is read as by `get`.

        Raises Unsure before the first piece, for warnings too: there is no place for them here.
        """
        answer = Answer()

        async def add(piece: bytes) -> None:
            if answer.is_success:
                await write(piece)
                return
            self.held.take(len(piece))
            answer.body += piece

        await self._serve(answer, path, query, f"{JSON}, */*", add, warns=False)
        return answer

    async def _serve(
        self, answer: Answer, path: str, query: dict[str, str], accept: str, add: Piece, *, warns: bool = True
    ) -> None:
        headers = [(b"accept", accept.encode()), (b"user-agent", f"kubently/{__version__}".encode())]

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.warnings = _warnings(message["headers"])
                if answer.warnings and not warns:
                    raise Unsure("a warning")
            elif piece := message.get("body", b""):
                await add(piece)

        scope = {"method": "GET", "query_string": urlencode(query).encode(), "headers": headers}
        await self._kube_api.serve(scope, _receive, send, path=path.encode(), caller=self._caller)


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _warnings(fields: list[tuple[bytes, bytes]]) -> list[str]:
    """The texts that the API server warns with. Raises Unsure for one that cannot be read plainly."""
    found: list[str] = []
    for value in (value.decode("latin-1") for name, value in fields if name == b"warning"):
        match = _WARNING.fullmatch(value)
        if match is None or not value.isascii():
            raise Unsure("an unusual warning")
        found.append(re.sub(r'\\(["\\])', r"\1", match[1]))
    return found
