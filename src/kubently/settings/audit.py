"""Where audit records go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kubently.settings import variables
from kubently.settings.trust import TrustSettings
from kubently.settings.variables import Environ


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """How the API keeps its audit log."""

    folder: Path | None = None
    """``KUBENTLY_AUDIT_DIR``: folder of the audit journal, which survives a crash and is shipped to the store; empty:
    ``audit`` beside the file of a SQLite store, else records are kept in the store alone."""
    fail_closed: bool = True
    """``KUBENTLY_AUDIT_FAIL_CLOSED``: true refuses requests while they cannot be recorded (503); false lets them run,
    counts them, and records them later where it can."""
    patience: float = 5.0
    """``KUBENTLY_AUDIT_TIMEOUT``: seconds after which a disk that does not answer counts as failed."""
    segment_bytes: int = 8 * 1024 * 1024
    """``KUBENTLY_AUDIT_SEGMENT_BYTES``: size at which the journal begins another file."""
    journal_bytes: int = 256 * 1024 * 1024
    """``KUBENTLY_AUDIT_JOURNAL_BYTES``: size of all its files beyond which the oldest go, once they were shipped
    everywhere."""
    sinks: tuple[str, ...] = field(default=(), repr=False)
    """``KUBENTLY_AUDIT_SINKS``: where else records go, comma-separated: stdout:, file:///path, syslog+udp://host[:port],
    syslog+tcp://host[:port], syslog+tls://host[:port], otlp+http://host[:port][/path], otlp+https://..."""
    sink_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """``KUBENTLY_AUDIT_OTLP_HEADERS``: name=value, comma-separated: headers for the OTLP collector."""
    trust: TrustSettings = field(default_factory=TrustSettings)
    """``KUBENTLY_AUDIT_CA_CERT``: CA of the sinks beside the system's roots, as ``KUBENTLY_CA_CERT``."""

    @classmethod
    def from_env(cls, environ: Environ) -> AuditSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        folder = variables.path(environ, "KUBENTLY_AUDIT_DIR")
        store = urlsplit(environ.get("KUBENTLY_STORE", ""))
        if folder is None and store.scheme == "sqlite" and store.path:
            folder = Path(store.path).parent / "audit"
        largest = 1024**3
        return cls(
            folder=folder,
            fail_closed=variables.choice(environ, "KUBENTLY_AUDIT_FAIL_CLOSED", ("true", "false")) == "true",
            patience=variables.number(environ, "KUBENTLY_AUDIT_TIMEOUT", 5, low=0.1, high=60),
            segment_bytes=int(
                variables.number(environ, "KUBENTLY_AUDIT_SEGMENT_BYTES", 8 * 1024 * 1024, low=4096, high=largest)
            ),
            journal_bytes=int(
                variables.number(
                    environ, "KUBENTLY_AUDIT_JOURNAL_BYTES", 256 * 1024 * 1024, low=65536, high=1024 * largest
                )
            ),
            sinks=tuple(part.strip() for part in environ.get("KUBENTLY_AUDIT_SINKS", "").split(",") if part.strip()),
            sink_headers=variables.headers(environ, "KUBENTLY_AUDIT_OTLP_HEADERS"),
            trust=TrustSettings(
                ca_cert=environ.get("KUBENTLY_AUDIT_CA_CERT", ""),
                cert_file=variables.path(environ, "SSL_CERT_FILE"),
                cert_dirs=tuple(Path(part) for part in environ.get("SSL_CERT_DIR", "").split(":") if part),
            ),
        )
