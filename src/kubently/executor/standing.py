"""A session of the executor that stands: which way it goes, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio

from kubently.executor.endpoints import Endpoint
from kubently.schema import Transport
from kubently.tunnel import Link, LinkHandler, Session


class ClientLink(Link, Protocol):
    """The executor's end of a link."""

    was_cut: bool
    """Whether it was lost on the way, and neither end closed it."""

    def peer_certificate(self) -> bytes:
        """The certificate (DER) that the other end of TLS showed; empty without TLS."""
        ...

    def attach(self, handler: LinkHandler) -> None:
        """Set who is called; messages that came before are delivered now."""
        ...


@dataclass(eq=False)
class Standing:
    """One session of the executor's."""

    endpoint: Endpoint
    transport: Transport
    lane: str
    """Its name: a later session of the same name takes its place at the API at once."""
    link: ClientLink
    began: float
    session: Session = field(init=False)
    replica: str = ""
    """Which process of the API it is at; empty where there is one only."""
    replicas: int = 1
    """How many the API had when it began."""
    is_leaving: bool = False
    """Whether another session stands in its place, or the executor stops."""
    changed: anyio.Event = field(default_factory=anyio.Event)
    """Set when it closes or is asked to drain."""

    def settled(self, info: Mapping[str, Any]) -> None:
        """Take what the API says of itself."""
        replica, replicas = info.get("replica"), info.get("replicas")
        self.replica = replica[:256] if isinstance(replica, str) else ""
        self.replicas = replicas if isinstance(replicas, int) else 1

    def change(self) -> None:
        """Wake whoever looks after it."""
        self.changed.set()
        self.changed = anyio.Event()

    async def retire(self, reason: str, grace: float) -> None:
        """Take no new streams, let those that are open end within *grace* seconds, and close."""
        self.is_leaving = True
        try:
            self.session.drain(reason)
            await self.session.wait_idle(grace)
        finally:
            self.session.close(reason, code=1001)
