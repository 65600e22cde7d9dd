"""Run one step of an image's build: layers below as an overlay, what the step changes in a folder of its own.

Everything happens in a private mount and pid namespace, so an aborted step leaves no mount and no process. What this
machine needs to reach registries (proxies, a CA, mirrors) lies in a folder that is mounted while the step runs: nothing
of it is in the image.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.images import roots

_DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
_PROXIES = tuple(
    f(name) for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for f in (str.lower, str.upper)
)
_PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
_APT = ("Acquire::Check-", "Acquire::http", "Acquire::Retries")
_HANDED = "/mnt"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step happens: layer folders (lowest first), the folder for its changes and one for overlayfs' own use."""

    layers: Sequence[Path]
    changes: Path
    work: Path


def run(place: Place, command: str, *, environment: Mapping[str, str], folder: str, release: str) -> None:
    """Run a RUN in the root that *place* means. Raises RuntimeError with its output."""
    with tempfile.TemporaryDirectory(prefix="kubently-step-") as scratch:
        root, handed = Path(scratch, "root"), Path(scratch, "handed")
        root.mkdir()
        handed.mkdir()
        more = _hand_over(handed, release)
        variables = shlex.join(f"{name}={value}" for name, value in {**environment, **more}.items())
        script = [
            _overlay(place, root),
            f"mount --bind {handed} {root}{_HANDED}",
            *_devices(root),
            f"mkdir -p {root}/{folder.lstrip('/')}",
            f"exec chroot {root} env -i {variables} sh -ec {shlex.quote(f'cd {folder}; {command}')}",
        ]
        _isolated(script, f"RUN {command}")


def copy(place: Place, source: Path, names: Sequence[str], target: str, *, source_layers: Sequence[Path] = ()) -> None:
    """Copy *names* below *source* to *target*; with *source_layers*, below the root that these make."""
    with tempfile.TemporaryDirectory(prefix="kubently-step-") as scratch:
        root, other = Path(scratch, "root"), Path(scratch, "other")
        root.mkdir()
        other.mkdir()
        below = other if source_layers else source
        script = [_overlay(place, root)]
        if source_layers:
            script.append(f"mount -t overlay overlay -o lowerdir={_joined((*source_layers, other))} {other}")
        into = f"{root}/{target.strip('/')}"
        script += [_copied(below / name.lstrip("/"), into, is_folder=target.endswith("/")) for name in names]
        _isolated(script, f"COPY {' '.join(names)} {target}")


def look(layers: Sequence[Path], command: str, *, environment: Mapping[str, str], user: str) -> str:
    """What a shell command prints in a finished image, as *user* (numbers), with a read-only root and a /tmp."""
    with tempfile.TemporaryDirectory(prefix="kubently-look-") as scratch:
        root = Path(scratch)
        variables = shlex.join(f"{name}={value}" for name, value in environment.items())
        script = [
            f"mount -t overlay overlay -o lowerdir={_joined(layers)} {root}",
            *_devices(root),
            f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
            f"exec chroot --userspec={user} --groups= {root} env -i {variables} sh -c {shlex.quote(command)}",
        ]
        return _isolated(script, command)


def _copied(source: Path, into: str, *, is_folder: bool) -> str:
    """A folder's content goes into the target; a file becomes the target, or lies in it where that is a folder."""
    if_folder = f"mkdir -p {into} && cp -a --no-preserve=ownership {source}/. {into}/"
    parent = into if is_folder else str(Path(into).parent)
    if_file = f"mkdir -p {parent} && cp -a --no-preserve=ownership {source} {into}"
    return f"if [ -d {source} ]; then {if_folder}; else {if_file}; fi"


def _overlay(place: Place, root: Path) -> str:
    options = f"upperdir={place.changes},workdir={place.work},redirect_dir=off,metacopy=off,index=off"
    return f"mount -t overlay overlay -o lowerdir={_joined(place.layers or [root])},{options} {root}"


def _joined(layers: Sequence[Path]) -> str:
    return ":".join(str(layer) for layer in reversed(layers))


def _devices(root: Path) -> list[str]:
    lines = [f"mount -t proc proc {root}/proc", f"mount -t tmpfs -o mode=755 tmpfs {root}/dev"]
    lines += [f"touch {root}/dev/{name} && mount --bind /dev/{name} {root}/dev/{name}" for name in _DEVICES]
    lines.append(f"mkdir {root}/dev/shm && ln -s /proc/self/fd {root}/dev/fd")
    lines += [f"mount --bind /etc/{name} {root}/etc/{name}" for name in ("resolv.conf", "hosts")]
    return lines


def _isolated(script: Sequence[str], what: str) -> str:
    argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-ec", "\n".join(script)]
    result = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode:
        raise RuntimeError(f"{what} failed:\n{result.stdout[-2000:]}{result.stderr[-3000:]}")
    return result.stdout


def _hand_over(folder: Path, release: str) -> dict[str, str]:
    """Write what this machine's registries need to *folder*; the environment that points there."""
    acquire = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True).stdout.splitlines()
    apt = [line for line in acquire if line.startswith(_APT)]
    apt += [f'Dir::Etc::sourcelist "{_HANDED}/sources.list";', 'Dir::Etc::sourceparts "/dev/null";']
    given = {name: os.environ[name] for name in (*_PROXIES, *_PIP) if os.environ.get(name)}
    authority = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    if authority:
        (folder / "ca.crt").write_bytes(Path(authority).read_bytes())
        given["PIP_CERT"] = f"{_HANDED}/ca.crt"
        apt.append(f'Acquire::https::CAInfo "{_HANDED}/ca.crt";')
    suites = zip(roots.mirrors(), (release, f"{release}-security"), strict=True)
    lines = [f"deb {mirror} {suite} main" for mirror, suite in suites]
    (folder / "sources.list").write_text("\n".join(lines) + "\n")
    (folder / "apt.conf").write_text("\n".join(apt) + "\n")
    pip = Path("/etc/pip.conf")
    (folder / "pip.conf").write_text(pip.read_text() if pip.exists() else "")
    noninteractive = {"DEBIAN_FRONTEND": "noninteractive", "PIP_ROOT_USER_ACTION": "ignore"}
    return {**given, **noninteractive, "APT_CONFIG": f"{_HANDED}/apt.conf", "PIP_CONFIG_FILE": f"{_HANDED}/pip.conf"}
