"""What must always hold, each with a test of its name."""

import ast
import hmac
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

import kubently
from kubently.auth import digests
from kubently.errors import ConfigError
from kubently.executor.program import load_policy
from kubently.testing import ScriptedExecutor, run_fleet
from kubently.wire import records

SOURCE = Path(kubently.__file__).parent


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path, node


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "mode: full",
        "mode: read-only\nallow: everything",
        "mode: read-only\ndeny: [{name: x, verb: get}]",
        "[]",
    ],
)
def test_no_policy_no_start(tmp_path: Path, text: str) -> None:
    """A policy that is missing, unreadable or says something unknown keeps the executor from starting."""
    path = tmp_path / "policy.yaml"
    with pytest.raises(ConfigError):
        load_policy(path)
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_policy(path)


def test_a_good_policy_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("mode: read-only\nnarrow: {namespaces: [shop]}\n")

    assert load_policy(path).narrowing.namespaces == {"shop"}
    assert load_policy(None).secrets == "none"


def test_no_shell_anywhere() -> None:
    found = []
    for path, call in calls():
        name = ast.unparse(call.func)
        shell = any(
            k.arg == "shell" and not (isinstance(k.value, ast.Constant) and not k.value.value) for k in call.keywords
        )
        if shell or name.endswith(("create_subprocess_shell", "os.system", "os.popen", "getoutput", "getstatusoutput")):
            found.append(f"{path}:{call.lineno}")
    assert found == []


def test_nothing_is_evaluated() -> None:
    """Text from outside is data: no eval, exec, pickle or unsafe YAML."""
    banned = {"eval", "exec", "pickle.loads", "pickle.load", "marshal.loads", "yaml.load", "yaml.unsafe_load"}
    safe = "SafeLoader"
    found = [
        f"{path}:{call.lineno}"
        for path, call in calls()
        if ast.unparse(call.func) in banned and safe not in ast.unparse(call)
    ]
    assert found == []


def test_a_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[object, object]] = []
    real = hmac.compare_digest

    def spy(a: Any, b: Any) -> bool:
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr(digests.hmac, "compare_digest", spy)

    assert digests.matches("token", "token")
    assert digests.matches("token", digests.digest("token"))
    assert not digests.matches("token", "other")
    assert len(compared) == 3
    assert all(len(str(a)) == len(str(b)) for a, b in compared)


@pytest.mark.anyio
async def test_output_is_never_logged_or_audited(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    marker = "do-not-keep-this-7f3a"

    async def talk(request: Mapping[str, Any], emit: Any) -> Mapping[str, Any]:
        await emit(records.encode(records.STDOUT, marker.encode()))
        await emit(records.encode(records.STDERR, marker.encode()))
        return {"ending": "exited", "exit_code": 1}

    with caplog.at_level(logging.DEBUG):
        async with run_fleet(tmp_path) as fleet:
            await fleet.add("prod", ScriptedExecutor(talk))
            answer = await fleet.http.post("/api/v1/clusters/prod/commands", json={"argv": ["get", "pods"]})
            audit = [line.raw for line in await fleet.serving.services.audit.log.lines()]

    assert marker in answer.text
    assert not any(marker in record.getMessage() or marker in str(record.__dict__) for record in caplog.records)
    assert [b'"action":"command"' in line for line in audit] == [False, True, True]
    assert not any(marker.encode() in line for line in audit)


@pytest.mark.anyio
async def test_keys_and_tokens_are_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with run_fleet(tmp_path) as fleet:
            await fleet.http.get("/api/v1/clusters", headers={"Authorization": "Bearer leaked-key-9b1d"})
            with anyio.move_on_after(5):
                try:
                    await fleet.dial("prod", "leaked-token-9b1d", ScriptedExecutor(None))  # type: ignore[arg-type]
                except OSError:
                    pass
                except kubently.errors.TunnelError:  # type: ignore[attr-defined]
                    pass

    # httpx and websockets are the test's own side; what counts is what Kubently says.
    said = [r for r in caplog.records if r.name.startswith(("kubently", "uvicorn"))]
    assert said
    assert not any("9b1d" in str(r.__dict__) for r in said)
