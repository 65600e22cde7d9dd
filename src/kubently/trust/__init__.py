"""Whom we trust, and who we are, on TLS connections."""

from kubently.trust.authority import Pair, issue, keep_authority, make_authority
from kubently.trust.contexts import client_context, explain

__all__ = ["Pair", "client_context", "explain", "issue", "keep_authority", "make_authority"]
