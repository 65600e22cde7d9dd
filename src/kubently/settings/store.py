"""Redis as the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kubently.settings import variables
from kubently.settings.trust import TrustSettings
from kubently.settings.variables import Environ


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
        pair = variables.pair(environ, "KUBENTLY_STORE_CLIENT_CERT", "KUBENTLY_STORE_CLIENT_KEY")
        return cls(
            username=environ.get("KUBENTLY_STORE_USERNAME", ""),
            password=variables.secret(environ, "KUBENTLY_STORE_PASSWORD"),
            password_file=None
            if environ.get("KUBENTLY_STORE_PASSWORD")
            else variables.path(environ, "KUBENTLY_STORE_PASSWORD_FILE"),
            sentinel_password=variables.secret(environ, "KUBENTLY_STORE_SENTINEL_PASSWORD"),
            trust=TrustSettings(
                ca_cert=environ.get("KUBENTLY_STORE_CA_CERT", ""),
                cert_file=variables.path(environ, "SSL_CERT_FILE"),
                cert_dirs=tuple(Path(part) for part in environ.get("SSL_CERT_DIR", "").split(":") if part),
                server_name=variables.server_name(environ, "KUBENTLY_STORE_TLS_SERVER_NAME"),
                client_cert=pair[0] if pair else None,
                client_key=pair[1] if pair else None,
            ),
            grace=variables.number(environ, "KUBENTLY_STORE_GRACE", 60.0, low=0, high=600),
        )

    def present_password(self) -> str:
        """The password now. Raises ConfigError for a file that cannot be read."""
        if self.password_file is None:
            return self.password
        return variables.secret({"KUBENTLY_STORE_PASSWORD_FILE": str(self.password_file)}, "KUBENTLY_STORE_PASSWORD")
