"""HTTP over one connection that the executor dials out."""

from kubently.tunnel.asgi import Application, Message, Receive, Scope, Send, read_body, read_json, status_of
from kubently.tunnel.exchange import Exchange
from kubently.tunnel.heartbeat import Heartbeat
from kubently.tunnel.link import Link, LinkHandler
from kubently.tunnel.server import ON_LOSS, AsgiServer
from kubently.tunnel.session import Session, Stream

__all__ = [
    "ON_LOSS",
    "Application",
    "AsgiServer",
    "Exchange",
    "Heartbeat",
    "Link",
    "LinkHandler",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "Session",
    "Stream",
    "read_body",
    "read_json",
    "status_of",
]
