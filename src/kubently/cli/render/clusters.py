"""Clusters as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from kubently.cli.render.console import age, table
from kubently.schema import Cluster, ClusterState, Refusal

_STYLES = {
    ClusterState.CONNECTED: "green",
    ClusterState.DRAINING: "yellow",
    ClusterState.DISCONNECTED: "red",
    ClusterState.NEVER: "dim",
}


def clusters(found: Sequence[Cluster]) -> Table:
    """Id, state, Kubernetes version, last seen, labels."""
    return table(
        ("CLUSTER", "STATE", "KUBERNETES", "EXECUTOR", "SEEN", "LABELS"),
        [
            (
                cluster.id,
                Text(cluster.state.value, _STYLES[cluster.state]),
                cluster.executors[0].kubernetes_version if cluster.executors else "",
                cluster.executors[0].version if cluster.executors else "",
                _seen(cluster),
                _labels(cluster),
            )
            for cluster in found
        ],
    )


def details(cluster: Cluster) -> Iterator[str]:
    """One cluster, a fact a line."""
    yield f"{cluster.id}: {cluster.state.value}, seen {_seen(cluster)}"
    if cluster.problem:
        yield f"  problem       {cluster.problem}"
    if cluster.refused:
        yield f"  last refused  {_refusal(cluster.refused)}"
    for executor in cluster.executors:
        yield f"  executor {executor.instance}, version {executor.version}"
        yield f"    identity      {executor.identity or 'unknown'}"
        yield f"    sessions      {', '.join(session.transport.value for session in executor.sessions)}"
        for name, end in sorted(executor.certificates.items()):
            yield f"    certificate   {name} ends {end:%Y-%m-%d %H:%M} UTC"
        if executor.last_problem:
            yield f"    kept out by   {_refusal(executor.last_problem)}"


def _refusal(refusal: Refusal) -> str:
    when = f"{refusal.at:%Y-%m-%d %H:%M} UTC" if refusal.at else ""
    who = f"from {refusal.client}" if refusal.client else ""
    return f"{' '.join(filter(None, (when, who)))}: {refusal.message} [{refusal.code}]"


def _labels(cluster: Cluster) -> Text | str:
    if cluster.problem:
        return cluster.problem
    labels = ", ".join(filter(None, (*_ways(cluster), *(f"{k}={v}" for k, v in sorted(cluster.labels.items())))))
    if any(executor.capabilities.get("tls") == "unverified" for executor in cluster.executors):
        return Text(", ".join(filter(None, ("does not verify the API's certificate", labels))), "red")
    return labels


def _ways(cluster: Cluster) -> Iterator[str]:
    """What is remarkable about how the executors are connected, and how they prove themselves."""
    told = [executor.capabilities for executor in cluster.executors]
    if proofs := sorted({executor.identity for executor in cluster.executors} - {""}):
        yield f"by {' and '.join(proofs)}"
    if any(capabilities.get("transport") == "long-poll" for capabilities in told):
        yield "over long-poll"
    if cuts := sorted({capabilities["cut_after"] for capabilities in told if "cut_after" in capabilities}):
        yield f"connections are cut after {', '.join(cuts)}"


def _seen(cluster: Cluster) -> str:
    if cluster.state is ClusterState.CONNECTED:
        return "now"
    if cluster.last_seen_at is None:
        return "never"
    return f"{age((datetime.now(UTC) - cluster.last_seen_at).total_seconds())} ago"
