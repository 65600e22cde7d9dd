"""Which road a command takes, and how the native one ends: limits, time-out, callers that leave."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from kubently.executor.caller import Caller
from kubently.executor.native import Native, Roads
from kubently.kube import kubectl as argv_policy
from kubently.wire import records

from .served import Served, table

pytestmark = pytest.mark.anyio

PODS = "/api/v1/namespaces/default/pods"
STATUS = records.encode(records.STATUS, b'{"by": "kubectl"}')


class Kubectl:
    """Stands in for the road behind; remembers what came to it."""

    def __init__(self) -> None:
        self.runs: list[tuple[tuple[str, ...], float, float]] = []

    async def run(self, command: Any, *, timeout: float, caller: Any, emit: Any, spent: float = 0.0) -> bytes:
        self.runs.append((command.argv, timeout, spent))
        await emit(records.encode(records.STDOUT, b"by kubectl\n"))
        return STATUS


class Reply:
    """What a caller gets."""

    def __init__(self, taken: list[tuple[int, bytes]], status: dict[str, Any]) -> None:
        self.out = b"".join(data for channel, data in taken if channel == records.STDOUT)
        self.err = b"".join(data for channel, data in taken if channel == records.STDERR)
        self.status = status


Run = Callable[..., Awaitable[Reply]]


def running(served: Served, *, max_output: int = 100_000) -> tuple[Run, Kubectl]:
    kubectl = Kubectl()
    roads = Roads(Native(served, max_output=max_output), kubectl)  # type: ignore[arg-type]

    async def run(line: str, timeout: float = 5) -> Reply:
        taken: list[tuple[int, bytes]] = []

        async def emit(record: bytes) -> None:
            taken.extend(records.Reader().feed(record))

        command = argv_policy.parse(line.split())
        status = await roads.run(command, timeout=timeout, caller=Caller(), emit=emit)
        return Reply(taken, json.loads(status[5:]))

    return run, kubectl


async def test_a_get_is_answered_without_kubectl() -> None:
    run, kubectl = running(Served({PODS: table("web")}))

    reply = await run("get pods")

    assert (reply.out, reply.err, kubectl.runs) == (b"NAME\nweb\n", b"", [])
    assert reply.status.pop("seconds") >= 0
    assert reply.status == {
        "ending": "exited",
        "exit_code": 0,
        "stdout_bytes": 9,
        "stderr_bytes": 0,
        "truncated": False,
    }


@pytest.mark.parametrize("line", ["get pods -w", "describe pod web", "get unheardof", "logs deploy/web"])
async def test_what_it_does_not_know_goes_to_kubectl_and_nothing_was_printed_before(line: str) -> None:
    run, kubectl = running(Served({PODS: table("web")}))

    reply = await run(line, timeout=7)

    assert (reply.out, reply.status) == (b"by kubectl\n", {"by": "kubectl"})
    [(argv, timeout, spent)] = kubectl.runs
    assert argv == argv_policy.parse(line.split()).argv
    assert timeout == 7
    assert 0 <= spent < 7


async def test_a_type_that_is_new_is_found() -> None:
    served = Served({PODS: table("web"), "/apis/example/v1/namespaces/default/gadgets": table("g")})
    run, kubectl = running(served)
    await run("get pods")
    gadgets = {"resource": "gadgets", "singularResource": "gadget", "scope": "Namespaced"}
    versions = [{"version": "v1", "resources": [{**gadgets, "responseKind": {"kind": "Gadget"}}]}]
    served.answers["/apis"] = {
        "kind": "APIGroupDiscoveryList",
        "items": [{"metadata": {"name": "example"}, "versions": versions}],
    }

    assert (await run("get gadgets")).out == b"NAME\ng\n"
    assert kubectl.runs == []


async def test_discovery_is_asked_for_once() -> None:
    served = Served({PODS: table("web")})
    run, _ = running(served)

    for _ in range(3):
        await run("get pods")

    assert [path for path, _, _ in served.asked] == ["/api", "/apis", PODS, PODS, PODS]


async def test_output_is_cut_at_the_limit_and_says_so() -> None:
    run, _ = running(Served({PODS: table("a-long-name", "b")}), max_output=8)

    reply = await run("get pods")

    assert reply.out == b"NAME\na-l\n[kubently: cut after 8 bytes; the output was 19 bytes or more]\n"
    assert reply.status["truncated"] is True
    assert (reply.status["exit_code"], reply.status["stdout_bytes"]) == (0, 19)


class Slow(Served):
    """Answers everything but discovery with a first piece and then nothing."""

    def __init__(self, first: bytes) -> None:
        super().__init__({"/api/v1/namespaces/default/pods/web": POD})
        self._first = first
        self.waiting = anyio.Event()
        self.open = 0

    async def serve(self, scope: Any, receive: Any, send: Any, *, path: bytes, caller: Caller) -> None:
        if path.decode() in self.answers:
            await super().serve(scope, receive, send, path=path, caller=caller)
            return
        self.open += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            self.waiting.set()
            await anyio.sleep_forever()
        finally:
            self.open -= 1


POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "main"}, {"name": "side"}]},
}


async def test_a_command_ends_at_its_time_out_as_a_child_would() -> None:
    served = Slow(b'{"kind": ')
    run, kubectl = running(served)

    reply = await run("get pods", timeout=0.05)

    assert (reply.out, reply.err) == (b"", b"[kubently: killed after 0.05 s]\n")
    assert (reply.status["ending"], reply.status["exit_code"]) == ("timed-out", None)
    assert (served.open, kubectl.runs) == (0, [])


async def test_a_followed_log_comes_as_it_grows_and_ends_at_its_time_out() -> None:
    served = Slow(b"first\n")
    run, _ = running(served)

    reply = await run("logs web -f", timeout=0.05)

    assert reply.out == b"first\n"
    assert reply.err == b'Defaulted container "main" out of: main, side\n[kubently: killed after 0.05 s]\n'
    assert served.open == 0


async def test_a_followed_log_ends_at_the_limit_as_a_killed_child_would() -> None:
    served = Slow(b"0123456789")
    run, _ = running(served, max_output=4)

    reply = await run("logs web main -f")

    assert reply.out.startswith(b"0123\n[kubently: cut after 4 bytes;")
    assert (reply.status["ending"], reply.status["exit_code"]) == ("exited", 137)
    assert served.open == 0


async def test_a_caller_who_leaves_ends_the_request() -> None:
    served = Slow(b"first\n")
    run, _ = running(served)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, "logs web -f")
        await served.waiting.wait()
        tasks.cancel_scope.cancel()

    assert served.open == 0


LOG = "/api/v1/namespaces/default/pods/web/log"


@pytest.mark.parametrize(
    ("line", "annotations", "err", "code"),
    [
        ("logs web", {}, 'Defaulted container "main" out of: main, side (ephem), init (init)\n', 0),
        ("logs web", {"kubectl.kubernetes.io/default-container": "side"}, "", 0),
        (
            "logs web",
            {"kubectl.kubernetes.io/default-container": "x"},
            'Default container name "x" not found in pod web\n'
            'Defaulted container "main" out of: main, side (ephem), init (init)\n',
            0,
        ),
        ("logs web -c init", {}, "", 0),
        (
            "logs web -c x",
            {},
            "error: container x is not valid for pod web out of: main, side (ephem), init (init)\n",
            1,
        ),
        ("logs gone", {}, 'error: error from server (NotFound): /gone not found in namespace "default"\n', 1),
    ],
)
async def test_the_container_is_chosen_and_said_as_by_kubectl(
    line: str, annotations: dict[str, str], err: str, code: int
) -> None:
    spec = {
        "containers": [{"name": "main"}],
        "ephemeralContainers": [{"name": "side"}],
        "initContainers": [{"name": "init"}],
    }
    pod = {**POD, "metadata": {"name": "web", "annotations": annotations}, "spec": spec}
    run, kubectl = running(Served({f"{PODS}/web": pod, LOG: b"a line\n"}))

    reply = await run(line)

    assert (reply.err.decode().replace(PODS, ""), reply.status["exit_code"]) == (err, code)
    assert reply.out == (b"" if code else b"a line\n")
    assert kubectl.runs == []
