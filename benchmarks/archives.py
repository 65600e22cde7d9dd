"""A whole fleet of archived clusters in this process."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from kubently.main import up


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[up.Running, Path]]:
    """What ``kubently up`` runs, connected, and the folder of its state."""
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        options = up.Options((), False, state / "none", True, (), 0, state, diagnose=False)
        async with up.running(options) as fleet:
            while not all(fleet.is_connected(member.cluster) for member in fleet.members):
                await anyio.sleep(0.05)
            yield fleet, state
