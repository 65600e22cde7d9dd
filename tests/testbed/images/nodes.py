"""The images that are played with on real nodes, as one archive: ``python -m tests.testbed.images.nodes`` builds them.

They lie in the user's cache, and only what changed is built anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.testbed import binaries, node_files
from tests.testbed.images import archive
from tests.testbed.images.builder import Builder, Image, Source

API, EXECUTOR = "registry.test/kubently:1", "registry.test/kubently-executor:1"
REDIS, EDGE, SHELL = "registry.test/redis:1", "registry.test/edge:1", "registry.test/shell:1"
_ROOT = Path(__file__).resolve().parents[3]
NEXT_API, NEXT_EXECUTOR = "registry.test/kubently:2", "registry.test/kubently-executor:2"
"""The same under another tag: what a rolling upgrade brings."""
_OURS = {API: "api", EXECUTOR: "executor", NEXT_API: "api", NEXT_EXECUTOR: "executor"}
_OTHERS = {node_files.PAUSE: "pause", node_files.COREDNS: "coredns", SHELL: "shell", REDIS: "redis", EDGE: "edge"}
# Whoever builds for others pins the base; here it is what debootstrap makes.
_ARGUMENTS = {"BASE_DIGEST": "debootstrap"}


def cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Where layers and archives lie."""
    folder = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    return Path(folder) / "kubently" / "images"


def ours(builder: Builder) -> dict[str, Image]:
    """API and executor as the Dockerfile says."""
    source = Source(_ROOT / "deployment" / "docker" / "Dockerfile", _ROOT, _ARGUMENTS)
    return {name: builder.build(source, target) for name, target in _OURS.items()}


def build() -> Path:
    """The archive of all images."""
    with Builder(cache()).locked() as builder:
        images = {**ours(builder), **_others(builder)}
        path = cache() / f"nodes-{hashlib.sha256(repr(images).encode()).hexdigest()[:16]}.tar"
        if not path.exists():
            for old in cache().glob("nodes-*.tar"):
                old.unlink()
            archive.write(path, images, builder)
    return path


def _others(builder: Builder) -> dict[str, Image]:
    with _programs() as context:
        source = Source(Path(__file__).with_name("test.Dockerfile"), context, _ARGUMENTS)
        return {name: builder.build(source, target) for name, target in _OTHERS.items()}


@contextmanager
def _programs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kubently-programs-") as folder:
        for name, by in {"busybox": "the package busybox-static has it", "coredns": "make testbed builds it"}.items():
            shutil.copy2(binaries.find(name, by=by), Path(folder, name))
        yield Path(folder)


if __name__ == "__main__":
    started = time.monotonic()
    print(f"images: {build()} in {time.monotonic() - started:.0f} s")
