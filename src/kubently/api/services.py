"""The control plane, put together: the only place where its parts are made."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio

from kubently import trust
from kubently.api.collectors import OfAudit, OfContinuous, OfExecutors, OfLimits, OfPeers, OfStore
from kubently.api.metrics import Metrics
from kubently.auth import (
    EXECUTOR_CA,
    ApiKeys,
    Blocklist,
    Callers,
    Enrolments,
    ExecutorTokens,
    Identities,
    KubeTokens,
    Logins,
    Provider,
    Roles,
    agree,
    open_authority,
    open_peer_trust,
    read_certificates,
)
from kubently.broker import (
    Admission,
    Audit,
    Auditing,
    Commands,
    Diagnoses,
    KubernetesRequests,
    Limits,
    Policies,
    narrowing,
    open_auditing,
    own_analyzers,
)
from kubently.continuous import Mode, open_mode
from kubently.errors import KubentlyError, StoreUnavailableError
from kubently.fleet import Fleet, Peers, Registry, joined, new_name
from kubently.schema import ClusterId
from kubently.settings import ApiSettings
from kubently.store import ABSENT, CachedStore, Store, open_store
from kubently.trust import watching
from kubently.tunnel import Heartbeat
from kubently.tunnel.transports.poll_server import Polls

log = logging.getLogger(__name__)

REVOCATION_POLL = 5.0
"""Seconds between two looks at the tokens of connected executors: a token that was removed behind our back (by an
operator in the store, in a mounted Secret) ends its session within ten."""

MANY = 200
"""Clusters from which on their credentials are read from a Redis at once rather than one by one."""

READ_BY_REQUESTS = ("auth:", "executor:token:")
"""Prefixes of what requests and dials are let in by."""

START_PATIENCE = 60.0
"""Seconds for which a store that is away is waited for at the start; pods are often started in the wrong order."""
START_PAUSE = 1.0

STORE_PROBE = 3.0
"""Seconds within which the store has to answer to be called well."""


@dataclass(slots=True)
class Listener:
    """The API's own TLS end, told by whoever listens."""

    fingerprint: Callable[[], str] = lambda: ""
    """SHA-256 of the certificate that it shows now; empty where it speaks no TLS."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes use."""

    settings: ApiSettings
    store: Store
    keys: ApiKeys
    logins: Logins | None
    """None where there is no OpenID provider."""
    callers: Callers
    tokens: ExecutorTokens
    identities: Identities
    kube_tokens: KubeTokens
    fleet: Fleet
    polls: Polls
    audit: Audit
    auditing: Auditing
    limits: Limits
    commands: Commands
    admission: Admission
    kubernetes: KubernetesRequests
    diagnoses: Diagnoses
    continuous: Mode
    policies: Policies
    metrics: Metrics
    listener: Listener
    started_at: datetime

    async def check_store(self) -> KubentlyError | None:
        """What is wrong with the store; None when it answers."""
        try:
            with anyio.fail_after(STORE_PROBE):
                await self.store.get("health:probe")
        except TimeoutError:
            return StoreUnavailableError(f"the store does not answer within {STORE_PROBE:g} s")
        except KubentlyError as error:
            return error
        return None


@contextlib.asynccontextmanager
async def open_services(settings: ApiSettings, *, store: Store | None = None) -> AsyncIterator[Services]:
    """Make everything, and end it in reverse, the store last. Draining the fleet is the caller's.

    A *store* of the caller's is used in place of that of the settings, and stays open.
    """
    given, store = store, store or open_store(settings.store_url, settings.store, cached=READ_BY_REQUESTS)
    heartbeat = Heartbeat(clock=time.monotonic, ping_after=settings.timing.ping_after)
    registry = Registry(store)
    try:
        await _load(registry)
        async with (
            open_auditing(settings.audit, store, make_context=trust.Keeper(settings.audit.trust).context) as auditing,
            anyio.create_task_group() as tasks,
            contextlib.AsyncExitStack() as stack,
        ):
            fleet = Fleet(registry, heartbeat, tasks, clock=time.monotonic)
            audit = auditing.audit
            tokens = ExecutorTokens(store, folder=settings.tokens_dir)
            identities = await _open_identities(settings, store, tokens)
            metrics = Metrics()
            metrics.count_connections(fleet.sessions)
            metrics.streams.set_function(fleet.streams)
            fleet.probes.on_result = lambda result: metrics.probes.labels(result=result).inc()
            fleet.on_routed = metrics.count_route
            metrics.show(OfExecutors(fleet), OfPeers(fleet), OfAudit(auditing))
            if isinstance(store, CachedStore):
                metrics.show(OfStore(store.health))
            _watch_certificates(metrics, settings, identities)
            admission = Admission(fleet, tokens)
            limits = Limits.of(settings.limits, clock=time.monotonic)
            commands = Commands(fleet, admission, audit, store, limits)
            kubernetes = KubernetesRequests(fleet, admission, audit, limits)
            metrics.show(OfLimits(limits.named))
            tasks.start_soon(heartbeat.run)
            for prefix in identities.hints:
                tasks.start_soon(_cut_revoked_on_hint, store, prefix, identities, fleet)
            tasks.start_soon(_cut_revoked_in_turn, store, identities, fleet)
            keys = ApiKeys(store, now=lambda: datetime.now(UTC), admin_key=settings.admin_key)
            logins = open_logins(settings, store)
            callers = Callers(keys, logins)
            polls = Polls()
            if settings.peer_listen:
                await stack.enter_async_context(await _joined(settings, store, fleet, registry, polls))
            elif settings.store_url.startswith("redis"):
                tasks.start_soon(_write_again, registry, fleet, store, await store.get(EXECUTOR_CA))
            chosen = own_analyzers.load(settings.analyzers)
            continuous = open_mode(
                settings.continuous,
                fleet=fleet,
                audit=audit,
                store=store,
                is_shared=_is_shared(settings),
                analyzers=chosen,
            )
            continuous.start(tasks)
            metrics.show(OfContinuous(continuous))
            yield Services(
                settings=settings,
                store=store,
                keys=keys,
                logins=logins,
                callers=callers,
                tokens=tokens,
                identities=identities,
                kube_tokens=KubeTokens(store, callers),
                fleet=fleet,
                polls=polls,
                audit=audit,
                auditing=auditing,
                limits=limits,
                commands=commands,
                admission=admission,
                kubernetes=kubernetes,
                diagnoses=Diagnoses(fleet, admission, audit, chosen),
                continuous=continuous,
                policies=Policies(fleet, admission),
                metrics=metrics,
                listener=Listener(),
                started_at=datetime.now(UTC),
            )
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            if given is None:
                await store.aclose()


def _is_shared(settings: ApiSettings) -> bool:
    """Whether other replicas may use the same store."""
    return settings.peer_listen is not None or settings.store_url.startswith("redis")


async def _write_again(registry: Registry, fleet: Fleet, store: Store, executor_ca: bytes | None) -> None:
    """What several replicas do by their leases: a Redis may be emptied behind our back."""
    while True:
        await anyio.sleep(REVOCATION_POLL)
        try:
            if executor_ca is not None:
                await store.put(EXECUTOR_CA, executor_ca, expected=ABSENT)
            await registry.reconcile(fleet.connected())
        except KubentlyError as error:
            log.warning("the clusters' records were not compared", extra={"reason": str(error)})


async def _load(registry: Registry) -> None:
    deadline = time.monotonic() + START_PATIENCE
    while True:
        try:
            return await registry.load()
        except StoreUnavailableError as error:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting for the store", extra={"reason": str(error), "hint": error.hint})
        await anyio.sleep(START_PAUSE)


async def _joined(
    settings: ApiSettings, store: Store, fleet: Fleet, registry: Registry, polls: Polls
) -> contextlib.AbstractAsyncContextManager[Peers]:
    assert settings.peer_listen is not None
    peer_trust = await open_peer_trust(store, settings.peer_ca, new_name(), now=time.time)
    executor_ca = await store.get(EXECUTOR_CA)

    async def restore() -> None:
        if settings.peer_ca is None:
            await agree(store, peer_trust)
        if executor_ca is not None:
            await store.put(EXECUTOR_CA, executor_ca, expected=ABSENT)

    return joined(
        fleet,
        registry,
        store,
        peer_trust,
        polls,
        listen=settings.peer_listen,
        advertised=settings.peer_address,
        stamp=lambda caller, cluster: narrowing.caller_fields(caller.principal, cluster, caller.request_id),
        clock=time.monotonic,
        restore=restore,
    )


def _watch_certificates(metrics: Metrics, settings: ApiSettings, identities: Identities) -> None:
    authority = watching.of_text(identities.authority.encode())
    metrics.certificates.add("executor-ca", lambda: authority)
    if (path := settings.client_ca) is not None:
        metrics.certificates.add("client-ca", lambda: watching.of_file(path))


def open_logins(settings: ApiSettings, store: Store) -> Logins | None:
    """People's sessions, where there is an OpenID provider. Raises ConfigError."""
    if settings.oidc is None:
        return None
    provider = Provider(settings.oidc, clock=time.monotonic, now=time.time)
    roles = Roles(settings.oidc.roles_file, check=narrowing.check)
    return Logins(store, settings.oidc, provider, roles, now=lambda: datetime.now(UTC))


async def _open_identities(settings: ApiSettings, store: Store, tokens: ExecutorTokens) -> Identities:
    def now() -> datetime:
        return datetime.now(UTC)

    lifetime = timedelta(seconds=settings.executor_cert_lifetime)
    authority = await open_authority(store, settings.executor_ca, lifetime=lifetime, now=now)
    return Identities(
        store,
        tokens,
        Enrolments(store, now=now),
        Blocklist(store, now=now),
        authority,
        client_authorities=read_certificates(settings.client_ca) if settings.client_ca else (),
    )


async def _cut_revoked_on_hint(store: Store, prefix: str, identities: Identities, fleet: Fleet) -> None:
    async for key in store.subscribe(prefix):
        await _cut_revoked(identities, fleet, cluster=identities.cluster_of(key))


async def _cut_revoked_in_turn(store: Store, identities: Identities, fleet: Fleet) -> None:
    while True:
        await anyio.sleep(REVOCATION_POLL)
        await _cut_revoked(identities, fleet, ahead=store)


async def _cut_revoked(
    identities: Identities, fleet: Fleet, *, cluster: ClusterId | None = None, ahead: Store | None = None
) -> None:
    try:
        if isinstance(ahead, CachedStore) and len(fleet.connected()) > MANY:
            for prefix in identities.hints:
                await ahead.scan(prefix)
        await fleet.cut_revoked(identities.is_current, cluster=cluster)
    except KubentlyError as error:
        log.warning("executor credentials could not be checked", extra={"reason": str(error)})
