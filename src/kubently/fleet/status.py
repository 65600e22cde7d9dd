"""Clusters and their executors, as the API shows them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import ValidationError

from kubently.fleet.connected import Connected
from kubently.fleet.directory import Lease
from kubently.fleet.registry import Registration
from kubently.schema import Cluster, ClusterState, ExecutorInfo, Refusal, SessionInfo


def describe(
    registration: Registration,
    executors: Sequence[ExecutorInfo],
    *,
    draining: bool,
    problem: str,
    refused: Refusal | None,
) -> Cluster:
    """One cluster; *draining* says whether all its sessions drain."""
    if executors:
        state = ClusterState.DRAINING if draining else ClusterState.CONNECTED
    else:
        state = ClusterState.DISCONNECTED if registration.last_seen_at else ClusterState.NEVER
    return Cluster(
        id=registration.cluster,
        state=state,
        labels=dict(registration.labels),
        last_seen_at=datetime.now(UTC) if executors else registration.last_seen_at,
        executors=tuple(executors),
        problem=problem or ("" if executors else _said(refused)),
        refused=refused,
    )


def _said(refused: Refusal | None) -> str:
    if refused is None:
        return ""
    return f"the last executor that came, from {refused.client}, was refused: {refused.message} [{refused.code}]"


def merge(here: Sequence[ExecutorInfo], elsewhere: Sequence[ExecutorInfo]) -> tuple[ExecutorInfo, ...]:
    """One entry for each executor, with its sessions at whatever replica."""
    merged: dict[str, ExecutorInfo] = {}
    for info in (*here, *elsewhere):
        known = merged.get(info.instance)
        if known is not None:
            sessions = tuple(sorted((*known.sessions, *info.sessions), key=lambda session: session.connected_at))
            began = min(known.connected_at, info.connected_at)
            info = known.model_copy(update={"sessions": sessions, "connected_at": began})
        merged[info.instance] = info
    return tuple(merged.values())


def read_infos(lease: Lease) -> list[ExecutorInfo]:
    """The executors of another replica's lease; what another version wrote and this one cannot read is left out."""
    found = []
    for each in lease.executors():
        with contextlib.suppress(ValidationError):
            found.append(ExecutorInfo.model_validate(each))
    return found


def executor_infos(sessions: Sequence[Connected], replica: str = "") -> tuple[ExecutorInfo, ...]:
    """One entry for each executor, however many sessions it has."""
    grouped: dict[str, list[Connected]] = {}
    for connected in sessions:
        grouped.setdefault(connected.instance, []).append(connected)
    return tuple(_executor_info(each, replica) for each in grouped.values())


def _executor_info(sessions: Sequence[Connected], replica: str) -> ExecutorInfo:
    hello = sessions[-1].hello
    return ExecutorInfo(
        instance=hello.instance,
        version=hello.version,
        kubernetes_version=hello.kubernetes_version,
        kube_system_uid=hello.kube_system_uid,
        capabilities=dict(hello.capabilities),
        connected_at=sessions[0].connected_at,
        rtt_seconds=min((c.session.rtt for c in sessions if c.session.rtt is not None), default=None),
        sessions=tuple(_session_info(each, replica) for each in sessions),
        identity="certificate" if sessions[-1].admitted.is_key_bound else "token",
        certificates=dict(hello.certificates),
        last_problem=hello.last_problem,
    )


def _session_info(connected: Connected, replica: str) -> SessionInfo:
    session = connected.session
    return SessionInfo(
        transport=connected.transport,
        connected_at=connected.connected_at,
        draining=session.is_draining,
        streams=session.open_streams,
        rtt_seconds=session.rtt,
        replica=replica,
    )
