"""What is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kubently.settings import StoreSettings, TrustSettings


@dataclass(frozen=True, slots=True)
class Subject:
    """One API as somebody would reach it from here."""

    url: str = ""
    trust: TrustSettings = field(default_factory=TrustSettings)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
    """An executor's token, for the cluster *cluster*."""
    cluster: str = ""
    certificate: str = field(default="", repr=False)
    """An executor's certificate, as the Authorization header of its dial."""
    private_key: str = field(default="", repr=False)
    """Its key, PEM."""
    hold: float = 20.0
    """Seconds of silence to look at; above the 15 s of Envoy's routes."""
    key: str = field(default="", repr=False)
    """A person's API key or session."""
    values: tuple[Path, ...] = ()
    store_url: str = field(default="", repr=False)
    """The API's own store, as ``KUBENTLY_STORE``."""
    store: StoreSettings = field(default_factory=StoreSettings)
    timeout: float = 10.0
    """Seconds for each wait on the network."""
