"""Which executors are here, and how to reach any cluster."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from kubently import wire
from kubently.auth import Admitted
from kubently.auth.peers import Caller
from kubently.errors import ApiDrainingError, ExecutorOfflineError, KubentlyError, TooManyCommandsError
from kubently.fleet import status
from kubently.fleet.connected import Connected
from kubently.fleet.directory import Cut, Directory
from kubently.fleet.gate import Gate
from kubently.fleet.hello import parse
from kubently.fleet.peers import Peers
from kubently.fleet.probes import PURPOSE, Probes
from kubently.fleet.registry import Registration, Registry
from kubently.schema import Cluster, ClusterId, ExecutorInfo, Refusal, Transport
from kubently.tunnel import Exchange, Heartbeat, Link, Session, Stream

log = logging.getLogger(__name__)

RECENT = 60.0
"""Seconds after which a cluster that went away is no longer waited for."""
GRACE = 5.0
"""Seconds that a request waits for a cluster that was here a moment ago."""

MAX_SESSIONS = 24
"""Sessions of one cluster at once: two executors with four lanes each, twice while each lane is replaced, and some that
restarts left half-open."""

CHECKED_AT_ONCE = 100
"""Credentials that are looked at before others get their turn."""

MAX_ARRIVING = 16
"""Sessions of one cluster that have not said or proven yet who they are."""

Fields = Iterable[wire.Field]


class Answering(Protocol):
    """The run of an executor that answers a request."""

    @property
    def instance(self) -> str:
        """Random name of that run."""
        ...

    @property
    def capabilities(self) -> Mapping[str, str]:
        """What it says it can do."""
        ...


class Fleet:
    """The sessions of this replica. ``clock`` gives monotonic seconds; ``tasks`` outlives every session."""

    def __init__(
        self, registry: Registry, heartbeat: Heartbeat, tasks: TaskGroup, *, clock: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._heartbeat = heartbeat
        self._tasks = tasks
        self._clock = clock
        self.probes = Probes(tasks)
        self._sessions: dict[ClusterId, list[Connected]] = {}
        self._arriving: dict[Connected, None] = {}
        """Those whose SETTINGS or proof have not come, oldest first: they serve nothing, and are cut like others."""
        self._gone_at: dict[ClusterId, float] = {}
        self._problems: dict[ClusterId, str] = {}
        self._refused: dict[ClusterId, Refusal] = {}
        self._arrival = anyio.Event()
        self._draining = False
        self.on_routed: Callable[[str, str, float], None] = lambda path, failure, seconds: None
        """Hears of each search for the way to a cluster: local or peer, the code where there was none, its seconds."""
        self.directory: Directory | None = None
        """Which other replica holds what; None where this is the only one."""
        self.peers: Peers | None = None

    # ------------------------------------------------------------------ replicas

    def join(self, directory: Directory, peers: Peers) -> None:
        """Be one of several replicas: tell *directory* what is held here, ask *peers* for what is not."""
        self.directory, self.peers = directory, peers

    def lease_of(self, cluster: ClusterId) -> bytes | None:
        """What the other replicas may know of a cluster that is held here; None of one that is not."""
        sessions = [c for c in self._sessions.get(cluster, ()) if not c.session.is_draining]
        if not sessions or self.directory is None:
            return None
        infos = status.executor_infos(sessions, self.directory.own.name)
        return json.dumps([info.model_dump(mode="json", exclude_defaults=True) for info in infos]).encode()

    def crowded(self) -> list[Connected]:
        """One session of each executor that has several at this replica and so hangs on this one alone."""
        found: dict[tuple[ClusterId, str], list[Connected]] = {}
        for cluster, sessions in self._sessions.items():
            if len(sessions) > 1:
                for connected in sessions:
                    if not connected.session.is_draining:
                        found.setdefault((cluster, connected.instance), []).append(connected)
        return [several[-1] for several in found.values() if len(several) > 1]

    def wake(self) -> None:
        """Let those that wait for an executor look again."""
        self._arrival.set()
        self._arrival = anyio.Event()

    def _lease_changed(self, cluster: ClusterId) -> None:
        if self.directory is not None:
            self.directory.changed(cluster)

    # ------------------------------------------------------------------ executors

    def require_open(self) -> None:
        """Raise ApiDrainingError once `drain` has begun: who came now would have to leave at once."""
        if self._draining:
            raise ApiDrainingError("this API stops", hint="the executor dials again by itself", retry_after=1)

    def accept(
        self,
        admitted: Admitted,
        link: Link,
        *,
        transport: Transport = Transport.WEBSOCKET,
        view: Mapping[str, str] | None = None,
    ) -> Session:
        """Begin a session over *link*; it counts once it is settled and has proven what *admitted* wants proven.

        *view* is what the edge sees of the other end, for doctors.
        """
        session = Session(
            wire.Role.CONTROL,
            link,
            clock=self._clock,
            info={"ping_after": self._heartbeat.ping_after, **self._place()},
            on_settled=lambda info: self._settled(connected, gate, info),
            on_auth=lambda payload: gate.heard(payload),
            on_closed=lambda reason: self._closed(connected, gate, reason),
        )
        connected = Connected(session, admitted, transport=transport, view=view or {})
        gate = Gate(admitted, session, self._tasks, on_proven=lambda: self._arrived(connected))
        self._bound_arriving(admitted.cluster)
        self._arriving[connected] = None
        self._heartbeat.watch(session)
        session.flush()
        return session

    def _place(self) -> Mapping[str, Any]:
        """Which replica this is, of how many: an executor spreads its sessions."""
        if self.directory is None:
            return {}
        living = [replica for replica in self.directory.replicas() if not replica.is_draining]
        return {"replica": self.directory.own.name, "replicas": 1 + len(living)}

    def _bound_arriving(self, cluster: ClusterId) -> None:
        """Who has a certificate but not its key could open session after session: the oldest make way."""
        arriving = [c for c in self._arriving if c.cluster == cluster]
        for connected in arriving[: max(0, len(arriving) + 1 - MAX_ARRIVING)]:
            connected.session.close("too many sessions of this cluster are arriving", code=1013)

    def _settled(self, connected: Connected, gate: Gate, info: Mapping[str, Any]) -> None:
        connected.hello = parse(info)
        connected.is_settled = True
        if gate.is_open:
            self._arrived(connected)

    def _arrived(self, connected: Connected) -> None:
        if not connected.is_settled:
            return  # proven before it said who it is
        if connected.hello.purpose == PURPOSE:  # stays among those that serve nothing, and is cut like them
            self._heartbeat.forget(connected.session)  # silence is what may be looked at; the probe has its own end
            self.probes.begin(connected.cluster, connected.session, connected.hello, connected.view)
            return
        cluster, known, hello = connected.cluster, self._registry.get(connected.cluster), connected.hello
        self._arriving.pop(connected, None)
        uid = hello.kube_system_uid
        if known and known.kube_system_uid and uid and known.kube_system_uid != uid:
            foreign = [c for c in self._sessions.get(cluster, ()) if c.hello.kube_system_uid not in ("", uid)]
            # A key that is live elsewhere was copied with its Secret: it proves nothing about which cluster is right.
            elsewhere = any(i.identity == "certificate" and i.kube_system_uid != uid for i in self._elsewhere(cluster))
            if not connected.admitted.is_key_bound or elsewhere or any(c.admitted.is_key_bound for c in foreign):
                self._refuse_foreign(connected, known.kube_system_uid)
                return
            log.error("a proven key moves an id", extra={"cluster": cluster, "from": known.kube_system_uid, "to": uid})
            for other in foreign:
                other.session.close("an executor that proved its key has this id, in another cluster", code=4409)
        if not uid:
            log.warning("an executor does not know its cluster's uid", extra={"cluster": cluster})
        uid = uid or (known.kube_system_uid if known else "")
        self._problems.pop(cluster, None)
        self._refused.pop(cluster, None)
        self._registry.remember(Registration(cluster, hello.labels, datetime.now(UTC), uid))
        self._sessions.setdefault(cluster, []).append(connected)
        self._tasks.start_soon(self._save, cluster)
        self._retire(connected)
        self.wake()
        self._lease_changed(cluster)
        log.info("executor connected", extra={"cluster": cluster, "version": hello.version})
        if self._draining:
            connected.session.drain("the API stops")

    def note_refusal(self, cluster: ClusterId, refusal: Refusal) -> None:
        """Remember who was not let in, until one is; only of a cluster that is known, so that the number is bounded."""
        self._refused[cluster] = refusal

    def _refuse_foreign(self, connected: Connected, owner: str) -> None:
        """Turn away an executor of another cluster than the id belongs to: a copied manifest, most likely."""
        cluster, uid = connected.cluster, connected.hello.kube_system_uid
        problem = (
            f"an executor of another cluster (kube-system {uid}) asks for the id {cluster}, "
            f"which belongs to kube-system {owner}; kubently cluster reset {cluster} gives it to the next that comes"
        )
        self._problems[cluster] = problem
        log.error("two clusters use one id", extra={"cluster": cluster, "problem": problem})
        # A close frame has room for 123 bytes.
        told = "another cluster has this id: check KUBENTLY_CLUSTER_ID and the executor's kubeconfig"
        connected.session.close(told, code=4409)

    def _retire(self, newest: Connected) -> None:
        """Close what *newest* replaces: an earlier session of its lane is half-open; and the number is bounded."""
        others = [c for c in self._sessions[newest.cluster] if c is not newest]
        for connected in others:
            if connected.lane == newest.lane and not connected.session.is_draining:
                connected.session.close("the executor connected again", code=4409)
        others = [c for c in others if not c.session.is_closed]
        others.sort(key=lambda c: c.session.last_received_at)
        for connected in others[: max(0, len(others) + 1 - MAX_SESSIONS)]:
            connected.session.close(f"{newest.cluster} has more than {MAX_SESSIONS} sessions", code=4409)

    def _closed(self, connected: Connected, gate: Gate, reason: str) -> None:
        gate.end()
        self._arriving.pop(connected, None)
        sessions = self._sessions.get(connected.cluster, [])
        if connected not in sessions:
            return
        sessions.remove(connected)
        self._lease_changed(connected.cluster)
        if not sessions:
            del self._sessions[connected.cluster]
            self._gone_at[connected.cluster] = self._clock()
            self._registry.touch(connected.cluster, datetime.now(UTC))
            self._tasks.start_soon(self._save, connected.cluster)
        log.info("executor disconnected", extra={"cluster": connected.cluster, "reason": reason})

    async def _save(self, cluster: ClusterId) -> None:
        try:
            await self._registry.save(cluster)
        except KubentlyError as error:
            log.warning("a cluster's record was not stored", extra={"cluster": cluster, "reason": str(error)})

    async def cut_revoked(
        self, is_current: Callable[[ClusterId, str], Awaitable[bool]], *, cluster: ClusterId | None = None
    ) -> None:
        """Close every session, of *cluster* or of all, whose credential *is_current* does not know any more."""
        everyone = [*self._arriving, *(c for sessions in self._sessions.values() for c in sessions)]
        for number, connected in enumerate(c for c in everyone if cluster in (None, c.cluster)):
            if number % CHECKED_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()  # thousands may be known without a wait
            if not await is_current(connected.cluster, connected.admitted.credential):
                what = "certificate" if connected.admitted.is_key_bound else "token"
                log.warning(f"executor {what} revoked", extra={"cluster": connected.cluster})
                connected.session.close(f"the executor {what} was revoked", code=4401)

    async def forget(self, cluster: ClusterId) -> bool:
        """Cut the cluster's sessions and remove its registration; says whether it was known."""
        self.cut(cluster, Cut.REMOVED)
        was_known = await self._registry.forget(cluster)
        if self.directory is not None:
            await self.directory.tell_cut(cluster, Cut.REMOVED)
        return was_known

    def cut(self, cluster: ClusterId, why: Cut) -> None:
        """Close the sessions of *cluster* at this replica, because it was removed or reset, here or at another one."""
        sessions = self._sessions.get(cluster, [])
        if why is Cut.REMOVED:
            # Taken out first: a session that closes would otherwise be remembered as "seen a moment ago".
            self._sessions.pop(cluster, None)
            self._gone_at.pop(cluster, None)
            self._refused.pop(cluster, None)
            self._lease_changed(cluster)
        else:
            self._problems.pop(cluster, None)
        for connected in [*sessions, *(c for c in self._arriving if c.cluster == cluster)]:
            connected.session.close(f"the cluster was {why.value}", code=4401)

    async def reset(self, cluster: ClusterId) -> None:
        """Cut the cluster's sessions and forget which cluster the id belongs to: the next that comes has it."""
        self.cut(cluster, Cut.RESET)
        if self.directory is not None:
            await self.directory.tell_cut(cluster, Cut.RESET)
        if known := self._registry.get(cluster):
            self._registry.remember(replace(known, kube_system_uid=""))
            await self._registry.save(cluster)

    async def drain(self, timeout: float) -> None:
        """Tell all executors to go elsewhere, wait for open streams at most *timeout* seconds, then close."""
        self._draining = True
        if self.directory is not None:
            await self.directory.drain()
        everyone = [c.session for sessions in self._sessions.values() for c in sessions]
        for session in everyone:
            session.drain("the API stops")
        asked = self.peers.sessions() if self.peers else []  # what goes through other replicas ends as well
        async with anyio.create_task_group() as tasks:
            for session in (*everyone, *asked):
                tasks.start_soon(session.wait_idle, timeout)
        for session in everyone:
            session.close("the API stopped", code=1012)

    # ------------------------------------------------------------------ requests

    async def open(
        self,
        cluster: ClusterId,
        fields: Fields,
        *,
        caller: Caller,
        end_stream: bool = False,
        wait: float = GRACE,
        instance: str = "",
    ) -> tuple[Exchange, Answering]:
        """Open a stream to *cluster*, here or through the replica that holds it.

        It waits up to *wait* seconds for a cluster that was here a moment ago. With *instance*, only that run of an
        executor will do. Raises ExecutorOfflineError, TooManyCommandsError, and what another replica refuses it with.
        """
        begun = self._clock()
        try:
            found = await self._route(cluster, fields, caller, end_stream=end_stream, wait=wait, instance=instance)
        except KubentlyError as error:
            self.on_routed("", error.code, self._clock() - begun)
            raise
        self.on_routed("local" if isinstance(found[1], Connected) else "peer", "", self._clock() - begun)
        return found

    async def _route(
        self, cluster: ClusterId, fields: Fields, caller: Caller, *, end_stream: bool, wait: float, instance: str
    ) -> tuple[Exchange, Answering]:
        fields = tuple(fields)
        deadline = self._clock() + (min(wait, GRACE) if self._is_recent(cluster) else 0)
        while True:
            arrival = self._arrival
            if connected := self._choose(cluster, instance):
                return connected.session.open(fields, end_stream=end_stream), connected
            if found := await self._ask_peers(cluster, fields, caller, instance, end_stream=end_stream):
                return found
            left = deadline - self._clock()
            if left <= 0:
                raise self._unreachable(cluster, instance)
            with anyio.move_on_after(left):
                await arrival.wait()

    def open_here(self, cluster: ClusterId, fields: Fields, *, instance: str) -> Stream:
        """Open a stream to an executor that is connected to this replica. Raises as `open`."""
        if connected := self._choose(cluster, instance):
            return connected.session.open(fields)
        raise self._unreachable(cluster, instance)

    async def _ask_peers(
        self, cluster: ClusterId, fields: Fields, caller: Caller, instance: str, *, end_stream: bool
    ) -> tuple[Exchange, Answering] | None:
        if self.peers is None or self.directory is None:
            return None
        found = await self.peers.open(cluster, fields, instance=instance, caller=caller, end_stream=end_stream)
        if found is None and await self.directory.look_up(cluster):  # a hint was missed
            found = await self.peers.open(cluster, fields, instance=instance, caller=caller, end_stream=end_stream)
        return found

    def _choose(self, cluster: ClusterId, instance: str) -> Connected | None:
        able = [
            c
            for c in self._sessions.get(cluster, ())
            if c.session.can_open and (not instance or c.instance == instance)
        ]
        # Of equals the newest: an older one may be half-open and not yet found out.
        return min(reversed(able), key=lambda c: c.session.open_streams, default=None)

    def _is_recent(self, cluster: ClusterId) -> bool:
        gone = self._gone_at.get(cluster)
        if cluster in self._sessions or (gone is not None and self._clock() - gone < RECENT):
            return True
        if self.directory is None or (known := self._registry.get(cluster)) is None or known.last_seen_at is None:
            return False
        return (datetime.now(UTC) - known.last_seen_at).total_seconds() < RECENT

    def _unreachable(self, cluster: ClusterId, instance: str) -> KubentlyError:
        known = self._registry.get(cluster)
        seen = known.last_seen_at.isoformat(timespec="seconds") if known and known.last_seen_at else "never"
        able = (c for c in self._sessions.get(cluster, ()) if not instance or c.instance == instance)
        if any(not c.session.is_draining for c in able):
            return TooManyCommandsError(
                f"every stream of {cluster} is in use",
                hint="try again in a moment",
                details={"limit": "streams-per-session"},
                retry_after=1,
            )
        return ExecutorOfflineError(
            f"no executor is connected for {cluster} (last seen {seen})",
            hint=(
                "start its executor with the cluster's token"
                if seen == "never"
                else "check the executor's pod and its log in that cluster"
            ),
            details={"cluster": cluster, "last_seen_at": seen},
            retry_after=5,
        )

    # ------------------------------------------------------------------ status

    def knows(self, cluster: ClusterId) -> bool:
        """Whether an executor of *cluster* was ever here."""
        return self._registry.get(cluster) is not None or cluster in self._sessions or bool(self._elsewhere(cluster))

    def capability(self, cluster: ClusterId, name: str) -> str:
        """What the executors of *cluster* say of themselves under *name*; empty when none is here or says nothing."""
        for connected in self._sessions.get(cluster, ()):
            if told := connected.hello.capabilities.get(name):
                return told
        return next((told for info in self._elsewhere(cluster) if (told := info.capabilities.get(name))), "")

    def registered(self) -> int:
        """How many clusters there are, connected or not."""
        return len(self._registry.all())

    def connected(self) -> frozenset[ClusterId]:
        """The clusters that have a session at this replica."""
        return frozenset(self._sessions)

    def sessions_here(self) -> list[Session]:
        """All of this replica that serve."""
        return [c.session for sessions in self._sessions.values() for c in sessions]

    def draining(self, cluster: ClusterId) -> frozenset[Session]:
        """Sessions of *cluster* here that end as soon as nothing runs over them."""
        return frozenset(c.session for c in self._sessions.get(cluster, ()) if c.session.is_draining)

    def lost_within(self, seconds: float) -> list[ClusterId]:
        """The clusters that left this replica so recently and have not come back to any."""
        since = self._clock() - seconds
        gone = (cluster for cluster, at in self._gone_at.items() if at > since and cluster not in self._sessions)
        return [cluster for cluster in gone if not self._elsewhere(cluster)]

    def executors(self) -> int:
        """How many executors are connected, however many sessions they have."""
        return sum(len({c.instance for c in sessions}) for sessions in self._sessions.values())

    def sessions(self, transport: Transport | None = None) -> int:
        """How many sessions stand, of one transport or of all; an executor has several."""
        everyone = (c for sessions in self._sessions.values() for c in sessions)
        return sum(transport in (None, c.transport) for c in everyone)

    def streams(self) -> int:
        """How many requests are under way."""
        return sum(c.session.open_streams for sessions in self._sessions.values() for c in sessions)

    def status(self) -> list[Cluster]:
        """Every registered cluster, by id."""
        return [self._describe(registration) for registration in self._registry.all()]

    def describe(self, cluster: ClusterId) -> Cluster:
        """One cluster; one that never came is shown as such."""
        return self._describe(self._registry.get(cluster) or Registration(cluster))

    def _describe(self, registration: Registration) -> Cluster:
        sessions = self._sessions.get(registration.cluster, [])
        own = self.directory.own.name if self.directory else ""
        elsewhere = self._elsewhere(registration.cluster)
        return status.describe(
            registration,
            status.merge(status.executor_infos(sessions, own), elsewhere),
            draining=not elsewhere and all(c.session.is_draining for c in sessions),
            problem=self._problems.get(registration.cluster, ""),
            refused=self._refused.get(registration.cluster),
        )

    def _elsewhere(self, cluster: ClusterId) -> list[ExecutorInfo]:
        """The executors of *cluster* that other replicas hold, one entry for each and replica."""
        if self.directory is None:
            return []
        return [info for _, lease in self.directory.holders(cluster) for info in status.read_infos(lease)]

    def certificate_ends(self) -> Mapping[tuple[ClusterId, str], datetime]:
        """When certificates end of which connected executors tell, by cluster and name: the first to end of each."""
        found: dict[tuple[ClusterId, str], datetime] = {}
        for cluster, sessions in self._sessions.items():
            for connected in {c.instance: c for c in sessions}.values():
                for name, end in connected.hello.certificates.items():
                    found[cluster, name] = min(end, found.get((cluster, name), end))
        return found
