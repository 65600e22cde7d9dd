"""Reads without a child against reads by kubectl, both at the executor, in one run and interleaved.

Both times are the executor's own (the status that it reports), so that API and tunnel are in neither. The archived
cluster is served by this very process, which slows both roads; a flag that only kubectl knows chooses kubectl's.
"""

from __future__ import annotations

import http.client
import json
import statistics
from typing import Any
from urllib.parse import urlsplit

import anyio
from prometheus_client import REGISTRY

from benchmarks import archives, machine
from kubently import trust

BAR = 10.0
_READS = (
    ["get", "pods", "-n", "shop"],
    ["get", "pods", "-n", "shop", "-o", "yaml"],
    ["get", "deployments,services", "-n", "shop", "-o", "json"],
)
_BY_KUBECTL = "--request-timeout=60s"


async def run(count: int) -> None:
    """Print how much faster *count* reads of each sort are without a child."""
    async with archives.running() as (fleet, _):
        await anyio.to_thread.run_sync(_measure, fleet.url, fleet.key, str(fleet.ca), count)


def _measure(url: str, key: str, ca: str, count: int) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=trust.client_context(ca=ca))
    for argv in _READS:
        natively, forked = [], []
        for _ in range(3):  # discovery is read and cached on both roads
            _seconds(connection, key, argv, "native")
            _seconds(connection, key, [*argv, _BY_KUBECTL], "kubectl")
        for _ in range(count):
            natively.append(_seconds(connection, key, argv, "native"))
            forked.append(_seconds(connection, key, [*argv, _BY_KUBECTL], "kubectl"))
        print(f"kubectl {' '.join(argv)}")
        print(f"  without a child: {machine.quantiles(natively)}")
        print(f"  by a child:      {machine.quantiles(forked)}")
        ratio = statistics.median(forked) / statistics.median(natively)
        print(f"  ratio: {ratio:.1f} (bar: {BAR:g})")
    connection.close()


def _seconds(connection: http.client.HTTPSConnection, key: str, argv: list[str], road: str) -> float:
    """How long a command took at the executor. Raises RuntimeError if it failed or took another road."""
    before = _taken(road)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/clusters/prod-eu/commands", json.dumps({"argv": argv}), headers)
    outcome: dict[str, Any] = json.loads(connection.getresponse().read())
    if outcome.get("exit_code") != 0 or not outcome["stdout"] or _taken(road) != before + 1:
        raise RuntimeError(outcome)
    return float(outcome["seconds"])


def _taken(road: str) -> float:
    return REGISTRY.get_sample_value("kubently_executor_commands_total", {"road": road}) or 0.0
