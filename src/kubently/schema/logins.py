"""People who log in by an OpenID provider."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from kubently.schema.base import Frozen


class LoginRequest(Frozen):
    """An ID token to exchange for a session."""

    id_token: str = Field(max_length=16 * 1024)
    nonce: str = Field(default="", max_length=256)
    """What the token must carry as nonce; empty where none was sent to the provider."""


class LoginInfo(Frozen):
    """A session without its secret."""

    id: str
    name: str
    """"user:<name>", as in the audit log."""
    subject: str
    """What the provider calls the person (sub)."""
    groups: tuple[str, ...] = ()
    """As the provider told them at the login."""
    created_at: datetime
    expires_at: datetime


class NewSession(Frozen):
    """A session that was made; its token is never shown again."""

    info: LoginInfo
    token: str
    expires_in: float
    """Seconds from now; relative, because clocks differ."""


class OidcMethod(Frozen):
    """How to log in by an OpenID provider."""

    issuer: str
    client_id: str
    public_client_secret: str = ""
    """For providers that want one of native applications; it proves nothing."""
    scopes: tuple[str, ...]
    flows: tuple[str, ...]
    """"authorization_code", "device_code"."""


class AuthMethods(Frozen):
    """What ``/.well-known/kubently-auth`` says."""

    api_version: str = "v1"
    methods: tuple[str, ...] = ("api-key",)
    """"api-key", "oidc"."""
    oidc: OidcMethod | None = None
