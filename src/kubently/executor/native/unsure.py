"""The one way out of the native road: whatever is not surely what kubectl would print is kubectl's to print."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Unsure(Exception):
    """Only kubectl knows; raised before anything was printed, caught where the road is chosen."""


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Read what a server sent: text of another shape than is known raises Unsure, and nothing else."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise Unsure(f"an answer of another shape: {error!r}") from error
