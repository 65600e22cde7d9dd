"""One console for results: the terminal's width and colours, or plain text without cutting when piped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 10_000


def console(*, stderr: bool = False) -> Console:
    """A console; it honours NO_COLOR and is plain when piped."""
    made = Console(stderr=stderr, highlight=False, markup=False, soft_wrap=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, markup=False, width=_PIPED_WIDTH, no_color=True)
    return made


def table(headers: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table as kubectl draws one: upper-case heads, no lines."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for index, header in enumerate(headers):
        made.add_column(header, overflow="fold", no_wrap=index == 0)
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return made


def age(seconds: float) -> str:
    """A duration as kubectl shortens it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(max(0, seconds))}s"
