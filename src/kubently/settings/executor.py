"""The executor."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kubently.errors import ConfigError
from kubently.settings import variables
from kubently.settings.process import LogSettings, TimingSettings
from kubently.settings.trust import TrustSettings
from kubently.settings.variables import Environ

_SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


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
    trust: TrustSettings = field(default_factory=TrustSettings)
    timing: TimingSettings = field(default_factory=TimingSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def api_urls(self) -> tuple[str, ...]:
        """All URLs, the preferred first."""
        return tuple(dict.fromkeys((self.api_url, *self.more_api_urls)))

    @classmethod
    def from_env(cls, environ: Environ) -> ExecutorSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        token, trust = variables.secret(environ, "KUBENTLY_TOKEN"), TrustSettings.from_env(environ)
        folder, secret = variables.path(environ, "KUBENTLY_IDENTITY_DIR"), environ.get("KUBENTLY_IDENTITY_SECRET", "")
        if folder and secret:
            raise ConfigError("KUBENTLY_IDENTITY_DIR and KUBENTLY_IDENTITY_SECRET exclude each other", hint="set one")
        if secret and not _SECRET_NAME.fullmatch(secret):
            raise variables.bad("KUBENTLY_IDENTITY_SECRET", secret, "use namespace/name")
        has_key = bool(folder or secret or trust.client_cert)
        first, *more = _urls(environ)
        return cls(
            api_url=first,
            more_api_urls=tuple(more),
            api_url_order=variables.choice(environ, "KUBENTLY_API_URL_ORDER", ("ordered", "nearest")),
            transport=variables.choice(environ, "KUBENTLY_TRANSPORT", ("auto", "websocket", "long-poll")),
            sessions=int(variables.number(environ, "KUBENTLY_SESSIONS", 2, low=1, high=4)),
            cluster_id=environ.get("KUBENTLY_CLUSTER_ID")
            or variables.required(environ, "CLUSTER_ID", also="KUBENTLY_CLUSTER_ID"),
            token=token
            or ("" if has_key else variables.required(environ, "KUBENTLY_TOKEN", also="KUBENTLY_TOKEN_FILE")),
            token_file=None if environ.get("KUBENTLY_TOKEN") else variables.path(environ, "KUBENTLY_TOKEN_FILE"),
            identity_dir=folder,
            identity_secret=secret,
            enrolment_token=environ.get("KUBENTLY_ENROLMENT_TOKEN", "").strip(),
            enrolment_token_file=variables.path(environ, "KUBENTLY_ENROLMENT_TOKEN_FILE"),
            labels=variables.labels(environ.get("KUBENTLY_LABELS", "")),
            kubeconfig=variables.path(environ, "KUBENTLY_KUBECONFIG"),
            context=environ.get("KUBENTLY_CONTEXT", ""),
            policy_file=variables.path(environ, "KUBENTLY_POLICY_FILE"),
            kubectl=environ.get("KUBENTLY_KUBECTL", ""),
            state_dir=variables.path(environ, "KUBENTLY_STATE_DIR"),
            require_sandbox=variables.flag(environ, "KUBENTLY_REQUIRE_SANDBOX"),
            max_output_bytes=int(
                variables.number(environ, "KUBENTLY_MAX_OUTPUT_BYTES", 16 * 1024 * 1024, low=1024, high=2**31)
            ),
            max_children=int(variables.number(environ, "KUBENTLY_MAX_CHILDREN", 4, low=1, high=256)),
            health_listen=variables.optional_address(environ, "KUBENTLY_HEALTH_LISTEN"),
            trust=trust,
            timing=TimingSettings.from_env(environ),
            log=LogSettings.from_env(environ),
        )


def _urls(environ: Environ) -> tuple[str, ...]:
    several = [part.strip() for part in environ.get("KUBENTLY_API_URLS", "").split(",") if part.strip()]
    one = environ.get("KUBENTLY_API_URL", "")
    if not one and not several:
        one = variables.required(environ, "KUBENTLY_API_URL")
    found = [variables.url("KUBENTLY_API_URL", one)] if one else []
    return tuple(dict.fromkeys([*found, *(variables.url("KUBENTLY_API_URLS", part) for part in several)]))
