"""A person outside of the clusters: the command line, kubectl and plain HTTPS, by the API's name."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.testbed import binaries, pki

KUBENTLY = Path(sys.executable).with_name("kubently")


@dataclass
class Person:
    """Somebody who trusts *ca* (PEM), and whose machine knows *names* (addresses by name; root is needed for any)."""

    home: Path
    url: str
    key: str = field(repr=False)
    ca: bytes
    names: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    """Further environment."""

    def kubently(self, *args: str, stdin: str | None = None, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Run ``kubently ARGS`` to its end."""
        argv = self._argv(KUBENTLY, *args)
        return subprocess.run(
            argv, env=self._environment(), input=stdin, capture_output=True, text=True, timeout=timeout
        )

    def said(self, *args: str) -> str:
        """What ``kubently ARGS`` prints; it must end well."""
        done = self.kubently(*args)
        assert done.returncode == 0, f"kubently {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def run(self, cluster: str, *argv: str) -> str:
        """What a kubectl command on *cluster* prints."""
        return self.said("run", cluster, "--", *argv)

    def kubectl(self, cluster: str, *argv: str) -> str:
        """What this person's own kubectl prints, through the API."""
        return self.said("kubectl", cluster, "--", *argv)

    @contextmanager
    def following(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """``kubently ARGS``, which prints on and on, while the block runs."""
        argv = self._argv(KUBENTLY, *args)
        process = subprocess.Popen(
            argv, env=self._environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        with process:
            try:
                yield process
            finally:
                # It may have a kubectl of its own.
                os.killpg(process.pid, signal.SIGKILL)

    def _argv(self, *argv: str | Path) -> list[str]:
        """In a mount namespace with a hosts file of its own: root changes nothing of the machine's."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "ca.crt").write_bytes(self.ca)
        if not self.names:
            return list(map(str, argv))
        hosts = self.home / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{a} {name}\n" for name, a in self.names.items()))
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        unshare = shutil.which("unshare") or "unshare"
        return [unshare, "--mount", "sh", "-ec", script, str(hosts), *map(str, argv)]

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": f"{binaries.find_kubectl().parent}:/usr/bin:/bin",
            "KUBENTLY_URL": self.url,
            "KUBENTLY_API_KEY": self.key,
            "KUBENTLY_CA_CERT": str(self.home / "ca.crt"),
            **self.more,
        }


class Load:
    """Commands on *clusters* one after another, each over a connection of its own; what failed is kept.

    Each is asked once: there is no second try that would hide a loss.
    """

    def __init__(self, address: tuple[str, int], name: str, ca: bytes, key: str, clusters: Sequence[str]) -> None:
        self._address = address
        self._name = name
        self._context = pki.client_context(ca)
        self._key = key
        self._clusters = clusters
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(cluster,)) for cluster in clusters]
        self.answered = 0
        self.failures: list[str] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(120)

    def _work(self, cluster: str) -> None:
        while not self._end.is_set():
            try:
                problem = self._ask(cluster)
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem = repr(error)
            if problem:
                self.failures.append(f"{cluster}: {problem}")
            else:
                self.answered += 1

    def _ask(self, cluster: str) -> str:
        body = json.dumps({"argv": ["get", "namespaces", "-o", "name"]})
        headers = {"Authorization": f"Bearer {self._key}", "Host": self._name, "Content-Type": "application/json"}
        with closing(self._connection()) as connection:
            connection.request("POST", f"/api/v1/clusters/{cluster}/commands", body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        if answer.status != 200:
            return f"{answer.status} {text[:300]}"
        outcome: dict[str, Any] = json.loads(text)
        return "" if "namespace/kube-system" in outcome.get("stdout", "") else f"not what was asked for: {text[:300]}"

    def _connection(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(self._name, self._address[1], timeout=60, context=self._context)
        plain = socket.create_connection(self._address, timeout=60)
        connection.sock = self._context.wrap_socket(plain, server_hostname=self._name)
        return connection


def served(address: tuple[str, int], name: str) -> bytes:
    """The certificate (PEM) that is served for *name*, whoever signed it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(address, timeout=10)
    with context.wrap_socket(plain, server_hostname=name) as secured:
        der = secured.getpeercert(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(der or b"").encode()
