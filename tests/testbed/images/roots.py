"""Debian roots in place of the base images of a registry: what debootstrap makes, made slim as `debian:*-slim` is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

# As Debian's own slim images leave them out.
_LEFT_OUT = ("doc", "man", "info", "locale", "lintian", "groff", "linda")
_PUBLIC = ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def make(release: str, folder: Path) -> None:
    """Make the root of a Debian *release* in *folder*."""
    debootstrap = ["debootstrap", "--variant=minbase", f"--keyring={_KEYRING}", release, str(folder), mirrors()[0]]
    result = subprocess.run(debootstrap, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"debootstrap {release} failed:\n{result.stdout[-3000:]}{result.stderr[-1000:]}")
    _make_slim(folder)


def mirrors() -> list[str]:
    """Where releases and their security updates lie: as this machine's apt is told, if it is Debian's."""
    shown = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL)|$(COMPONENT)|$(SITE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
    )
    lines = [line.split("|") for line in shown.stdout.splitlines()]
    found = {label: site for label, component, site in lines if component == "main"}
    return [found.get(label, public) for label, public in zip(("Debian", "Debian-Security"), _PUBLIC, strict=True)]


def _make_slim(root: Path) -> None:
    for name in _LEFT_OUT:
        shutil.rmtree(root / "usr/share" / name, ignore_errors=True)
    for folder in ("var/lib/apt/lists", "var/cache/apt", "var/log", "etc/apt/sources.list"):
        _empty(root / folder)
    rules = [f"path-exclude /usr/share/{name}/*" for name in _LEFT_OUT]
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text("\n".join(rules) + "\n")
    # debootstrap takes these from the machine that it runs on.
    for name in ("etc/resolv.conf", "etc/hostname", "etc/hosts"):
        (root / name).unlink(missing_ok=True)
        (root / name).touch()


def _empty(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        path.mkdir()
    else:
        path.unlink(missing_ok=True)
