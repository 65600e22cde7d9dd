"""Kubently's programs as processes: the API, executors and the command line, each with its own environment and home."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from kubently import trust
from kubently.client import Api
from kubently.errors import KubentlyError
from tests.testbed.processes import Process, command_lines, free_ports, until

KUBENTLY = Path(sys.executable).with_name("kubently")
ADMIN_KEY = "e2e-admin-key-0123456789abcdef"
CONNECT_TIMEOUT = 30.0


@dataclass(frozen=True)
class Result:
    """What a process that ended has said."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.stdout.decode()

    @property
    def err(self) -> str:
        """Standard error as text."""
        return self.stderr.decode()


def run(argv: Sequence[str | Path], env: Mapping[str, str], *, timeout: float = 60) -> Result:
    """Run a program to its end. Raises subprocess.TimeoutExpired."""
    done = subprocess.run([str(a) for a in argv], env=dict(env), capture_output=True, timeout=timeout)
    return Result(done.returncode, done.stdout, done.stderr)


@dataclass
class ApiProcess:
    """``kubently api`` over TLS with a store that survives a restart."""

    folder: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: Process | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        authority = trust.make_authority("e2e")
        self.ca = self.folder / "ca.crt"
        self.ca.write_bytes(authority.cert)
        pair = trust.issue(authority, ["localhost", "127.0.0.1"], lifetime=timedelta(days=1))
        pair.write(self.folder / "tls.crt", self.folder / "tls.key")
        self.url = f"https://localhost:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        environ = {
            "HOME": str(self.folder),
            "KUBENTLY_LISTEN": f"127.0.0.1:{self.port}",
            "KUBENTLY_TLS_CERT": str(self.folder / "tls.crt"),
            "KUBENTLY_TLS_KEY": str(self.folder / "tls.key"),
            "KUBENTLY_STORE": f"sqlite://{self.folder / 'store.db'}",
            "KUBENTLY_ADMIN_KEY": ADMIN_KEY,
            **self.extra,
        }
        log = self.folder / "api.log"
        self.process = Process([KUBENTLY, "api"], log=log, env=environ, cwd=self.folder)
        until(self._answers, "the API answers", timeout=CONNECT_TIMEOUT)

    def stop(self) -> None:
        """End it. Idempotent."""
        if self.process is not None:
            self.process.stop(grace=20)

    def kill(self) -> None:
        """End it without a chance to say anything."""
        assert self.process is not None
        self.process.kill()

    def client(self, key: str = ADMIN_KEY) -> Api:
        """A client of its REST API."""
        return Api(self.url, key, ca=str(self.ca))

    def log(self) -> list[dict[str, Any]]:
        """What it logged."""
        return log_lines(self.folder / "api.log")

    def states(self) -> dict[str, str]:
        """Each cluster's state."""
        return {c["id"]: c["state"] for c in self.client().get("/api/v1/clusters")}

    def wait_connected(self, *clusters: str, timeout: float = CONNECT_TIMEOUT) -> None:
        """Wait until these clusters can be asked."""
        until(lambda: self._connected(clusters), f"{', '.join(clusters)} connected", timeout=timeout)

    def audit(self, last: int = 100) -> list[dict[str, Any]]:
        """The last records of Kubently's own audit log."""
        return list(self.client().get(f"/api/v1/audit?after={-last}&limit={last}")["records"])

    def _connected(self, clusters: Sequence[str]) -> bool:
        try:
            states = self.states()
        except KubentlyError:
            return False
        return all(states.get(cluster) == "connected" for cluster in clusters)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.is_running, self.process.tail()
        with suppress(KubentlyError):
            return self.client().get("/healthz")["status"] == "ok"
        return False


@dataclass
class ExecutorProcess:
    """``kubently executor`` of one cluster."""

    api: ApiProcess
    cluster: str
    token: str = field(repr=False)
    kubeconfig: Path
    folder: Path
    labels: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    process: Process | None = None

    def start(self) -> None:
        """Start it; it connects when it can."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environ = {
            "HOME": str(self.folder),
            "KUBENTLY_API_URL": self.api.url,
            "KUBENTLY_CLUSTER_ID": self.cluster,
            "KUBENTLY_TOKEN": self.token,
            "KUBENTLY_CA_CERT": str(self.api.ca),
            "KUBENTLY_KUBECONFIG": str(self.kubeconfig),
            "KUBENTLY_LABELS": self.labels,
            "KUBENTLY_STATE_DIR": str(self.folder / "state"),
            **self.extra,
        }
        log = self.folder / "executor.log"
        self.process = Process([KUBENTLY, "executor"], log=log, env=environ, cwd=self.folder)

    def stop(self) -> None:
        """End it. Idempotent."""
        if self.process is not None:
            self.process.stop(grace=20)

    def kill(self) -> None:
        """End it without a chance to say anything."""
        assert self.process is not None
        self.process.kill()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send(number)

    def log(self) -> list[dict[str, Any]]:
        """What it logged."""
        return log_lines(self.folder / "executor.log")

    def log_text(self) -> str:
        """What it logged, as it stands in the file."""
        return (self.folder / "executor.log").read_text()

    def children(self) -> list[list[str]]:
        """Command lines of the kubectl processes that it runs."""
        home = f"--kubeconfig={self.folder / 'state' / 'homes'}"
        return [argv for argv in command_lines().values() if any(part.startswith(home) for part in argv)]


@dataclass(frozen=True)
class Cli:
    """The command line with a home of its own."""

    environ: Mapping[str, str]

    @classmethod
    def of(cls, api: ApiProcess, home: Path, *, key: str = ADMIN_KEY) -> Cli:
        """One that uses *api*."""
        home.mkdir(parents=True, exist_ok=True)
        values = {"HOME": str(home), "KUBENTLY_URL": api.url, "KUBENTLY_API_KEY": key}
        return cls(values | {"KUBENTLY_CA_CERT": str(api.ca)})

    def __call__(self, *args: str, timeout: float = 60) -> Result:
        """Run ``kubently ARGS`` to its end."""
        return run([KUBENTLY, *args], self.environ, timeout=timeout)

    def run(self, cluster: str, *argv: str, timeout: float = 60) -> Result:
        """Run ``kubently run CLUSTER -- ARGV``."""
        return self("run", cluster, "--", *argv, timeout=timeout)

    @contextmanager
    def started(self, *args: str) -> Iterator[subprocess.Popen[bytes]]:
        """A ``kubently ARGS`` that runs while the block does."""
        with started([KUBENTLY, *args], self.environ) as process:
            yield process


@contextmanager
def started(argv: Sequence[str | Path], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs while the block does, with pipes; SIGINT ends it even where we ignore it."""
    process = subprocess.Popen(
        ["/usr/bin/env", "--default-signal=INT", *map(str, argv)],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[bytes], timeout: float) -> Result:
    """Wait for the end of a started process."""
    out, err = process.communicate(timeout=timeout)
    return Result(process.returncode, out, err)


def read_until(process: subprocess.Popen[bytes], text: bytes, *, timeout: float = 20) -> bytes:
    """Read what a started process prints until *text* is there."""
    assert process.stdout is not None
    got = b""
    os.set_blocking(process.stdout.fileno(), False)

    def look() -> bool:
        nonlocal got
        got += process.stdout.read() or b""  # type: ignore[union-attr]
        return text in got

    try:
        until(look, f"{text!r} printed", timeout=timeout)
    finally:
        os.set_blocking(process.stdout.fileno(), True)
    return got


def log_lines(path: Path) -> list[dict[str, Any]]:
    """A log of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


@dataclass
class Fleet:
    """One API, and an executor for each cluster of the test bed."""

    api: ApiProcess
    cli: Cli
    folder: Path
    executors: dict[str, ExecutorProcess] = field(default_factory=dict)

    def add(
        self, cluster: str, kubeconfig: Path, *, labels: str = "", extra: Mapping[str, str] | None = None
    ) -> ExecutorProcess:
        """Make a token for *cluster* and start its executor; the caller waits for it."""
        made = self.cli("token", "create", cluster, "-o", "json")
        assert made.code == 0, made.err
        token = json.loads(made.out)["token"]
        folder = self.folder / cluster
        executor = ExecutorProcess(self.api, cluster, token, kubeconfig, folder, labels, extra or {})
        executor.start()
        self.executors[cluster] = executor
        return executor

    @contextmanager
    def temporary(
        self, cluster: str, kubeconfig: Path, *, labels: str = "", extra: Mapping[str, str] | None = None
    ) -> Iterator[ExecutorProcess]:
        """A further cluster while the block runs, for tests that break something."""
        executor = self.add(cluster, kubeconfig, labels=labels, extra=extra)
        try:
            self.api.wait_connected(cluster)
            yield executor
        finally:
            self.executors.pop(cluster).kill()
            with suppress(KubentlyError):
                self.api.client().delete(f"/api/v1/clusters/{cluster}")

    def stop(self) -> None:
        """End everything."""
        for executor in self.executors.values():
            executor.stop()
        self.api.stop()
