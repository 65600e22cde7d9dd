"""What is built when, with a program that plays Go: it notes what it is asked for, and makes files or fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.testbed import build

_GO = """\
#!/bin/sh
for last; do :; done
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
module=$(basename "$PWD")
echo "$module" >> "{notes}"
case " {failing} " in *" $module "*) echo "$module does not compile" >&2; exit 1;; esac
case " {endless} " in *" $module "*) exec sleep 60;; esac
for program in {programs}; do
    : > "$out/$program"
done
"""
PROGRAMS = sorted({group.built_as.get(p, p) for group in build.GROUPS for p in group.programs})
"""Of all groups, as Go names them: it makes them all, whatever is built."""
REQUIRED = ["etcd", "kubernetes", "kwok", "probe", "oidc"]
OPTIONAL = [
    "informer",
    "metrics-server",
    "kubernetes-node",
    "containerd",
    "coredns",
    "helm",
    "judges",
    "pebble",
    "cyclonus",
    "cert-manager",
    "remotedialer",
    "chisel",
    "konnectivity",
    "support-bundle",
    "inspect",
]
EXTRA = ["popeye", "k8sgpt"]
OPTIONAL_PROGRAMS = [program for group in build.GROUPS if group.is_optional for program in group.programs]


class Go:
    """A machine whose Go builds at once, but for what is named."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._notes = folder / "notes"
        self._program = folder / "bin" / "go"
        self._program.parent.mkdir()
        monkeypatch.setenv("PATH", str(self._program.parent), prepend=":")
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        self.cache = folder / "cache" / "kubently" / "testbed"
        self.answers()

    def answers(self, *, failing: str = "", endless: str = "") -> None:
        """From now on builds of these modules fail, or never end; nothing counts as asked for so far."""
        told = {"notes": self._notes, "failing": failing, "endless": endless, "programs": " ".join(PROGRAMS)}
        self._program.write_text(_GO.format(**told))
        self._program.chmod(0o755)
        self._notes.write_text("")

    def asked(self) -> list[str]:
        """The modules that were to be built, in order."""
        return self._notes.read_text().split()

    def built(self) -> set[str]:
        """The modules whose programs are there."""
        folders = {group.module: build.folder(group) for group in build.GROUPS}
        for group in build.GROUPS:
            there = folders[group.module].exists()
            assert all((folders[group.module] / program).exists() == there for program in group.programs)
        return {module for module, folder in folders.items() if folder.exists()}


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """A machine with nothing built."""
    return Go(tmp_path, monkeypatch)


def test_required_groups_are_built_first_and_each_once(go: Go) -> None:
    build.build()
    build.build()

    assert go.asked() == REQUIRED + OPTIONAL
    assert go.built() == {*REQUIRED, *OPTIONAL}


def test_a_changed_group_leaves_the_others_alone(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    build.build()
    go.answers()
    changed = build.Group("kwok", ("kwok",), linker_flags="-w")
    monkeypatch.setattr(build, "GROUPS", tuple(changed if g.module == "kwok" else g for g in build.GROUPS))
    build.build()

    assert go.asked() == ["kwok"]
    assert len(list(go.cache.glob("kwok-????????????????"))) == 2


def test_what_is_extra_is_built_when_it_is_named(go: Go) -> None:
    build.build("popeye")

    assert go.asked() == ["popeye"]
    assert [group.module for group in build.GROUPS if group.is_extra] == EXTRA


def test_a_build_that_fails_leaves_nothing_and_says_why(go: Go) -> None:
    go.answers(failing="kwok")

    with pytest.raises(RuntimeError, match="kwok does not compile"):
        build.build()
    assert go.built() == {"etcd", "kubernetes"}
    assert list(go.cache.glob(".build-*")) == []


def test_a_first_run_leaves_out_what_is_optional_and_takes_long(go: Go, capsys: pytest.CaptureFixture[str]) -> None:
    go.answers(endless="metrics-server")
    build.build(defer_after=3)

    said = capsys.readouterr().out.splitlines()
    assert go.built() >= set(REQUIRED)
    assert "metrics-server" not in go.built()
    assert "deferred: metrics-server" in said


def test_a_later_run_leaves_nothing_out(go: Go, capsys: pytest.CaptureFixture[str]) -> None:
    build.build(defer_after=0)
    assert go.built() == set(REQUIRED)
    assert capsys.readouterr().out.count("deferred: ") == len(OPTIONAL_PROGRAMS)

    build.build(defer_after=0)
    assert go.built() == {*REQUIRED, *OPTIONAL}
    assert "deferred" not in capsys.readouterr().out
