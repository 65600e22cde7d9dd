"""Children of the executor: none is left, whenever its caller goes, and what cannot start is said."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from kubently.errors import CommandError
from kubently.executor.caller import Caller
from kubently.executor.kubectl import Kubectl
from kubently.executor.proxy import Door
from kubently.executor.sandbox import Sandbox
from kubently.kube import kubectl as argv_policy

pytestmark = pytest.mark.anyio

PODS = argv_policy.parse(["get", "pods"])


class FakeProxy:
    """Counts the doors that are open."""

    def __init__(self) -> None:
        self.doors = 0

    @contextlib.contextmanager
    def door(self, caller: Caller) -> Iterator[Door]:
        self.doors += 1
        try:
            yield Door(b"{}", 1)
        finally:
            self.doors -= 1


def kubectl(folder: Path, script: str) -> tuple[Kubectl, FakeProxy]:
    binary, sandbox, proxy = folder / "kubectl", Sandbox(), FakeProxy()
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o700)
    sandbox._libc, sandbox.abi = None, 0  # a script needs its shell, which no cage lets it execute
    state = folder / "state"
    made = Kubectl(
        binary=binary,
        proxy=proxy,  # type: ignore[arg-type]
        sandbox=sandbox,
        folder=state,
        max_children=2,
        max_output=1000,
    )
    return made, proxy


async def drop(record: bytes) -> None:
    pass


def children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found |= set((task / "children").read_text().split())
    return found


async def test_a_child_ends_with_its_caller_at_whatever_moment_that_goes(tmp_path: Path) -> None:
    one, proxy = kubectl(tmp_path, "exec sleep 60")
    before, open_files = children(), set(os.listdir("/proc/self/fd"))

    for turns in range(40):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_run, one)
            for _ in range(turns):
                await anyio.sleep(0)
            tasks.cancel_scope.cancel()

    with anyio.fail_after(5):
        while children() - before:
            await anyio.sleep(0.01)
    assert proxy.doors == 0
    assert list((tmp_path / "state" / "homes").iterdir()) == []
    with anyio.fail_after(5):
        while len(os.listdir("/proc/self/fd")) > len(open_files) + 2:  # what watches children
            await anyio.sleep(0.01)


async def _run(one: Kubectl) -> Any:
    return await one.run(PODS, timeout=30, caller=Caller(), emit=drop)


async def test_what_the_child_leaves_running_ends_with_it(tmp_path: Path) -> None:
    one, _ = kubectl(tmp_path, f"sleep 60 >/dev/null 2>&1 & echo $! > {tmp_path}/pid")

    status = json.loads((await _run(one))[5:])

    assert (status["ending"], status["exit_code"]) == ("exited", 0)
    pid = int((tmp_path / "pid").read_text())
    with anyio.fail_after(5):
        while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
            await anyio.sleep(0.01)


async def test_a_full_or_forbidden_disk_is_said(tmp_path: Path) -> None:
    one, proxy = kubectl(tmp_path, "exit 0")
    (tmp_path / "state" / "homes").rmdir()

    with pytest.raises(CommandError, match="cannot be started"):
        await _run(one)
    assert proxy.doors == 0


async def test_a_cage_that_cannot_be_built_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = kubectl(tmp_path, f"touch {tmp_path}/ran")

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(24, "landlock: too many open files")

    monkeypatch.setattr(one._sandbox, "cage", fail)
    with pytest.raises(CommandError, match="too many open files"):
        await _run(one)
    assert not (tmp_path / "ran").exists()


async def test_a_child_inherits_nothing_but_its_three_streams(tmp_path: Path) -> None:
    one, _ = kubectl(tmp_path, f"ls /proc/self/fd > {tmp_path}/fds")
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        await _run(one)

        inherited = set((tmp_path / "fds").read_text().split())
    assert str(secret) and inherited <= {"0", "1", "2", "3"}  # 3 is the folder that ls reads
