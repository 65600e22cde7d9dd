"""A line on stderr for what takes longer than a second, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

import click

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """Show *what* with seconds while the block runs; call what is given to add a note."""
    if not sys.stderr.isatty():
        yield lambda note: None
        return
    notes, stopped, began = [""], threading.Event(), time.monotonic()

    def draw() -> None:
        count = 0
        while not stopped.wait(1 if count == 0 else 0.1):
            seconds = time.monotonic() - began
            frame = _FRAMES[count % len(_FRAMES)]
            click.echo(f"\r\x1b[K{frame} {what} ({seconds:.0f} s) {notes[0]}", err=True, nl=False)
            count += 1
        if count:
            click.echo("\r\x1b[K", err=True, nl=False)

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        yield lambda note: notes.__setitem__(0, note)
    finally:
        stopped.set()
        thread.join()
