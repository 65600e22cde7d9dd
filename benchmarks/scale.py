"""Many idle executors on one API process, and their return after it was killed.

Memory is the growth of the process' PSS, the kernel's part of sockets not counted. Nobody is asked anything meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import idle, machine
from kubently import trust
from kubently.client import Api

PROCESSES = 2
DAY = 86400


class Plant:
    """An API that can be killed and started anew, and swarms of executors."""

    def __init__(self, folder: Path, clusters: int, *, tls: bool) -> None:
        self._folder = folder
        self._tls = tls
        self.port = machine.free_port()
        self.api: subprocess.Popen[bytes]
        (folder / "tokens").mkdir()
        for number in range(clusters):
            (folder / "tokens" / f"cluster-{number}").write_text(f"{idle.TOKEN}-{number}")
        authority = trust.make_authority("benchmark")
        (folder / "ca.crt").write_bytes(authority.cert)
        trust.issue(authority, ["127.0.0.1"]).write(folder / "tls.crt", folder / "tls.key")
        scheme, self.ca = ("https", str(folder / "ca.crt")) if tls else ("http", "")
        self.client = Api(f"{scheme}://127.0.0.1:{self.port}", idle.KEY, ca=self.ca or None)
        self.swarms: list[subprocess.Popen[str]] = []

    def start(self) -> float:
        """Start the API; seconds until it was ready."""
        env = {
            **os.environ,
            "KUBENTLY_LISTEN": f"127.0.0.1:{self.port}",
            "KUBENTLY_ADMIN_KEY": idle.KEY,
            "KUBENTLY_EXECUTOR_TOKENS_DIR": str(self._folder / "tokens"),
            "KUBENTLY_STORE": f"sqlite://{self._folder / 'store.db'}",
            "KUBENTLY_LOG_LEVEL": "error",
        }
        if self._tls:
            env |= {
                "KUBENTLY_TLS_CERT": str(self._folder / "tls.crt"),
                "KUBENTLY_TLS_KEY": str(self._folder / "tls.key"),
            }
        started = time.monotonic()
        self.api = subprocess.Popen([sys.executable, "-m", "kubently.main", "api"], env=env, cwd=self._folder)
        machine.wait_for(self._is_up)
        return time.monotonic() - started

    def kill(self) -> None:
        """End the API as a power cut would."""
        self.api.send_signal(signal.SIGKILL)
        self.api.wait()

    def swarm(self, each: int) -> None:
        """Start the processes whose executors come."""
        for number in range(PROCESSES):
            words = [sys.executable, "-m", "benchmarks.swarm", str(self.port), str(number * each), self.ca]
            pipe = subprocess.PIPE
            self.swarms.append(subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True))

    def ask(self, each: int) -> list[dict[str, Any]]:
        """Let each swarm have *each* executors, and give what they say when all are up."""
        for swarm in self.swarms:
            assert swarm.stdin is not None
            swarm.stdin.write(f"{each}\n")
            swarm.stdin.flush()
        return [json.loads(swarm.stdout.readline()) for swarm in self.swarms if swarm.stdout is not None]

    def close(self) -> None:
        """End all."""
        for swarm in self.swarms:
            swarm.kill()
            swarm.wait()
        self.kill()

    def _is_up(self) -> bool:
        try:
            return bool(self.client.get("/healthz"))
        except Exception:
            return False


@contextlib.contextmanager
def plant(most: int, *, tls: bool = False) -> Iterator[Plant]:
    """An API that is up, and swarms without executors yet."""
    with tempfile.TemporaryDirectory() as name:
        made = Plant(Path(name), most, tls=tls)
        made.start()
        try:
            made.swarm(most // PROCESSES)
            yield made
        finally:
            made.close()


def memory(steps: Sequence[int], *, tls: bool, watched: float) -> None:
    """Print memory at each of *steps*, then CPU and traffic of the last, watched for so many seconds."""
    with plant(steps[-1], tls=tls) as made:
        idle._warm(made.client)
        found = [machine.pss_bytes(made.api.pid)]
        for step in steps:
            told = made.ask(step // PROCESSES)
            machine.wait_for(lambda step=step: idle._executors(made.client) == step)  # type: ignore[misc]
            time.sleep(3)
            found.append(machine.pss_bytes(made.api.pid))
            each = (found[-1] - found[0]) / step / 1024
            print(f"  {step:6} idle: {found[-1] / 2**20:6.1f} MiB in all, {each:5.2f} KiB each")
        slope = (found[-1] - found[-2]) / (steps[-1] - (steps[-2] if len(steps) > 1 else 0)) / 1024
        most = (found[-1] + slope * 1024 * (20_000 - steps[-1])) / 2**20
        print(
            f"  slope of the last step {slope:.2f} KiB (bar {56 if tls else 10}); 20,000 extrapolated: {most:.0f} MiB"
        )
        before, cpu = sum(t["bytes"] for t in told), machine.cpu_clock(made.api.pid)
        time.sleep(watched)
        used = (machine.cpu_clock(made.api.pid) - cpu) / watched / steps[-1] * 1000
        sent = sum(t["bytes"] for t in made.ask(steps[-1] // PROCESSES)) - before
        day = sent / watched * DAY / steps[-1] / 1e6
        print(f"  {used:.4f} cores per 1,000 idle (bar 0.05); {day:.2f} MB a day each without TCP's own (bar 5)")


def storm(count: int) -> None:
    """Print how *count* executors come back after the API was killed."""
    with plant(count) as made:
        made.ask(count // PROCESSES)
        made.kill()
        time.sleep(1)
        began = time.time()
        ready = made.start()
        up = began + ready
        told = made.ask(count // PROCESSES)
        cpu = machine.cpu_clock(made.api.pid)
        times = sorted(at for each in told for at in each["accepted"])
        each_second = Counter(int(at - times[0]) for at in times)
        took = times[-1] - up
        print(
            f"  {len(times)} of {count} back {took:.1f} s after the API was ready (aim 20; ready after {ready:.1f} s);"
            f" {count / max(took, 0.001):.0f} accepts a second, at most {max(each_second.values())} in one;"
            f" {cpu / count * 1e6:.0f} us CPU each, its start included; refused {sum(t['refused'] for t in told)}"
        )


def run(*, quick: bool) -> None:
    """Print all figures."""
    print("idle executors over plain WebSocket:")
    memory((500, 1000) if quick else (2500, 5000, 10_000), tls=False, watched=3 if quick else 60)
    print("idle executors over TLS that the API ends itself:")
    memory((300, 600) if quick else (1000, 3000), tls=True, watched=3 if quick else 60)
    print("the API is killed and started anew:")
    storm(500 if quick else 5000)


if __name__ == "__main__":
    print(machine.describe())
    run(quick="--quick" in sys.argv)
    print(machine.describe())
