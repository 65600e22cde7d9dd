"""Results on the terminal, with its width and colours, or plain and uncut when piped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 10_000


def show(*parts: RenderableType) -> None:
    """Print results on stdout: coloured and folded to a terminal's width (NO_COLOR is honoured), plain when piped."""
    terminal = Console(highlight=False, markup=False)
    if terminal.is_terminal:
        terminal.print(*parts, sep="\n")
        return
    plain = Console(highlight=False, markup=False, width=_PIPED_WIDTH, no_color=True)
    with plain.capture() as captured:
        plain.print(*parts, sep="\n")
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def table(headers: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table as kubectl draws one: upper-case heads, no lines. Only the last column folds on a narrow terminal."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, header in enumerate(headers, 1):
        made.add_column(header, overflow="fold", no_wrap=number < len(headers))
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return made


def age(seconds: float) -> str:
    """A duration as kubectl shortens it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(max(0, seconds))}s"
