"""Serve an ASGI application on a listener of this process's own event loop, and notice clients that go away."""

from kubently.listen.http import HEAD_TIMEOUT, MAX_HEAD, client_certificate, while_connected
from kubently.listen.serving import listen
from kubently.listen.upgrade import Successor, can_be_taken, take

__all__ = [
    "HEAD_TIMEOUT",
    "MAX_HEAD",
    "Successor",
    "can_be_taken",
    "client_certificate",
    "listen",
    "take",
    "while_connected",
]
