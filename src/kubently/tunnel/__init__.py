"""HTTP over one connection that the executor dials out."""

from kubently.tunnel.heartbeat import Heartbeat
from kubently.tunnel.link import Link, LinkHandler
from kubently.tunnel.server import Application, AsgiServer, Message, Receive, Scope, Send
from kubently.tunnel.session import Session, Stream

__all__ = [
    "Application",
    "AsgiServer",
    "Heartbeat",
    "Link",
    "LinkHandler",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "Session",
    "Stream",
]
