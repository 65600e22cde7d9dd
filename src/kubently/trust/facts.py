"""What was observed of a failed connection: the words of `explain` come from here.

Plain values. Texts of certificates are a peer's: cut and printable before they stand here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate, for people."""

    subject: str
    """Its common name, or all of its subject."""
    issuer: str
    names: tuple[str, ...]
    """DNS names and addresses of subjectAltName, a few of them."""
    not_before: datetime
    not_after: datetime
    self_signed: bool
    sha256: str
    key: str
    """Kind and size: "RSA 1024"."""
    issuer_organisation: str = ""
    signature: str = ""
    """Digest of its signature, "SHA-1" for one; empty where that is unknown."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known beside the error. What is unknown is empty."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    presented: tuple[Certificate, ...] = ()
    """What the peer showed to a second, unverified handshake, leaf first."""
    speaks: str = ""
    """What the port answered to that handshake: tls, http, or other."""
    wants_client: bool = False
    """It asked for a client certificate. Seen in TLS 1.2 only: later versions encrypt the question."""
    sends_client: bool = False
    """We have a client certificate."""
    client_expired_at: datetime | None = None
    """When ours expired, if it did."""
    trusted: int = 0
    """CAs that are loaded."""
    missing: str = ""
    """Who signed the last certificate of the chain as presented, and is not in it."""
    missing_is_trusted: bool = False
    """A trusted CA has that name, so its key must be another."""
    gap: str = ""
    """Why the missing one is an intermediate rather than a CA that nobody gave us; empty without evidence."""
    server_name: str = ""
    """The name that was asked for and verified, where it is not the URL's."""
    min_version: str = "1.2"
    resolver: str = ""
    """Name servers and search list of this machine, after a name was not found."""
