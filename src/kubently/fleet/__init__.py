"""Which executors are here, and how to reach any cluster."""

from kubently.fleet.fleet import Connected, Fleet
from kubently.fleet.registry import Registration, Registry
from kubently.fleet.transport import FleetTransport

__all__ = ["Connected", "Fleet", "FleetTransport", "Registration", "Registry"]
