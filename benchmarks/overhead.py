"""The overhead of a command: the REST call minus the same kubectl run at the executor, in one run, interleaved.

The executor's share (kubectl through its own proxy) is timed inside the executor by the status that it reports; the
rest is what API, tunnel and audit add.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

import anyio

from benchmarks import archives, machine
from kubently import trust


async def run(count: int) -> None:
    """Print the overhead of *count* commands against an archived cluster, over HTTPS and with audit on disk."""
    async with archives.running() as (fleet, _):
        await anyio.to_thread.run_sync(_measure, fleet.url, fleet.key, str(fleet.ca), count)


def _measure(url: str, key: str, ca: str, count: int) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=trust.client_context(ca=ca))
    for _ in range(5):
        _command(connection, key)
    totals, added = [], []
    for _ in range(count):
        started = time.monotonic()
        outcome = _command(connection, key)
        totals.append(time.monotonic() - started)
        added.append(totals[-1] - outcome["seconds"])
    connection.close()
    inside = statistics.median(total - extra for total, extra in zip(totals, added, strict=True))
    print(f"a command over REST on a kept TLS connection: {machine.quantiles(totals)}")
    print(f"  of which not kubectl at the executor: {machine.quantiles(added)} (bar: p50 5 ms)")
    print(f"  ratio of the whole to kubectl at the executor: {statistics.median(totals) / inside:.3f}")


def _command(connection: http.client.HTTPSConnection, key: str) -> dict[str, Any]:
    body = json.dumps({"argv": ["get", "pods", "-n", "shop"]})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/clusters/prod-eu/commands", body, headers)
    outcome: dict[str, Any] = json.loads(connection.getresponse().read())
    if outcome.get("exit_code") != 0:
        raise RuntimeError(outcome)
    return outcome
