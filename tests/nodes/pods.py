"""A rendered pod's container as a plain process: its command, arguments, environment, and what it has mounted.

It has a loopback address of its own in place of a pod's, and a folder in place of a root; where a text names one of the
pod's paths, every address or a Service, it is given ours. No image, user, limit or read-only root is real here.
"""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.nodes.people import KUBENTLY
from tests.testbed import binaries
from tests.testbed.processes import Process

Object = Mapping[str, Any]
Data = Mapping[str, bytes]


@dataclass(frozen=True)
class Given:
    """What of a namespace pods can mount, by name."""

    secrets: Mapping[str, Data]
    configs: Mapping[str, Data]


class Pod:
    """One pod of *template*, in *folder*, at *address*; *meanings* are texts by what they are replaced with."""

    def __init__(self, template: Object, given: Given, folder: Path, address: str, meanings: Mapping[str, str]) -> None:
        self.address = address
        self._spec: Object = template["spec"]
        self._container: Object = self._spec["containers"][0]
        self._folder = folder
        self._root = folder / "root"
        paths = {mount["mountPath"]: f"{self._root}{mount['mountPath']}" for mount in self._container["volumeMounts"]}
        self._meanings = {**paths, "0.0.0.0": address, **meanings}
        self._process: Process | None = None
        self.image: str = self._container["image"]
        self.mount(given)

    def mount(self, given: Given) -> None:
        """Write what is mounted, as it is now."""
        volumes = {volume["name"]: volume for volume in self._spec.get("volumes", ())}
        for mount in self._container["volumeMounts"]:
            place = Path(f"{self._root}{mount['mountPath']}")
            place.mkdir(parents=True, exist_ok=True)
            for name, content in self._content(volumes.get(mount["name"], {}), given).items():
                # A reader never sees half of it.
                made = place / f".{name}"
                made.write_bytes(content)
                made.rename(place / name)

    def start(self, given: Given, more: Mapping[str, str]) -> None:
        """Start it; *more* is further environment."""
        variables = {name: self._meant(value) for name, value in self._environment(given).items()}
        home = self._root / "tmp"
        home.mkdir(parents=True, exist_ok=True)
        path = f"{binaries.find_kubectl().parent}:/usr/bin:/bin"
        environment = {"HOME": str(home), "TMPDIR": str(home), "PATH": path, **more, **variables}
        words = [self._meant(_expanded(word, environment)) for word in self._words()]
        program = KUBENTLY if not self._container.get("command") else shutil.which(words.pop(0))
        assert program is not None, self._container["command"]
        self._process = Process([program, *words], log=self._folder / "log", env=environment, cwd=self._folder)

    def is_ready(self) -> bool:
        """Whether it takes requests. Raises AssertionError, with the end of its log, when it has ended."""
        process = self._running()
        assert process.is_running, process.tail()
        probe = self._container.get("readinessProbe", {}).get("httpGet")
        return self._answers(self._port(probe["port"]), probe["path"]) if probe else self._connects()

    def stop(self) -> None:
        """End it as kubelet does."""
        hook = self._container.get("lifecycle", {}).get("preStop", {}).get("exec")
        if hook:
            subprocess.run(hook["command"], check=True)
        self._running().stop(grace=self._spec["terminationGracePeriodSeconds"])

    def kill(self) -> None:
        """End it at once. Idempotent."""
        if self._process is not None:
            self._process.kill()

    def finish(self, timeout: float) -> str:
        """Wait until it ends by itself; what it printed. It must end well."""
        process = self._running()
        assert process.wait(timeout) == 0, process.tail()
        return process.tail(100_000)

    # ------------------------------------------------------------------ parts

    def _running(self) -> Process:
        assert self._process is not None
        return self._process

    def _words(self) -> list[str]:
        # Redis listens everywhere unless it is told where.
        bound = ["--bind", self.address] if "redis-server" in self._container.get("command", ()) else []
        return [*self._container.get("command", ()), *self._container.get("args", ()), *bound]

    def _environment(self, given: Given) -> dict[str, str]:
        found: dict[str, str] = {}
        for entry in self._container.get("env", ()):
            found[entry["name"]] = _expanded(entry["value"], found) if "value" in entry else self._from(entry, given)
        return found

    def _from(self, entry: Object, given: Given) -> str:
        source = entry["valueFrom"]
        if "secretKeyRef" in source:
            return given.secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]].decode()
        assert source["fieldRef"]["fieldPath"] == "status.podIP", source
        return self.address

    def _content(self, volume: Object, given: Given) -> Data:
        if "secret" in volume:
            secret = volume["secret"]
            assert secret["secretName"] in given.secrets or secret.get("optional"), secret
            return _chosen(given.secrets.get(secret["secretName"], {}), secret)
        if "configMap" in volume:
            data = _chosen(given.configs[volume["configMap"]["name"]], volume["configMap"])
            return {name: self._meant(content.decode()).encode() for name, content in data.items()}
        found: dict[str, bytes] = {}
        for source in volume.get("projected", {}).get("sources") or ():
            found |= _chosen(given.secrets[source["secret"]["name"]], source["secret"])
        return found

    def _meant(self, text: str) -> str:
        longest_first = sorted(self._meanings, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)), lambda match: self._meanings[match[0]], text)

    def _port(self, name: str | int) -> int:
        ports = {port["name"]: port["containerPort"] for port in self._container["ports"]}
        return int(ports.get(name, name))

    def _answers(self, port: int, path: str) -> bool:
        with closing(http.client.HTTPConnection(self.address, port, timeout=5)) as connection:
            try:
                connection.request("GET", path)
                return connection.getresponse().status == 200
            except OSError:
                return False

    def _connects(self) -> bool:
        try:
            socket.create_connection((self.address, self._container["ports"][0]["containerPort"]), timeout=5).close()
        except OSError:
            return False
        return True


def _chosen(data: Data, source: Object) -> Data:
    items = source.get("items")
    return {item["path"]: data[item["key"]] for item in items if item["key"] in data} if items else data


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), text)
