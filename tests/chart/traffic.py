"""Whether NetworkPolicies let a connection through, by cyclonus' reading of them."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed import binaries, helm


@dataclass(frozen=True)
class Peer:
    """A pod, or an address outside of the cluster where it has no namespace."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    ip: str = "10.244.1.5"

    def described(self) -> dict[str, object]:
        """In cyclonus' words. Every namespace has its name as a label, as Kubernetes gives it."""
        if not self.namespace:
            return {"IP": self.ip}
        labels = {"kubernetes.io/metadata.name": self.namespace, **self.namespace_labels}
        inside = {"PodLabels": dict(self.labels), "NamespaceLabels": labels, "Namespace": self.namespace}
        return {"Internal": inside, "IP": self.ip}


@dataclass(frozen=True)
class Way:
    """A connection that is asked about."""

    source: Peer
    destination: Peer
    port: int
    protocol: str = "TCP"


def allowed(policies: Sequence[helm.Object], ways: Sequence[Way]) -> list[bool]:
    """Of each way, whether both ends let it through."""
    with tempfile.TemporaryDirectory() as work:
        rules, asked = Path(work, "policies"), Path(work, "traffic.json")
        rules.mkdir()
        # A file each: of several documents in one it reads the first.
        for found in policies:
            if found["kind"] == "NetworkPolicy":
                (rules / f"{found['metadata']['name']}.yaml").write_text(json.dumps(found))
        asked.write_text(json.dumps([_described(way) for way in ways]))
        argv = ["analyze", "--mode=query-traffic", f"--policy-path={rules}", f"--traffic-path={asked}"]
        done = subprocess.run([binaries.find("cyclonus"), *argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"IS ALLOWED\? \|\s*(TRUE|FALSE)", done.stdout)
    assert len(said) == len(ways), done.stdout
    return [word == "TRUE" for word in said]


def _described(way: Way) -> dict[str, object]:
    return {
        "Source": way.source.described(),
        "Destination": way.destination.described(),
        "ResolvedPort": way.port,
        "ResolvedPortName": "",
        "Protocol": way.protocol,
    }
