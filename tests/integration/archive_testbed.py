"""A real kube-apiserver with its etcd; objects are put into it as they are, with uid, status and creation time.

Binaries are looked up in TESTBED_BIN (folders, ':' between them), KUBEBUILDER_ASSETS and PATH. Without them a test is
skipped, or fails where TESTBED_REQUIRED is 1.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.client
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TOKEN = "testbed-token"


def find_binary(name: str) -> str:
    """Return the path of a test bed binary, or skip (fail) the test."""
    folders = [*os.environ.get("TESTBED_BIN", "").split(":"), os.environ.get("KUBEBUILDER_ASSETS", "")]
    for folder in filter(None, folders):
        candidate = Path(folder) / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    found = shutil.which(name)
    if found:
        return found
    message = f"{name} is in none of TESTBED_BIN, KUBEBUILDER_ASSETS, PATH"
    if os.environ.get("TESTBED_REQUIRED") == "1":
        pytest.fail(message)
    print(f"skipped: {message}")
    pytest.skip(message)


def find_kubectl() -> str:
    """Return kubectl: the virtual environment's own, or one on the PATH."""
    own = Path(sys.executable).parent / "kubectl"
    return str(own) if own.is_file() else find_binary("kubectl")


def free_port() -> int:
    """Return a port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- certificates


@dataclass(frozen=True)
class Certificate:
    """A certificate that is its own authority, and its key, as files."""

    certificate: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts this certificate only."""
        return ssl.create_default_context(cafile=str(self.certificate))


def make_authority_and_server(folder: Path) -> tuple[Path, Certificate]:
    """Write a CA and a server certificate of it for 127.0.0.1 and localhost; return the CA's file and the server's."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name, server_name = _name("archive test CA"), _name("archive test server")
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    server = (
        _builder(server_name, authority_name, server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    files = Certificate(folder / "server.crt", folder / "server.key")
    (folder / "ca.crt").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files.certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    # SEC1, because kube-apiserver also signs service account tokens with it and reads no PKCS 8 there.
    files.key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return folder / "ca.crt", files


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
    )


def _key_usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign,
        crl_sign=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
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
        context = ssl.create_default_context(cafile=str(self.authority))
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
    etcd, apiserver = find_binary("etcd"), find_binary("kube-apiserver")
    authority, certificate = make_authority_and_server(folder)
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    etcd_port, peer_port, port = free_port(), free_port(), free_port()
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
                f"--tls-cert-file={certificate.certificate}",
                f"--tls-private-key-file={certificate.key}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={certificate.key}",
                f"--service-account-signing-key-file={certificate.key}",
                "--endpoint-reconciler-type=none",
                "--profiling=false",
            ],
        )
        kubeconfig = write_kubeconfig(
            folder / "kubeconfig", server=f"https://127.0.0.1:{port}", authority=authority, token=TOKEN
        )
        server = RealServer(port, etcd_port, authority, kubeconfig)
        _wait_ready(server, folder / "apiserver.log")
        yield server


def _run(stack: contextlib.ExitStack, log: Path, command: Sequence[str]) -> None:
    output = stack.enter_context(log.open("wb"))
    process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    stack.callback(_stop, process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_ready(server: RealServer, log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if server.request("/readyz")[0] == 200:
                return
        time.sleep(0.2)
    pytest.fail(f"kube-apiserver was not ready: {log.read_text()[-2000:]}")
