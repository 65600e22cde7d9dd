"""The certificates whose end matters to a process, and the metrics that say when that is.

Whoever holds a certificate adds a look at it under a name; each scrape looks anew, so that a certificate which was
replaced or is gone needs no word from anybody.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kubently.errors import ConfigError
from kubently.settings import TrustSettings
from kubently.trust import sources
from kubently.trust.observation import read_certificates


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate, or the first to end of several, is valid."""

    not_before: datetime
    not_after: datetime

    def life_left(self, now: datetime) -> float:
        """Share of its life that is left, from 0 to 1."""
        life = (self.not_after - self.not_before).total_seconds()
        left = (self.not_after - now).total_seconds()
        return max(0.0, min(1.0, left / life)) if life > 0 else 0.0


Look = Callable[[], Validity | None]
"""What is valid now; None where there is no certificate."""


class Watched:
    """Looks by name."""

    def __init__(self) -> None:
        self._looks: dict[str, Look] = {}

    def add(self, name: str, look: Look) -> None:
        """Watch what *look* finds as *name*, in place of what was watched so before."""
        self._looks[name] = look

    def found(self) -> Iterator[tuple[str, Validity]]:
        """Names and validities of those that are there."""
        for name, look in self._looks.items():
            if (validity := look()) is not None:
                yield name, validity


class Exported(Collector):
    """`Watched` as metrics."""

    def __init__(self, watched: Watched, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._watched = watched
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Claims no names: several executors in one process, in tests, export the same."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Look now."""
        ends = GaugeMetricFamily(
            "kubently_certificate_not_after_timestamp_seconds", "When a certificate ends", labels=["certificate"]
        )
        shares = GaugeMetricFamily(
            "kubently_certificate_life_left_ratio", "Share of a certificate's life that is left", labels=["certificate"]
        )
        for name, validity in self._watched.found():
            ends.add_metric([name], validity.not_after.timestamp())
            shares.add_metric([name], validity.life_left(self._now()))
        return ends, shares


def of(*certificates: x509.Certificate) -> Validity | None:
    """The validity of the one that ends first."""
    return _first(Validity(c.not_valid_before_utc, c.not_valid_after_utc) for c in certificates)


def of_text(content: bytes) -> Validity | None:
    """The same of what is PEM or DER; None where nothing can be read."""
    return _first(Validity(c.not_before, c.not_after) for c in read_certificates(content))


def of_file(path: Path) -> Validity | None:
    """The same of a file, as it is now."""
    with contextlib.suppress(OSError, ValueError):
        return of_text(sources.read_file(path))
    return None


def of_trusted(settings: TrustSettings) -> Validity | None:
    """The same of KUBENTLY_CA_CERT; the system's roots are somebody else's to watch."""
    if not settings.ca_cert:
        return None
    try:
        given = sources.read(dataclasses.replace(settings, cert_file=None, cert_dirs=()))
    except ConfigError:
        return None
    found = (of_text(piece.content) for piece in given)
    return _first(validity for validity in found if validity is not None)


def _first(validities: Iterable[Validity]) -> Validity | None:
    return min(validities, key=lambda validity: validity.not_after, default=None)
