"""Run an allowed command as a child process: no shell, no environment, bounded output, killed when nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio

from kubently.errors import CommandError, ConfigError, TooManyCommandsError
from kubently.executor.caller import Caller
from kubently.executor.output import Emit, Output
from kubently.executor.proxy import Door, Proxy
from kubently.executor.sandbox import Sandbox
from kubently.kube.kubectl import KubectlCommand
from kubently.schema import Ending
from kubently.settings import process_environ
from kubently.wire import records

_CHUNK = 32 * 1024


class Kubectl:
    """Runs kubectl. ``folder`` holds the discovery cache and the children's homes."""

    def __init__(
        self, *, binary: Path, proxy: Proxy, sandbox: Sandbox, folder: Path, max_children: int, max_output: int
    ) -> None:
        self._binary = binary
        self._proxy = proxy
        self._sandbox = sandbox
        self._homes, self._cache = folder / "homes", folder / "cache"
        self._max_output = max_output
        self._places = Places(max_children)
        for path in (self._homes, self._cache):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def run(
        self, command: KubectlCommand, *, timeout: float, caller: Caller, emit: Emit, spent: float = 0.0
    ) -> bytes:
        """Run *command*, give its output to *emit* as it comes, and return the status record.

        At *timeout* seconds, of which *spent* are over, and when cancelled, the child's whole process group is killed.
        """
        output = Output(emit, limit=self._max_output, spent=spent)
        ending, exit_code = Ending.TIMED_OUT, None
        with anyio.move_on_after(timeout - spent):
            async with self._places.take(endless=command.is_streaming):
                with self._home(caller) as (home, door):
                    exit_code = await self._run_child(command, home, door, output)
                ending = Ending.EXITED
        return await output.end(ending, exit_code, timeout=timeout)

    async def _run_child(self, command: KubectlCommand, home: Path, door: Door, output: Output) -> int:
        child = await self._start(command, home, door)
        endless = child if command.is_streaming else None
        try:
            async with anyio.create_task_group() as tasks:
                for stream, channel in ((child.stdout, records.STDOUT), (child.stderr, records.STDERR)):
                    assert stream is not None
                    tasks.start_soon(_pump, stream, channel, output, endless)
            code = await child.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await _kill(child)
        return code if code >= 0 else 128 - code

    async def _start(self, command: KubectlCommand, home: Path, door: Door) -> asyncio.subprocess.Process:
        try:
            cage = self._sandbox.cage(execute=self._binary, writable=(home, self._cache), port=door.port)
        except OSError as error:  # what cannot be caged does not run
            raise _not_started(error) from error
        try:
            return await asyncio.create_subprocess_exec(
                str(self._binary),
                f"--kubeconfig={home / 'kubeconfig'}",
                f"--cache-dir={self._cache}",
                *command.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"HOME": str(home), "PATH": "", "KUBECTL_KUBERC": "false"},
                cwd=home,
                start_new_session=True,
                preexec_fn=cage.enter,
            )
        except OSError as error:
            raise _not_started(error) from error
        finally:
            cage.close()

    @contextlib.contextmanager
    def _home(self, caller: Caller) -> Iterator[tuple[Path, Door]]:
        with self._proxy.door(caller) as door, contextlib.ExitStack() as stack:
            try:
                home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._homes)))
                with open(os.open(home / "kubeconfig", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(door.kubeconfig)
            except OSError as error:
                raise _not_started(error) from error
            yield home, door


class Places:
    """How many children run at once: some places for short commands, four times as many for those that last.

    A child that follows something, or that waits for a reader who does not read, would else keep a short command's
    place for as long as it likes. One that lasts longer than ``YOUNG`` seconds moves over if there is room.
    """

    YOUNG = 5.0

    def __init__(self, short: int) -> None:
        self._short = anyio.Semaphore(short)
        self._most_lasting = 4 * short
        self._lasting = 0

    @contextlib.asynccontextmanager
    async def take(self, *, endless: bool) -> AsyncIterator[None]:
        """Hold a place while the block runs; a short command waits for one, an endless one does not.

        Raises TooManyCommandsError.
        """
        if endless and not self._move_over():
            raise TooManyCommandsError(
                f"{self._most_lasting} commands that go on until they are ended run in this cluster already",
                hint="end one of them, or ask without following",
                details={"limit": "lasting-commands"},
                retry_after=10,
            )
        if endless:
            try:
                yield
            finally:
                self._lasting -= 1
            return
        await self._short.acquire()
        moved = False

        def grow_old() -> None:
            nonlocal moved
            moved = self._move_over()
            if moved:
                self._short.release()

        timer = asyncio.get_running_loop().call_later(self.YOUNG, grow_old)
        try:
            yield
        finally:
            timer.cancel()
            if moved:
                self._lasting -= 1
            else:
                self._short.release()

    def _move_over(self) -> bool:
        if self._lasting >= self._most_lasting:
            return False
        self._lasting += 1
        return True


def find_kubectl(configured: str) -> Path:
    """The kubectl to use: the configured one, else beside this interpreter, else on PATH. Raises ConfigError."""
    beside = Path(sys.executable).with_name("kubectl")
    found = configured or (
        str(beside) if beside.exists() else shutil.which("kubectl", path=process_environ().get("PATH"))
    )
    if not found or not os.access(found, os.X_OK):
        raise ConfigError(
            f"there is no kubectl at {found}" if found else "there is no kubectl on PATH or beside this interpreter",
            hint="install kubectl, pip install 'kubently[kubectl]', or set KUBENTLY_KUBECTL",
        )
    return Path(found).resolve()


async def _pump(
    stream: asyncio.StreamReader, channel: int, output: Output, endless: asyncio.subprocess.Process | None
) -> None:
    while chunk := await stream.read(_CHUNK):
        if not await output.write(channel, chunk) and endless is not None:
            _signal(endless)  # what never ends is not counted to its end
            return


def _not_started(error: OSError) -> CommandError:
    return CommandError(f"kubectl cannot be started: {error}", hint="check the executor's kubectl and its disk")


def _signal(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


async def _kill(child: asyncio.subprocess.Process) -> None:
    _signal(child)
    await child.wait()
