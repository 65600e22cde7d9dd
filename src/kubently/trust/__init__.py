"""Whom we trust, and who we are, on TLS connections."""

import importlib
from typing import TYPE_CHECKING, Any

from kubently.trust.answers import explain_answer
from kubently.trust.contexts import client_context, set_rules
from kubently.trust.explain import (
    CODES,
    Explanation,
    client_refusal,
    explain,
)
from kubently.trust.facts import Facts
from kubently.trust.keeper import Keeper
from kubently.trust.sources import CertificateSourceError, ClientCertificateError, Source, bundle

if TYPE_CHECKING:
    from kubently.trust.authority import Pair, issue, keep_authority, make_authority
    from kubently.trust.observation import observe, presented, read_certificates
    from kubently.trust.served import ServedCertificate

__all__ = [
    "CODES",
    "CertificateSourceError",
    "ClientCertificateError",
    "Explanation",
    "Facts",
    "Keeper",
    "Pair",
    "ServedCertificate",
    "Source",
    "bundle",
    "client_context",
    "client_refusal",
    "explain",
    "explain_answer",
    "issue",
    "keep_authority",
    "make_authority",
    "observe",
    "presented",
    "read_certificates",
    "set_rules",
]

_LAZY = {
    **dict.fromkeys(("Pair", "issue", "keep_authority", "make_authority"), "kubently.trust.authority"),
    "ServedCertificate": "kubently.trust.served",
    **dict.fromkeys(("observe", "presented", "read_certificates"), "kubently.trust.observation"),
}


def __getattr__(name: str) -> Any:
    """Import what needs cryptography when it is used: that takes a third of the command line's start-up time."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
