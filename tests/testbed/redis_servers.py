"""Real Redis (or Valkey) servers on loopback: one, with Sentinel, or a cluster; each in a folder of its own.

    with RedisServer(folder) as redis:          # plain; password="…", tls=True, program="valkey-server"
        open_store(redis.url)
        redis.cli("SET", "executor:token:prod-eu", "…")     # as an operator does it
        redis.kill(); redis.start()             # what was acknowledged is there again (append-only file)
        redis.pause(); redis.resume()           # SIGSTOP: it takes connections and answers nothing
        redis.refuse(); redis.start()           # ended politely, the port is free
        redis.empty()                           # FLUSHALL

    with SentinelGroup(folder) as group:        # master, replica, sentinel
        group.fail_over(); group.master.kill()  # `master` is asked of the sentinel

    with RedisCluster(folder) as cluster:       # three masters
        cluster.nodes[0].pause()

Starting one takes a tenth of a second. A server dies with the thread that started it. Programs that are missing skip
the test, or fail it under TESTBED_REQUIRED=1, as those of the test bed do.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.testbed import binaries, pki
from tests.testbed.processes import Process, free_ports, until

START_TIMEOUT = 20.0
PASSWORD = "a-password-of-tests/with@signs"


@dataclass
class RedisServer:
    """One server; its data survives `kill` and `start`, and goes with its folder."""

    folder: Path
    program: str = "redis-server"
    password: str = field(default="", repr=False)
    tls: bool = False
    options: Sequence[str] = ()
    """Further words of its command line: ``("--maxmemory", "4mb")``."""
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: Process | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """For ``KUBENTLY_STORE``; without the password."""
        return f"redis{'s' if self.tls else ''}://localhost:{self.port}/0"

    @property
    def ca(self) -> Path:
        """The CA of its certificate, where it speaks TLS; tls.crt and tls.key beside it are good for a client too."""
        return self.folder / "ca.crt"

    def start(self) -> None:
        """Start it and wait until it answers; loading its data counts as no answer."""
        self.folder.mkdir(parents=True, exist_ok=True)
        argv = [find(self.program), *self._options(), *self.options]
        self.process = Process(argv, log=self.folder / "redis.log", env={"PATH": os.environ["PATH"]}, cwd=self.folder)
        until(self._answers, f"{self.program} answers", timeout=START_TIMEOUT, every=0.02)

    def kill(self) -> None:
        """End it at once. Idempotent."""
        if self.process is not None:
            self.process.kill()

    def refuse(self) -> None:
        """End it politely: connections are refused from now on."""
        if self.process is not None:
            self.process.stop()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop it (SIGSTOP): the kernel still takes its connections, and nothing is answered."""
        assert self.process is not None
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send(signal.SIGCONT)

    def empty(self) -> None:
        """Forget everything."""
        self.cli("FLUSHALL")

    def cli(self, *words: str, timeout: float = 10) -> str:
        """What ``redis-cli WORDS`` prints. Raises AssertionError with it when it fails."""
        argv = [str(find("redis-cli")), "-p", str(self.port)]
        argv += ["--tls", "--cacert", str(self.ca), "-h", "localhost"] if self.tls else []
        env = {"PATH": os.environ["PATH"], "REDISCLI_AUTH": self.password}
        done = subprocess.run([*argv, "-e", *words], env=env, capture_output=True, timeout=timeout, text=True)
        assert done.returncode == 0, f"redis-cli {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    def _options(self) -> list[str]:
        words = ["--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "", "--appendonly", "yes"]
        words += ["--requirepass", self.password, "--masterauth", self.password] if self.password else []
        if not self.tls:
            return [*words, "--port", str(self.port)]
        if not self.ca.exists():
            authority = pki.Authority("redis-ca")
            cert, key = authority.issue("redis", names=["localhost", "127.0.0.1"])
            pki.write(self.folder / "tls.key", key)
            pki.write(self.folder / "tls.crt", cert)
            self.ca.write_bytes(authority.cert)
        words += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
        for option, name in (("cert", "tls.crt"), ("key", "tls.key"), ("ca-cert", "ca.crt")):
            words += [f"--tls-{option}-file", str(self.folder / name)]
        return words

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.is_running, self.process.tail()
        try:
            return self.cli("PING") == "PONG"
        except (AssertionError, subprocess.TimeoutExpired):
            return False


class SentinelGroup:
    """A master, a replica of it and one sentinel that watches them, which notices a loss within a second."""

    SERVICE = "kubently"

    def __init__(self, folder: Path, *, password: str = "", program: str = "redis-server") -> None:
        options = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        self.folder = folder
        self.password = password
        self.servers = [RedisServer(folder / name, program, password, options=options) for name in ("one", "two")]
        self._program = program
        self.port = free_ports(1)[0]
        self.sentinel: Process | None = None

    def __enter__(self) -> SentinelGroup:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """For ``KUBENTLY_STORE``; without the password."""
        return f"redis+sentinel://localhost:{self.port}/{self.SERVICE}/0"

    @property
    def master(self) -> RedisServer:
        """The server that the sentinel calls the master."""
        port = self.cli("SENTINEL", "get-master-addr-by-name", self.SERVICE).split()[1]
        return next(server for server in self.servers if server.port == int(port))

    def start(self) -> None:
        """Start all three and wait until the replica follows and the sentinel knows it."""
        master, replica = self.servers
        for server in self.servers:
            server.start()
        replica.cli("REPLICAOF", "127.0.0.1", str(master.port))
        self._start_sentinel(master)
        until(lambda: "master_link_status:up" in replica.cli("INFO", "replication"), "the replica follows", every=0.02)
        known = f"127.0.0.1:{replica.port}"
        until(lambda: known in self.cli("SENTINEL", "replicas", self.SERVICE), "the sentinel knows it", timeout=30)

    def kill(self) -> None:
        """End all. Idempotent."""
        if self.sentinel is not None:
            self.sentinel.kill()
        for server in self.servers:
            server.kill()

    def fail_over(self) -> None:
        """Let the sentinel make the other server the master, and wait until it has."""
        before = self.master.port
        until(self._begins_failover, "the sentinel finds the replica good enough")
        self.wait_moved(before)

    def wait_moved(self, before: int) -> None:
        """Wait until the master is another one than that at port *before*.

        The sentinel makes a replica of that one ten seconds later: so long it takes writes, which are lost.
        """
        until(lambda: self.master.port != before, "another master")
        until(lambda: "role:master" in self.master.cli("INFO", "replication"), "it is one")

    def cli(self, *words: str) -> str:
        """What ``redis-cli WORDS`` prints that asks the sentinel."""
        argv = [str(find("redis-cli")), "-p", str(self.port), "-e", *words]
        done = subprocess.run(argv, capture_output=True, timeout=10, text=True)
        assert done.returncode == 0, f"redis-cli {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    def _begins_failover(self) -> bool:
        try:
            return self.cli("SENTINEL", "FAILOVER", self.SERVICE) == "OK"
        except AssertionError as error:
            assert "NOGOODSLAVE" in str(error), error
            return False

    def _start_sentinel(self, master: RedisServer) -> None:
        name = self.SERVICE
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor {name} 127.0.0.1 {master.port} 1",
            f"sentinel down-after-milliseconds {name} 800",
            f"sentinel failover-timeout {name} 5000",
            *([f"sentinel auth-pass {name} {self.password}"] if self.password else []),
        ]
        config = self.folder / "sentinel.conf"
        config.write_text("\n".join([*lines, ""]))
        argv = [find(self._program), config, "--sentinel"]
        log = self.folder / "sentinel.log"
        self.sentinel = Process(argv, log=log, env={"PATH": os.environ["PATH"]}, cwd=self.folder)
        until(self._sentinel_answers, "the sentinel answers", timeout=START_TIMEOUT, every=0.02)

    def _sentinel_answers(self) -> bool:
        assert self.sentinel is not None
        assert self.sentinel.is_running, self.sentinel.tail()
        try:
            return self.cli("PING") == "PONG"
        except (AssertionError, subprocess.TimeoutExpired):
            return False


class RedisCluster:
    """Three masters without replicas."""

    SIZE = 3
    SLOTS = 16384

    def __init__(
        self, folder: Path, *, password: str = "", program: str = "redis-server", options: Sequence[str] = ()
    ) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *options)
        self._bus = free_ports(self.SIZE)
        self.nodes = [
            RedisServer(folder / f"node-{number}", program, password, options=(*options, "--cluster-port", str(port)))
            for number, port in enumerate(self._bus)
        ]

    def __enter__(self) -> RedisCluster:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """For ``KUBENTLY_STORE``; without the password."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        """Start the nodes, give each a third of the slots and wait until they agree."""
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.nodes):
            first, after = (self.SLOTS * n // self.SIZE for n in (number, number + 1))
            node.cli("CLUSTER", "ADDSLOTSRANGE", str(first), str(after - 1))
            node.cli("CLUSTER", "MEET", "127.0.0.1", str(self.nodes[0].port), str(self._bus[0]))
        until(self._agrees, "the cluster's nodes agree", every=0.05)

    def kill(self) -> None:
        """End all. Idempotent."""
        for node in self.nodes:
            node.kill()

    def empty(self) -> None:
        """Forget everything."""
        for node in self.nodes:
            node.empty()

    def _agrees(self) -> bool:
        wanted = ("cluster_state:ok", f"cluster_known_nodes:{self.SIZE}", f"cluster_slots_ok:{self.SLOTS}")
        told = [node.cli("CLUSTER", "INFO") for node in self.nodes]
        return all(line in text for text in told for line in wanted)


def find(program: str) -> Path:
    """The path of redis-server, redis-cli or valkey-server; `.ci/run` shows where they come from."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubently" / "valkey"
    if program == "valkey-server" and (found := sorted(cached.glob("**/valkey-server"))):
        return found[0]
    return binaries.find(program, by=".ci/run installs it")
