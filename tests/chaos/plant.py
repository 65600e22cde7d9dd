"""The whole: Redis, three replicas of the API, executors of two clusters, and something in front of the replicas.

Processes are real ones. Where the machine allows it (root, ``ip``, ``nft``) the executors live in a network namespace
of their own, and a share of the packets that leave and enter it can be lost.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.chaos import kube_api
from tests.chaos.balancer import Balancer
from tests.testbed.processes import Process, free_ports
from tests.testbed.redis_servers import RedisServer

KUBENTLY = Path(sys.executable).with_name("kubently")
ADMIN_KEY = "chaos-admin-key-0123456789abcdef"
CLUSTERS = {"east": 2, "west": 1}
"""How many executors each cluster has."""
SAME = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
"""What the programs have in common with the tests: the code."""
LOSS = 3
"""Per cent of packets."""


class Network:
    """A namespace for the executors, joined to this one by a pair of interfaces; absent where it cannot be made."""

    def __init__(self) -> None:
        number = os.getpid() % 200 + 20
        self.name, self._link = f"kubently-{os.getpid()}", f"kc{os.getpid() % 100000}"
        self.host, self._inner = f"10.77.{number}.1", f"10.77.{number}.2"
        self.missing = self._make()
        if self.missing:
            self.host = "127.0.0.1"

    def _make(self) -> str:
        if os.geteuid() or not shutil.which("ip") or not shutil.which("nft"):
            return "root, ip and nft are needed"
        inside = ["ip", "netns", "exec", self.name]
        steps = (
            ["ip", "netns", "add", self.name],
            ["ip", "link", "add", self._link, "type", "veth", "peer", "name", "up0", "netns", self.name],
            ["ip", "addr", "add", f"{self.host}/24", "dev", self._link],
            ["ip", "link", "set", self._link, "up"],
            [*inside, "ip", "addr", "add", f"{self._inner}/24", "dev", "up0"],
            [*inside, "ip", "link", "set", "up0", "up"],
            [*inside, "ip", "link", "set", "lo", "up"],
            [*inside, "nft", "add table inet chaos"],
            [*inside, "nft", "add chain inet chaos out { type filter hook output priority 0; }"],
            [*inside, "nft", "add chain inet chaos in { type filter hook input priority 0; }"],
        )
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, timeout=10)
            if done.returncode:
                return f"{' '.join(step)}: {done.stderr.strip()}"
        return ""

    @property
    def prefix(self) -> list[str]:
        """What stands before a program that is to run inside."""
        return [] if self.missing else [shutil.which("ip") or "ip", "netns", "exec", self.name]

    def lose(self, port: int, percent: int) -> None:
        """Lose packets to and from *port* outside, in both directions; 0 ends that."""
        rule = f"numgen random mod 100 < {percent} drop"
        words = ["flush chain inet chaos out", "flush chain inet chaos in"]
        if percent:
            words += [
                f"add rule inet chaos out tcp dport {port} {rule}",
                f"add rule inet chaos in tcp sport {port} {rule}",
            ]
        for word in words:
            subprocess.run([*self.prefix, "nft", word], check=True, timeout=10)

    def close(self) -> None:
        """Remove it, with its interfaces."""
        if not self.missing:
            subprocess.run(["ip", "netns", "del", self.name], check=False, timeout=10)
            subprocess.run(["ip", "link", "del", self._link], check=False, capture_output=True, timeout=10)


@dataclass
class Member:
    """One program that is killed, stopped and started again."""

    name: str
    argv: list[str]
    env: dict[str, str]
    folder: Path
    port: int = 0
    """Where it is asked, if it is."""
    process: Process | None = None
    is_stopped: bool = False
    is_broken: bool = False
    """Whether somebody broke it and will mend it."""

    def start(self) -> None:
        self.is_broken = False
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{self.name}.log"
        self.process = Process(self.argv, log=log, env=self.env, cwd=self.folder)

    @property
    def log(self) -> str:
        """All that it said, in all its runs."""
        return (self.folder / f"{self.name}.log").read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.is_running

    def kill(self) -> None:
        """SIGKILL."""
        if self.process:
            self.process.kill()
        self.is_stopped = False

    def end(self) -> None:
        """SIGTERM; it ends by itself in its own time."""
        if self.process and self.process.is_running:
            self.process.send(signal.SIGTERM)

    def stop(self) -> None:
        """SIGSTOP."""
        if self.is_running and self.process:
            self.process.send(signal.SIGSTOP)
            self.is_stopped = True

    def go_on(self) -> None:
        """SIGCONT."""
        if self.is_stopped and self.is_running and self.process:
            self.process.send(signal.SIGCONT)
        self.is_stopped = self.is_broken = False


@dataclass
class Plant:
    """All of it."""

    folder: Path
    rng: random.Random
    replicas: int = 3
    executor_env: Mapping[str, str] = field(default_factory=dict)
    """More of their environment."""
    redis: RedisServer = field(init=False)
    apis: list[Member] = field(default_factory=list)
    executors: list[Member] = field(default_factory=list)
    balancer: Balancer = field(init=False)
    network: Network = field(default_factory=Network)
    port: int = 0
    """Of the balancer."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def ports(self) -> list[int]:
        """Of the replicas."""
        return [member.port for member in self.apis]

    async def start(self) -> None:
        """Start everything; who waits until it is ready is the caller."""
        self.redis = RedisServer(self.folder / "redis")
        self.redis.folder.mkdir(parents=True, exist_ok=True)
        self.redis.start()
        self.balancer = Balancer(self.rng)
        self.port = await self.balancer.start(self.network.host)
        (self._kube_port,) = free_ports(1)
        self.notes = self.folder / "asked"
        self._tokens = self.folder / "tokens"
        self._tokens.mkdir()
        self.kube = Member(
            "kube-api",
            [sys.executable, "-m", "tests.chaos.kube_api", self.network.host, str(self._kube_port), str(self.notes)],
            {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            self.folder / "kube",
        )
        self.kube.start()
        for _ in range(self.replicas):
            self.balancer.targets.append(self.add_api().port)
        for cluster, count in CLUSTERS.items():
            (self._tokens / cluster).write_text(f"a-token-of-{cluster}-0123456789abcdef")
            for _ in range(count):
                self.add_executor(cluster)

    def add_api(self) -> Member:
        """Start one more replica; nobody is sent to it yet."""
        number, (port, peer) = next(self._numbers), free_ports(2)
        folder = self.folder / f"api-{number}"
        env = {
            **SAME,
            "HOME": str(folder),
            "KUBENTLY_LISTEN": f"127.0.0.1:{port}",
            "KUBENTLY_PEER_LISTEN": f"127.0.0.1:{peer}",
            "KUBENTLY_STORE": self.redis.url,
            "KUBENTLY_ADMIN_KEY": ADMIN_KEY,
            "KUBENTLY_EXECUTOR_TOKENS_DIR": str(self._tokens),
            "KUBENTLY_AUDIT_DIR": str(folder / "audit"),
        }
        member = Member(f"api-{number}", [str(KUBENTLY), "api"], env, folder, port)
        self.apis.append(member)
        member.start()
        return member

    def add_executor(self, cluster: str) -> Member:
        """Start one more executor."""
        name = f"{cluster}-{next(self._numbers)}"
        folder = self.folder / name
        folder.mkdir(parents=True)
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(f"http://{self.network.host}:{self._kube_port}")))
        env = {
            **SAME,
            "HOME": str(folder),
            "PATH": f"{KUBENTLY.parent}:{os.environ['PATH']}",
            "KUBENTLY_API_URL": f"http://{self.network.host}:{self.port}",
            "KUBENTLY_CLUSTER_ID": cluster,
            "KUBENTLY_TOKEN_FILE": str(self._tokens / cluster),
            "KUBENTLY_KUBECONFIG": str(kubeconfig),
            "KUBENTLY_STATE_DIR": str(folder / "state"),
            **self.executor_env,
        }
        member = Member(name, [*self.network.prefix, str(KUBENTLY), "executor"], env, folder)
        self.executors.append(member)
        member.start()
        return member

    def asked(self) -> list[str]:
        """The objects of the chaos that the cluster was asked for, in order."""
        return self.notes.read_text().split() if self.notes.exists() else []

    async def executors_seen(self, http: httpx.AsyncClient, port: int) -> dict[str, list[set[str]]]:
        """At which replicas each cluster's executors are, as one replica sees it; empty when it does not answer."""
        try:
            answer = await http.get(f"http://127.0.0.1:{port}/api/v1/clusters", timeout=3)
            clusters = answer.json() if answer.status_code == 200 else []
        except (httpx.HTTPError, ValueError):
            return {}
        return {
            cluster["id"]: [{each["replica"] for each in executor["sessions"]} for executor in cluster["executors"]]
            for cluster in clusters
            if cluster.get("executors")
        }

    async def wait_until_whole(
        self, http: httpx.AsyncClient, seconds: float, *, spread: int = 1, executors: Mapping[str, int] = CLUSTERS
    ) -> None:
        """Wait until every replica sees every executor, each at *spread* replicas. Raises AssertionError."""
        deadline = time.monotonic() + seconds
        seen: dict[int, dict[str, list[set[str]]]] = {}
        while time.monotonic() < deadline:
            seen = {port: await self.executors_seen(http, port) for port in self.ports}
            if all(
                {cluster: len(places) for cluster, places in found.items()} == executors
                and all(len(places) >= spread for several in found.values() for places in several)
                for found in seen.values()
            ):
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"after {seconds:g} s the replicas see {seen}, of {executors}, at {spread} replicas each")

    def close(self) -> None:
        """End everything."""
        for member in (*self.apis, *self.executors, self.kube):
            member.go_on()
            member.kill()
        self.balancer.close()
        self.redis.kill()
        self.network.close()


def _kubeconfig(server: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "chaos",
        "clusters": [{"name": "chaos", "cluster": {"server": server}}],
        "users": [{"name": "chaos", "user": {"token": kube_api.TOKEN}}],
        "contexts": [{"name": "chaos", "context": {"cluster": "chaos", "user": "chaos"}}],
    }
