"""Namespaces, a network and a cgroup for one node: what a kubelet wants of a machine, without changing this one.

Nodes and this machine reach each other over one bridge; nothing is routed beyond it. All that a node starts lives in
its pid namespace, so the end of its first process is the end of everything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.testbed import namespace_init
from tests.testbed.processes import Process, until

_BRIDGE, _NETWORK = "kubently0", "10.200.0"
_CGROUPS = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "memory", "pids")
_CNI = Path("/usr/lib/cni")
_PROGRAMS = ("busybox", "conntrack", "debootstrap", "ip", "nft", "nsenter", "runc", "unshare")
_SEPARATE = ("--net", "--mount", "--pid", "--fork", "--mount-proc")


def obstacle() -> str:
    """Why no node can run on this machine; empty if one can."""
    if os.geteuid():
        return "it is not root who runs this"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing or not (_CNI / "bridge").exists():
        return f"not installed: {', '.join(missing or ['the CNI plugins (containernetworking-plugins)'])}"
    return _cgroup_obstacle() or _namespace_obstacle()


def address(index: int) -> str:
    """The address of node *index* (2 to 254)."""
    return f"{_NETWORK}.{index}"


class Namespaces:
    """Those of one node, in *folder*; ``up`` makes them, ``down`` leaves nothing."""

    def __init__(self, name: str, index: int, folder: Path) -> None:
        self.address = address(index)
        self.cgroup = f"kubently-{name}"
        self._link = f"kubently{index}"
        self._folder = folder
        self._holder: Process | None = None
        self._init = -1

    def up(self) -> None:
        """Make them."""
        self._remove_cgroups()
        unshare = [_which("unshare"), *_SEPARATE, "--propagation", "private", "--kill-child=SIGKILL", "--"]
        init = [sys.executable, "-I", "-S", namespace_init.__file__, str(self._folder)]
        log = self._folder / "namespaces.log"
        self._holder = Process([*unshare, *init], log=log, env=dict(os.environ), cwd=self._folder)
        until(self._is_ready, "the namespaces of a node", timeout=60)
        self._init = _children(self._holder.pid)[0]
        self._connect()
        self._make_cgroups()

    def down(self) -> None:
        """End everything in them and remove link and cgroups. Idempotent."""
        if self._holder is not None:
            # With it goes its child, the first process of the namespaces, and with that all others.
            self._holder.kill()
            until(lambda: not Path(f"/proc/{self._init}").exists(), "the end of a node's processes")
        _ip("link", "del", self._link, check=False)
        if not any(Path("/sys/class/net", _BRIDGE, "brif").glob("*")):
            _ip("link", "del", _BRIDGE, check=False)
        until(self._remove_cgroups, "the end of a node's cgroups")

    def entrance(self) -> list[str | Path]:
        """What runs a program inside, before its own command line."""
        return [_which("nsenter"), "-t", str(self._init), "-n", "-m", "-p", "--"]

    def run(self, *argv: str | Path, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a program inside."""
        result = subprocess.run([*self.entrance(), *argv], capture_output=True, text=True, timeout=timeout)
        assert not check or result.returncode == 0, f"{argv[0]}: {result.stdout[-500:]}{result.stderr[-2000:]}"
        return result

    def cut(self, *, is_cut: bool) -> None:
        """Cut it off from every other node and this machine, or heal that."""
        _ip("link", "set", self._link, "down" if is_cut else "up")

    # ------------------------------------------------------------------ parts

    def _is_ready(self) -> bool:
        assert self._holder is not None
        assert self._holder.is_running, self._holder.tail()
        return (self._folder / "ready").exists()

    def _connect(self) -> None:
        if _ip("link", "add", _BRIDGE, "type", "bridge", check=False).returncode == 0:
            _ip("addr", "add", f"{_NETWORK}.1/24", "dev", _BRIDGE)
            _ip("link", "set", _BRIDGE, "up")
        _ip("link", "del", self._link, check=False)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", str(self._init))
        _ip("link", "set", self._link, "master", _BRIDGE, "up")
        for command in (
            "ip link set lo up",
            f"ip addr add {self.address}/24 dev eth0",
            "ip link set eth0 up",
            f"ip route add default via {_NETWORK}.1",
            "sysctl -qw net.ipv4.ip_forward=1",
        ):
            self.run(*command.split())
        # Where bridges pass the packet filter, answers of a pod on the same node must too; elsewhere there is no such.
        self.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1", check=False)

    def _make_cgroups(self) -> None:
        for hierarchy in _hierarchies():
            group = hierarchy / self.cgroup
            group.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (hierarchy / name).exists():
                    (group / name).write_text((hierarchy / name).read_text())
            if _is_unified():
                (group / "cgroup.subtree_control").write_text(_delegated())

    def _remove_cgroups(self) -> bool:
        """Whether nothing is left."""
        tops = [hierarchy / self.cgroup for hierarchy in _hierarchies()]
        for top in tops:
            for group in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
                with suppress(OSError):
                    group.rmdir()
            with suppress(OSError):
                top.rmdir()
        return not any(top.exists() for top in tops)


def _is_unified() -> bool:
    return (_CGROUPS / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    """Where a node has a cgroup of its own: in the one hierarchy of version 2, or in each of version 1."""
    if _is_unified():
        return [_CGROUPS]
    return [path for path in sorted(_CGROUPS.iterdir()) if path.is_dir() and (path / "cgroup.procs").exists()]


def _delegated() -> str:
    available = (_CGROUPS / "cgroup.controllers").read_text().split()
    return " ".join(f"+{name}" for name in ("cpuset", "cpu", "io", "memory", "pids") if name in available)


def _cgroup_obstacle() -> str:
    """Version 1: hierarchies where a group can be made. Version 2: controllers that can be handed down."""
    if not _is_unified():
        missing = [name for name in _CONTROLLERS if not os.access(_CGROUPS / name / "cgroup.procs", os.W_OK)]
        return f"no cgroups can be made of {', '.join(missing)}" if missing else ""
    missing = [name for name in _CONTROLLERS if name not in (_CGROUPS / "cgroup.controllers").read_text().split()]
    if missing:
        return f"this cgroup has no controller {', '.join(missing)}"
    try:
        (_CGROUPS / "cgroup.subtree_control").write_text(_delegated())
    except OSError as error:
        return f"cgroup controllers cannot be handed down: {error.strerror}"
    return ""


def _namespace_obstacle() -> str:
    """Try what a node needs: namespaces, an overlay, a veth and the packet filter."""
    with tempfile.TemporaryDirectory(prefix="kubently-probe-") as folder:
        for name in ("lower", "upper", "work", "merged"):
            Path(folder, name).mkdir()
        script = "; ".join(
            (
                "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged",
                "ip link add one type veth peer name two",
                "nft add table inet probe",
                "sysctl -qw net.ipv4.ip_forward=1",
            )
        )
        argv = ["unshare", *_SEPARATE, "sh", "-ec", script]
        result = subprocess.run(argv, capture_output=True, text=True, cwd=folder)
    if result.returncode:
        return f"namespaces, overlayfs, veth or nftables do not work here: {result.stderr.strip()[-200:]}"
    return ""


def _which(program: str) -> str:
    found = shutil.which(program)
    assert found is not None, f"no {program}: see obstacle()"
    return found


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _ip(*args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *args], check=check, capture_output=True, text=True)
