"""What a caller may read of histories.

A history is read from the store with nobody's rights, so what a key may not read in the cluster it must not read here.
A key whose limits name resources or names sees nothing of it: which of them a title came from is not known any more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kubently.broker import narrowing
from kubently.continuous.chosen import Chosen
from kubently.continuous.histories import Histories
from kubently.continuous.history import History, Kept
from kubently.errors import NotWatchedError, StoreError
from kubently.fleet import Fleet
from kubently.schema import (
    ClusterHistory,
    ClusterId,
    Diagnosis,
    FindingRecord,
    FindingState,
    Principal,
    Since,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which findings are asked for."""

    state: FindingState = FindingState.OPEN
    since: datetime | None = None
    """Those that began or were resolved since."""
    namespace: str = ""

    def has(self, record: FindingRecord) -> bool:
        """Whether *record* is one."""
        is_open = record.resolved_at is None
        fits = self.state is FindingState.ALL or (self.state is FindingState.OPEN) == is_open
        is_new = self.since is None or (record.resolved_at or record.began_at) >= self.since
        return (
            fits and is_new and (not self.namespace or any(ref.namespace == self.namespace for ref in record.objects))
        )


class Readings:
    """Answers questions about histories."""

    def __init__(self, histories: Histories, fleet: Fleet, chosen: Chosen) -> None:
        self._histories = histories
        self._fleet = fleet
        self._chosen = chosen

    async def read(
        self, principal: Principal, cluster: ClusterId, wanted: Wanted
    ) -> tuple[ClusterHistory, tuple[FindingRecord, ...]]:
        """What *principal* may see of one cluster, whose visibility was checked. Raises StoreError."""
        history = (await self._histories.load(cluster)).history
        records = visible(history.records, principal, cluster) if history else ()
        return self._describe(cluster, history), tuple(record for record in records if wanted.has(record))

    async def annotate(self, diagnosis: Diagnosis) -> Diagnosis:
        """A diagnosis whose findings say when they were first seen, where the history has them. Never fails.

        Whoever sees a finding now may know since when it is there, whatever else of the history is not theirs.
        """
        cluster = ClusterId(diagnosis.cluster)
        if self._chosen.is_off or not self._is_on(cluster):
            return diagnosis
        try:
            history = (await self._histories.load(cluster)).history
        except StoreError as error:
            log.warning("a history was not read", extra={"cluster": cluster, "reason": str(error)})
            return diagnosis
        first = {kept.id: kept.first_seen for kept in history.records} if history else {}
        return diagnosis.model_copy(
            update={
                name: tuple(item.model_copy(update={"first_seen": first.get(item.id)}) for item in items)
                for name, items in (("findings", diagnosis.findings), ("symptoms", diagnosis.symptoms))
            }
        )

    async def check(self, cluster: ClusterId) -> History:
        """The history of a cluster of which there must be one. Raises NotWatchedError, StoreError."""
        if not self._is_on(cluster):
            raise NotWatchedError(
                f"{cluster} is not diagnosed continuously, so there is no history of it",
                hint="an administrator can switch it on: KUBENTLY_CONTINUOUS=all, or labels of the clusters",
            )
        history = (await self._histories.load(cluster)).history
        if history is None:
            raise NotWatchedError(f"{cluster} was not diagnosed yet", hint="ask again in a minute")
        return history

    async def since(
        self, principal: Principal, diagnosis: Diagnosis, instant: datetime, *, namespace: str = ""
    ) -> Diagnosis:
        """A diagnosis that says what is new since *instant*, and what was resolved. Raises NotWatchedError."""
        cluster = ClusterId(diagnosis.cluster)
        history = await self.check(cluster)
        began = {kept.id: kept.began_at for kept in history.records if kept.is_open}
        present = {item.id for item in (*diagnosis.findings, *diagnosis.symptoms)}
        # What the history has not seen yet began a moment ago.
        new = tuple(item.id for item in diagnosis.findings if item.id not in began or began[item.id] >= instant)
        resolved = tuple(
            record
            for record in visible(history.records, principal, cluster)
            if Wanted(FindingState.RESOLVED, instant, namespace).has(record) and record.id not in present
        )
        told = Since(since=instant, history=self._describe(cluster, history), new=new, resolved=resolved)
        return diagnosis.model_copy(update={"since": told})

    def _is_on(self, cluster: ClusterId) -> bool:
        return self._chosen.has(self._fleet.describe(cluster).labels)

    def _describe(self, cluster: ClusterId, history: History | None) -> ClusterHistory:
        is_on = self._is_on(cluster)
        if history is None:
            return ClusterHistory(cluster=cluster, is_on=is_on)
        return ClusterHistory(
            cluster=cluster,
            is_on=is_on,
            unbroken_since=history.unbroken_since,
            analysed_at=history.analysed_at,
            not_seen=tuple(name for name in history.not_seen if not name.startswith("logs ")),
            not_kept=history.not_kept,
        )


def visible(records: Iterable[Kept], principal: Principal, cluster: ClusterId) -> tuple[FindingRecord, ...]:
    """The public parts of those records that *principal* may see."""
    limits = narrowing.of(principal, cluster)
    if limits is None:
        return tuple(kept.record() for kept in records)
    whole = [item for item in limits.narrowings if item.resources is None and item.names is None]
    if any(item.namespaces is None for item in whole):
        return tuple(kept.record() for kept in records)
    namespaces = frozenset(name for item in whole for name in item.namespaces or ())
    seen = [kept for kept in records if kept.objects and all(ref.namespace in namespaces for ref in kept.objects)]
    ids = {kept.id for kept in seen}
    return tuple(
        kept.record()
        if kept.explained_by in ids
        else kept.record().model_copy(update={"explained_by": "" if not kept.explained_by else "hidden"})
        for kept in seen
    )


def in_order(records: Sequence[FindingRecord]) -> tuple[FindingRecord, ...]:
    """Open ones first, the worst first, then those resolved, the last first."""

    def place(record: FindingRecord) -> tuple[bool, float, str, str]:
        ended = record.resolved_at
        return ended is not None, -ended.timestamp() if ended else record.severity.rank, record.cluster, record.id

    return tuple(sorted(records, key=place))
