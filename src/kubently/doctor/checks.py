"""All checks, in the order in which they run; a tuple to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kubently.doctor import local, network, stream, values, ways
from kubently.doctor.results import Result, skipped
from kubently.doctor.subject import Subject

__all__ = ["CHECKS", "Check", "Subject"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at."""

    id: str
    category: str
    title: str
    run: Callable[[Subject], Result]
    depends_on: tuple[str, ...] = ()
    """Ids of checks without whose success this one says nothing."""
    takes: Callable[[Subject], float] = lambda _: 0.0
    """Seconds that it takes by itself, beyond what any may take."""


def _with_url(look: Callable[[Subject], Result]) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        return look(subject) if subject.url else skipped("no URL of an API is given")

    return run


def _with_values(look: Callable[[Subject], Result]) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        return look(subject) if subject.values else skipped("no values file is given")

    return run


_LOCAL: tuple[Check, ...] = (
    Check("local-verification", "local", "certificates are verified", local.verification),
    Check("local-sources", "local", "CA files and client certificate can be used", local.sources),
    Check("local-variables", "local", "the environment does not contradict itself", local.variables),
    Check("local-versions", "local", "versions", local.versions),
)
_VALUES: tuple[Check, ...] = (
    Check("values-files", "values", "the values files fit together", _with_values(values.check)),
)
_NETWORK: tuple[Check, ...] = (
    Check("dns-resolves", "dns", "the API's name is found", _with_url(network.resolves), ("local-sources",)),
    Check("dns-proxy", "dns", "internal names need no proxy", _with_url(ways.exceptions), ("local-sources",)),
    Check("tcp-addresses", "tcp", "every address takes connections", _with_url(ways.addresses), ("dns-resolves",)),
    Check("tcp-connects", "tcp", "the API's port, or the proxy, takes connections", _with_url(network.connects),
          ("local-sources", "dns-resolves")),
    Check("tls-handshake", "tls", "the API's certificate is trusted", _with_url(network.handshake), ("tcp-connects",)),
    Check("tls-lifetime", "tls", "the API's certificates last", _with_url(network.lifetime), ("tcp-connects",)),
    Check("tls-name", "tls", "what is shown without a name", _with_url(ways.server_names), ("tcp-connects",)),
    Check("tls-inspection", "tls", "nobody inspects TLS", _with_url(ways.inspected), ("tls-handshake",)),
    Check("http-health", "http", "what answers is Kubently", _with_url(network.health), ("tls-handshake",)),
    Check("http-clock", "http", "both clocks agree", _with_url(network.clock), ("tls-handshake",)),
    Check("auth-format", "auth", "the credential has a sane form", local.credential),
    Check("auth-accepted", "auth", "the API accepts the credential", _with_url(network.accepted), ("http-health",)),
    Check("stream-upgrade", "stream", "WebSocket upgrades get through", _with_url(network.upgrade),
          ("auth-accepted",)),
    Check("stream-echo", "stream", "a mebibyte comes and goes unchanged", _with_url(stream.echo), ("auth-accepted",)),
    Check("stream-flow", "stream", "nothing holds answers back", _with_url(stream.flow), ("stream-echo",)),
    Check("stream-silence", "stream", "silence is not cut", _with_url(stream.silence), ("stream-echo",),
          lambda subject: subject.hold),
    Check("pair-view", "pair", "both ends see the same connection", _with_url(stream.pair), ("stream-echo",)),
)  # fmt: skip
CHECKS: tuple[Check, ...] = (*_LOCAL, *_VALUES, *_NETWORK)
