"""Commands and how they end."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from kubently.schema.base import Frozen

DEFAULT_TIMEOUT = 60.0
MAX_TIMEOUT = 3600.0

Argument = Annotated[str, Field(max_length=32_768)]


class Command(Frozen):
    """A kubectl-like argument list for one cluster."""

    argv: tuple[Argument, ...] = Field(min_length=1, max_length=256, examples=[["get", "pods", "-n", "shop"]])
    timeout: float = Field(default=DEFAULT_TIMEOUT, gt=0, le=MAX_TIMEOUT)
    """Seconds until the child is killed."""


class FleetCommand(Command):
    """The same for many clusters: exactly one of ``clusters``, ``selector`` and ``all``."""

    clusters: tuple[str, ...] = ()
    selector: str = ""
    """Label selector over the clusters' labels, for example "env=prod,region in (eu,us)"."""
    all: bool = False


class Ending(StrEnum):
    """How a command ended."""

    EXITED = "exited"
    """The child ended by itself; its exit code tells the rest."""
    TIMED_OUT = "timed-out"
    """Killed at its deadline."""
    CANCELLED = "cancelled"
    """The caller went away or cancelled; killed."""
    DENIED = "denied"
    FAILED = "failed"
    """It could not be run; ``error`` says why."""
    UNKNOWN = "unknown"
    """The executor was lost after it may have taken it."""


class Outcome(Frozen):
    """How one command on one cluster ended, with its output where that is not streamed."""

    id: str
    cluster: str
    ending: Ending
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    base64: bool = False
    """Whether ``stdout`` and ``stderr`` are base64, because one of them is not UTF-8."""
    stdout_bytes: int = 0
    """True size of the output, also where it was cut."""
    stderr_bytes: int = 0
    truncated: bool = False
    seconds: float = 0.0
    error: dict[str, Any] | None = None
    """A problem document (RFC 9457) when it did not exit."""
