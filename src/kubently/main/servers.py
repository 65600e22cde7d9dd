"""``kubently api`` and ``kubently executor``: what the containers run. Settings come from the environment."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import anyio
import click

from kubently import logs
from kubently.main.errors import named_errors
from kubently.settings import ApiSettings, ExecutorSettings, StoreSettings, process_environ

BACKEND = {"use_uvloop": True}


@click.group(invoke_without_command=True)
@click.pass_context
def api(context: click.Context) -> None:
    """Run the control plane until SIGTERM. docs/reference/environment.md lists its settings."""
    if context.invoked_subcommand is None:
        _run_api()


@api.command("doctor")
@click.option("--store", "url", default="", metavar="URL", help="Another store than KUBENTLY_STORE's.")
@click.option("--skip", multiple=True, metavar="ID", help="Leave a check out; may be given often.")
@click.option("--wait", type=click.FloatRange(0, 3600), default=0, metavar="SECONDS", help="Repeat until no error.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "junit"]), default="text", show_default=True)
@click.option("--fail-on", type=click.Choice(["warning", "error"]), default="error", show_default=True)
def api_doctor(*, url: str, skip: tuple[str, ...], wait: float, output: str, fail_on: str) -> None:
    """Look at the API's store with the API's own settings: reached, let in, new enough, kept, near.

    A few keys doctor:... are written and removed. Exit codes are those of kubently doctor.
    """
    from kubently.cli.commands.doctor import examine
    from kubently.doctor import Subject, stores

    with named_errors():
        environ = process_environ()
        store = StoreSettings.from_env(environ)
        subject = Subject(environ=environ, store_url=url or environ.get("KUBENTLY_STORE", "memory:"), store=store)
        examine([subject], only="", skip=skip, wait=wait, output=output, fail_on=fail_on, catalogue=stores.CHECKS)


def _run_api() -> None:
    from kubently import api as program

    with named_errors():
        settings = ApiSettings.from_env(process_environ())
        logs.configure(level=settings.log.level, json_lines=settings.log.json_lines)
        anyio.run(run_until_signal, lambda stop: program.run(settings, stop), backend_options=BACKEND)


@click.group(invoke_without_command=True)
@click.pass_context
def executor(context: click.Context) -> None:
    """Run the executor of one cluster until SIGTERM. docs/reference/environment.md lists its settings."""
    if context.invoked_subcommand is None:
        _run_executor()


@executor.command()
@click.option("--only", default="", metavar="CATEGORY,...", help="Only checks of these categories.")
@click.option("--skip", multiple=True, metavar="ID", help="Leave a check out; may be given often.")
@click.option("--hold", type=click.FloatRange(0, 120), default=20, show_default=True, help="Seconds of silence to try.")
@click.option("--wait", type=click.FloatRange(0, 3600), default=0, metavar="SECONDS", help="Repeat until no error.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "junit"]), default="text", show_default=True)
@click.option("--fail-on", type=click.Choice(["warning", "error"]), default="error", show_default=True)
def doctor(*, only: str, skip: tuple[str, ...], hold: float, wait: float, output: str, fail_on: str) -> None:
    """Look at all that stands between this executor and its API, with its own settings and credential.

    Nothing is enrolled or written. Exit codes are those of kubently doctor.
    """
    from kubently.cli.commands.doctor import examine
    from kubently.executor.examined import subjects

    with named_errors():
        environ = process_environ()
        settings = ExecutorSettings.from_env(environ)
        found = anyio.run(lambda: subjects(settings, environ, hold=hold), backend_options=BACKEND)
        examine(found, only=only, skip=skip, wait=wait, output=output, fail_on=fail_on, separate=False)


def _run_executor() -> None:
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
