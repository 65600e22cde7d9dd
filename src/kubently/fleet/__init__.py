"""Which executors are here, and how to reach any cluster."""

from kubently.fleet.connected import Connected
from kubently.fleet.directory import Directory, Replica
from kubently.fleet.fleet import Answering, Fleet
from kubently.fleet.peers import Peers
from kubently.fleet.registry import Registration, Registry
from kubently.fleet.replicas import joined, new_name
from kubently.fleet.transport import FleetTransport

__all__ = [
    "Answering",
    "Connected",
    "Directory",
    "Fleet",
    "FleetTransport",
    "Peers",
    "Registration",
    "Registry",
    "Replica",
    "joined",
    "new_name",
]
