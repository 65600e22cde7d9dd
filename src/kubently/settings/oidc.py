"""The OpenID provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kubently.settings import variables
from kubently.settings.trust import ProxySettings, TrustSettings
from kubently.settings.variables import Environ, is_safe_url


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
            raise variables.bad("KUBENTLY_OIDC_ISSUER", issuer, "use https://..., without query")
        client = variables.required(environ, "KUBENTLY_OIDC_CLIENT_ID")
        named = [part.strip() for part in environ.get("KUBENTLY_OIDC_AUDIENCES", "").split(",") if part.strip()]
        scopes = environ.get("KUBENTLY_OIDC_SCOPES", "").split() or ["openid", "profile", "email", "groups"]
        if not environ.get("KUBENTLY_OIDC_SCOPES"):
            scopes.append("offline_access")
        if "openid" not in scopes:
            raise variables.bad("KUBENTLY_OIDC_SCOPES", " ".join(scopes), "openid must be among them")
        return cls(
            issuer=issuer,
            client_id=client,
            roles_file=Path(variables.required(environ, "KUBENTLY_OIDC_ROLES_FILE")),
            public_client_secret=variables.secret(environ, "KUBENTLY_OIDC_PUBLIC_CLIENT_SECRET"),
            audiences=tuple(named) or (client,),
            scopes=tuple(scopes),
            username_claim=environ.get("KUBENTLY_OIDC_USERNAME_CLAIM", ""),
            groups_claim=environ.get("KUBENTLY_OIDC_GROUPS_CLAIM", "") or "groups",
            login_ttl=variables.number(environ, "KUBENTLY_LOGIN_TTL", 8 * 3600.0, low=60, high=30 * 86400),
            trust=TrustSettings(
                ca_cert=environ.get("KUBENTLY_OIDC_CA_CERT", ""),
                cert_file=variables.path(environ, "SSL_CERT_FILE"),
                cert_dirs=tuple(Path(part) for part in environ.get("SSL_CERT_DIR", "").split(":") if part),
                proxies=ProxySettings.from_env(environ),
            ),
        )
