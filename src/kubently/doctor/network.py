"""From the name to the credential, a step at a time."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import secrets
import socket
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from kubently import trust
from kubently.doctor import lifetimes, road
from kubently.doctor.results import Result, Status, error, passed, skipped, warning
from kubently.doctor.subject import Subject
from kubently.errors import ConfigError
from kubently.trust import proxies
from kubently.trust.connect import ProxyError
from kubently.tunnel.transports import polling
from kubently.tunnel.transports.websocket import UPGRADE_HEADER

_TUNNEL = "/executor/v1/tunnel"
_MAX_SKEW = 60.0
"""Seconds by which clocks may differ; signed nonces are good for 30 and certificates begin a minute early."""


def resolves(subject: Subject) -> Result:
    """A proxy looks the name up itself, so nothing is asked where there is one."""
    host, port, _ = road.endpoint(subject.url)
    if proxies.choose(subject.trust.proxies, subject.url):
        return skipped("the proxy looks the name up")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as failure:
        return _explained(failure, subject)
    except UnicodeError:
        return error("dial-dns", f"{host} is no host name", "check the URL")
    addresses = sorted({str(info[4][0]) for info in found})
    private = [address for address in addresses if ipaddress.ip_address(address.partition("%")[0]).is_private]
    note = " (private)" if private else ""
    return passed(f"{host}: {', '.join(addresses)}{note}", addresses=addresses, private=private)


def connects(subject: Subject) -> Result:
    """With the time that it took, and which way."""
    started = time.monotonic()
    try:
        connection, proxy = road.connect(subject)
    except (OSError, ProxyError, ConfigError) as failure:
        return _explained(failure, subject)
    took = round((time.monotonic() - started) * 1000)
    with connection:
        way = f"through the proxy {proxy}" if proxy else "directly"
        return passed(f"{way}, {took} ms", proxy=str(proxy or ""), connectMs=took)


def handshake(subject: Subject) -> Result:
    """The whole handshake, verified as the executor verifies it."""
    if not subject.url.startswith("https"):
        if road.is_inside(road.endpoint(subject.url)[0]):
            return passed("http, within this machine or cluster")
        return warning("plain-http", "the URL is http: the credential travels in clear", "use https outside a cluster")
    try:
        connection = road.secured(subject)
    except (OSError, ProxyError, ConfigError) as failure:
        return _explained(failure, subject)
    try:
        if not isinstance(connection, ssl.SSLSocket):
            return passed("verified")
        cipher = (connection.cipher() or ("",))[0]
        return passed(f"{connection.version()}, {cipher}", version=connection.version(), cipher=cipher)
    finally:
        connection.close()


def lifetime(subject: Subject) -> Result:
    """Each certificate of the chain, drawn; the worst of them decides."""
    if not subject.url.startswith("https"):
        return skipped("the URL is http")
    chain = trust.presented(subject.url, subject.trust, timeout=subject.timeout)
    if not chain:
        return skipped("the chain could not be read")
    now = datetime.now(UTC)
    judged = [lifetimes.judge(certificate, now) for certificate in chain]
    lines = "\n".join(
        f'"{c.subject}" by "{c.issuer}", {lifetimes.days_left(c, now):.1f} d left'
        f"{' for ' + ', '.join(c.names) if c.names else ''}"
        for c in chain
    )
    fix = "renew it where the API's TLS ends"
    if Status.ERROR in judged:
        return error("certificate-ends", lines, fix)
    return warning("certificate-ends-soon", lines, fix) if Status.WARNING in judged else passed(lines)


def health(subject: Subject) -> Result:
    """Neither a redirect nor an ingress's own page is the API."""
    try:
        answer = road.ask(subject, "/health")
    except (OSError, http.client.HTTPException, ProxyError, ConfigError) as failure:
        return _explained(failure, subject)
    if not _is_health(answer):
        return _not_ours(subject, answer)
    if answer.status != http.client.OK:
        return warning("api-degraded", f"the API answers {answer.status}", "look at the API's log and its store")
    version = _version(subject)
    said = f"version {version}" if version else f"status {answer.status}"
    strict = answer.headers.get("strict-transport-security", "")
    note = ", with HSTS" if strict else ""  # for browsers; nothing here reads it
    return passed(said + note, status=answer.status, version=version, hsts=strict[:200])


def clock(subject: Subject) -> Result:
    """By the Date of an answer."""
    try:
        answer = road.ask(subject, "/health")
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except (OSError, http.client.HTTPException, ProxyError, ConfigError, ValueError, TypeError):
        return skipped("the answer has no Date")
    skew = (datetime.now(UTC) - theirs.replace(tzinfo=theirs.tzinfo or UTC)).total_seconds()
    if abs(skew) > _MAX_SKEW:
        words = f"the clock here is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API's"
        return error("clock-skew", words, "synchronise both clocks (NTP)", skewSeconds=round(skew))
    return passed(f"{skew:+.0f} s", skewSeconds=round(skew))


def accepted(subject: Subject) -> Result:
    """A person's key is asked who it is; an executor's token begins a tunnel that is ended before it says anything."""
    if subject.token or subject.certificate:
        return _token_accepted(subject)
    if not subject.key:
        return skipped("no token or API key is given")
    answer = _ask(subject, "/api/v1/whoami", {"Authorization": f"Bearer {subject.key}"})
    if isinstance(answer, Result):
        return answer
    if answer.status == 200:
        return passed("the API key is known")
    return _refused(answer)


def upgrade(subject: Subject) -> Result:
    """Whether the tunnel's own upgrade is answered as such."""
    if not subject.token and not subject.certificate:
        return skipped("needs an executor's token (--token-file) and --cluster")
    answer = _ask(subject, _TUNNEL, _upgrade_headers(subject))
    if isinstance(answer, Result):
        return answer
    if answer.status == http.client.SWITCHING_PROTOCOLS:
        return passed("WebSocket")
    fix = "let what stands before the API pass WebSocket upgrades; meanwhile executors use long-poll"
    return warning("upgrade-stripped", f"the upgrade was answered {answer.status}, not 101", fix, status=answer.status)


def _token_accepted(subject: Subject) -> Result:
    if not subject.cluster:
        return skipped("an executor's token needs its cluster (--cluster)")
    answer = _ask(subject, _TUNNEL, _upgrade_headers(subject))
    if isinstance(answer, Result):
        return answer
    if answer.status in (401, 403, 409):
        return _refused(answer)
    if answer.status == http.client.SWITCHING_PROTOCOLS:
        return passed(f"for the cluster {subject.cluster}")
    return _accepted_without_upgrade(subject, answer.status)


def _accepted_without_upgrade(subject: Subject, status: int) -> Result:
    """Ask for a long-poll session that there is not: who may ask is told that it is gone."""
    wish = {polling.SESSION: "none", polling.SEQUENCE: "1", polling.HOLD: "0", "Content-Length": "0"}
    answer = _ask(subject, polling.DOWN_PATH, {**_credential(subject), **wish}, method="POST")
    if isinstance(answer, Result):
        return answer
    if answer.status in (401, 403, 409):
        return _refused(answer)
    if answer.status == http.client.GONE:
        return passed(f"for the cluster {subject.cluster}; the upgrade was answered {status}")
    return skipped(f"the API cannot be asked: the upgrade was answered {status}, a request {answer.status}")


def _credential(subject: Subject) -> dict[str, str]:
    return {
        "Authorization": subject.certificate or f"Bearer {subject.token}",
        "X-Kubently-Cluster": subject.cluster,
    }


def _upgrade_headers(subject: Subject) -> dict[str, str]:
    return {
        **_credential(subject),
        UPGRADE_HEADER: "websocket",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        "Sec-WebSocket-Protocol": "kubently.v1",
    }


def _ask(subject: Subject, path: str, headers: dict[str, str], *, method: str = "GET") -> road.Answer | Result:
    try:
        return road.ask(subject, path, headers, method=method)
    except (OSError, http.client.HTTPException, ProxyError, ConfigError) as failure:
        return _explained(failure, subject)
    except ValueError:  # of a header
        return error("token-format", "the credential has characters that no credential has", "copy it anew")


def _refused(answer: road.Answer) -> Result:
    try:
        problem = json.loads(answer.body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "code" not in problem:
        said = f"answered {answer.status}, and not as Kubently does"
        return error("not-kubently", said, "check what stands before the API")
    return error(str(problem["code"])[:60], str(problem.get("detail", "")), str(problem.get("hint", "")))


def _version(subject: Subject) -> str:
    """The API's, which it tells those who have a key only."""
    if not subject.key:
        return ""
    answer = _ask(subject, "/health", {"Authorization": f"Bearer {subject.key}"})
    if isinstance(answer, Result) or not _is_health(answer):
        return ""
    return str(json.loads(answer.body).get("version", ""))


def _not_ours(subject: Subject, answer: road.Answer) -> Result:
    """What something else than the API answered; the words are the executor's and the command line's."""
    location = answer.headers.get("location", "")
    facts = trust.Facts()
    if answer.status == 400 and not subject.url.startswith("https"):
        facts = trust.observe(http.client.HTTPException(), subject.url, subject.trust, None)
    elif answer.status == 400:
        facts = trust.observe(OSError(), subject.url, subject.trust, None)
    found = trust.explain_answer(subject.url, answer.status, answer.body, location=location, facts=facts)
    if found is None:
        said = f"{subject.url}/health answers {answer.status}, and not as Kubently does"
        return error("not-kubently", said, "check the URL, and the ingress's route to the API", status=answer.status)
    return error(found.code, found.message, found.hint, status=answer.status)


def _is_health(answer: road.Answer) -> bool:
    try:
        document = json.loads(answer.body)
    except ValueError:
        return False
    return isinstance(document, dict) and "status" in document


def _explained(failure: Exception, subject: Subject) -> Result:
    if isinstance(failure, ProxyError | ConfigError):
        return error(failure.code, failure.message, failure.hint)
    context = trust.Keeper(subject.trust).context() if subject.url.startswith("https") else None
    found = trust.explain(failure, subject.url, trust.observe(failure, subject.url, subject.trust, context))
    return error(found.code, found.message, found.hint)
