"""``kubently api`` and ``kubently executor``: what the containers run. Settings come from the environment."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import anyio
import click

from kubently import logs
from kubently.main.errors import named_errors
from kubently.settings import ApiSettings, ExecutorSettings, process_environ

BACKEND = {"use_uvloop": True}


@click.command()
def api() -> None:
    """Run the control plane until SIGTERM. docs/reference/environment.md lists its settings."""
    from kubently import api as program

    with named_errors():
        settings = ApiSettings.from_env(process_environ())
        logs.configure(level=settings.log.level, json_lines=settings.log.json_lines)
        anyio.run(run_until_signal, lambda stop: program.run(settings, stop), backend_options=BACKEND)


@click.command()
def executor() -> None:
    """Run the executor of one cluster until SIGTERM. docs/reference/environment.md lists its settings."""
    from kubently import executor as program

    with named_errors():
        settings = ExecutorSettings.from_env(process_environ())
        logs.configure(level=settings.log.level, json_lines=settings.log.json_lines)
        anyio.run(run_until_signal, lambda stop: program.run(settings, stop), backend_options=BACKEND)


async def run_until_signal(program: Callable[[anyio.Event], Awaitable[None]]) -> None:
    """Run *program* and set its stop event at SIGINT or SIGTERM; a second signal ends it at once."""
    stop = anyio.Event()

    async def watch(scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                if stop.is_set():
                    scope.cancel()
                stop.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, tasks.cancel_scope)
        await program(stop)
        tasks.cancel_scope.cancel()
