"""Whom verified claims are about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubently.auth.logins import read_person
from kubently.errors import IdentityTokenError
from kubently.settings import OidcSettings

SETTINGS = OidcSettings("https://login.example", "kubently", Path("roles.yaml"), audiences=("kubently",))


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "\ud800"},
        {"sub": "1", "email": "a\udfff@example.org", "email_verified": True},
        {"sub": "1", "groups": ["\ud800"]},
    ],
)
def test_halves_of_characters_are_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(IdentityTokenError, match="no text"):
        read_person(claims, SETTINGS)
