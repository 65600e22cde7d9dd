"""Whether a program tells spans, and to whom."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterator, Sequence

from kubently import tracing
from kubently.settings import TracingSettings

log = logging.getLogger(__name__)

_SERVICES = ("api", "executor", "up")


@contextlib.contextmanager
def traced(words: Sequence[str], settings: TracingSettings) -> Iterator[None]:
    """Take the spans of the program that *words* call while the block runs, where *settings* name a collector.

    A command of the command line is a span itself, below the trace that its environment names.
    """
    command = next((word for word in words if not word.startswith("-")), "")
    service = command if command in _SERVICES else "cli"
    tracing.current.set(tracing.parse(settings.traceparent))
    if not settings.collector:
        yield
        return
    try:
        telemetry = importlib.import_module("kubently.main.telemetry")
    except ImportError as error:
        # Some platforms give every pod these variables: that is no reason not to start.
        log.warning("no traces are sent: the extra otel is not installed", extra={"reason": str(error)})
        yield
        return
    taker = telemetry.SdkTracer(f"kubently-{service}")
    tracing.tracer.set(taker)
    try:
        with contextlib.nullcontext() if service != "cli" else tracing.Span(f"kubently {command}".strip()):
            yield
    finally:
        taker.close()
