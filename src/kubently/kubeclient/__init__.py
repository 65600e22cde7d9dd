"""Asks an apiserver: a client over any httpx transport, and the collector of snapshots for a diagnosis."""

from __future__ import annotations

from kubently.kubeclient.client import KubeClient, Listing, status_code
from kubently.kubeclient.collect import collect
from kubently.kubeclient.watch import Change, Watch, watching

__all__ = ["Change", "KubeClient", "Listing", "Watch", "collect", "status_code", "watching"]
