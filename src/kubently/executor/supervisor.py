"""Keeps one session to the API: dials, serves, backs off with full jitter, drains on request of either side."""

from __future__ import annotations

import json
import logging
import random
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup

from kubently import __version__, trust, wire
from kubently.errors import ConfigError, KubentlyError, TunnelClosedError
from kubently.executor.apiserver import ApiServer
from kubently.executor.cluster import describe
from kubently.executor.credentials import Credentials, StaticToken
from kubently.executor.metrics import CONNECTED, DIALS, TLS_UNVERIFIED, TRUST_RELOAD_FAILURES
from kubently.schema import problems
from kubently.settings import ExecutorSettings
from kubently.trust import proxies
from kubently.trust.connect import ProxyError
from kubently.tunnel import Application, AsgiServer, Heartbeat, Session
from kubently.tunnel.transports import websocket

log = logging.getLogger(__name__)

FIRST_DELAY, MAX_DELAY, EARLY_MAX_DELAY = 0.5, 30.0, 10.0
"""Seconds of backoff: full jitter up to a cap that doubles; lower in the first minute without a session."""
HEALTHY_AFTER = 25.0
"""A session that lived so many seconds resets the backoff."""
REFUSED_DELAY = 60.0
"""Cap where the API answered and said no (401, 403, 409): asking often does not help."""


def backoff(attempt: int, *, outage: float, refused: bool, rng: random.Random) -> float:
    """Seconds to wait before attempt number *attempt* (1 is the first retry), *outage* seconds into the outage."""
    cap = REFUSED_DELAY if refused else EARLY_MAX_DELAY if outage < 60 else MAX_DELAY
    return rng.uniform(0, min(cap, FIRST_DELAY * 2 ** min(attempt, 16)))


class Supervisor:
    """One executor's connection to its API. Raises ConfigError where the proxy to it cannot be used."""

    def __init__(
        self,
        settings: ExecutorSettings,
        app: Application,
        api_server: ApiServer,
        *,
        capabilities: Mapping[str, str],
        credentials: Credentials | None = None,
    ) -> None:
        self._settings = settings
        self._credentials = credentials or StaticToken(settings.token)
        self._app = app
        self._api_server = api_server
        self._capabilities = capabilities
        self._trust = trust.Keeper(settings.trust, on_loaded=_note_trust, on_refused=_note_refused_trust)
        self._proxy = proxies.choose(settings.trust.proxies, settings.api_url)
        self._tls: ssl.SSLContext | None = None
        """What the last dial used."""
        self._session: Session | None = None
        self._stopped = anyio.Event()
        self._stopping = False
        self._rng = random.Random()
        self.connected_at: float | None = None
        """Monotonic instant of the last moment known to be connected."""
        self.problem = ""
        """Why there is no session, in a sentence."""

    async def run(self) -> None:
        """Dial and serve until `stop`."""
        heartbeat = Heartbeat(clock=time.monotonic, ping_after=self._settings.timing.ping_after)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(heartbeat.run)
            await self._run_sessions(tasks, heartbeat)
            tasks.cancel_scope.cancel()

    async def stop(self, grace: float) -> None:
        """Drain: finish open streams within *grace* seconds, then close. `run` returns."""
        self._stopping = True
        session = self._session
        if session is not None:
            session.drain("the executor stops")
            await session.wait_idle(grace)
            session.close("the executor stopped", code=1001)
        self._stopped.set()

    @property
    def is_connected(self) -> bool:
        """Whether a session stands."""
        return self._session is not None and not self._session.is_closed

    async def _run_sessions(self, tasks: TaskGroup, heartbeat: Heartbeat) -> None:
        attempt, lost_at = 0, time.monotonic()
        while not self._stopping:
            refused = False
            try:
                session, closed = await self._connect(tasks, heartbeat)
            except Exception as error:  # whatever it is, the next attempt may fare better
                refused = await self._note_failure(error)
            else:
                began = time.monotonic()
                await self._serve_until_closed(session, closed)
                if time.monotonic() - began >= HEALTHY_AFTER:
                    attempt = 0
                lost_at = time.monotonic()
            if self._stopping:
                return
            attempt += 1
            delay = backoff(attempt, outage=time.monotonic() - lost_at, refused=refused, rng=self._rng)
            log.info("dialling again", extra={"in_seconds": round(delay, 2), "attempt": attempt})
            with anyio.move_on_after(delay):
                await self._stopped.wait()

    async def _connect(self, tasks: TaskGroup, heartbeat: Heartbeat) -> tuple[Session, anyio.Event]:
        settings = self._settings
        info = await self._describe()
        self._tls, host = self._context(), urlsplit(settings.api_url).netloc
        link = await websocket.dial(
            _tunnel_url(settings.api_url),
            headers={
                **await self._credentials.headers(),
                "X-Kubently-Cluster": settings.cluster_id,
                "User-Agent": f"kubently-executor/{__version__}",
            },
            ssl=self._tls,
            timeout=settings.timing.dial_timeout,
            server_hostname=settings.trust.server_name or None,
            proxy=self._proxy,
        )
        closed, settled, server = anyio.Event(), anyio.Event(), AsgiServer(self._app, tasks)
        session = Session(
            wire.Role.EXECUTOR,
            link,
            clock=time.monotonic,
            info=info,
            on_request=server.serve,
            on_settled=lambda _: settled.set(),
            on_auth=lambda payload: self._credentials.received(payload, session.send_auth, host=host),
            on_drain=self._on_drain,
            on_closed=lambda reason: self._on_closed(reason, closed, settled),
        )
        link.attach(session)
        session.flush()
        try:
            with anyio.move_on_after(settings.timing.dial_timeout):
                await settled.wait()
        except BaseException:
            session.close("the executor stopped", code=1001)
            raise
        if session.is_closed:
            raise TunnelClosedError(f"the API closed the session: {self.problem}")
        if not session.is_settled:
            session.close("no SETTINGS came", code=1002)
            raise TunnelClosedError("the API accepted the connection and then said nothing")
        heartbeat.watch(session)
        return session, closed

    def _context(self) -> ssl.SSLContext | None:
        """The TLS context of the next dial, with what changed in its files. Raises ConfigError."""
        if not self._settings.api_url.startswith("https") and not (self._proxy and self._proxy.secure):
            return None
        if not self._settings.trust.verify:
            log.warning(
                "the API's certificate is not verified",
                extra={"reason": "KUBENTLY_SSL_VERIFY=false", "hint": "trust the API's CA with KUBENTLY_CA_CERT"},
            )
        TLS_UNVERIFIED.set(not self._settings.trust.verify)
        return self._trust.context()

    async def _serve_until_closed(self, session: Session, closed: anyio.Event) -> None:
        self._session, self.problem = session, ""
        CONNECTED.set(1)
        self._count("ok")
        where = {"url": self._settings.api_url, "cluster": self._settings.cluster_id, "proxy": str(self._proxy or "")}
        log.info("connected to the API", extra=where)
        try:
            while not closed.is_set() and not self._stopped.is_set():
                with anyio.move_on_after(5):
                    await closed.wait()
                self.connected_at = time.monotonic()
        finally:
            session.close("the executor stopped", code=1001)  # does nothing to one that is closed
            self._session = None
            CONNECTED.set(0)

    def _on_drain(self, reason: str) -> None:
        log.info("the API drains", extra={"reason": reason})

    def _on_closed(self, reason: str, closed: anyio.Event, settled: anyio.Event) -> None:
        self.problem = reason
        log.log(logging.INFO if self._stopping else logging.WARNING, "the session ended", extra={"reason": reason})
        closed.set()
        settled.set()  # nobody need wait for it any more

    async def _note_failure(self, error: Exception) -> bool:
        if not isinstance(error, OSError | KubentlyError):  # TimeoutError and ssl.SSLError are OSErrors
            self.problem = f"an unforeseen failure: {error!r}"
            self._count("failed")
            log.error("the dial failed in an unforeseen way", exc_info=error)
            return False
        url = self._settings.api_url
        facts = trust.Facts()
        if _is_of_the_connection(error):
            facts = await anyio.to_thread.run_sync(
                trust.observe, error, url, self._settings.trust, self._tls, abandon_on_cancel=True
            )
        said, refused = explain(error, url, facts)
        if refused:
            self._credentials.refused(said.code)
        self.problem = f"{said.message}; {said.hint} [{said.code}]" if said.hint else f"{said.message} [{said.code}]"
        self._count("refused" if refused else "proxy" if isinstance(error, ProxyError) else "failed")
        log.warning("cannot connect to the API", extra={"code": said.code, "reason": said.message, "hint": said.hint})
        return refused

    def _count(self, result: str) -> None:
        DIALS.labels(result=result, road="proxy" if self._proxy else "direct").inc()

    async def _describe(self) -> Mapping[str, Any]:
        version, uid = await describe(self._api_server)
        return {
            "version": __version__,
            "instance": self._settings.instance,
            "hostname": self._settings.hostname,
            "labels": dict(self._settings.labels),
            "kubernetes_version": version,
            "kube_system_uid": uid,
            "capabilities": {**self._capabilities, **({"proxy": str(self._proxy)} if self._proxy else {})},
        }


def explain(
    error: OSError | KubentlyError, url: str, facts: trust.Facts | None = None
) -> tuple[trust.Explanation, bool]:
    """What a failed dial means, and whether the API itself said no."""
    if isinstance(error, websocket.UpgradeRefusedError):
        return _explain_refusal(error, url, facts or trust.Facts())
    if isinstance(error, OSError) or (facts and facts.speaks == "tls" and url.startswith(("http:", "ws:"))):
        return trust.explain(error, url, facts), False
    return trust.Explanation(
        error.code, error.message, error.hint or "check what stands between here and the API"
    ), False


def _is_of_the_connection(error: Exception) -> bool:
    """Whether a look at the other end may say more than the answer did."""
    if isinstance(error, websocket.UpgradeRefusedError):
        return error.status == 400
    return isinstance(error, OSError | TunnelClosedError)


def _explain_refusal(
    error: websocket.UpgradeRefusedError, url: str, facts: trust.Facts
) -> tuple[trust.Explanation, bool]:
    if problems.MEDIA_TYPE in error.headers.get("content-type", ""):
        try:
            told = problems.from_problem(error.status, json.loads(error.body))
        except (ValueError, AttributeError):
            told = None
        if told is not None:
            said = f"the API refused this executor: {told.message}"
            return trust.Explanation(told.code, said, told.hint), error.status in (401, 403, 409)
    if error.status == 400 and (found := _explain_bad_request(error, url, facts)):
        return found, False
    return _explain_status(error, url), False


def _explain_bad_request(
    error: websocket.UpgradeRefusedError, url: str, facts: trust.Facts
) -> trust.Explanation | None:
    """What servers that end TLS say in plain text, nginx and Go's among them."""
    if url.startswith(("http:", "ws:")) and (facts.speaks == "tls" or b"HTTPS" in error.body):
        return trust.explain(error, url, trust.Facts(speaks="tls"))
    if b"No required SSL certificate" in error.body:
        return trust.client_certificate_required(url, "it answered 400")
    if b"SSL certificate error" in error.body:
        return trust.client_certificate_refused(url, "it answered 400")
    return None


def _explain_status(error: websocket.UpgradeRefusedError, url: str) -> trust.Explanation:
    if error.status in (301, 302, 303, 307, 308):
        where = error.headers.get("location", "elsewhere")
        said = f"{url} redirects to {where}, which is not followed"
        return trust.Explanation("redirected", said, "set the API URL to where it really is")
    if error.status in (502, 503, 504):
        said = f"a proxy in front of {url} answered {error.status}: the API behind it is not there"
        return trust.Explanation(error.code, said, "wait, or check it")
    if error.status == 404:
        said = f"{url} answers, but there is no Kubently API at that path"
        return trust.Explanation("not-kubently", said, "check host, port and path prefix")
    said = f"{url} answered the WebSocket upgrade with {error.status}"
    return trust.Explanation(error.code, said, "check what stands between here and the API")


def _note_trust(sources: tuple[trust.Source, ...]) -> None:
    for source in sources:
        level = logging.WARNING if source.expired or source.not_ca else logging.INFO
        log.log(level, "read certificates to trust", extra={"source": str(source)})


def _note_refused_trust(error: ConfigError) -> None:
    TRUST_RELOAD_FAILURES.inc()
    log.error(
        "what is to be trusted changed and cannot be used; the old stays",
        extra={"code": error.code, "reason": error.message, "hint": error.hint},
    )


def _tunnel_url(api_url: str) -> str:
    parts = urlsplit(api_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{websocket.PATH}"
