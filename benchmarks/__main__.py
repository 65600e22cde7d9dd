"""Print all benchmarks: ``make bench``; ``--quick`` for small numbers."""

from __future__ import annotations

import sys

import anyio
import uvloop

from benchmarks import (
    audit,
    beside,
    continuous,
    credential,
    diagnosis,
    enrolment,
    hub,
    idle,
    kubernetes,
    machine,
    native,
    overhead,
    replicas,
    scale,
    stores,
)


def main() -> None:
    """Run one after the other."""
    quick = "--quick" in sys.argv
    print(machine.describe())
    anyio.run(overhead.run, 50 if quick else 200, backend_options={"use_uvloop": True})
    anyio.run(native.run, 20 if quick else 100, backend_options={"use_uvloop": True})
    uvloop.run(audit.run(quick=quick))
    uvloop.run(stores.run(quick=quick))
    credential.run(10 if quick else 50)
    uvloop.run(kubernetes.run(quick=quick))
    uvloop.run(diagnosis.run(quick=quick))
    uvloop.run(continuous.run(quick=quick))
    uvloop.run(replicas.run(quick=quick))
    uvloop.run(hub.run(quick=quick))
    uvloop.run(beside.run(quick=quick))
    scale.run(quick=quick)
    anyio.run(idle.run, 1000, backend_options={"use_uvloop": True})
    anyio.run(enrolment.run, 1000, backend_options={"use_uvloop": True})
    print(machine.describe())


main()
