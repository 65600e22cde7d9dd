"""Whom we trust, and who we are, on TLS connections."""

import importlib
from typing import TYPE_CHECKING, Any

from kubently.trust.contexts import client_context, explain, set_rules

if TYPE_CHECKING:
    from kubently.trust.authority import Pair, issue, keep_authority, make_authority
    from kubently.trust.served import ServedCertificate

__all__ = [
    "Pair",
    "ServedCertificate",
    "client_context",
    "explain",
    "issue",
    "keep_authority",
    "make_authority",
    "set_rules",
]


def __getattr__(name: str) -> Any:
    """Import what makes and reads certificates when it is used: its library costs a third of the CLI's start-up."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "served" if name == "ServedCertificate" else "authority"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
