"""Settings, read from the environment here and nowhere else."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kubently.errors import ConfigError

Environ = Mapping[str, str]


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
            raise _bad("KUBENTLY_LOG_LEVEL", level, "use debug, info, warning or error")
        kind = environ.get("KUBENTLY_LOG_FORMAT", "json").lower()
        if kind not in ("json", "console"):
            raise _bad("KUBENTLY_LOG_FORMAT", kind, "use json or console")
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
            _number(environ, "HEALTH_CHECK_INTERVAL", 20.0, low=1, high=600),
            _number(environ, "CONNECTION_TIMEOUT", 10.0, low=1, high=300),
        )


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """HTTP proxies on the way to the API. Each variable may be written in lower case, which wins."""

    https: str = field(default="", repr=False)
    """``HTTPS_PROXY``: http[s]://[user:password@]host[:port] of the proxy to an https API."""
    http: str = field(default="", repr=False)
    """``HTTP_PROXY``: the same to an http API; in upper case not where ``REQUEST_METHOD`` is set (CGI)."""
    fallback: str = field(default="", repr=False)
    """``ALL_PROXY``: the proxy where the variable of the API's scheme is not set."""
    exceptions: str = ""
    """``NO_PROXY``: hosts that are dialled directly, comma-separated: names with all below them, addresses (both with
    ``:port`` where wanted), CIDR, or ``*``. Loopback always is."""

    @classmethod
    def from_env(cls, environ: Environ) -> ProxySettings:
        """Read from *environ*. A proxy that cannot be used is refused by whoever needs it."""
        # In a CGI program an upper-case HTTP_PROXY is the caller's header "Proxy".
        safe = {**environ, "HTTP_PROXY": ""} if environ.get("REQUEST_METHOD") else environ
        names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
        return cls(*(safe.get(name.lower()) or safe.get(name, "") for name in names))


CLIENT_CERT_HEADERS = ("client-cert", "x-forwarded-client-cert", "ssl-client-cert")
"""Headers in which proxies hand on a client certificate: RFC 9440's, Envoy's and nginx's."""

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

ACKNOWLEDGED = "i-understand"
"""What ``KUBENTLY_INSECURE_ACKNOWLEDGED`` must say."""


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """How a program that dials the API gets there, whom it trusts and who it is: the executor, and the command line."""

    ca_cert: str = ""
    """``KUBENTLY_CA_CERT``: certificates to trust: a file (PEM or DER), a folder of ``*.pem`` and ``*.crt``, several of
    these separated by ``:``, or the PEM text itself."""
    ca_exclusive: bool = False
    """``KUBENTLY_CA_MODE``: additive trusts ``KUBENTLY_CA_CERT`` beside the system's roots, exclusive trusts nothing
    else."""
    cert_file: Path | None = None
    """``SSL_CERT_FILE``: file in place of the system's file of roots."""
    cert_dirs: tuple[Path, ...] = ()
    """``SSL_CERT_DIR``: folders, separated by ``:``, in place of the system's; every ``*.pem`` and ``*.crt`` in them is
    read."""
    server_name: str = ""
    """``KUBENTLY_TLS_SERVER_NAME``: the name that the API's certificate must have, and that is asked for (SNI), where
    it is not the URL's."""
    min_version: str = "1.2"
    """``KUBENTLY_TLS_MIN_VERSION``: oldest TLS version that is spoken: 1.2 or 1.3."""
    client_cert: Path | None = None
    """``KUBENTLY_CLIENT_CERT``: PEM chain of the certificate to show where the API asks for one."""
    client_key: Path | None = None
    """``KUBENTLY_CLIENT_KEY``: its key, not encrypted."""
    verify: bool = True
    """``KUBENTLY_SSL_VERIFY``: false accepts any certificate of the API, and works only with
    ``KUBENTLY_INSECURE_ACKNOWLEDGED=i-understand``."""
    proxies: ProxySettings = ProxySettings()

    @classmethod
    def from_env(cls, environ: Environ) -> TrustSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        cert, key = _path(environ, "KUBENTLY_CLIENT_CERT"), _path(environ, "KUBENTLY_CLIENT_KEY")
        if (cert is None) != (key is None):
            raise ConfigError(
                "KUBENTLY_CLIENT_CERT and KUBENTLY_CLIENT_KEY belong together", hint="set both or neither"
            )
        return cls(
            ca_cert=environ.get("KUBENTLY_CA_CERT", ""),
            ca_exclusive=_choice(environ, "KUBENTLY_CA_MODE", ("additive", "exclusive")) == "exclusive",
            cert_file=_path(environ, "SSL_CERT_FILE"),
            cert_dirs=tuple(Path(part) for part in environ.get("SSL_CERT_DIR", "").split(":") if part),
            server_name=_server_name(environ),
            min_version=_choice(environ, "KUBENTLY_TLS_MIN_VERSION", ("1.2", "1.3")),
            client_cert=cert,
            client_key=key,
            verify=_verify(environ),
            proxies=ProxySettings.from_env(environ),
        )


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """The OpenID provider by which people log in."""

    issuer: str
    """``KUBENTLY_OIDC_ISSUER``: its issuer URL, to the letter; empty: people use API keys only."""
    client_id: str
    """``KUBENTLY_OIDC_CLIENT_ID``: a public (native) client with PKCE, and the device flow where wanted."""
    roles_file: Path
    """``KUBENTLY_OIDC_ROLES_FILE``: YAML file of what groups and users may do; read anew when it changes."""
    public_client_secret: str = ""
    """``KUBENTLY_OIDC_PUBLIC_CLIENT_SECRET``: for providers that want a secret of native applications too. Everybody
    who asks for it gets it: never that of a confidential client."""
    audiences: tuple[str, ...] = ()
    """``KUBENTLY_OIDC_AUDIENCES``: audiences, comma-separated, of which an ID token must have one; the client id where
    empty."""
    scopes: tuple[str, ...] = ("openid", "profile", "email", "groups", "offline_access")
    """``KUBENTLY_OIDC_SCOPES``: what the command line asks for, separated by spaces."""
    username_claim: str = ""
    """``KUBENTLY_OIDC_USERNAME_CLAIM``: claim that names a person; empty: the verified e-mail address, else
    ``sub:`` and the subject."""
    groups_claim: str = "groups"
    """``KUBENTLY_OIDC_GROUPS_CLAIM``: claim with the person's groups."""
    login_ttl: float = 8 * 3600.0
    """``KUBENTLY_LOGIN_TTL``: seconds that a session lasts."""
    trust: TrustSettings = field(default_factory=lambda: TrustSettings())
    """``KUBENTLY_OIDC_CA_CERT``: CA of the provider beside the system's roots, as ``KUBENTLY_CA_CERT``."""

    @classmethod
    def from_env(cls, environ: Environ) -> OidcSettings | None:
        """Read from *environ*; None without an issuer. Raises ConfigError that names the variable."""
        issuer = environ.get("KUBENTLY_OIDC_ISSUER", "")
        if not issuer:
            return None
        if not is_safe_url(issuer):
            raise _bad("KUBENTLY_OIDC_ISSUER", issuer, "use https://..., without query")
        client = _required(environ, "KUBENTLY_OIDC_CLIENT_ID")
        named = [part.strip() for part in environ.get("KUBENTLY_OIDC_AUDIENCES", "").split(",") if part.strip()]
        scopes = environ.get("KUBENTLY_OIDC_SCOPES", "").split() or ["openid", "profile", "email", "groups"]
        if not environ.get("KUBENTLY_OIDC_SCOPES"):
            scopes.append("offline_access")
        if "openid" not in scopes:
            raise _bad("KUBENTLY_OIDC_SCOPES", " ".join(scopes), "openid must be among them")
        return cls(
            issuer=issuer,
            client_id=client,
            roles_file=Path(_required(environ, "KUBENTLY_OIDC_ROLES_FILE")),
            public_client_secret=_secret(environ, "KUBENTLY_OIDC_PUBLIC_CLIENT_SECRET"),
            audiences=tuple(named) or (client,),
            scopes=tuple(scopes),
            username_claim=environ.get("KUBENTLY_OIDC_USERNAME_CLAIM", ""),
            groups_claim=environ.get("KUBENTLY_OIDC_GROUPS_CLAIM", "") or "groups",
            login_ttl=_number(environ, "KUBENTLY_LOGIN_TTL", 8 * 3600.0, low=60, high=30 * 86400),
            trust=TrustSettings(
                ca_cert=environ.get("KUBENTLY_OIDC_CA_CERT", ""),
                cert_file=_path(environ, "SSL_CERT_FILE"),
                cert_dirs=tuple(Path(part) for part in environ.get("SSL_CERT_DIR", "").split(":") if part),
                proxies=ProxySettings.from_env(environ),
            ),
        )


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How the API gets into its store, where that is a Redis."""

    username: str = ""
    """``KUBENTLY_STORE_USERNAME``: user of Redis, where its URL names none; empty: the default user."""
    password: str = field(default="", repr=False)
    """``KUBENTLY_STORE_PASSWORD`` or the content of ``KUBENTLY_STORE_PASSWORD_FILE``: its password, where the URL has
    none."""
    password_file: Path | None = None
    """``KUBENTLY_STORE_PASSWORD_FILE``: read anew at each connection, so that a rotated password needs no restart."""
    sentinel_password: str = field(default="", repr=False)
    """``KUBENTLY_STORE_SENTINEL_PASSWORD`` or the content of ``KUBENTLY_STORE_SENTINEL_PASSWORD_FILE``: password of the
    sentinels themselves, where they want one."""
    trust: TrustSettings = field(default_factory=lambda: TrustSettings())
    """``KUBENTLY_STORE_CA_CERT``: CA of the store beside the system's roots, as ``KUBENTLY_CA_CERT``.
    ``KUBENTLY_STORE_CLIENT_CERT`` and ``KUBENTLY_STORE_CLIENT_KEY``: PEM files of the certificate to show there, which
    Redis wants unless ``tls-auth-clients`` is off. ``KUBENTLY_STORE_TLS_SERVER_NAME``: the name that its certificate
    must have, where it is not the URL's (sentinels and clusters tell addresses)."""
    grace: float = 60.0
    """``KUBENTLY_STORE_GRACE``: seconds for which keys and tokens that were read from Redis still hold while it cannot
    be reached; 0: not at all."""

    @classmethod
    def from_env(cls, environ: Environ) -> StoreSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        pair = _pair(environ, "KUBENTLY_STORE_CLIENT_CERT", "KUBENTLY_STORE_CLIENT_KEY")
        return cls(
            username=environ.get("KUBENTLY_STORE_USERNAME", ""),
            password=_secret(environ, "KUBENTLY_STORE_PASSWORD"),
            password_file=None
            if environ.get("KUBENTLY_STORE_PASSWORD")
            else _path(environ, "KUBENTLY_STORE_PASSWORD_FILE"),
            sentinel_password=_secret(environ, "KUBENTLY_STORE_SENTINEL_PASSWORD"),
            trust=TrustSettings(
                ca_cert=environ.get("KUBENTLY_STORE_CA_CERT", ""),
                cert_file=_path(environ, "SSL_CERT_FILE"),
                cert_dirs=tuple(Path(part) for part in environ.get("SSL_CERT_DIR", "").split(":") if part),
                server_name=_server_name(environ, "KUBENTLY_STORE_TLS_SERVER_NAME"),
                client_cert=pair[0] if pair else None,
                client_key=pair[1] if pair else None,
            ),
            grace=_number(environ, "KUBENTLY_STORE_GRACE", 60.0, low=0, high=600),
        )

    def present_password(self) -> str:
        """The password now. Raises ConfigError for a file that cannot be read."""
        if self.password_file is None:
            return self.password
        return _secret({"KUBENTLY_STORE_PASSWORD_FILE": str(self.password_file)}, "KUBENTLY_STORE_PASSWORD")


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """How much one replica of the API does at once; what is over a limit gets 429 and the limit's name."""

    commands_per_cluster: int = 64
    """``KUBENTLY_MAX_COMMANDS_PER_CLUSTER``: commands that run at once on one cluster."""
    requests_per_cluster: int = 448
    """``KUBENTLY_MAX_REQUESTS_PER_CLUSTER``: Kubernetes requests to one cluster at once, watches among them. A session
    carries 512 streams: the rest is for commands, whatever watches there are."""
    requests: int = 8192
    """``KUBENTLY_MAX_REQUESTS``: commands and Kubernetes requests at once in all."""
    requests_per_key: int = 1024
    """``KUBENTLY_MAX_REQUESTS_PER_KEY``: those of one API key or person at once."""
    request_rate_per_key: float = 1000.0
    """``KUBENTLY_REQUEST_RATE_PER_KEY``: those that one key or person begins in a second, twice as many after a pause;
    0 for no limit."""
    accept_rate: float = 500.0
    """``KUBENTLY_ACCEPT_RATE``: executors that one replica lets in in a second, twice as many after a pause; others are
    told to come again (503); 0 for no limit."""
    follow_rate: float = 1024 * 1024.0
    """``KUBENTLY_FOLLOW_RATE``: bytes a second of one followed log, which is slowed down to it; 0 for no limit."""
    follow_burst: float = 16 * 1024 * 1024.0
    """``KUBENTLY_FOLLOW_BURST``: bytes of it that pass before."""

    @classmethod
    def from_env(cls, environ: Environ) -> LimitSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        return cls(
            commands_per_cluster=int(_number(environ, "KUBENTLY_MAX_COMMANDS_PER_CLUSTER", 64, low=1, high=10_000)),
            requests_per_cluster=int(_number(environ, "KUBENTLY_MAX_REQUESTS_PER_CLUSTER", 448, low=1, high=10_000)),
            requests=int(_number(environ, "KUBENTLY_MAX_REQUESTS", 8192, low=1, high=1_000_000)),
            requests_per_key=int(_number(environ, "KUBENTLY_MAX_REQUESTS_PER_KEY", 1024, low=1, high=1_000_000)),
            request_rate_per_key=_number(environ, "KUBENTLY_REQUEST_RATE_PER_KEY", 1000, low=0, high=1e6),
            accept_rate=_number(environ, "KUBENTLY_ACCEPT_RATE", 500, low=0, high=1e6),
            follow_rate=_number(environ, "KUBENTLY_FOLLOW_RATE", 1024 * 1024, low=0, high=1e12),
            follow_burst=_number(environ, "KUBENTLY_FOLLOW_BURST", 16 * 1024 * 1024, low=0, high=1e12),
        )


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
    trust: TrustSettings = TrustSettings()
    """``KUBENTLY_AUDIT_CA_CERT``: CA of the sinks beside the system's roots, as ``KUBENTLY_CA_CERT``."""

    @classmethod
    def from_env(cls, environ: Environ) -> AuditSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        folder = _path(environ, "KUBENTLY_AUDIT_DIR")
        store = urlsplit(environ.get("KUBENTLY_STORE", ""))
        if folder is None and store.scheme == "sqlite" and store.path:
            folder = Path(store.path).parent / "audit"
        largest = 1024**3
        return cls(
            folder=folder,
            fail_closed=_choice(environ, "KUBENTLY_AUDIT_FAIL_CLOSED", ("true", "false")) == "true",
            patience=_number(environ, "KUBENTLY_AUDIT_TIMEOUT", 5, low=0.1, high=60),
            segment_bytes=int(
                _number(environ, "KUBENTLY_AUDIT_SEGMENT_BYTES", 8 * 1024 * 1024, low=4096, high=largest)
            ),
            journal_bytes=int(
                _number(environ, "KUBENTLY_AUDIT_JOURNAL_BYTES", 256 * 1024 * 1024, low=65536, high=1024 * largest)
            ),
            sinks=tuple(part.strip() for part in environ.get("KUBENTLY_AUDIT_SINKS", "").split(",") if part.strip()),
            sink_headers=_headers(environ, "KUBENTLY_AUDIT_OTLP_HEADERS"),
            trust=TrustSettings(
                ca_cert=environ.get("KUBENTLY_AUDIT_CA_CERT", ""),
                cert_file=_path(environ, "SSL_CERT_FILE"),
                cert_dirs=tuple(Path(part) for part in environ.get("SSL_CERT_DIR", "").split(":") if part),
            ),
        )


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
    trust: TrustSettings = TrustSettings()
    """``KUBENTLY_FINDINGS_CA_CERT``: CA of the webhooks beside the system's roots, as ``KUBENTLY_CA_CERT``."""

    @classmethod
    def from_env(cls, environ: Environ) -> ContinuousSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        listed = environ.get("KUBENTLY_FINDINGS_WEBHOOKS", "").split(",")
        webhooks = tuple(_webhook(part.strip()) for part in listed if part.strip())
        secret = _secret(environ, "KUBENTLY_FINDINGS_WEBHOOK_SECRET")
        if webhooks and not secret:
            raise ConfigError(
                "KUBENTLY_FINDINGS_WEBHOOKS needs a key for signatures",
                hint="set KUBENTLY_FINDINGS_WEBHOOK_SECRET_FILE",
            )
        return cls(
            clusters=environ.get("KUBENTLY_CONTINUOUS", "").strip() or "off",
            interval=_number(environ, "KUBENTLY_CONTINUOUS_INTERVAL", 10, low=1, high=3600),
            resolve_after=_number(environ, "KUBENTLY_FINDINGS_RESOLVE_AFTER", 120, low=0, high=86400),
            keep=_number(environ, "KUBENTLY_FINDINGS_KEEP", 30 * 86400, low=3600, high=365 * 86400),
            webhooks=webhooks,
            webhook_secret=secret,
            webhook_severity=_choice(
                environ, "KUBENTLY_FINDINGS_WEBHOOK_SEVERITY", ("degraded", "outage", "risk", "hygiene")
            ),
            trust=TrustSettings(
                ca_cert=environ.get("KUBENTLY_FINDINGS_CA_CERT", ""),
                cert_file=_path(environ, "SSL_CERT_FILE"),
                cert_dirs=tuple(Path(part) for part in environ.get("SSL_CERT_DIR", "").split(":") if part),
            ),
        )


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
    store: StoreSettings = StoreSettings()
    admin_key: str = field(default="", repr=False)
    """``KUBENTLY_ADMIN_KEY`` or the content of ``KUBENTLY_ADMIN_KEY_FILE``: an API key of role admin, to begin with."""
    tokens_dir: Path | None = None
    """``KUBENTLY_EXECUTOR_TOKENS_DIR``: folder with one file per cluster id (a mounted Secret)."""
    hosts: tuple[str, ...] = ()
    """``KUBENTLY_HOSTS``: host names, comma-separated, that requests may name; empty accepts any."""
    limits: LimitSettings = LimitSettings()
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
    timing: TimingSettings = TimingSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def from_env(cls, environ: Environ) -> ApiSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        cert, key = _path(environ, "KUBENTLY_TLS_CERT"), _path(environ, "KUBENTLY_TLS_KEY")
        if (cert is None) != (key is None):
            raise ConfigError("KUBENTLY_TLS_CERT and KUBENTLY_TLS_KEY belong together", hint="set both or neither")
        tls = _optional_address(environ, "KUBENTLY_TLS_LISTEN")
        if tls and cert is None:
            raise ConfigError(
                "KUBENTLY_TLS_LISTEN needs a certificate", hint="set KUBENTLY_TLS_CERT and KUBENTLY_TLS_KEY"
            )
        return cls(
            listen=_address("KUBENTLY_LISTEN", environ.get("KUBENTLY_LISTEN", "127.0.0.1:8080")),
            metrics_listen=_optional_address(environ, "KUBENTLY_METRICS_LISTEN"),
            tls_cert=cert,
            tls_key=key,
            tls_listen=tls,
            client_certs=_choice(environ, "KUBENTLY_CLIENT_CERTS", ("off", "accept", "require")),
            client_ca=_path(environ, "KUBENTLY_CLIENT_CA"),
            client_cert_header=_choice(environ, "KUBENTLY_CLIENT_CERT_HEADER", ("none", *CLIENT_CERT_HEADERS)),
            trusted_proxies=_networks(environ, "KUBENTLY_TRUSTED_PROXIES"),
            executor_ca=_pair(environ, "KUBENTLY_EXECUTOR_CA_CERT", "KUBENTLY_EXECUTOR_CA_KEY"),
            executor_cert_lifetime=_number(
                environ, "KUBENTLY_EXECUTOR_CERT_LIFETIME", 7 * 86400.0, low=60, high=365 * 86400
            ),
            store_url=environ.get("KUBENTLY_STORE", "memory:"),
            store=StoreSettings.from_env(environ),
            admin_key=_secret(environ, "KUBENTLY_ADMIN_KEY"),
            tokens_dir=_path(environ, "KUBENTLY_EXECUTOR_TOKENS_DIR"),
            hosts=tuple(h.strip().lower() for h in environ.get("KUBENTLY_HOSTS", "").split(",") if h.strip()),
            limits=LimitSettings.from_env(environ),
            tunnel_end=_choice(environ, "KUBENTLY_TUNNEL_END", ("socket", "asgi")),
            analyzers=tuple(Path(part) for part in environ.get("KUBENTLY_ANALYZERS", "").split(":") if part.strip()),
            peer_listen=_address("KUBENTLY_PEER_LISTEN", peers)
            if (peers := environ.get("KUBENTLY_PEER_LISTEN"))
            else None,
            peer_address=_address("KUBENTLY_PEER_ADDRESS", own)
            if (own := environ.get("KUBENTLY_PEER_ADDRESS"))
            else None,
            peer_ca=_pair(environ, "KUBENTLY_PEER_CA_CERT", "KUBENTLY_PEER_CA_KEY"),
            audit=AuditSettings.from_env(environ),
            continuous=ContinuousSettings.from_env(environ),
            oidc=OidcSettings.from_env(environ),
            timing=TimingSettings.from_env(environ),
            log=LogSettings.from_env(environ),
        )


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """The executor's settings."""

    api_url: str
    """``KUBENTLY_API_URL``: https://host[:port][/prefix]; http only where the network is trusted."""
    cluster_id: str
    """``KUBENTLY_CLUSTER_ID`` (or ``CLUSTER_ID``)."""
    token: str = field(default="", repr=False)
    """``KUBENTLY_TOKEN``, or the content of ``KUBENTLY_TOKEN_FILE``; not needed with an identity or a client
    certificate."""
    token_file: Path | None = None
    """``KUBENTLY_TOKEN_FILE``: read anew at each dial, so that a rotated token needs no restart."""
    more_api_urls: tuple[str, ...] = ()
    """``KUBENTLY_API_URLS``: URLs of several APIs, comma-separated, the preferred first; ``KUBENTLY_API_URL``, where it
    is set, stands before them."""
    api_url_order: str = "ordered"
    """``KUBENTLY_API_URL_ORDER``: ordered (the first that can be reached, and back to it when it returns) or nearest
    (the one to which TCP and TLS take the least time)."""
    transport: str = "auto"
    """``KUBENTLY_TRANSPORT``: auto (WebSocket, and long-poll where no WebSocket gets through), websocket or long-poll
    alone."""
    sessions: int = 2
    """``KUBENTLY_SESSIONS``: connections to the API at once, 1 to 4: what is sent while one is lost takes another."""
    identity_dir: Path | None = None
    """``KUBENTLY_IDENTITY_DIR``: folder for the executor's own key and certificate (tls.key, tls.crt), to enrol instead
    of using a token."""
    identity_secret: str = ""
    """``KUBENTLY_IDENTITY_SECRET``: the same in a Secret of the cluster, as namespace/name; it must exist."""
    enrolment_token: str = field(default="", repr=False)
    """``KUBENTLY_ENROLMENT_TOKEN``: used once, where there is no certificate or it has ended."""
    enrolment_token_file: Path | None = None
    """``KUBENTLY_ENROLMENT_TOKEN_FILE``: file of it, read anew at each attempt: a new token needs no restart."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """``KUBENTLY_LABELS``: name=value, comma-separated; shown and selectable in the API."""
    kubeconfig: Path | None = None
    """``KUBENTLY_KUBECONFIG``: kubeconfig of the cluster; without one, the pod's service account."""
    context: str = ""
    """``KUBENTLY_CONTEXT``: context of that kubeconfig; empty for its current one."""
    policy_file: Path | None = None
    """``KUBENTLY_POLICY_FILE``: policy as YAML; without one, the read-only default. Unreadable: no start."""
    kubectl: str = ""
    """``KUBENTLY_KUBECTL``: path of kubectl; empty looks beside the interpreter and on PATH."""
    state_dir: Path | None = None
    """``KUBENTLY_STATE_DIR``: folder for kubectl's discovery cache and homes; empty: a temporary one."""
    require_sandbox: bool = False
    """``KUBENTLY_REQUIRE_SANDBOX``: refuse to run kubectl where the kernel offers no Landlock."""
    max_output_bytes: int = 16 * 1024 * 1024
    """``KUBENTLY_MAX_OUTPUT_BYTES``: output of one command beyond which it is cut with a marker."""
    max_children: int = 4
    """``KUBENTLY_MAX_CHILDREN``: short kubectl processes at once, more wait; lasting ones get four times as many."""
    health_listen: tuple[str, int] | None = None
    """``KUBENTLY_HEALTH_LISTEN``: host:port of /healthz, /readyz and /metrics; empty for none."""
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    """Random name of this run."""
    hostname: str = field(default_factory=socket.gethostname)
    trust: TrustSettings = TrustSettings()
    timing: TimingSettings = TimingSettings()
    log: LogSettings = LogSettings()

    @property
    def api_urls(self) -> tuple[str, ...]:
        """All URLs, the preferred first."""
        return tuple(dict.fromkeys((self.api_url, *self.more_api_urls)))

    @classmethod
    def from_env(cls, environ: Environ) -> ExecutorSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        token, trust = _secret(environ, "KUBENTLY_TOKEN"), TrustSettings.from_env(environ)
        folder, secret = _path(environ, "KUBENTLY_IDENTITY_DIR"), environ.get("KUBENTLY_IDENTITY_SECRET", "")
        if folder and secret:
            raise ConfigError("KUBENTLY_IDENTITY_DIR and KUBENTLY_IDENTITY_SECRET exclude each other", hint="set one")
        if secret and not _SECRET_NAME.fullmatch(secret):
            raise _bad("KUBENTLY_IDENTITY_SECRET", secret, "use namespace/name")
        has_key = bool(folder or secret or trust.client_cert)
        first, *more = _urls(environ)
        return cls(
            api_url=first,
            more_api_urls=tuple(more),
            api_url_order=_choice(environ, "KUBENTLY_API_URL_ORDER", ("ordered", "nearest")),
            transport=_choice(environ, "KUBENTLY_TRANSPORT", ("auto", "websocket", "long-poll")),
            sessions=int(_number(environ, "KUBENTLY_SESSIONS", 2, low=1, high=4)),
            cluster_id=environ.get("KUBENTLY_CLUSTER_ID")
            or _required(environ, "CLUSTER_ID", also="KUBENTLY_CLUSTER_ID"),
            token=token or ("" if has_key else _required(environ, "KUBENTLY_TOKEN", also="KUBENTLY_TOKEN_FILE")),
            token_file=None if environ.get("KUBENTLY_TOKEN") else _path(environ, "KUBENTLY_TOKEN_FILE"),
            identity_dir=folder,
            identity_secret=secret,
            enrolment_token=environ.get("KUBENTLY_ENROLMENT_TOKEN", "").strip(),
            enrolment_token_file=_path(environ, "KUBENTLY_ENROLMENT_TOKEN_FILE"),
            labels=_labels(environ.get("KUBENTLY_LABELS", "")),
            kubeconfig=_path(environ, "KUBENTLY_KUBECONFIG"),
            context=environ.get("KUBENTLY_CONTEXT", ""),
            policy_file=_path(environ, "KUBENTLY_POLICY_FILE"),
            kubectl=environ.get("KUBENTLY_KUBECTL", ""),
            state_dir=_path(environ, "KUBENTLY_STATE_DIR"),
            require_sandbox=_flag(environ, "KUBENTLY_REQUIRE_SANDBOX"),
            max_output_bytes=int(_number(environ, "KUBENTLY_MAX_OUTPUT_BYTES", 16 * 1024 * 1024, low=1024, high=2**31)),
            max_children=int(_number(environ, "KUBENTLY_MAX_CHILDREN", 4, low=1, high=256)),
            health_listen=_optional_address(environ, "KUBENTLY_HEALTH_LISTEN"),
            trust=trust,
            timing=TimingSettings.from_env(environ),
            log=LogSettings.from_env(environ),
        )


# ---------------------------------------------------------------------- reading


def _bad(name: str, value: str, hint: str) -> ConfigError:
    return ConfigError(f"{name}={value!r} cannot be used", hint=hint)


def _required(environ: Environ, name: str, *, also: str = "") -> str:
    value = environ.get(name, "")
    if not value:
        names = f"{also} or {name}" if also else name
        raise ConfigError(f"{names} is not set", hint=f"set {also or name} in the environment")
    return value


def _number(environ: Environ, name: str, default: float, *, low: float, high: float) -> float:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        raise _bad(name, text, "use a number") from None
    if not low <= value <= high:
        raise _bad(name, text, f"use a number from {low:g} to {high:g}")
    return value


def _flag(environ: Environ, name: str) -> bool:
    text = environ.get(name, "").lower()
    values: Mapping[str, bool] = {
        "": False,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
    }
    if text not in values:
        raise _bad(name, text, "use true or false")
    return values[text]


def _choice(environ: Environ, name: str, known: tuple[str, ...]) -> str:
    text = environ.get(name, "").lower() or known[0]
    if text not in known:
        raise _bad(name, text, f"use {' or '.join(known)}")
    return text


def _verify(environ: Environ) -> bool:
    if not environ.get("KUBENTLY_SSL_VERIFY") or _flag(environ, "KUBENTLY_SSL_VERIFY"):
        return True
    if environ.get("KUBENTLY_INSECURE_ACKNOWLEDGED") != ACKNOWLEDGED:
        raise ConfigError(
            "KUBENTLY_SSL_VERIFY=false would hand the token to whoever answers, and nobody acknowledged that",
            hint="trust the API's CA with KUBENTLY_CA_CERT instead; or set "
            f"KUBENTLY_INSECURE_ACKNOWLEDGED={ACKNOWLEDGED} as well",
        )
    return False


_SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:.]{2,45}")


def _server_name(environ: Environ, name: str = "KUBENTLY_TLS_SERVER_NAME") -> str:
    text = environ.get(name, "")
    if text and not _HOST_NAME.fullmatch(text):
        raise _bad(name, text, "use a host name, without scheme or port")
    return text


def _networks(environ: Environ, name: str) -> tuple[IPNetwork, ...]:
    parts = [part.strip() for part in environ.get(name, "").split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(part) for part in parts)
    except ValueError as error:
        raise _bad(name, environ[name], f"use networks such as 10.0.0.0/8, comma-separated: {error}") from None


def _pair(environ: Environ, first: str, second: str) -> tuple[Path, Path] | None:
    one, other = _path(environ, first), _path(environ, second)
    if (one is None) != (other is None):
        raise ConfigError(f"{first} and {second} belong together", hint="set both or neither")
    return (one, other) if one and other else None


def _path(environ: Environ, name: str) -> Path | None:
    return Path(environ[name]) if environ.get(name) else None


def _secret(environ: Environ, name: str) -> str:
    if environ.get(name):
        return environ[name].strip()
    path = _path(environ, f"{name}_FILE")
    if path is None:
        return ""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}_FILE={path} cannot be read: {error}", hint="check the path and its mount") from error


def _address(name: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise _bad(name, text, "use host:port, for example 0.0.0.0:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  # an empty host means all, as it does for others


def _optional_address(environ: Environ, name: str) -> tuple[str, int] | None:
    return _address(name, environ[name]) if environ.get(name) else None


def _url(name: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        usable = False
    if not usable or parts.query or parts.fragment:
        raise _bad(name, text, "use https://host[:port][/prefix]")
    if parts.username or parts.password:
        raise ConfigError(f"{name} carries credentials", hint="put the token into KUBENTLY_TOKEN")
    return text.rstrip("/")


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


def _urls(environ: Environ) -> tuple[str, ...]:
    several = [part.strip() for part in environ.get("KUBENTLY_API_URLS", "").split(",") if part.strip()]
    one = environ.get("KUBENTLY_API_URL", "")
    if not one and not several:
        one = _required(environ, "KUBENTLY_API_URL")
    found = [_url("KUBENTLY_API_URL", one)] if one else []
    return tuple(dict.fromkeys([*found, *(_url("KUBENTLY_API_URLS", part) for part in several)]))


def is_safe_url(text: str) -> bool:
    """Whether *text* is an https URL without credentials, query and fragment; on loopback http will do."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        return False
    return text.isascii() and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def _headers(environ: Environ, name: str) -> Mapping[str, str]:
    pairs = [part.partition("=") for part in environ.get(name, "").split(",") if part.strip()]
    for header, is_pair, value in pairs:
        if not is_pair or not re.fullmatch(r"[A-Za-z0-9-]+", header.strip()) or not value.strip().isprintable():
            raise ConfigError(f"{name} cannot be used", hint="use name=value pairs, comma-separated")
    return {header.strip(): value.strip() for header, _, value in pairs}


def _labels(text: str) -> Mapping[str, str]:
    labels = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = part.partition("=")
        if not _LABEL.fullmatch(name.rpartition("/")[2]) or (value and not _LABEL.fullmatch(value)):
            raise _bad("KUBENTLY_LABELS", text, "use name=value pairs, comma-separated, as Kubernetes labels are")
        labels[name] = value
    return labels


def process_environ() -> Environ:
    """The environment of this process."""
    return os.environ
