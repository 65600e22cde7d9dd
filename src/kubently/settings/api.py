"""The API."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kubently.errors import ConfigError
from kubently.settings import variables
from kubently.settings.audit import AuditSettings
from kubently.settings.continuous import ContinuousSettings
from kubently.settings.limits import LimitSettings
from kubently.settings.oidc import OidcSettings
from kubently.settings.process import LogSettings, TimingSettings
from kubently.settings.store import StoreSettings
from kubently.settings.variables import Environ, IPNetwork

CLIENT_CERT_HEADERS = ("client-cert", "x-forwarded-client-cert", "ssl-client-cert")
"""Headers in which proxies hand on a client certificate: RFC 9440's, Envoy's and nginx's."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The control plane's settings."""

    listen: tuple[str, int] = ("127.0.0.1", 8080)
    """``KUBENTLY_LISTEN``: host:port of REST, tunnel and Kubernetes API; ``0.0.0.0:8080`` in a container."""
    metrics_listen: tuple[str, int] | None = None
    """``KUBENTLY_METRICS_LISTEN``: host:port of /metrics without a key, for inside the cluster; empty for none."""
    tls_cert: Path | None = None
    """``KUBENTLY_TLS_CERT``: PEM chain, to serve TLS on the listener."""
    tls_key: Path | None = None
    """``KUBENTLY_TLS_KEY``: its key."""
    tls_listen: tuple[str, int] | None = None
    """``KUBENTLY_TLS_LISTEN``: host:port of a listener of its own for TLS; ``KUBENTLY_LISTEN`` is plain HTTP then, for
    inside the cluster. Empty: TLS, where there is a certificate, on ``KUBENTLY_LISTEN``."""
    client_certs: str = "off"
    """``KUBENTLY_CLIENT_CERTS``: off, accept (an executor may come by a client certificate that is bound to its cluster
    id) or require (it must)."""
    client_ca: Path | None = None
    """``KUBENTLY_CLIENT_CA``: PEM file of the CAs that sign executors' client certificates, beside Kubently's own CA,
    whose certificates enrolment gives."""
    client_cert_header: str = "none"
    """``KUBENTLY_CLIENT_CERT_HEADER``: none, or the header in which a trusted proxy that ends TLS hands on the client
    certificate: client-cert (RFC 9440), x-forwarded-client-cert (Envoy, Istio) or ssl-client-cert (nginx)."""
    trusted_proxies: tuple[IPNetwork, ...] = ()
    """``KUBENTLY_TRUSTED_PROXIES``: networks (CIDR), comma-separated, of proxies whose forwarded headers count; nobody
    else's do."""
    executor_ca: tuple[Path, Path] | None = None
    """``KUBENTLY_EXECUTOR_CA_CERT`` and ``KUBENTLY_EXECUTOR_CA_KEY``: PEM files of the CA that signs executors'
    certificates (the first; all of the file are accepted); empty: one made in the store."""
    executor_cert_lifetime: float = 7 * 86400.0
    """``KUBENTLY_EXECUTOR_CERT_LIFETIME``: seconds that an executor's certificate is valid."""
    store_url: str = field(default="memory:", repr=False)
    """``KUBENTLY_STORE``: memory:, sqlite:///path, or Redis: redis[s]://host[:port][/db],
    redis[s]+sentinel://host[:port],.../service[/db], redis[s]+cluster://host[:port],..."""
    store: StoreSettings = field(default_factory=StoreSettings)
    admin_key: str = field(default="", repr=False)
    """``KUBENTLY_ADMIN_KEY`` or the content of ``KUBENTLY_ADMIN_KEY_FILE``: an API key of role admin, to begin with."""
    tokens_dir: Path | None = None
    """``KUBENTLY_EXECUTOR_TOKENS_DIR``: folder with one file per cluster id (a mounted Secret)."""
    hosts: tuple[str, ...] = ()
    """``KUBENTLY_HOSTS``: host names, comma-separated, that requests may name; empty accepts any."""
    limits: LimitSettings = field(default_factory=LimitSettings)
    tunnel_end: str = "socket"
    """``KUBENTLY_TUNNEL_END``: socket (executors' WebSockets are taken over from the HTTP server, at a fraction of the
    memory and CPU) or asgi (they are not; for comparison)."""
    analyzers: tuple[Path, ...] = ()
    """``KUBENTLY_ANALYZERS``: paths, separated by ':', of files (or folders of them) that declare analyzers of your
    own; those of installed packages are found by themselves. Wrong: no start."""
    peer_listen: tuple[str, int] | None = None
    """``KUBENTLY_PEER_LISTEN``: host:port for the other replicas (mutual TLS, not for Service or Ingress); with it, a
    cluster whose executor is connected to another replica is reached through that one. Empty for a single process."""
    peer_address: tuple[str, int] | None = None
    """``KUBENTLY_PEER_ADDRESS``: host:port at which the others reach it, the pod's own IP; empty: where it listens,
    or this host's name."""
    peer_ca: tuple[Path, Path] | None = None
    """``KUBENTLY_PEER_CA_CERT`` and ``KUBENTLY_PEER_CA_KEY``: PEM files of the CA by which replicas know each other,
    an ECDSA key; empty: one made in the store."""
    audit: AuditSettings = field(default_factory=AuditSettings)
    continuous: ContinuousSettings = field(default_factory=ContinuousSettings)
    oidc: OidcSettings | None = None
    timing: TimingSettings = field(default_factory=TimingSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @classmethod
    def from_env(cls, environ: Environ) -> ApiSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        cert, key = variables.path(environ, "KUBENTLY_TLS_CERT"), variables.path(environ, "KUBENTLY_TLS_KEY")
        if (cert is None) != (key is None):
            raise ConfigError("KUBENTLY_TLS_CERT and KUBENTLY_TLS_KEY belong together", hint="set both or neither")
        tls = variables.optional_address(environ, "KUBENTLY_TLS_LISTEN")
        if tls and cert is None:
            raise ConfigError(
                "KUBENTLY_TLS_LISTEN needs a certificate", hint="set KUBENTLY_TLS_CERT and KUBENTLY_TLS_KEY"
            )
        return cls(
            listen=variables.address("KUBENTLY_LISTEN", environ.get("KUBENTLY_LISTEN", "127.0.0.1:8080")),
            metrics_listen=variables.optional_address(environ, "KUBENTLY_METRICS_LISTEN"),
            tls_cert=cert,
            tls_key=key,
            tls_listen=tls,
            client_certs=variables.choice(environ, "KUBENTLY_CLIENT_CERTS", ("off", "accept", "require")),
            client_ca=variables.path(environ, "KUBENTLY_CLIENT_CA"),
            client_cert_header=variables.choice(environ, "KUBENTLY_CLIENT_CERT_HEADER", ("none", *CLIENT_CERT_HEADERS)),
            trusted_proxies=variables.networks(environ, "KUBENTLY_TRUSTED_PROXIES"),
            executor_ca=variables.pair(environ, "KUBENTLY_EXECUTOR_CA_CERT", "KUBENTLY_EXECUTOR_CA_KEY"),
            executor_cert_lifetime=variables.number(
                environ, "KUBENTLY_EXECUTOR_CERT_LIFETIME", 7 * 86400.0, low=60, high=365 * 86400
            ),
            store_url=environ.get("KUBENTLY_STORE", "memory:"),
            store=StoreSettings.from_env(environ),
            admin_key=variables.secret(environ, "KUBENTLY_ADMIN_KEY"),
            tokens_dir=variables.path(environ, "KUBENTLY_EXECUTOR_TOKENS_DIR"),
            hosts=tuple(h.strip().lower() for h in environ.get("KUBENTLY_HOSTS", "").split(",") if h.strip()),
            limits=LimitSettings.from_env(environ),
            tunnel_end=variables.choice(environ, "KUBENTLY_TUNNEL_END", ("socket", "asgi")),
            analyzers=tuple(Path(part) for part in environ.get("KUBENTLY_ANALYZERS", "").split(":") if part.strip()),
            peer_listen=variables.address("KUBENTLY_PEER_LISTEN", peers)
            if (peers := environ.get("KUBENTLY_PEER_LISTEN"))
            else None,
            peer_address=variables.address("KUBENTLY_PEER_ADDRESS", own)
            if (own := environ.get("KUBENTLY_PEER_ADDRESS"))
            else None,
            peer_ca=variables.pair(environ, "KUBENTLY_PEER_CA_CERT", "KUBENTLY_PEER_CA_KEY"),
            audit=AuditSettings.from_env(environ),
            continuous=ContinuousSettings.from_env(environ),
            oidc=OidcSettings.from_env(environ),
            timing=TimingSettings.from_env(environ),
            log=LogSettings.from_env(environ),
        )
