"""Print all benchmarks: ``make bench``; ``--quick`` for small numbers."""

from __future__ import annotations

import sys

import anyio

from benchmarks import idle, machine, overhead


def main() -> None:
    """Run one after the other."""
    quick = "--quick" in sys.argv
    print(machine.describe())
    anyio.run(overhead.run, 50 if quick else 200, backend_options={"use_uvloop": True})
    anyio.run(idle.run, 1000, backend_options={"use_uvloop": True})
    print(machine.describe())


main()
