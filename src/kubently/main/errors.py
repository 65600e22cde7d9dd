"""Errors of ours that task groups wrapped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from kubently.cli.state import fail
from kubently.errors import KubentlyError


@contextlib.contextmanager
def named_errors() -> Iterator[None]:
    """End the process with a sentence where one of our errors, alone or in a group, comes this far."""
    try:
        yield
    except KubentlyError as error:
        fail(error)
    except BaseExceptionGroup as group:
        first = _first(group)
        if first is None:
            raise
        fail(first)


def _first(group: BaseExceptionGroup[BaseException]) -> KubentlyError | None:
    for error in group.exceptions:
        if isinstance(error, KubentlyError):
            return error
        if isinstance(error, BaseExceptionGroup) and (found := _first(error)):
            return found
    return None
