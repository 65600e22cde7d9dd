"""Build images from Dockerfiles without a container engine or a registry, layer by layer, each one cached.

A layer is a folder of what a step changed, named by a digest of everything that decides it: the layers below, the
instruction and, for a COPY, the files. So a change of the source costs the last few steps. The base image of a FROM is
a root that debootstrap makes: `debian:trixie-slim@DIGEST` is Debian trixie, whatever the digest.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.testbed.images import dockerfile, roots, steps

_BASE = re.compile(r"debian:(\w+)-slim@\w+")
# Each change of the source leaves some 350 MB behind.
_FORGET_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class Image:
    """What a stage has become."""

    layers: tuple[str, ...] = ()
    """Names of layers, the lowest first."""
    release: str = ""
    """Of Debian; empty without a base."""
    environment: tuple[tuple[str, str], ...] = ()
    folder: str = "/"
    user: str = ""
    ports: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A Dockerfile and the folder that is its context."""

    file: Path
    context: Path
    arguments: Mapping[str, str]


class Builder:
    """Builds into *cache*, for one process at a time: use it as a context manager."""

    def __init__(self, cache: Path) -> None:
        self._layers = cache / "layers"

    @contextmanager
    def locked(self) -> Iterator[Builder]:
        """The only one that builds here; at the end layers that nobody wanted for an hour are removed."""
        self._layers.mkdir(parents=True, exist_ok=True)
        with (self._layers / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield self
            self._forget()

    def build(self, source: Source, target: str) -> Image:
        """The image of stage *target*."""
        stages = dockerfile.parse(source.file.read_text(), source.arguments)
        return self._stage(stages, target, source)

    def changes(self, layer: str) -> Path:
        """The folder with what a layer changes."""
        return self._layers / layer / "changes"

    # ------------------------------------------------------------------ stages and instructions

    def _stage(self, stages: Mapping[str, dockerfile.Stage], name: str, source: Source) -> Image:
        stage = stages[name]
        image = self._stage(stages, stage.base, source) if stage.base in stages else self._base(stage.base)
        for instruction in stage.instructions:
            if instruction.name == "COPY":
                image = self._copy(image, dockerfile.copy(instruction.text), stages, source)
            elif instruction.name == "RUN":
                image = self._run(image, instruction.text)
            else:
                image = _configured(image, instruction)
        return image

    def _base(self, name: str) -> Image:
        if name == "scratch":
            return Image()
        match = _BASE.fullmatch(name)
        if match is None:
            raise ValueError(f"no root for the base image {name}")
        layer = self._made(_digest("root", match[1]), lambda place: roots.make(match[1], place.changes), ())
        return Image(layers=(layer,), release=match[1])

    def _run(self, image: Image, command: str) -> Image:
        environment = dict(image.environment)
        digest = _digest(image.layers, command, environment, image.folder)

        def make(place: steps.Place) -> None:
            steps.run(place, command, environment=environment, folder=image.folder, release=image.release)

        return replace(image, layers=(*image.layers, self._made(digest, make, image.layers)))

    def _copy(self, image: Image, copy: dockerfile.Copy, stages: Mapping[str, dockerfile.Stage], s: Source) -> Image:
        target = copy.target if copy.target.startswith("/") else f"{image.folder.rstrip('/')}/{copy.target}"
        if copy.stage:
            other = self._stage(stages, copy.stage, s).layers
            digest = _digest(image.layers, other, copy.sources, target)

            def make(place: steps.Place) -> None:
                below = [self.changes(layer) for layer in other]
                steps.copy(place, Path("/"), copy.sources, target, source_layers=below)

            return replace(image, layers=(*image.layers, self._made(digest, make, image.layers)))
        with tempfile.TemporaryDirectory(prefix="kubently-context-") as folder:
            files = _staged(s, copy.sources, Path(folder))
            digest = _digest(image.layers, files, copy.sources, target)
            layer = self._made(digest, lambda p: steps.copy(p, Path(folder), copy.sources, target), image.layers)
        return replace(image, layers=(*image.layers, layer))

    # ------------------------------------------------------------------ layers

    def _made(self, digest: str, make: Callable[[steps.Place], None], below: Sequence[str]) -> str:
        """The layer *digest*, made in a folder that gets its name when it is complete."""
        folder = self._layers / digest
        if not folder.exists():
            work = Path(tempfile.mkdtemp(dir=self._layers, prefix=".making-"))
            try:
                (work / "changes").mkdir()
                (work / "work").mkdir()
                make(steps.Place([self.changes(layer) for layer in below], work / "changes", work / "work"))
                shutil.rmtree(work / "work")
                work.chmod(0o755)
                work.rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        os.utime(folder)
        return digest

    def _forget(self) -> None:
        old = time.time() - _FORGET_AFTER
        for folder in self._layers.iterdir():
            if folder.is_dir() and folder.stat().st_mtime < old:
                shutil.rmtree(folder)


def _configured(image: Image, instruction: dockerfile.Instruction) -> Image:
    text = instruction.text
    match instruction.name:
        case "ENV":
            return replace(image, environment=tuple({**dict(image.environment), **dockerfile.pairs(text)}.items()))
        case "WORKDIR":
            return replace(image, folder=text)
        case "USER":
            return replace(image, user=text)
        case "EXPOSE":
            return replace(image, ports=tuple(text.split()))
        case "ENTRYPOINT":
            return replace(image, entrypoint=tuple(dockerfile.command(text)), command=())
    return replace(image, command=tuple(dockerfile.command(text)))


def _staged(source: Source, names: Sequence[str], into: Path) -> list[tuple[str, str]]:
    """Copy what a COPY names of the context *into* a folder; what identifies it, by path."""
    ignored = source.file.with_name(f"{source.file.name}.dockerignore")
    patterns = ignored.read_text() if ignored.exists() else ""
    found = []
    for path in sorted(path for name in names for path in _files(source.context / name)):
        relative = str(path.relative_to(source.context))
        if dockerfile.ignores(patterns, relative):
            continue
        mode = 0o755 if os.access(path, os.X_OK) and path.stat().st_mode & 0o100 else 0o644
        staged = into / relative
        staged.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, staged)
        staged.chmod(mode)
        found.append((relative, f"{mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"))
    if not found:
        raise ValueError(f"COPY {' '.join(names)}: nothing of it is in the context")
    return found


def _files(path: Path) -> Iterator[Path]:
    return (p for p in path.rglob("*") if p.is_file()) if path.is_dir() else iter((path,))


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
