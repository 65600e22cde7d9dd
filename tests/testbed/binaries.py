"""Find the programs of the test bed; without them a test is skipped, or fails where they are required.

TESTBED_REQUIRED=1 requires them all, but for those that TESTBED_DEFERRED names (' ' between): a first run of CI had no
time to build them.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import build


def find(program: str, *, by: str = "`make testbed` builds it (Go needed, minutes, once)") -> Path:
    """The path of *program*: in TESTBED_BIN (':' between folders), KUBEBUILDER_ASSETS, the build's cache or PATH.

    *by* says how one gets it.
    """
    return _found(program) or _missing(program, by)


def is_there(program: str) -> bool:
    """Whether `find` would find it."""
    return _found(program) is not None


def find_kubectl() -> Path:
    """kubectl: that of this virtual environment, else as `find` does."""
    beside = Path(sys.executable).with_name("kubectl")
    return beside if beside.exists() else find("kubectl")


def _found(program: str) -> Path | None:
    for folder in _folders():
        if os.access(folder / program, os.X_OK):
            return folder / program
    beside = shutil.which(program)
    return Path(beside) if beside else None


def _folders() -> Iterator[Path]:
    for folder in filter(None, os.environ.get("TESTBED_BIN", "").split(os.pathsep)):
        yield Path(folder)
    if os.environ.get("KUBEBUILDER_ASSETS"):
        yield Path(os.environ["KUBEBUILDER_ASSETS"])
    yield from map(build.folder, build.GROUPS)


def _missing(program: str, by: str) -> Path:
    message = f"there is no {program}: {by}"
    if os.environ.get("TESTBED_REQUIRED") == "1" and program not in os.environ.get("TESTBED_DEFERRED", "").split():
        pytest.fail(f"{message}; TESTBED_REQUIRED=1 forbids to skip")
    print(f"skipped: {message}", file=sys.stderr)
    pytest.skip(message)
