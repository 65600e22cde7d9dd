"""Which clusters are diagnosed continuously, and who is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kubently.errors import ConfigError
from kubently.settings import variables
from kubently.settings.trust import TrustSettings
from kubently.settings.variables import Environ


@dataclass(frozen=True, slots=True)
class ContinuousSettings:
    """Continuous diagnosis: which clusters, how often, what is kept and who is told."""

    clusters: str = "off"
    """``KUBENTLY_CONTINUOUS``: which clusters are diagnosed continuously: off, all, or a label selector (env=prod).
    Each costs one watch a resource on its API server, and memory here for its objects."""
    interval: float = 10.0
    """``KUBENTLY_CONTINUOUS_INTERVAL``: seconds between two analyses of a cluster that changes; ten times as long as
    one takes, where that is more."""
    resolve_after: float = 120.0
    """``KUBENTLY_FINDINGS_RESOLVE_AFTER``: seconds that a finding must be absent to be resolved."""
    keep: float = 30 * 86400.0
    """``KUBENTLY_FINDINGS_KEEP``: seconds for which resolved findings are kept."""
    webhooks: tuple[str, ...] = field(default=(), repr=False)
    """``KUBENTLY_FINDINGS_WEBHOOKS``: URLs, comma-separated, that are told of findings as CloudEvents; https, or http
    within a network that is trusted."""
    webhook_secret: str = field(default="", repr=False)
    """``KUBENTLY_FINDINGS_WEBHOOK_SECRET`` or the content of ``KUBENTLY_FINDINGS_WEBHOOK_SECRET_FILE``: key of their
    signatures (Standard Webhooks): whsec_ and 24 to 64 bytes in base64. Needed with webhooks."""
    webhook_severity: str = "degraded"
    """``KUBENTLY_FINDINGS_WEBHOOK_SEVERITY``: the least severity that they are told of: degraded, outage, risk or
    hygiene."""
    trust: TrustSettings = field(default_factory=TrustSettings)
    """``KUBENTLY_FINDINGS_CA_CERT``: CA of the webhooks beside the system's roots, as ``KUBENTLY_CA_CERT``."""

    @classmethod
    def from_env(cls, environ: Environ) -> ContinuousSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        listed = environ.get("KUBENTLY_FINDINGS_WEBHOOKS", "").split(",")
        webhooks = tuple(_webhook(part.strip()) for part in listed if part.strip())
        secret = variables.secret(environ, "KUBENTLY_FINDINGS_WEBHOOK_SECRET")
        if webhooks and not secret:
            raise ConfigError(
                "KUBENTLY_FINDINGS_WEBHOOKS needs a key for signatures",
                hint="set KUBENTLY_FINDINGS_WEBHOOK_SECRET_FILE",
            )
        return cls(
            clusters=environ.get("KUBENTLY_CONTINUOUS", "").strip() or "off",
            interval=variables.number(environ, "KUBENTLY_CONTINUOUS_INTERVAL", 10, low=1, high=3600),
            resolve_after=variables.number(environ, "KUBENTLY_FINDINGS_RESOLVE_AFTER", 120, low=0, high=86400),
            keep=variables.number(environ, "KUBENTLY_FINDINGS_KEEP", 30 * 86400, low=3600, high=365 * 86400),
            webhooks=webhooks,
            webhook_secret=secret,
            webhook_severity=variables.choice(
                environ, "KUBENTLY_FINDINGS_WEBHOOK_SEVERITY", ("degraded", "outage", "risk", "hygiene")
            ),
            trust=TrustSettings(
                ca_cert=environ.get("KUBENTLY_FINDINGS_CA_CERT", ""),
                cert_file=variables.path(environ, "SSL_CERT_FILE"),
                cert_dirs=tuple(Path(part) for part in environ.get("SSL_CERT_DIR", "").split(":") if part),
            ),
        )


def _webhook(text: str) -> str:
    """A URL whose path and query may be secret: it is not repeated in errors."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0 and text.isascii()
    except ValueError:
        usable = False
    if not usable or parts.fragment or parts.username or parts.password:
        raise ConfigError(
            "KUBENTLY_FINDINGS_WEBHOOKS holds what is no URL for a webhook",
            hint="use https://host[:port]/path, comma-separated, without user and password",
        )
    return text
