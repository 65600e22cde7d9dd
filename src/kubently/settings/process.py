"""What every program of Kubently reads: how it logs, traces and waits."""

from __future__ import annotations

from dataclasses import dataclass

from kubently.settings import variables
from kubently.settings.variables import Environ


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the process logs."""

    level: str = "info"
    """``KUBENTLY_LOG_LEVEL``: debug, info, warning or error."""
    json_lines: bool = True
    """``KUBENTLY_LOG_FORMAT``: json (default) or console."""

    @classmethod
    def from_env(cls, environ: Environ) -> LogSettings:
        """Read from *environ*. Raises ConfigError."""
        level = environ.get("KUBENTLY_LOG_LEVEL", "info").lower()
        if level not in ("debug", "info", "warning", "error"):
            raise variables.bad("KUBENTLY_LOG_LEVEL", level, "use debug, info, warning or error")
        kind = environ.get("KUBENTLY_LOG_FORMAT", "json").lower()
        if kind not in ("json", "console"):
            raise variables.bad("KUBENTLY_LOG_FORMAT", kind, "use json or console")
        return cls(level, kind == "json")


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Where traces go. The rest of OpenTelemetry's own variables is read by its SDK."""

    collector: str = ""
    """``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``: URL of an OTLP/HTTP collector for
    traces, http://host:4318; needs the extra ``otel``. Empty, or ``OTEL_TRACES_EXPORTER`` none, or
    ``OTEL_SDK_DISABLED`` true: none are sent."""
    traceparent: str = ""
    """``TRACEPARENT``: W3C trace context of which a command is a part."""

    @classmethod
    def from_env(cls, environ: Environ) -> TracingSettings:
        """Read from *environ*."""
        off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
        named = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
        return cls("" if off else named, environ.get("TRACEPARENT", ""))


@dataclass(frozen=True, slots=True)
class TimingSettings:
    """Seconds of the tunnel's liveness; the same two names on API and executor."""

    ping_after: float = 20.0
    """``HEALTH_CHECK_INTERVAL``: silence after which a ping is sent; dead after 45 s or 1.5 times this, if larger."""
    dial_timeout: float = 10.0
    """``CONNECTION_TIMEOUT``: bound of each stage of a dial."""

    @classmethod
    def from_env(cls, environ: Environ) -> TimingSettings:
        """Read from *environ*. Raises ConfigError."""
        return cls(
            variables.number(environ, "HEALTH_CHECK_INTERVAL", 20.0, low=1, high=600),
            variables.number(environ, "CONNECTION_TIMEOUT", 10.0, low=1, high=300),
        )
