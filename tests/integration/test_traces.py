"""One request, traced from the command line to the API server, over real processes and a real OTLP receiver."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from kubently import tracing
from kubently.client import Api
from kubently.schema import ClusterState
from kubently.store import MemoryStore
from kubently.testing import ScriptedExecutor, run_fleet

Emit = Callable[[bytes], Awaitable[None]]
KEY = "kbk_" + "b" * 40
PODS = {
    "resource": "pods",
    "responseKind": {"group": "", "version": "", "kind": "Pod"},
    "scope": "Namespaced",
    "singularResource": "pod",
    "verbs": ["get", "list", "watch"],
}
ANSWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "/api": (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "items": [{"metadata": {}, "versions": [{"version": "v1", "resources": [PODS], "freshness": "Current"}]}],
        },
    ),
    "/apis": (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": []},
    ),
    "/api/v1/pods": ("application/json", {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []}),
}
SOMETHING = ("application/json", {"metadata": {"uid": "u-1"}, "gitVersion": "v1.36.0"})
PARENT = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


@dataclass
class Span:
    """One span as it was received."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]


@dataclass
class Collector:
    """An OTLP receiver, and an API server that notes what it is asked."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    traceparents: list[tuple[str, str]] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        """Read one export."""
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
            for scope in of_resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Span(
                            resource["service.name"],
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            {pair.key: pair.value.string_value for pair in span.attributes},
                        )
                    )


@contextlib.contextmanager
def serving(collector: Collector) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer("application/json", {})

        def do_GET(self) -> None:
            collector.traceparents.append((self.path, self.headers.get("traceparent", "")))
            self._answer(*ANSWERS.get(self.path.partition("?")[0], SOMETHING))

        def _answer(self, media_type: str, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_port}"
        yield
        server.shutdown()
        thread.join(10)


@contextlib.contextmanager
def program(environ: dict[str, str], words: list[str], until: str) -> Iterator[str]:
    """A kubently process; gives the log line that has *until*, and everything it logged in ``environ["LOG"]``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kubently.main", *words],
        env={"PATH": os.environ["PATH"], "HOME": environ["HOME"], **environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process:
        try:
            seen = []
            for line in process.stderr:
                seen.append(line)
                if until in line:
                    break
            else:
                raise AssertionError("".join(seen))
            rest = threading.Thread(target=lambda: Path(environ["LOG"]).write_text(process.stderr.read()))  # type: ignore[union-attr]
            rest.start()
            yield line
        finally:
            process.terminate()
            process.wait(30)
            with contextlib.suppress(UnboundLocalError):
                rest.join(10)


def kubeconfig(url: str, path: Path) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": url}}],
        "users": [{"name": "x", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    path.write_text(json.dumps(config))
    return path


@contextlib.contextmanager
def fleet(tmp_path: Path, collector: Collector, traced: dict[str, str]) -> Iterator[dict[str, str]]:
    """An API and an executor; gives the environment of a command line for them."""
    common = {"HOME": str(tmp_path), **traced}
    control = {
        **common,
        "KUBENTLY_LISTEN": "127.0.0.1:0",
        "KUBENTLY_ADMIN_KEY": KEY,
        "KUBENTLY_LOG_LEVEL": "debug",
        "LOG": str(tmp_path / "api.log"),
    }
    with program(control, ["api"], '"event": "listening"') as line:
        match = re.search(r'"port": (\d+)', line)
        assert match is not None
        url = f"http://127.0.0.1:{match[1]}"
        token = Api(url, KEY).post("/api/v1/clusters/prod/tokens")["token"]
        executor = {
            **common,
            "KUBENTLY_API_URL": url,
            "KUBENTLY_CLUSTER_ID": "prod",
            "KUBENTLY_TOKEN": token,
            "KUBENTLY_KUBECONFIG": str(kubeconfig(collector.url, tmp_path / "kubeconfig")),
            "LOG": str(tmp_path / "executor.log"),
        }
        with program(executor, ["executor"], '"event": "connected'):
            yield {**common, "KUBENTLY_URL": url, "KUBENTLY_API_KEY": KEY, "PATH": os.environ["PATH"]}


def command_line(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubently.main", *words], env=environ, capture_output=True, text=True, timeout=60
    )


def test_one_trace_from_the_command_line_to_the_api_server(tmp_path: Path) -> None:
    collector = Collector()
    with serving(collector):
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with fleet(tmp_path, collector, traced) as environ:
            done = command_line(environ, "run", "prod", "--", "get", "pods", "-A", "-o", "json")

    assert done.returncode == 0, done.stderr
    (root,) = [span for span in collector.spans if span.name == "kubently run"]
    mine = {span.id: span for span in collector.spans if span.trace == root.trace}
    (asked,) = [span for span in mine.values() if span.attributes.get("url.path") == "/api/v1/pods"]
    way = [asked]
    while way[-1].parent in mine:
        way.append(mine[way[-1].parent])
    assert [(span.service, span.name) for span in way] == [
        ("kubently-executor", "kube-apiserver"),
        ("kubently-executor", "executor commands"),
        ("kubently-api", "POST rest"),
        ("kubently-cli", "POST"),
        ("kubently-cli", "kubently run"),
    ]
    assert root.parent == ""
    told = {traceparent for path, traceparent in collector.traceparents if "/pods" in path}
    assert {traceparent[:52] for traceparent in told} == {f"00-{asked.trace}-{asked.id}"}


def test_without_a_collector_the_trace_is_passed_on_and_logged(tmp_path: Path) -> None:
    api_server = Collector()
    with serving(api_server), fleet(tmp_path, api_server, {}) as environ:
        done = command_line({**environ, "TRACEPARENT": PARENT}, "run", "prod", "--", "get", "pods", "-A", "-o", "json")
        plain = command_line(environ, "run", "prod", "--", "get", "pods", "-A", "-o", "json")

    logged = [json.loads(line) for line in (tmp_path / "api.log").read_text().splitlines() if '"request"' in line]
    assert (done.returncode, plain.returncode) == (0, 0), done.stderr
    assert [t for path, t in api_server.traceparents if "/pods" in path] == [PARENT, ""]
    commands = [line.get("trace_id") for line in logged if line.get("path", "").endswith("/commands")]
    assert commands == ["ab" * 16, None]
    assert api_server.spans == []


@pytest.mark.parametrize(
    "environ", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}]
)
def test_what_is_off_is_not_imported(environ: dict[str, str]) -> None:
    code = "import sys; sys.argv[1:] = ['--version']\nfrom kubently.main import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print([name for name in sys.modules if name.startswith('opentelemetry')])"

    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True
    )

    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(
    "header", ["", "x", PARENT + "0", PARENT.upper(), "00-" + "0" * 32 + PARENT[35:], "ff" + PARENT[2:], PARENT + "\n"]
)
def test_what_is_no_traceparent_is_dropped(header: str) -> None:
    assert tracing.parse(header) == ""
    assert tracing.parse(PARENT) == PARENT


class Recorder:
    """Takes spans in this process."""

    def __init__(self) -> None:
        self.spans: list[Recorded] = []

    def start(self, name: str, kind: tracing.Kind, parent: str) -> tracing.Open:
        span = Recorded(name, parent, f"{parent[:35] or PARENT[:35]}-{len(self.spans) + 1:016x}-01")
        self.spans.append(span)
        return span


@dataclass
class Recorded:
    """One of them."""

    name: str
    parent: str
    traceparent: str
    failure: str = "it did not end"

    def note(self, name: str, value: str | int) -> None:
        pass

    def end(self, failure: str) -> None:
        self.failure = failure


async def done(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
    return {"ending": "exited", "exit_code": 0}


@pytest.mark.anyio
@pytest.mark.parametrize("is_traced", [True, False])
async def test_a_trace_goes_on_at_the_replica_that_holds_the_cluster(tmp_path: Path, is_traced: bool) -> None:
    recorder = Recorder()
    if is_traced:
        tracing.tracer.set(recorder)
    store = MemoryStore(clock=time.monotonic)
    listen = {"store": store, "peer_listen": ("127.0.0.1", 0)}
    async with run_fleet(tmp_path, **listen) as one, run_fleet(tmp_path, **listen) as other:
        executor = ScriptedExecutor(done)
        await one.add("prod", executor)
        await other.wait_for(lambda: other.state("prod") is ClusterState.CONNECTED)
        recorder.spans.clear()

        headers = {"traceparent": PARENT}
        answer = await other.http.post("/api/v1/clusters/prod/commands", json={"argv": ["get", "x"]}, headers=headers)

    await store.aclose()
    assert answer.status_code == 200
    told = executor.headers[0][tracing.HEADER].decode()
    if not is_traced:
        assert told == PARENT
        return
    rest, peer = recorder.spans[:2]
    assert [(span.name, span.parent, span.failure) for span in (rest, peer)] == [
        ("POST rest", PARENT, ""),
        ("peer", rest.traceparent, ""),
    ]
    assert told == peer.traceparent
