"""Two sessions over memory: a control side and an executor side with an ASGI application behind it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio
import anyio.lowlevel

from kubently import wire
from kubently.tunnel import Application, AsgiServer, Session
from kubently.tunnel.transports.memory import memory_pair


@contextlib.asynccontextmanager
async def tunnel(
    app: Application,
    *,
    window: int = wire.DEFAULT_WINDOW,
    max_streams: int = wire.DEFAULT_MAX_STREAMS,
    clock: Callable[[], float] = time.monotonic,
    info: Mapping[str, Any] | None = None,
) -> AsyncIterator[tuple[Session, Session]]:
    """Give (control, executor) sessions that are settled; on leaving both are closed and all tasks have ended."""
    async with anyio.create_task_group() as tasks:
        control_link, executor_link = memory_pair()
        server = AsgiServer(app, tasks)
        control = Session(wire.Role.CONTROL, control_link, clock=clock, window=window)
        executor = Session(
            wire.Role.EXECUTOR,
            executor_link,
            clock=clock,
            window=window,
            max_streams=max_streams,
            info=info,
            on_request=server.serve,
        )
        control_link.handler, executor_link.handler = control, executor
        control.flush()
        executor.flush()
        with anyio.fail_after(5):
            while not (control.is_settled and executor.is_settled):  # two turns of the loop
                await anyio.lowlevel.checkpoint()
        try:
            yield control, executor
        finally:
            control.close("the test ends")
            tasks.cancel_scope.cancel()
