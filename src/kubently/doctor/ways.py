"""What is worth knowing of the way to the API although it works: every address, exceptions of proxies, who ends TLS."""

from __future__ import annotations

import socket
import time

from kubently import trust
from kubently.doctor import road
from kubently.doctor.results import Result, passed, skipped, warning
from kubently.doctor.subject import Subject
from kubently.trust import inspection, proxies

_MAX_ADDRESSES = 8
_MAX_TIMEOUT = 3.0
"""Seconds for each address, so that all of them fit into the time of a check."""
_INTERNAL = (".svc", ".svc.cluster.local", ".cluster.local", ".local", ".internal", ".localhost")


def exceptions(subject: Subject) -> Result:
    """A name of the cluster's own is nothing that a proxy outside can reach."""
    host, _, _ = road.endpoint(subject.url)
    proxy = proxies.choose(subject.trust.proxies, subject.url)
    if proxy is None:
        return passed("no proxy is used")
    if ":" in host or ("." in host.rstrip(".") and not host.rstrip(".").endswith(_INTERNAL)):
        return passed(f"the proxy {proxy} is used", proxy=str(proxy))
    return warning(
        "proxy-internal",
        f"{host} looks like a name of the internal network, and the proxy {proxy} would be asked for it",
        f"add {host} to NO_PROXY",
        proxy=str(proxy),
    )


def addresses(subject: Subject) -> Result:
    """Who dials takes the first that answers: one that does not costs time today, and the connection tomorrow."""
    host, port, _ = road.endpoint(subject.url)
    if proxies.choose(subject.trust.proxies, subject.url):
        return skipped("the proxy chooses the address")
    try:
        found = dict.fromkeys(str(i[4][0]) for i in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except OSError as failure:  # a moment ago it was found
        return warning("dial-dns", f"the name is not always found: {failure.strerror}", "check the name servers")
    took = {a: _connect_time(a, port, min(subject.timeout, _MAX_TIMEOUT)) for a in list(found)[:_MAX_ADDRESSES]}
    lines = ", ".join(f"{address} {ms}{' ms' if isinstance(ms, int) else ''}" for address, ms in took.items())
    if any(isinstance(ms, str) for ms in took.values()):
        fix = "take the address out of DNS, or let what stands before it pass"
        return warning("address-unreachable", lines, fix, addresses=took)
    return passed(lines, addresses=took)


def server_names(subject: Subject) -> Result:
    """What is shown to who asks for no name is what a wrong name would be shown, a default certificate for one."""
    if not subject.url.startswith("https"):
        return skipped("the URL is http")
    named = trust.presented(subject.url, subject.trust, timeout=subject.timeout)
    unnamed = trust.presented(subject.url, subject.trust, timeout=subject.timeout, sni=False)
    if not named:
        return skipped("the chain could not be read")
    if not unnamed:
        return passed("who asks for no name is shown nothing")
    if unnamed[0].sha256 == named[0].sha256:
        return passed("the same certificate without a name", withoutName=unnamed[0].subject)
    return passed(f'"{unnamed[0].subject}" is shown to who asks for no name', withoutName=unnamed[0].subject)


def inspected(subject: Subject) -> Result:
    """Where the product's CA is trusted all works, and it reads the credential."""
    if not subject.url.startswith("https"):
        return skipped("the URL is http")
    chain = trust.presented(subject.url, subject.trust, timeout=subject.timeout)
    if not chain:
        return skipped("the chain could not be read")
    product = inspection.product_of(chain)
    if not product:
        return passed(f'signed by "{chain[0].issuer}"', issuer=chain[0].issuer)
    return warning(
        "tls-inspected",
        f'{product} ends TLS on the way ("{chain[0].issuer}") and reads all that is sent',
        f"let {product} pass the API's host uninspected; executors with certificates of their own stay safe",
        product=product,
    )


def _connect_time(address: str, port: int, timeout: float) -> int | str:
    """Milliseconds, or why there is no connection."""
    started = time.monotonic()
    try:
        socket.create_connection((address, port), timeout).close()
    except TimeoutError:
        return "no answer in time"
    except OSError as error:
        return error.strerror or str(error)
    return round((time.monotonic() - started) * 1000)
