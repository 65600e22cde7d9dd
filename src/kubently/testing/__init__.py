"""Fakes and conformance suites for Kubently's own tests and for those who extend it."""

from kubently.testing.fleets import ADMIN_KEY, RunningFleet, ScriptedExecutor, run_fleet
from kubently.testing.pairs import connected_pair, deliver
from kubently.testing.stores import check_store
from kubently.testing.tunnels import tunnel

__all__ = [
    "ADMIN_KEY",
    "RunningFleet",
    "ScriptedExecutor",
    "check_store",
    "connected_pair",
    "deliver",
    "run_fleet",
    "tunnel",
]
