"""Kubently's chart, rendered and installed by the real Helm."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.testbed import binaries

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deployment" / "helm" / "kubently"

Object = dict[str, Any]


class HelmError(Exception):
    """Helm said no; its words are the message."""


def helm(*args: str, kubeconfig: Path | None = None, timeout: float = 300) -> str:
    """Run Helm to its end and give its output. Raises HelmError."""
    with tempfile.TemporaryDirectory() as home:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            # Without a cluster none may be found by chance.
            "KUBECONFIG": str(kubeconfig or "/nonexistent"),
        }
        done = subprocess.run(
            [binaries.find("helm"), *args], env=environ, capture_output=True, text=True, timeout=timeout
        )
    if done.returncode:
        raise HelmError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def render(
    values: Mapping[str, Any] | None = None,
    *more: str,
    release: str = "kubently",
    namespace: str = "kubently",
    chart: Path = CHART,
    files: Sequence[Path] = (),
    kinds: Sequence[str] = (),
) -> list[Object]:
    """All objects of the chart with *files*, then *values*; *more* are Helm's options, *kinds* what the cluster serves.

    Raises HelmError with the chart's words.
    """
    return [*objects(rendered(json.dumps(values or {}), more, release, namespace, chart, tuple(files), tuple(kinds)))]


@functools.cache
def rendered(
    values: str,
    more: tuple[str, ...] = (),
    release: str = "kubently",
    namespace: str = "kubently",
    chart: Path = CHART,
    files: tuple[Path, ...] = (),
    kinds: tuple[str, ...] = (),
) -> str:
    """The same as text; *values* is JSON. Kept, since the same is asked often."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(values)
        file.flush()
        options = [part for path in files for part in ("--values", str(path))]
        options += [part for kind in kinds for part in ("--api-versions", kind)]
        return helm(
            "template", release, str(chart), f"--namespace={namespace}", *options, f"--values={file.name}", *more
        )


def notes(values: Mapping[str, Any] | None = None, *more: str, release: str = "kubently") -> str:
    """What Helm tells the person after an installation with *values*."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(values or {}, file)
        file.flush()
        said = helm(
            "install", release, str(CHART), "--namespace=kubently", "--dry-run=client", f"--values={file.name}", *more
        )
    return said.partition("\nNOTES:\n")[2]


def objects(text: str) -> Iterator[Object]:
    """The objects of a rendered chart. A key that stands twice in a mapping is an error, as the API server has it."""
    for document in yaml.load_all(text, _Strict):
        if document:
            yield document


def the(found: Sequence[Object], kind: str, name: str = "") -> Object:
    """The one object of this kind, and name where given."""
    matching = [o for o in found if o["kind"] == kind and name in ("", o["metadata"]["name"])]
    assert len(matching) == 1, f"{len(matching)} of {kind} {name}: {[o['metadata']['name'] for o in matching]}"
    return matching[0]


def names(found: Sequence[Object]) -> set[tuple[str, str]]:
    """Kind and name of each object that is no hook."""
    return {(o["kind"], o["metadata"]["name"]) for o in found if not is_hook(o)}


def is_hook(found: Object) -> bool:
    """Whether Helm makes it for `helm test` alone."""
    return "helm.sh/hook" in found["metadata"].get("annotations", {})


def container(found: Object, name: str = "") -> Object:
    """A container of a workload: the first, or that of this name."""
    containers: list[Object] = found["spec"]["template"]["spec"]["containers"]
    return next(c for c in containers if name in ("", c["name"]))


def environment(found: Object) -> dict[str, str]:
    """The environment of a workload's first container, without what comes from elsewhere."""
    return {e["name"]: e["value"] for e in container(found).get("env", ()) if "value" in e}


class _Strict(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # depends on the machine
    """Refuses keys that stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{twice} twice in one mapping: {node.start_mark}"
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


# PyYAML has no constructor for the tag of a lone "=", which CRDs and PromQL contain.
_Strict.add_constructor("tag:yaml.org,2002:value", lambda loader, node: str(node.value))
