"""``kubently top``."""

from __future__ import annotations

import sys
import time

import click
from rich.console import Console
from rich.live import Live

from kubently.cli.app import output_option
from kubently.cli.render.console import show
from kubently.cli.render.top import Look, same_runs
from kubently.cli.render.top import top as drawn
from kubently.cli.state import State, pass_state
from kubently.client import Api


@click.command()
@click.option("--once", is_flag=True, help="Look once: rates and latencies since the start.")
@click.option(
    "--interval", default=2.0, show_default=True, type=click.FloatRange(0.2, 3600), help="Seconds between two looks."
)
@output_option
@pass_state
def top(state: State, *, once: bool, interval: float) -> None:
    """Watch what the API does: fleet, rates, latencies, limits, of all replicas together.

    As JSON it prints a list of replicas a look.
    """
    api = state.api()
    if once or state.is_json or not sys.stdout.isatty():
        _print(state, api, once=once, interval=interval)
        return
    look = _look(api)
    terminal = Console(highlight=False, markup=False)
    with Live(drawn(look, ()), console=terminal, screen=True, auto_refresh=False) as live:
        live.refresh()
        while True:
            time.sleep(interval)
            look, before = _look(api), look
            live.update(drawn(look, same_runs(look, before)), refresh=True)


def _print(state: State, api: Api, *, once: bool, interval: float) -> None:
    before: list[Look] = []
    while True:
        look = _look(api)
        if state.is_json:
            state.print_json(look)
        else:
            show(drawn(look, same_runs(look, before)))
        if once:
            return
        before = look
        time.sleep(interval)


def _look(api: Api) -> list[Look]:
    look: list[Look] = api.get("/api/v1/top")
    return look
