"""A real kube-apiserver with its etcd; objects are put into it as they are, with uid, status and creation time."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed import binaries, pki, processes

from kubently import trust

TOKEN = "testbed-token"


def make_server_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """Write a CA and its certificate for a server on loopback; return the files of CA, certificate and key."""
    authority = pki.Authority("archive test CA")
    cert, key = authority.issue("server", names=["127.0.0.1", "localhost"])
    return (
        pki.write(folder / "ca.crt", authority.cert),
        pki.write(folder / "server.crt", cert),
        pki.write(folder / "server.key", key),
    )


def write_kubeconfig(file: Path, *, server: str, authority: Path, token: str) -> Path:
    """Write a kubeconfig with one context."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": server, "certificate-authority": str(authority)}}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    file.write_text(json.dumps(content))
    file.chmod(0o600)
    return file


# ---- the control plane


@dataclass(frozen=True)
class RealServer:
    """A running kube-apiserver and its etcd."""

    port: int
    etcd_port: int
    authority: Path
    kubeconfig: Path

    def request(self, path: str, accept: str = "application/json") -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of a GET as a cluster administrator."""
        context = trust.client_context(ca=str(self.authority))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Accept": accept, "Authorization": f"Bearer {TOKEN}"})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()

    def put(self, items: Sequence[Mapping[str, Any]], plurals: Mapping[tuple[str, str], str]) -> list[str]:
        """Write objects into the store as they are; *plurals* is by (group, kind). Returns their keys."""
        keys = [store_key(item, plurals) for item in items]
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.etcd_port, timeout=30)) as etcd:
            for key, item in zip(keys, items, strict=True):
                self._etcd(etcd, "/v3/kv/put", {"key": key, "value": json.dumps(item)})
        return keys

    def delete(self, keys: Sequence[str]) -> None:
        """Remove keys from the store."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.etcd_port, timeout=30)) as etcd:
            for key in keys:
                self._etcd(etcd, "/v3/kv/deleterange", {"key": key})

    def _etcd(self, etcd: http.client.HTTPConnection, path: str, fields: Mapping[str, str]) -> None:
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in fields.items()}
        etcd.request("POST", path, json.dumps(encoded), {"Content-Type": "application/json"})
        response = etcd.getresponse()
        body = response.read()
        assert response.status == 200, body


_STORE_PREFIXES = {
    "nodes": "minions",
    "services": "services/specs",
    "endpoints": "services/endpoints",
    "replicationcontrollers": "controllers",
    "ingresses.networking.k8s.io": "ingress",
    "customresourcedefinitions.apiextensions.k8s.io": "apiextensions.k8s.io/customresourcedefinitions",
    "apiservices.apiregistration.k8s.io": "apiregistration.k8s.io/apiservices",
}
_BUILTIN_SUFFIXES = ("", "apps", "batch", "autoscaling", "policy")


def store_key(item: Mapping[str, Any], plurals: Mapping[tuple[str, str], str]) -> str:
    """Return the key under which an API server keeps an object."""
    group = item["apiVersion"].rpartition("/")[0]
    plural = plurals[group, item["kind"]]
    prefix = _STORE_PREFIXES.get(f"{plural}.{group}" if group else plural)
    if prefix is None:
        builtin = group in _BUILTIN_SUFFIXES or group.endswith(".k8s.io")
        prefix = plural if builtin else f"{group}/{plural}"
    metadata = item["metadata"]
    place = f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else metadata["name"]
    return f"/registry/{prefix}/{place}"


@contextlib.contextmanager
def real_server(folder: Path) -> Iterator[RealServer]:
    """Run etcd and kube-apiserver until the block ends."""
    etcd, apiserver = binaries.find("etcd"), binaries.find("kube-apiserver")
    authority, cert, key = make_server_certificate(folder)
    signing, public = pki.signing_keys()
    pki.write(folder / "sa.key", signing)
    pki.write(folder / "sa.pub", public)
    pki.write(folder / "tokens.csv", f'{TOKEN},admin,admin,"system:masters"\n'.encode())
    etcd_port, peer_port, port = processes.free_ports(3)
    client, peer = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}"
    with contextlib.ExitStack() as stack:
        _run(
            stack,
            folder / "etcd.log",
            [
                etcd,
                f"--data-dir={folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
            ],
        )
        _run(
            stack,
            folder / "apiserver.log",
            [
                apiserver,
                f"--etcd-servers={client}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={port}",
                f"--tls-cert-file={cert}",
                f"--tls-private-key-file={key}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={folder / 'sa.pub'}",
                f"--service-account-signing-key-file={folder / 'sa.key'}",
                "--endpoint-reconciler-type=none",
                "--profiling=false",
            ],
        )
        kubeconfig = write_kubeconfig(
            folder / "kubeconfig", server=f"https://127.0.0.1:{port}", authority=authority, token=TOKEN
        )
        server = RealServer(port, etcd_port, authority, kubeconfig)
        processes.until(lambda: _is_ready(server), "kube-apiserver is ready", timeout=90)
        yield server


def _run(stack: contextlib.ExitStack, log: Path, command: Sequence[str | Path]) -> None:
    stack.callback(processes.Process(command, log=log, env={}, cwd=log.parent).stop)


def _is_ready(server: RealServer) -> bool:
    try:
        return server.request("/readyz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False
