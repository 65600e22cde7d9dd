"""Which programs are found, and when a missing one is a failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.testbed import binaries, build


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing is built, and nothing installed."""
    for name in ("TESTBED_BIN", "KUBEBUILDER_ASSETS", "TESTBED_REQUIRED", "TESTBED_DEFERRED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")


def test_a_program_is_found_in_the_folder_of_its_group() -> None:
    group = next(group for group in build.GROUPS if "kwok" in group.programs)
    program = build.folder(group) / "kwok"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)

    assert binaries.is_there("kwok")
    assert binaries.find("kwok") == program
    assert not binaries.is_there("helm")


def test_without_it_a_test_is_skipped() -> None:
    with pytest.raises(pytest.skip.Exception, match="there is no helm"):
        binaries.find("helm")


def test_where_all_are_required_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_REQUIRED", "1")

    with pytest.raises(pytest.fail.Exception, match="forbids to skip"):
        binaries.find("helm")


def test_what_was_deferred_is_required_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_REQUIRED", "1")
    monkeypatch.setenv("TESTBED_DEFERRED", "metrics-server helm")

    with pytest.raises(pytest.skip.Exception, match="there is no helm"):
        binaries.find("helm")
    with pytest.raises(pytest.fail.Exception):
        binaries.find("etcd")
