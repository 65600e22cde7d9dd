"""How long things took, as a histogram of Prometheus that costs a tenth of its library's: no lock, no labels to find.

For one thread, which is all that an event loop has.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds up to which each bucket goes; one more takes the rest."""


class Latency:
    """Counts of one kind of thing."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        """Seconds of all of them."""

    def observe(self, seconds: float) -> None:
        """One more took so long."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Latencies(Collector):
    """One histogram, by the values of one label, or of none where its name is empty."""

    def __init__(self, name: str, text: str, label: str = "", values: Iterable[str] = ("",)) -> None:
        self._name, self._text, self._label = name, text, label
        self.by: Mapping[str, Latency] = {value: Latency() for value in values}

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label] if self._label else [])
        for value, latency in self.by.items():
            bounds = (*map(str, BOUNDS), "+Inf")
            counts = map(float, itertools.accumulate(latency.counts))
            family.add_metric([value] if self._label else [], list(zip(bounds, counts, strict=True)), latency.total)
        yield family
