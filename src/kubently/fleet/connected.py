"""One executor's session at this replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kubently.auth import Admitted
from kubently.fleet.hello import Hello
from kubently.schema import ClusterId, Transport
from kubently.tunnel import Session


@dataclass(eq=False, slots=True)
class Connected:
    """One session that has said who it is."""

    session: Session
    admitted: Admitted
    view: Mapping[str, str] = field(default_factory=dict)
    """What the edge sees of the other end."""
    hello: Hello = field(default_factory=Hello)
    transport: Transport = Transport.WEBSOCKET
    is_settled: bool = False
    """Whether its SETTINGS came."""
    connected_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def cluster(self) -> ClusterId:
        """Whose it is."""
        return self.admitted.cluster

    @property
    def instance(self) -> str:
        """Random name of the executor's run."""
        return self.hello.instance

    @property
    def capabilities(self) -> Mapping[str, str]:
        """What the executor says it can do."""
        return self.hello.capabilities

    @property
    def lane(self) -> tuple[str, str]:
        """What no two live sessions have in common: the executor's run and its name for the session."""
        return self.hello.instance, self.hello.lane
