"""Secrets at rest are SHA-256 digests: they are random and long, so a slow hash would add nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets

PREFIX = "sha256:"


def digest(secret: str) -> str:
    """``sha256:`` and the hexadecimal digest of *secret*."""
    return PREFIX + hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, stored: str) -> bool:
    """Compare *secret* in constant time with a stored digest or raw value."""
    expected = stored if stored.startswith(PREFIX) else digest(stored)
    return hmac.compare_digest(digest(secret).encode(), expected.encode())  # as text it must be ASCII


def new_secret() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)
