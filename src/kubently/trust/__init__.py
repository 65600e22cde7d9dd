"""Whom we trust, and who we are, on TLS connections."""

from typing import TYPE_CHECKING, Any

from kubently.trust.contexts import client_context, explain, set_rules

if TYPE_CHECKING:
    from kubently.trust.authority import Pair, issue, keep_authority, make_authority

__all__ = ["Pair", "client_context", "explain", "issue", "keep_authority", "make_authority", "set_rules"]


def __getattr__(name: str) -> Any:
    """Import the authority when it is used: its library takes a third of the command line's start-up time."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kubently.trust import authority  # noqa: PLC0415

    return getattr(authority, name)
