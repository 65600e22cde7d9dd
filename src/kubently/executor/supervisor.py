"""The executor's connections to its API: some lanes, one heartbeat, and what is known of all of them together."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from typing import Any

import anyio

from kubently import trust
from kubently.errors import ConfigError, KubentlyError
from kubently.executor import refusals
from kubently.executor.apiserver import ApiServer
from kubently.executor.credentials import Credentials, StaticToken
from kubently.executor.dialling import Dialler
from kubently.executor.endpoints import Endpoint, Endpoints
from kubently.executor.lanes import Lane, Pace
from kubently.executor.metrics import CONNECTED, CUTS, DIALS, SESSIONS, TRUST_RELOAD_FAILURES
from kubently.executor.standing import Standing
from kubently.schema import Transport
from kubently.settings import ExecutorSettings
from kubently.trust import watching
from kubently.trust.connect import ProxyError
from kubently.tunnel import Application, Heartbeat

log = logging.getLogger(__name__)


class Supervisor:
    """One executor's connections to its API. Raises ConfigError where the proxy to it cannot be used."""

    def __init__(
        self,
        settings: ExecutorSettings,
        app: Application,
        api_server: ApiServer,
        *,
        capabilities: Mapping[str, str],
        credentials: Credentials | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._settings = settings
        self._pace = pace or Pace()
        self._credentials = credentials or StaticToken(settings.token)
        self.certificates = watching.Watched()
        self._last: dict[str, str | float] | None = None
        """What kept it out when nothing stood: told to the API as soon as it can be."""
        self._trust = trust.Keeper(settings.trust, on_loaded=_note_trust, on_refused=_note_refused_trust)
        self._endpoints = Endpoints(settings)
        self._dialler = Dialler(
            settings,
            app,
            api_server,
            self._trust,
            self._credentials,
            capabilities=capabilities,
            on_closed=self._closed,
            on_shown=self._saw,
            tell=self._tell,
        )
        self._heartbeat = Heartbeat(clock=time.monotonic, ping_after=settings.timing.ping_after)
        self._standing: set[Standing] = set()
        self._stood = anyio.Event()
        """Set whenever a session begins to stand."""
        self._last_stood_at = 0.0
        self._seen_at: float | None = None
        self._stopping = anyio.Event()
        self._stopped = anyio.Event()
        self.problem = ""
        """Why there is no session, in a sentence."""

    async def run(self) -> None:
        """Dial and serve until `stop`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._heartbeat.run)
            if self._endpoints.by_distance:
                await self._endpoints.measure(self._trust)
                tasks.start_soon(self._measure)
            lanes = (
                Lane(number, self._endpoints, self._dialler, self, tasks, self._pace)
                for number in range(self._settings.sessions)
            )
            for lane in lanes:
                tasks.start_soon(lane.run)
            await self._stopped.wait()
            tasks.cancel_scope.cancel()

    async def stop(self, grace: float) -> None:
        """Drain: finish open streams within *grace* seconds, then close. `run` returns."""
        self._stopping.set()
        async with anyio.create_task_group() as tasks:
            for standing in tuple(self._standing):
                tasks.start_soon(standing.retire, "the executor stops", grace)
        self._stopped.set()

    @property
    def is_connected(self) -> bool:
        """Whether a session stands."""
        return bool(self._standing)

    @property
    def connected_at(self) -> float | None:
        """Monotonic instant of the last moment known to be connected."""
        return time.monotonic() if self._standing else self._seen_at

    @property
    def sessions(self) -> int:
        """How many sessions stand, those that are being replaced among them."""
        return len(self._standing)

    # ------------------------------------------------------------------ lanes.Watch

    @property
    def is_stopping(self) -> bool:
        """Whether no more dials are wanted."""
        return self._stopping.is_set()

    async def sleep(self, seconds: float) -> None:
        """Wait, or until the executor stops."""
        with anyio.move_on_after(seconds):
            await self._stopping.wait()

    async def wait_turn(self, number: int) -> None:
        """Let the first lane go ahead, and the others follow one by one while a session stands."""
        if number == 0:
            return
        while not self.is_stopping:
            if not self._standing:
                await self._stood.wait()
            due = self._last_stood_at + self._pace.stagger * (number + random.uniform(0, 0.3))
            left = due - time.monotonic()
            if left <= 0 and self._standing:
                return
            await self.sleep(max(0.01, left))

    def stands(self, standing: Standing) -> None:
        """Count a session that stands from now on."""
        self._standing.add(standing)
        self._last_stood_at = time.monotonic()
        self.problem = ""
        self._count(standing.endpoint, "ok", standing.transport)
        self._gauge()
        self._heartbeat.watch(standing.session)
        where = {
            "url": standing.endpoint.url,
            "cluster": self._settings.cluster_id,
            "transport": standing.transport.value,
            "proxy": str(standing.endpoint.proxy or ""),
        }
        log.info("connected to the API", extra=where)
        self._stood.set()
        self._stood = anyio.Event()
        if standing.session.is_closed:  # in the turn in which it settled
            self._closed(standing, self.problem)

    def is_crowded(self, standing: Standing, in_place_of: Standing | None) -> bool:
        """Whether a session is at the same replica as another one that stays, and there are more replicas."""
        others = (other for other in self._standing if other is not in_place_of and not other.is_leaving)
        return standing.replicas > 1 and any(
            other.replica == standing.replica and not other.session.is_draining for other in others
        )

    async def failed(self, endpoint: Endpoint, error: Exception) -> bool:
        """Say why a dial failed; whether the API itself refused."""
        if not isinstance(error, OSError | KubentlyError):  # TimeoutError and ssl.SSLError are OSErrors
            self.problem = self.problem if self._standing else f"an unforeseen failure: {error!r}"
            self._count(endpoint, "failed")
            log.error("the dial failed in an unforeseen way", exc_info=error)
            return False
        facts = trust.Facts()
        if refusals.is_of_the_connection(error):
            facts = await anyio.to_thread.run_sync(
                trust.observe, error, endpoint.url, self._settings.trust, self._dialler.tls, abandon_on_cancel=True
            )
        said, refused = refusals.explain(error, endpoint.url, facts)
        if refused:
            self._credentials.refused(said.code)
        if not self._standing:
            sentence = "; ".join(filter(None, (said.message, said.hint)))
            self.problem = f"{sentence} [{said.code}]"
            self._last = {"code": said.code, "message": sentence, "at": time.time()}
        self._count(endpoint, "refused" if refused else "proxy" if isinstance(error, ProxyError) else "failed")
        log.warning("cannot connect to the API", extra={"code": said.code, "reason": said.message, "hint": said.hint})
        return refused

    # ------------------------------------------------------------------ steps

    def _closed(self, standing: Standing, reason: str) -> None:
        if standing not in self._standing:
            return
        self._standing.discard(standing)
        self._seen_at = time.monotonic()
        self._gauge()
        wanted = standing.is_leaving or self.is_stopping
        if not wanted:
            self.problem = "" if self._standing else reason
        log.log(logging.INFO if wanted else logging.WARNING, "the session ended", extra={"reason": reason})
        if standing.link.was_cut:
            self._learn(standing)

    def _learn(self, standing: Standing) -> None:
        """Note that something cut a session, and say what that tells of the way."""
        now, cuts = time.monotonic(), standing.endpoint.cuts
        CUTS.inc()
        cuts.expire(now)
        silence = now - standing.session.last_received_at
        told = cuts.note(now - standing.began, silence, ping_after=self._heartbeat.ping_after, now=now)
        if cuts.ping_after is not None:
            self._heartbeat.ping_after = min(self._settings.timing.ping_after, cuts.ping_after)
        if told:
            log.warning(f"something between here and the API {told}", extra={"url": standing.endpoint.url})

    def _saw(self, shown: bytes) -> None:
        validity = watching.of_text(shown)
        self.certificates.add("api", lambda: validity)

    def _tell(self) -> Mapping[str, Any]:
        ends = {name: validity.not_after.timestamp() for name, validity in self.certificates.found()}
        return {"certificates": ends, **({"last_problem": self._last} if self._last else {})}

    def _count(self, endpoint: Endpoint, result: str, transport: Transport | None = None) -> None:
        DIALS.labels(result=result, road=endpoint.road, transport=transport.value if transport else "").inc()

    def _gauge(self) -> None:
        CONNECTED.set(bool(self._standing))
        for transport in Transport:
            count = sum(standing.transport is transport for standing in self._standing)
            SESSIONS.labels(transport=transport.value).set(count)

    async def _measure(self) -> None:
        while True:
            await anyio.sleep(self._pace.measure * random.uniform(0.8, 1.2))
            await self._endpoints.measure(self._trust)


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
