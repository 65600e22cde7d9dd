"""One dial: whichever transport gets through to one URL, up to a session that is settled.

WebSocket comes first. Whatever fails once TCP and TLS stand (an answer that is no 101, a connection that is cut,
silence) moves on to long-poll, except where the API itself said no: no text of an error is looked at, for who strips
upgrades answers in a hundred ways.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup

from kubently import __version__, trust, wire
from kubently.errors import KubentlyError, TunnelClosedError
from kubently.executor import refusals
from kubently.executor.apiserver import ApiServer
from kubently.executor.cluster import describe
from kubently.executor.credentials import Credentials
from kubently.executor.endpoints import Endpoint
from kubently.executor.metrics import TLS_UNVERIFIED
from kubently.executor.standing import ClientLink, Standing
from kubently.schema import Transport
from kubently.settings import ExecutorSettings
from kubently.tunnel import Application, AsgiServer, Session
from kubently.tunnel.transports import poll_client, websocket

log = logging.getLogger(__name__)


class Dialler:
    """Makes sessions. ``on_closed`` is called with each that ends, and why.

    ``on_shown`` is called with the certificate (DER) that the API showed, ``tell`` asked what else to tell it.
    """

    def __init__(
        self,
        settings: ExecutorSettings,
        app: Application,
        api_server: ApiServer,
        keeper: trust.Keeper,
        credentials: Credentials,
        *,
        capabilities: Mapping[str, str],
        on_closed: Callable[[Standing, str], None],
        on_shown: Callable[[bytes], None] = lambda _: None,
        tell: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._on_shown = on_shown
        self._tell = tell
        self._settings = settings
        self._app = app
        self._api_server = api_server
        self._keeper = keeper
        self._credentials = credentials
        self._capabilities = capabilities
        self._on_closed = on_closed
        self.tls: ssl.SSLContext | None = None
        """What the last dial used."""

    def transports(self, endpoint: Endpoint) -> tuple[Transport, ...]:
        """Those to try, in order."""
        if self._settings.transport != "auto":
            return (Transport(self._settings.transport),)
        both = (Transport.WEBSOCKET, Transport.LONG_POLL)
        return both[::-1] if endpoint.prefers_polls(time.monotonic()) else both

    async def dial(
        self, endpoint: Endpoint, lane: str, tasks: TaskGroup, *, transports: tuple[Transport, ...] = ()
    ) -> Standing:
        """A settled session with the API at *endpoint*, by the first of *transports* that gets through.

        Raises KubentlyError and OSError: the failure of the transport that was tried first, or the API's own refusal.
        """
        headers = {
            **await self._credentials.headers(),
            "X-Kubently-Cluster": self._settings.cluster_id,
            "User-Agent": f"kubently-executor/{__version__}",
        }
        self.tls = self._context(endpoint)
        first: Exception | None = None
        for transport in transports or self.transports(endpoint):
            try:
                standing = await self._attempt(endpoint, transport, lane, headers, tasks)
            except (_BelowError, OSError, KubentlyError) as failure:
                error = failure.cause if isinstance(failure, _BelowError) else failure
                first = first if first and not refusals.is_final(error) else error
                if isinstance(failure, _BelowError) or refusals.is_final(error):
                    break
                log.info("a transport does not get through", extra={"transport": transport, "reason": str(error)})
            else:
                endpoint.remember(transport, time.monotonic())
                return standing
        assert first is not None
        raise first

    async def _attempt(
        self, endpoint: Endpoint, transport: Transport, lane: str, headers: Mapping[str, str], tasks: TaskGroup
    ) -> Standing:
        info = await self._describe(endpoint, transport, lane)
        connected = False

        def on_connected() -> None:
            nonlocal connected
            connected = True

        try:
            link = await self._link(endpoint, transport, headers, tasks, on_connected)
        except (OSError, KubentlyError) as error:
            # TLS 1.3 servers refuse a client certificate after the handshake: still TLS.
            if not connected or isinstance(error, ssl.SSLError):
                raise _BelowError(error) from error
            raise
        self._on_shown(link.peer_certificate())
        info = {**info, **self._tell()}
        return await self._settle(Standing(endpoint, transport, lane, link, time.monotonic()), info, tasks)

    async def _link(
        self,
        endpoint: Endpoint,
        transport: Transport,
        headers: Mapping[str, str],
        tasks: TaskGroup,
        on_connected: Callable[[], None],
    ) -> ClientLink:
        timeout, name = self._settings.timing.dial_timeout, self._settings.trust.server_name or None
        if transport is Transport.LONG_POLL:
            return await poll_client.dial(
                endpoint.url,
                headers=headers,
                ssl=self.tls,
                timeout=timeout,
                tasks=tasks,
                server_hostname=name,
                proxy=endpoint.proxy,
                on_connected=on_connected,
            )
        return await websocket.dial(
            tunnel_url(endpoint.url),
            headers=headers,
            ssl=self.tls,
            timeout=timeout,
            server_hostname=name,
            proxy=endpoint.proxy,
            on_connected=on_connected,
        )

    async def _settle(self, standing: Standing, info: Mapping[str, Any], tasks: TaskGroup) -> Standing:
        settled, server, host = anyio.Event(), AsgiServer(self._app, tasks), standing.endpoint.host
        reasons: list[str] = []

        def on_closed(reason: str) -> None:
            reasons.append(reason)
            if settled.is_set():
                self._on_closed(standing, reason)
            settled.set()  # nobody need wait for it any more
            standing.change()

        def on_settled(info: Mapping[str, Any]) -> None:
            standing.settled(info)
            settled.set()

        session = standing.session = Session(
            wire.Role.EXECUTOR,
            standing.link,
            clock=time.monotonic,
            info=info,
            on_request=server.serve,
            on_settled=on_settled,
            on_auth=lambda payload: self._credentials.received(payload, session.send_auth, host=host),
            on_drain=lambda reason: _note_drain(standing, reason),
            on_closed=on_closed,
        )
        standing.link.attach(session)
        session.flush()
        try:
            with anyio.move_on_after(self._settings.timing.dial_timeout):
                await settled.wait()
        except BaseException:
            session.close("the executor stopped", code=1001)
            raise
        if session.is_closed:
            raise TunnelClosedError(f"the API closed the session: {reasons[0]}")
        if not session.is_settled:
            session.close("no SETTINGS came", code=1002)
            raise TunnelClosedError("the API accepted the connection and then said nothing")
        return standing

    def _context(self, endpoint: Endpoint) -> ssl.SSLContext | None:
        """The TLS context of the next dial, with what changed in its files. Raises ConfigError."""
        if not endpoint.is_secure:
            return None
        if not self._settings.trust.verify:
            log.warning(
                "the API's certificate is not verified",
                extra={"reason": "KUBENTLY_SSL_VERIFY=false", "hint": "trust the API's CA with KUBENTLY_CA_CERT"},
            )
        TLS_UNVERIFIED.set(not self._settings.trust.verify)
        return self._keeper.context()

    async def _describe(self, endpoint: Endpoint, transport: Transport, lane: str) -> Mapping[str, Any]:
        version, uid = await describe(self._api_server)
        way = {"transport": transport.value, "proxy": str(endpoint.proxy or "")}
        if endpoint.cuts.max_age is not None:
            way["cut_after"] = f"{endpoint.cuts.max_age:.2g} s"
        return {
            "version": __version__,
            "instance": self._settings.instance,
            "lane": lane,
            "hostname": self._settings.hostname,
            "labels": dict(self._settings.labels),
            "kubernetes_version": version,
            "kube_system_uid": uid,
            "capabilities": {**self._capabilities, **{name: value for name, value in way.items() if value}},
        }


class _BelowError(Exception):
    """What failed below the transport: DNS, TCP, TLS or a proxy, which the next transport would meet as well."""

    def __init__(self, cause: OSError | KubentlyError) -> None:
        super().__init__(cause)
        self.cause = cause


def _note_drain(standing: Standing, reason: str) -> None:
    log.info("the API drains", extra={"reason": reason})
    standing.change()


def tunnel_url(api_url: str) -> str:
    """Where the WebSocket of the API at *api_url* is."""
    parts = urlsplit(api_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{websocket.PATH}"
