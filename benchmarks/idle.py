"""A thousand idle executors on one API process over plain WebSocket: memory and CPU each, and a broadcast to all."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio

from benchmarks import machine
from kubently import wire
from kubently.client import Api
from kubently.tunnel import AsgiServer, Message, Receive, Scope, Send, Session
from kubently.tunnel.transports import websocket
from kubently.wire import records

TOKEN = "benchmark-token-of-enough-length"
KEY = "benchmark-admin-key"
_ANSWER = records.encode(records.STDOUT, b"v1.36.3\n") + records.encode(
    records.STATUS, b'{"ending": "exited", "exit_code": 0, "stdout_bytes": 8}'
)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """A command that costs nothing."""
    while (await receive())["more_body"]:
        pass
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": _ANSWER})


@contextlib.contextmanager
def api_process(clusters: int, *, store: str = "", **more: str):  # type: ignore[no-untyped-def]
    """A real API process with a token for each cluster, and a *store* of its own choice; gives its process and port.

    *more* is for its environment.
    """
    with tempfile.TemporaryDirectory() as folder:
        port = machine.free_port()
        for i in range(clusters):
            Path(folder, f"cluster-{i}").write_text(TOKEN)
        env = {
            **os.environ,
            "KUBENTLY_LISTEN": f"127.0.0.1:{port}",
            "KUBENTLY_ADMIN_KEY": KEY,
            "KUBENTLY_EXECUTOR_TOKENS_DIR": folder,
            "KUBENTLY_LOG_LEVEL": "error",
            **({"KUBENTLY_STORE": store} if store else {}),
            **more,
        }
        process = subprocess.Popen([sys.executable, "-m", "kubently.main", "api"], env=env)
        try:
            api = Api(f"http://127.0.0.1:{port}", KEY)
            machine.wait_for(lambda: _is_up(api))
            yield process, port
        finally:
            machine.stop(process)


def _is_up(api: Api) -> bool:
    try:
        return bool(api.get("/healthz"))
    except Exception:
        return False


async def _connect(port: int, cluster: str, tasks: anyio.abc.TaskGroup, sessions: list[Session]) -> None:
    link = await websocket.dial(
        f"ws://127.0.0.1:{port}{websocket.PATH}",
        headers={"Authorization": f"Bearer {TOKEN}", "X-Kubently-Cluster": cluster},
        ssl=None,
        timeout=30,
    )
    server = AsgiServer(answer, tasks)
    info = {"version": "benchmark", "instance": cluster, "labels": {"env": "benchmark"}}
    session = Session(wire.Role.EXECUTOR, link, clock=time.monotonic, info=info, on_request=server.serve)
    link.attach(session)
    session.flush()
    sessions.append(session)


async def run(count: int) -> None:
    """Print the figures for *count* executors."""
    with api_process(count) as (process, port):
        api = Api(f"http://127.0.0.1:{port}", KEY)
        await anyio.to_thread.run_sync(_warm, api)
        before = machine.pss_bytes(process.pid)
        sessions: list[Session] = []
        async with anyio.create_task_group() as tasks:
            started = time.monotonic()
            async with anyio.create_task_group() as dials:
                limit = anyio.Semaphore(50)

                async def one(i: int) -> None:
                    async with limit:
                        await _connect(port, f"cluster-{i}", tasks, sessions)

                for i in range(count):
                    dials.start_soon(one, i)
            connected = time.monotonic() - started
            while await anyio.to_thread.run_sync(_executors, api) < count:
                await anyio.sleep(0.1)
            await anyio.sleep(2)
            memory = (machine.pss_bytes(process.pid) - before) / count / 1024
            cpu = machine.cpu_seconds(process.pid)
            await anyio.sleep(10)
            idle = (machine.cpu_seconds(process.pid) - cpu) / 10 / count * 1000
            print(f"{count} idle executors, plain WebSocket: {memory:.1f} KiB each in the API process (bar: 64)")
            print(
                f"  all connected after {connected:.2f} s ({count / connected:.0f}/s); {idle:.3f} cores per 1,000 idle"
            )
            for _ in range(2):
                seconds, ended = await anyio.to_thread.run_sync(_broadcast, api)
                print(f"  broadcast of one command to all {ended}: {seconds:.2f} s ({ended / seconds:.0f}/s)")
            tasks.cancel_scope.cancel()
        for session in sessions:
            session.close("the benchmark ends")


def _warm(api: Api) -> None:
    for _ in range(20):
        api.get("/api/v1/clusters")


def _executors(api: Api) -> int:
    return int(api.get("/health")["executors"])


def _broadcast(api: Api) -> tuple[float, int]:
    started = time.monotonic()
    outcomes = [e for e in api.stream("/api/v1/commands", {"argv": ["version"], "all": True}) if "outcome" in e]
    wrong = [e for e in outcomes if e["outcome"].get("exit_code") != 0]
    if wrong:
        raise RuntimeError(f"{len(wrong)} commands failed, first {wrong[0]}")
    return time.monotonic() - started, len(outcomes)
