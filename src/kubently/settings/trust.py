"""How a program that dials the API gets there and whom it trusts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kubently.errors import ConfigError
from kubently.settings import variables
from kubently.settings.variables import Environ

ACKNOWLEDGED = "i-understand"
"""What ``KUBENTLY_INSECURE_ACKNOWLEDGED`` must say."""


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
        cert, key = variables.path(environ, "KUBENTLY_CLIENT_CERT"), variables.path(environ, "KUBENTLY_CLIENT_KEY")
        if (cert is None) != (key is None):
            raise ConfigError(
                "KUBENTLY_CLIENT_CERT and KUBENTLY_CLIENT_KEY belong together", hint="set both or neither"
            )
        return cls(
            ca_cert=environ.get("KUBENTLY_CA_CERT", ""),
            ca_exclusive=variables.choice(environ, "KUBENTLY_CA_MODE", ("additive", "exclusive")) == "exclusive",
            cert_file=variables.path(environ, "SSL_CERT_FILE"),
            cert_dirs=tuple(Path(part) for part in environ.get("SSL_CERT_DIR", "").split(":") if part),
            server_name=variables.server_name(environ),
            min_version=variables.choice(environ, "KUBENTLY_TLS_MIN_VERSION", ("1.2", "1.3")),
            client_cert=cert,
            client_key=key,
            verify=_verify(environ),
            proxies=ProxySettings.from_env(environ),
        )


def _verify(environ: Environ) -> bool:
    if not environ.get("KUBENTLY_SSL_VERIFY") or variables.flag(environ, "KUBENTLY_SSL_VERIFY"):
        return True
    if environ.get("KUBENTLY_INSECURE_ACKNOWLEDGED") != ACKNOWLEDGED:
        raise ConfigError(
            "KUBENTLY_SSL_VERIFY=false would hand the token to whoever answers, and nobody acknowledged that",
            hint="trust the API's CA with KUBENTLY_CA_CERT instead; or set "
            f"KUBENTLY_INSECURE_ACKNOWLEDGED={ACKNOWLEDGED} as well",
        )
    return False
