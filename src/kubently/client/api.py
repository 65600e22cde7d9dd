"""A light client of the public API on ``http.client``: it starts fast, which a command line notices.

Answers are plain JSON values; ``kubently.client.sdk`` gives them types.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Generator, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from kubently import __version__, tracing, trust
from kubently.client.proxied import ProxiedConnection
from kubently.errors import ConfigError, KubentlyError
from kubently.settings import TrustSettings
from kubently.trust import proxies

NDJSON = "application/x-ndjson"
_SAFE = "/?&=%,:;@+!$'()*"


class ApiError(KubentlyError):
    """The API said no: ``code`` is the problem's, ``status`` the HTTP status."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        details = problem.get("details")
        super().__init__(
            str(problem.get("detail") or f"the API answered {status}"),
            hint=str(problem.get("hint", "")),
            details=details if isinstance(details, Mapping) else None,
        )
        self.status = status
        self.code = str(problem.get("code", "http-error"))  # type: ignore[misc]  # each problem brings its own
        self.request_id = str(problem.get("request_id", ""))


class ApiUnreachableError(KubentlyError):
    """The API cannot be reached, or broke off."""

    code = "api-unreachable"
    retryable = True

    def __init__(self, why: str | trust.Explanation, *, hint: str = "") -> None:
        if isinstance(why, str):
            super().__init__(why, hint=hint)
            return
        super().__init__(why.message, hint=why.hint)
        self.code = why.code  # type: ignore[misc]  # each way to fail has its own


class Api:
    """One API endpoint.

    ``url`` may have a path prefix; ``timeout`` is seconds of silence that are accepted; ``settings`` say whom to trust
    and which proxy to take, or ``ca`` alone (as ``KUBENTLY_CA_CERT``) without any. Every request may raise ProxyError.
    """

    def __init__(
        self, url: str, key: str, *, ca: str = "", timeout: float = 60.0, settings: TrustSettings | None = None
    ) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:  # a port that is no number, half an IPv6 address
            host, port = None, None
        if not host or parts.scheme not in ("https", "http"):
            raise ConfigError(f"{url!r} is no URL of an API", hint="use https://host[:port][/prefix]")
        self.url = url.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port, self._prefix = host, port, parts.path.rstrip("/")
        self._key = key
        self._timeout = timeout
        self._trust = trust.Keeper(settings or TrustSettings(ca_cert=ca))
        self._proxy = proxies.choose(self._trust.settings.proxies, self.url)

    @property
    def ca_file(self) -> str:
        """The file of the CA that is trusted for this API, where it was given as one."""
        given = self._trust.settings.ca_cert
        return given if given and "-----BEGIN" not in given else ""

    def get(self, path: str) -> Any:
        """GET and parse. Raises ApiError, ApiUnreachableError."""
        return self._json("GET", path, None, {})

    def fetch(self, path: str, *, limit: int) -> tuple[bytes, Mapping[str, str]]:
        """GET as it is: at most *limit* bytes, and the headers. Raises ApiError, ApiUnreachableError."""
        connection, response = self._send("GET", path, None, {}, None)
        try:
            return response.read(limit), dict(response.headers.items())
        except (OSError, http.client.HTTPException) as error:
            raise ApiUnreachableError(f"{self.url} broke off its answer: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def post(self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """POST JSON and parse the answer. Raises ApiError, ApiUnreachableError."""
        return self._json("POST", path, body, headers or {})

    def delete(self, path: str) -> None:
        """DELETE. Raises ApiError, ApiUnreachableError."""
        self._json("DELETE", path, None, {})

    def stream(
        self, path: str, body: Any, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> Generator[Any, None, None]:
        """POST JSON and give the lines of the NDJSON answer as they come; closing the iterator cancels the request.

        *timeout* is how many seconds of silence are accepted; the API sends a blank line every 15. Raises ApiError,
        ApiUnreachableError.
        """
        connection, response = self._send("POST", path, body, {"Accept": NDJSON, **(headers or {})}, timeout)
        try:
            for line in _lines(response):
                yield json.loads(line)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiUnreachableError(
                f"{self.url} broke off its answer: {error or type(error).__name__}",
                hint="it may have been restarted: try again",
            ) from error
        finally:
            connection.close()

    def _json(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        connection, response = self._send(method, path, body, headers, None)
        try:
            text = response.read()
            return json.loads(text) if text else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiUnreachableError(f"{self.url} sent an answer that cannot be read: {error}") from error
        finally:
            connection.close()

    def _send(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], timeout: float | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        # Until the head of the answer: how long its body is read is its reader's affair.
        with tracing.Span(method, tracing.Kind.CLIENT) as span:
            span.note("url.path", path.partition("?")[0])
            return self._asked(method, path, body, headers, timeout)

    def _asked(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], timeout: float | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connection(timeout or self._timeout)
        fields = {"Accept": "application/json", "User-Agent": f"kubently/{__version__}", **headers}
        if self._key:
            fields["Authorization"] = f"Bearer {self._key}"
        if trace := tracing.current.get():
            fields["traceparent"] = trace
        payload = None
        if body is not None:
            payload, fields["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            # What a person typed may stand in the path; the API says best what is wrong with it.
            connection.request(method, quote(self._prefix + path, safe=_SAFE), payload, fields)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error
        except ValueError as error:  # of a header: the key is what a person gave
            connection.close()
            raise ConfigError("the API key has characters that no key has", hint="copy it anew") from error
        if response.status >= 300:
            try:
                raise ApiError(response.status, self._problem(response))
            finally:
                response.close()  # its file holds the socket open
                connection.close()
        return connection, response

    def _problem(self, response: http.client.HTTPResponse) -> Mapping[str, Any]:
        """The API's own problem document, or what its absence means."""
        body = b""
        with contextlib.suppress(OSError, http.client.HTTPException):
            body = response.read(256 * 1024)
        with contextlib.suppress(ValueError, RecursionError):
            problem = json.loads(body)
            if isinstance(problem, dict) and "code" in problem:
                return problem
        facts = trust.Facts()
        if response.status == 400:
            facts = trust.observe(http.client.HTTPException(), self.url, self._trust.settings, None)
        location = response.headers.get("Location", "")
        said = trust.explain_answer(self.url, response.status, body, location=location, facts=facts)
        if said is None:
            detail = f"{self.url} answered {response.status}, and not as a Kubently API does"
            hint = "check the URL, and what stands in front of the API"
            return {"code": "not-kubently", "detail": detail, "hint": hint}
        return {"code": said.code, "detail": said.message, "hint": said.hint}

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._proxy is not None:
            return ProxiedConnection(self._proxy, self._host, self._port, timeout, self._trust, secure=self._secure)
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return _Https(self._host, self._port, timeout, self._trust)

    def _unreachable(self, error: OSError | http.client.HTTPException) -> ApiUnreachableError:
        settings = self._trust.settings
        context = self._trust.context() if self._secure or (self._proxy and self._proxy.secure) else None
        facts = trust.observe(error, self.url, settings, context)
        return ApiUnreachableError(trust.explain(error, self.url, facts))


class _Https(http.client.HTTPConnection):
    """With a name of its own to verify: the standard library's takes the URL's, always."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, port: int | None, timeout: float, keeper: trust.Keeper) -> None:
        super().__init__(host, port, timeout=timeout)
        self._context = keeper.context()
        self._server_name = keeper.settings.server_name or host

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._server_name)


def _lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The lines that are not blank, as they come."""
    rest = b""
    # Not readline, which takes the loss of the connection in the middle of chunks for the answer's end.
    while piece := response.read1(64 * 1024):
        *lines, rest = (rest + piece).split(b"\n")
        yield from filter(bytes.strip, lines)
    if rest.strip():
        yield rest
