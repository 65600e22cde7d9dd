"""Which logs are worth reading: those of containers that fail, one pod for each workload and container; and in them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubently.analyzers import containers
from kubently.analyzers.base import quote
from kubently.analyzers.snapshot import LogKey, Snapshot
from kubently.schema.findings import Evidence, ResourceRef

_UNRESOLVED = re.compile(
    r"EAI_AGAIN|ENOTFOUND|no such host|name resolution|could not resolve|Name or service not known|"
    r"UnknownHostException|nodename nor servname|i/o timeout.{0,80}:53\b|server misbehaving",
    re.IGNORECASE,
)


_HOST = r"([a-zA-Z][\w.-]{0,252})"
_NOT_KNOWN = (
    r"(?:\[Errno -[235]\]|Name or service not known|Name does not resolve|No address associated|No such host is known|"
    r"Temporary failure in name resolution|nodename nor servname provided|Resource temporarily unavailable|"
    r"non-existing domain)"
)
# How programs say which name did not resolve; a word that is merely near such a sentence may be anything.
_UNKNOWN_HOSTS = tuple(
    re.compile(words)
    for words in (
        rf"\blookup {_HOST}(?: on \S{{1,60}})?: (?:no such host|server misbehaving)",
        rf"\b(?:ENOTFOUND|EAI_AGAIN):? {_HOST}",
        rf"translate host name [\"']{_HOST}",
        rf"UnknownHostException:? (?:Failed to resolve )?[\"']?{_HOST}",
        rf"host not found in upstream [\"']{_HOST}",
        rf"(?i:(?:could ?n[o']t|cannot|can't|unable to|failed to) resolve (?:the )?"
        rf"(?:host(?:name)?|server|address|name|domain):? [\"'(]?){_HOST}",
        rf"(?i:failed to|can't) resolve [\"']{_HOST}(?::[0-9]{{1,5}})?[\"'][^\n]{{0,20}}{_NOT_KNOWN}",
        rf"{_NOT_KNOWN}[.:]? \({_HOST}:[0-9]{{1,5}}\)",
        rf"(?<![\w.-]){_HOST}:[0-9]{{1,5}}\)?[.:]? (?:\S{{1,40}}: )?{_NOT_KNOWN}",
        rf"Unknown (?:MySQL|MariaDB) server host [\"']{_HOST}",
        rf"\bbad address:? [\"']?{_HOST}",
        rf"can't find {_HOST}: NXDOMAIN",
        rf"getaddrinfo (?:failed )?for (?:host )?[\"']?{_HOST}",
        rf"DNS resolution failed for {_HOST}",
        rf"(?i:unknown host|no such host):? [\"']?{_HOST}",
    )
)


_DISTRUST = re.compile(
    r"x509: |certificate (?:has |is )?expired|CERTIFICATE_VERIFY_FAILED|CERT_HAS_EXPIRED|PKIX path|"
    r"unable to (?:get local issuer|verify the first) certificate|certificate verify failed|SSLHandshakeException|"
    r"tls: failed to verify",
    re.IGNORECASE,
)


def log_source(key: LogKey) -> str:
    """Name a log as the source of a quote."""
    return f"log {key.namespace}/{key.pod} container {key.container}"


def unresolved(snapshot: Snapshot, workload: ResourceRef) -> Evidence | None:
    """Return the last line of a log in which a workload's pods complain that a name does not resolve."""
    return _last_line(snapshot, workload, _UNRESOLVED)


def distrusts(snapshot: Snapshot, workload: ResourceRef) -> Evidence | None:
    """Return the last line of a log in which a workload's pods complain of a certificate."""
    return _last_line(snapshot, workload, _DISTRUST)


def _last_line(snapshot: Snapshot, workload: ResourceRef, words: re.Pattern[str]) -> Evidence | None:
    return snapshot.once((workload, words), lambda: _look_for(snapshot, workload, words))


def _look_for(snapshot: Snapshot, workload: ResourceRef, words: re.Pattern[str]) -> Evidence | None:
    for pod in snapshot.pods_of(workload) if snapshot.logs else ():
        for container in containers.containers_of(pod):
            for key in snapshot.logs_like(pod, container.name):
                for line in reversed(snapshot.logs[key][-64_000:].splitlines()):
                    if words.search(line[:2000]):
                        return quote(log_source(key), line)
    return None


def unresolved_hosts(snapshot: Snapshot, workload: ResourceRef) -> Iterator[tuple[str, Evidence]]:
    """Yield the hosts, in lower case, that the logs of a workload's failing pods say are not known, with the line."""
    keys = {
        key
        for pod in (snapshot.pods_of(workload) if snapshot.logs else ())
        if not containers.is_ready(pod)
        for container in containers.containers_of(pod)
        for key in snapshot.logs_like(pod, container.name)
    }
    seen: set[str] = set()
    for key in sorted(keys):
        for line in reversed(snapshot.logs[key][-64_000:].splitlines()):
            for host in _unknown_hosts(line[:2000]):
                if host not in seen:
                    seen.add(host)
                    yield host, quote(log_source(key), line)


def _unknown_hosts(line: str) -> Iterator[str]:
    for words in _UNKNOWN_HOSTS:
        for match in words.finditer(line):
            yield match[1].rstrip(".-").lower()
