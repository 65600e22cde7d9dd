"""metrics-server beside a test cluster: what `kubectl top` asks. It reads the usage that kwok simulates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PROGRAM = "metrics-server"
API = "v1beta1.metrics.k8s.io"
FRONT_PROXY = "front-proxy"
"""The name by which the API server passes requests on to it."""


def arguments(kubeconfig: Path, pki: Path, host: str, port: int) -> Iterator[str]:
    """How it is started."""
    yield from (f"--kubeconfig={kubeconfig}", f"--authentication-kubeconfig={kubeconfig}")
    yield from (f"--authorization-kubeconfig={kubeconfig}", f"--bind-address={host}", f"--secure-port={port}")
    yield from (f"--tls-cert-file={pki}/{PROGRAM}.crt", f"--tls-private-key-file={pki}/{PROGRAM}.key")
    yield from ("--kubelet-insecure-tls", "--kubelet-use-node-status-port")
    # It accepts no shorter resolution, and none that is not longer than a request to a kubelet may take.
    yield from (
        "--kubelet-preferred-address-types=InternalIP",
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
    )


def aggregation(pki: Path) -> Iterator[str]:
    """The API server's arguments, without which it passes nothing on.

    It must not be told --enable-aggregator-routing: then it would look for endpoints instead of the external name.
    """
    yield f"--proxy-client-cert-file={pki}/{FRONT_PROXY}.crt"
    yield f"--proxy-client-key-file={pki}/{FRONT_PROXY}.key"
    yield from (f"--requestheader-client-ca-file={pki}/ca.crt", f"--requestheader-allowed-names={FRONT_PROXY}")
    yield from ("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group")
    yield "--requestheader-extra-headers-prefix=X-Remote-Extra-"


def registration(port: int) -> tuple[Mapping[str, Any], ...]:
    """The objects that make the API server ask it: it is no pod, so an external name leads out of the cluster."""
    place = {"namespace": "kube-system", "name": PROGRAM}
    service = {"type": "ExternalName", "externalName": "localhost"}
    version, _, group = API.partition(".")
    spec = {"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100}
    spec |= {"service": {**place, "port": port}, "insecureSkipTLSVerify": True}
    return (
        {"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": service},
        {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API}, "spec": spec},
    )
