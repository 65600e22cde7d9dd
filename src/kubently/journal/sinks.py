"""Where audit lines go outside of Kubently: files, syslog, OTLP collectors.

Each gets the lines as they stand in the journal, so that a copy is as good evidence as the original. A sink returns
when the other end has them, as far as its protocol can tell: a UDP datagram is gone when it is sent, and what a syslog
server has not read when it closes a TCP connection is told by nobody. Everything here blocks: it runs in a thread.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from kubently.errors import AuditUnavailableError, ConfigError, JournalBrokenError
from kubently.journal import records
from kubently.journal.records import Line

Numbered = Sequence[tuple[int, bytes]]
MakeContext = Callable[[], ssl.SSLContext]

TIMEOUT = 10.0
"""Seconds for each step of a delivery."""

_HINT = "use stdout:, file:///path, syslog+udp|tcp|tls://host[:port] or otlp+http|https://host[:port][/path]"

_FACILITY = 13
"""Of syslog: log audit."""
_NOTICE, _WARNING = 5, 4

_INFO_NUMBER, _WARN_NUMBER = 9, 13
"""Severities of OpenTelemetry."""


class Sink(Protocol):
    """Takes lines; used from one thread at a time."""

    name: str

    def send(self, lines: Numbered) -> None:
        """Return when they are there. Raises OSError or AuditUnavailableError: then all of them come again."""
        ...

    def close(self) -> None:
        """Let go of what is open. Idempotent."""
        ...


class LinesSink:
    """JSON lines into a file, or onto stdout. Whoever rotates the file moves it away: it is opened anew each time."""

    def __init__(self, path: Path | None) -> None:
        self.name = _slug("file", str(path)) if path else "stdout"
        self._path = path

    def send(self, lines: Numbered) -> None:
        """See `Sink.send`."""
        data = b"".join(raw + b"\n" for _, raw in lines)
        if self._path is None:
            _write(sys.stdout.fileno(), data)
            return
        opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write(opened, data)
            os.fsync(opened)
        finally:
            os.close(opened)

    def close(self) -> None:
        """See `Sink.close`."""


class SyslogSink:
    """RFC 5424 over UDP (RFC 5426), TCP with octet counting (RFC 6587) or TLS (RFC 5425)."""

    def __init__(self, kind: str, host: str, port: int, make_context: MakeContext) -> None:
        self.name = _slug(f"syslog-{kind}", host, str(port))
        self._kind, self._host, self._port = kind, host, port
        self._make_context = make_context
        self._hostname = socket.gethostname()[:255] or "-"
        self._socket: socket.socket | None = None

    def send(self, lines: Numbered) -> None:
        """See `Sink.send`."""
        messages = [_syslog(raw, self._hostname) for _, raw in lines]
        try:
            connected = self._socket = self._socket or self._connect()
            if self._kind == "udp":
                for message in messages:
                    connected.send(message)
                return
            if _is_closed(connected):
                raise ConnectionResetError(f"{self._host} closed the connection")
            connected.sendall(b"".join(b"%d %b" % (len(message), message) for message in messages))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """See `Sink.close`."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        if self._kind == "udp":
            family, kind, number, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
            datagrams = socket.socket(family, kind, number)
            datagrams.connect(address)
            return datagrams
        plain = socket.create_connection((self._host, self._port), timeout=TIMEOUT)
        if self._kind == "tcp":
            return plain
        try:
            return self._make_context().wrap_socket(plain, server_hostname=self._host)
        except BaseException:
            plain.close()
            raise


class OtlpSink:
    """Logs by OTLP over HTTP in JSON; each line is a log record whose body is the line."""

    def __init__(self, url: SplitResult, headers: Mapping[str, str], make_context: MakeContext) -> None:
        self._secure = url.scheme.endswith("https")
        self._host, self._port = url.hostname or "", url.port or (443 if self._secure else 4318)
        self.name = _slug("otlp", self._host, str(self._port))
        self._path = url.path if url.path not in ("", "/") else "/v1/logs"
        self._headers = {**headers, "Content-Type": "application/json"}
        self._make_context = make_context

    def send(self, lines: Numbered) -> None:
        """See `Sink.send`."""
        connection = self._connection()
        try:
            connection.request("POST", self._path, json.dumps(_otlp(raw for _, raw in lines)), self._headers)
            answer = connection.getresponse()
            body = answer.read(65536)
        except http.client.HTTPException as error:
            raise AuditUnavailableError(f"the collector's answer makes no sense: {error!r}") from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise AuditUnavailableError(f"the collector answered {answer.status}")
        _check_all_taken(body)

    def close(self) -> None:
        """See `Sink.close`."""

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure:
            context = self._make_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)


def open_sink(url: str, *, headers: Mapping[str, str], make_context: MakeContext) -> Sink:
    """The sink that *url* names. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError("KUBENTLY_AUDIT_SINKS holds what is no URL", hint=_HINT) from None
    if parts.scheme == "stdout":
        return LinesSink(None)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return LinesSink(Path(parts.path))
    family, _, kind = parts.scheme.partition("+")
    if family == "syslog" and kind in ("udp", "tcp", "tls") and parts.hostname:
        return SyslogSink(kind, parts.hostname, port or (6514 if kind == "tls" else 514), make_context)
    if family == "otlp" and kind in ("http", "https") and parts.hostname and not parts.username:
        return OtlpSink(parts, headers, make_context)
    raise ConfigError(f"KUBENTLY_AUDIT_SINKS: {parts.scheme[:20]!r} names no sink", hint=_HINT)


def _slug(*words: str) -> str:
    """A file name for what is remembered of a sink."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(words)).strip("-.")[-100:]


def _understood(raw: bytes) -> Line:
    """What a line says; one that is broken goes out all the same, for those outside to see."""
    try:
        return records.read(raw)
    except JournalBrokenError:
        nothing = datetime.fromtimestamp(0, UTC)
        return Line(id="", at=nothing, event="broken", principal="", cluster="", action="", what="", replica="-")


def _syslog(raw: bytes, hostname: str) -> bytes:
    line = _understood(raw)
    severity = _WARNING if line.event == records.DENIED else _NOTICE
    at = line.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    head = f"<{8 * _FACILITY + severity}>1 {at} {hostname} kubently {line.replica[:128]} {line.event} - "
    return head.encode() + raw


def _otlp(lines: Iterable[bytes]) -> dict[str, Any]:
    attributes = _attributes({"service.name": "kubently-api", "kubently.log": "audit"})
    logs = [_log_record(raw, _understood(raw)) for raw in lines]
    scope = {"scope": {"name": "kubently.audit"}, "logRecords": logs}
    return {"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [scope]}]}


def _log_record(raw: bytes, line: Line) -> dict[str, Any]:
    denied = line.event == records.DENIED
    named = {
        "kubently.replica": line.replica,
        "kubently.event": line.event,
        "kubently.principal": line.principal,
        "kubently.cluster": line.cluster,
        "kubently.action": line.action,
        "kubently.outcome": line.outcome,
        "kubently.request_id": line.request_id,
    }
    return {
        "timeUnixNano": str(round(line.at.timestamp() * 1e6) * 1000),
        "severityNumber": _WARN_NUMBER if denied else _INFO_NUMBER,
        "severityText": "WARN" if denied else "INFO",
        "body": {"stringValue": raw.decode(errors="replace")},
        "attributes": [
            *_attributes({name: value for name, value in named.items() if value}),
            {"key": "kubently.sequence", "value": {"intValue": str(line.sequence)}},
        ],
    }


def _attributes(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"stringValue": value}} for name, value in values.items()]


def _check_all_taken(body: bytes) -> None:
    """A collector may answer 200 and say that it refused some: those would be lost silently."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        refused = json.loads(body or b"{}").get("partialSuccess", {})
        if int(refused.get("rejectedLogRecords", 0)):
            raise AuditUnavailableError(f"the collector refused records: {str(refused.get('errorMessage', ''))[:200]}")


def _is_closed(connected: socket.socket) -> bool:
    """Whether the other end has closed: what is sent then would be lost without an error."""
    connected.settimeout(0)
    try:
        return not connected.recv(4096)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    finally:
        connected.settimeout(TIMEOUT)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
