"""Clusters as the API shows them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from kubently.schema.base import Frozen


class ClusterState(StrEnum):
    """Whether a cluster can be asked."""

    CONNECTED = "connected"
    """At least one executor holds a session."""
    DRAINING = "draining"
    """All its sessions drain."""
    DISCONNECTED = "disconnected"
    """It was here before."""
    NEVER = "never-connected"
    """Registered, and no executor has come yet."""


class Transport(StrEnum):
    """What carries a session."""

    WEBSOCKET = "websocket"
    LONG_POLL = "long-poll"
    """Ordinary requests, where something on the way passes no WebSocket."""


class SessionInfo(Frozen):
    """One connection of an executor."""

    transport: Transport = Transport.WEBSOCKET
    connected_at: datetime
    draining: bool = False
    """Whether it takes no new requests: another one stands in its place, or one end stops."""
    streams: int = 0
    """Requests under way."""
    rtt_seconds: float | None = None
    """Round trip of the last ping."""
    replica: str = ""
    """The API process that it is connected to; empty where there is one only."""


class Refusal(Frozen):
    """Why somebody was kept out, in words and by code."""

    code: str
    message: str
    at: datetime | None = None
    client: str = ""
    """Address of who was refused, where it is the API that says so."""


class ExecutorInfo(Frozen):
    """What an executor says of itself, and how it is connected."""

    instance: str
    """Random at each start of the executor."""
    version: str
    kubernetes_version: str = ""
    """As its API server answers /version; empty when that failed."""
    kube_system_uid: str = ""
    """Uid of the namespace kube-system: a guard against two clusters with one id."""
    capabilities: dict[str, str] = Field(default_factory=dict)
    connected_at: datetime
    """Beginning of the oldest of its sessions."""
    rtt_seconds: float | None = None
    """Round trip of the last ping, the shortest of its sessions'."""
    sessions: tuple[SessionInfo, ...] = ()
    """Its connections, the oldest first."""
    identity: str = ""
    """How it proved which cluster is its own: by a "certificate" whose key it holds, or by a static "token"."""
    certificates: dict[str, datetime] = Field(default_factory=dict)
    """When the certificates end that it uses or sees: "api" as it was shown, "trusted" CAs, "client", "identity"."""
    last_problem: Refusal | None = None
    """What kept it out before, as it tells itself."""


class Cluster(Frozen):
    """One registered cluster."""

    id: str
    state: ClusterState
    labels: dict[str, str] = Field(default_factory=dict)
    last_seen_at: datetime | None = None
    executors: tuple[ExecutorInfo, ...] = ()
    problem: str = ""
    """What keeps it from working, in a sentence; empty when nothing is known."""
    refused: Refusal | None = None
    """The last who named this cluster and was not let in, since one was."""
