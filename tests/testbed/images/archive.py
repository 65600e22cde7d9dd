"""Write images as one OCI archive, for `ctr images import`: https://github.com/opencontainers/image-spec."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed.images.builder import Builder, Image

_OCI = "application/vnd.oci.image."
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as a blob."""

    file: Path
    digest: str
    """Of the compressed blob."""
    plain_digest: str
    """Of the tar in it."""
    size: int
    plain_size: int


def write(path: Path, images: Mapping[str, Image], builder: Builder) -> None:
    """Write *images* (by name with tag) to *path*; layers that they share are in it once."""
    blobs: dict[str, bytes | Path] = {}
    manifests = [_manifest(name, image, builder, blobs) for name, image in images.items()]
    index = {"schemaVersion": 2, "mediaType": f"{_OCI}index.v1+json", "manifests": manifests}
    made = path.with_suffix(".making")
    with tarfile.open(made, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps(index).encode())
        for digest, content in blobs.items():
            _add(tar, f"blobs/sha256/{digest}", content)
    made.rename(path)


def layer(builder: Builder, name: str) -> Layer:
    """The blob of a layer, made when it is wanted first."""
    folder = builder.changes(name).parent
    blob, notes = folder / "blob.tar.gz", folder / "blob.json"
    if not notes.exists():
        plain = _pack(builder.changes(name), blob)
        described = {
            "digest": hashlib.sha256(blob.read_bytes()).hexdigest(),
            "plain_digest": plain[0],
            "size": blob.stat().st_size,
            "plain_size": plain[1],
        }
        notes.write_text(json.dumps(described))
    return Layer(file=blob, **json.loads(notes.read_text()))


def _manifest(name: str, image: Image, builder: Builder, blobs: dict[str, bytes | Path]) -> dict[str, Any]:
    layers = [layer(builder, one) for one in image.layers]
    blobs.update({one.digest: one.file for one in layers})
    described = [_described(f"{_OCI}layer.v1.tar+gzip", one.digest, one.size) for one in layers]
    config = _stored(f"{_OCI}config.v1+json", _configuration(image, layers), blobs)
    kind = f"{_OCI}manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": described}
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    return {**_stored(kind, manifest, blobs), "annotations": annotations, "platform": _platform()}


def _configuration(image: Image, layers: list[Layer]) -> dict[str, Any]:
    config = {
        "User": image.user,
        "Env": [f"{name}={value}" for name, value in image.environment],
        "WorkingDir": image.folder,
        "Entrypoint": list(image.entrypoint),
        "Cmd": list(image.command),
        "ExposedPorts": {f"{port}/tcp": {} for port in image.ports},
    }
    roots = {"type": "layers", "diff_ids": [f"sha256:{one.plain_digest}" for one in layers]}
    return {**_platform(), "config": config, "rootfs": roots}


def _platform() -> dict[str, str]:
    return {"architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()), "os": "linux"}


def _stored(kind: str, content: object, blobs: dict[str, bytes | Path]) -> dict[str, Any]:
    data = json.dumps(content).encode()
    digest = hashlib.sha256(data).hexdigest()
    blobs[digest] = data
    return _described(kind, digest, len(data))


def _described(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    if isinstance(content, Path):
        tar.add(content, name)
        return
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


class _Hashed(io.RawIOBase):
    """Hands on what is written, and knows its digest and size."""

    def __init__(self, to: gzip.GzipFile) -> None:
        self._to = to
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._to.write(data)


def _pack(changes: Path, blob: Path) -> tuple[str, int]:
    """Write *changes* as a compressed tar; digest and size of the tar."""
    with gzip.GzipFile(blob, "wb", compresslevel=1, mtime=0) as compressed:
        hashed = _Hashed(compressed)
        with tarfile.open(fileobj=hashed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(changes.rglob("*")):
                _add_change(tar, path, str(path.relative_to(changes)))
    return hashed.digest.hexdigest(), hashed.size


def _add_change(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """What overlayfs notes as a device 0:0 or an attribute, an archive has as an empty file of a special name."""
    status = path.lstat()
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        folder, _, last = name.rpartition("/")
        tar.addfile(tarfile.TarInfo(f"{folder}/.wh.{last}" if folder else f".wh.{last}"))
        return
    tar.add(path, name, recursive=False)
    if stat.S_ISDIR(status.st_mode) and "trusted.overlay.opaque" in os.listxattr(path):
        tar.addfile(tarfile.TarInfo(f"{name}/.wh..wh..opq"))
