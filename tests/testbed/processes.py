"""Child processes of tests: logged to files, waited for with deadlines, and gone at the end whatever happens."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
# PR_SET_PDEATHSIG, SIGKILL. A program of its own, because what runs between fork and exec must not in a process with
# threads, which tests have.
_DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Process:
    """A child with a session of its own; its output goes to *log*. It dies with the thread that started it."""

    def __init__(self, argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.name = Path(argv[0]).name
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, *(str(a) for a in argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Its exit code. Raises AssertionError, with the end of its log, when it does not end in time."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout:g} s:\n{self.tail()}") from None

    def stop(self, grace: float = 10.0) -> int:
        """End it, first politely. Idempotent."""
        if self.is_running:
            self._child.terminate()
            try:
                self._child.wait(grace)
            except subprocess.TimeoutExpired:
                self._child.kill()
        return self._child.wait()

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
        self._child.wait()

    def tail(self, size: int = 3000) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-size:]


def until(question: Callable[[], T], what: str, *, timeout: float = 30.0, every: float = 0.05) -> T:
    """Ask until the answer is true and give it. Raises AssertionError after *timeout* seconds."""
    end = time.monotonic() + timeout
    while True:
        if answer := question():
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(every)


def free_ports(count: int) -> list[int]:
    """Loopback ports that nothing uses, below those that the kernel gives to outgoing connections."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", random.randrange(16_000, 32_000)))
            except OSError:
                probe.close()
                continue
            held.append(probe)
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


def command_lines() -> dict[int, list[str]]:
    """The argument list of every process that this user sees."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
            except OSError:
                continue
            if argv:
                found[int(entry.name)] = [part.decode(errors="replace") for part in argv]
    return found
