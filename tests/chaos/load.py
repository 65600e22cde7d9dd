"""People who ask, and what they were told.

Every command has an Idempotency-Key, and is asked again with it until it has one definite end: an outcome, or that its
end is unknown. What a broken connection or a 503 leaves open is no end.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

TIMEOUT = 20.0
"""Seconds of a command."""
PATIENCE = 45.0
"""Seconds in which every single request must be answered somehow."""
GIVE_UP = 150.0
"""Seconds after which a command that has no end yet is one that hung."""
DEFINITE = frozenset({"command-unknown", "command-timeout"})
PASSING = frozenset(
    {
        "executor-offline",
        "store-unavailable",
        "api-draining",
        "audit-unavailable",
        "too-many-commands",
        "tunnel-closed",
        "stream-reset",
    }
)
"""Codes of what may be asked again."""


@dataclass
class Ledger:
    """What happened to each command."""

    ends: dict[str, list[str]] = field(default_factory=dict)
    """Every definite end that was told, by the command's name."""
    unexpected: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    passing: Counter[str] = field(default_factory=Counter)
    """Answers that were no end."""
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When each command was asked first, and had its end; monotonic."""
    ids: dict[str, str] = field(default_factory=dict)
    """The id of each command that has an outcome."""
    reads: Counter[str] = field(default_factory=Counter)
    """How Kubernetes requests ended."""
    slowest: float = 0.0
    """Seconds of the slowest single request."""


class Load:
    """Some people who ask at once, until told to stop."""

    def __init__(self, url: str, key: str, rng: random.Random, clusters: list[str]) -> None:
        self.ledger = Ledger()
        self._rng = rng
        self._clusters = clusters
        self._number = 0
        self._stopping = False
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(PATIENCE + 15, connect=5),
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def run(self, people: int) -> None:
        """Ask until `stop`, and then until everything asked has ended."""
        async with self._http, asyncio.TaskGroup() as tasks:
            for number in range(people):
                tasks.create_task(self._read() if number % 3 == 2 else self._command())

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping = True

    def _name(self, what: str) -> str:
        self._number += 1
        return f"chaos-{what}-{self._number}"

    async def _command(self) -> None:
        while not self._stopping:
            name, cluster = self._name("c"), self._rng.choice(self._clusters)
            self.ledger.ends[name] = []
            began = time.monotonic()
            while not self.ledger.ends[name]:
                if time.monotonic() - began > GIVE_UP:
                    self.ledger.hung.append(f"{name} has no end after {GIVE_UP:g} s")
                    break
                await self._ask(name, cluster)
            self.ledger.spans[name] = began, time.monotonic()

    async def _ask(self, name: str, cluster: str) -> None:
        body = {"argv": ["get", "configmap", name, "-n", "default", "-o", "json"], "timeout": TIMEOUT}
        answer = await self._send("POST", f"/api/v1/clusters/{cluster}/commands", json=body, key=name)
        if answer is None:
            await asyncio.sleep(self._rng.uniform(0.05, 0.3))
            return
        told = _read(answer)
        if answer.status_code == 200:
            right = told["ending"] == "exited" and told["exit_code"] == 0 and f'"name": "{name}"' in told["stdout"]
            self.ledger.ends[name].append("exited" if right else f"{told['ending']}: {told.get('stderr', '')[:200]}")
            self.ledger.ids[name] = told["id"]
        elif told.get("code") in DEFINITE:
            self.ledger.ends[name].append(told["code"])
        elif told.get("code") in PASSING:
            self.ledger.passing[told["code"]] += 1
            await asyncio.sleep(self._rng.uniform(0.1, 0.5))
        else:
            said = f"{answer.status_code} {dict(answer.headers)} {answer.text[:300]!r}"
            self.ledger.unexpected.append(f"{name}: {said}")
            self.ledger.ends[name].append("unexpected")

    async def _read(self) -> None:
        while not self._stopping:
            name, cluster = self._name("r"), self._rng.choice(self._clusters)
            answer = await self._send("GET", f"/clusters/{cluster}/k8s/api/v1/namespaces/default/configmaps/{name}")
            if answer is None:
                self.ledger.reads["broken off"] += 1
                await asyncio.sleep(self._rng.uniform(0.05, 0.3))
            elif answer.status_code == 200:
                right = _read(answer).get("data") == {"name": name}
                self.ledger.reads["answered" if right else "wrong"] += 1
            else:
                self.ledger.reads[str(answer.status_code)] += 1
                await asyncio.sleep(self._rng.uniform(0.1, 0.5))

    async def _send(self, method: str, path: str, *, key: str = "", json: Any = None) -> httpx.Response | None:
        """The answer; None where the connection broke."""
        began = time.monotonic()
        headers = {"Idempotency-Key": key} if key else {}
        try:
            return await self._http.request(method, path, json=json, headers=headers)
        except httpx.ReadTimeout:
            self.ledger.hung.append(f"{method} {path} {key} was not answered")
        except httpx.HTTPError:
            self.ledger.passing["broken off"] += 1
        finally:
            took = time.monotonic() - began
            self.ledger.slowest = max(self.ledger.slowest, took)
            if took > PATIENCE:
                self.ledger.hung.append(f"{method} {path} {key} took {took:.0f} s")
        return None


def _read(answer: httpx.Response) -> dict[str, Any]:
    try:
        told: dict[str, Any] = answer.json()
    except ValueError:
        return {"code": "no-json", "ending": "no-json"}
    return told
