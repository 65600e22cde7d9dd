"""`kubently executor doctor` and several environments, against real APIs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from tests.integration.test_survival import executor, plane, until

from kubently import doctor
from kubently.cli.app import root
from kubently.doctor import Report, Subject
from kubently.doctor.results import error, passed
from kubently.main import servers

pytestmark = pytest.mark.anyio


async def _run(*words: str, env: Mapping[str, str]) -> tuple[int, list[dict[str, Any]], str]:
    command = servers.executor if words[0] == "executor" else root
    arguments = list(words[1:] if words[0] == "executor" else words)

    def invoke() -> Any:
        return CliRunner().invoke(command, [*arguments, "--hold", "0", "-o", "json"], env=env)

    run = await anyio.to_thread.run_sync(invoke)
    return run.exit_code, json.loads(run.stdout)["checks"] if run.stdout else [], run.output


def _environ(tmp_path: Path, url: str, token: str) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "KUBENTLY_API_URL": url,
        "KUBENTLY_CLUSTER_ID": "prod",
        "KUBENTLY_TOKEN": token,
    }


async def test_executor_looks_with_its_own_settings_and_disturbs_nobody(tmp_path: Path) -> None:
    async with plane(tmp_path) as one:
        token = await one.token()
        async with executor(token, one.url) as runs:
            await until(lambda: one.transports == ["websocket"] * 2)
            before = one.cluster.executors[0].sessions

            code, checks, output = await _run("executor", "doctor", env=_environ(tmp_path, one.url, token))

            assert one.cluster.executors[0].sessions == before
            assert runs.app.requests == []
    found = {check["id"]: check["status"] for check in checks}
    assert code == 0, output
    assert [found[name] for name in ("auth-accepted", "stream-upgrade", "stream-echo")] == ["pass"] * 3
    assert token not in output


async def test_executor_with_a_wrong_token_is_told_so(tmp_path: Path) -> None:
    async with plane(tmp_path) as one:
        await one.token()

        code, checks, _ = await _run("executor", "doctor", env=_environ(tmp_path, one.url, "nobody-gave-this-token"))

    found = {check["id"]: check for check in checks}
    assert (code, found["auth-accepted"]["status"]) == (3, "error")
    assert found["stream-upgrade"]["status"] == "skipped"


async def test_one_token_in_two_environments_is_an_error(tmp_path: Path) -> None:
    folders, token = [tmp_path / "a", tmp_path / "b"], "given-to-both-environments"
    for folder in folders:
        (folder / "tokens").mkdir(parents=True)
        (folder / "tokens" / "prod").write_text(token)
    a, b = [folder / "tokens" for folder in folders]
    async with plane(folders[0], tokens_dir=a) as one, plane(folders[1], tokens_dir=b) as two:
        file = tmp_path / "token"
        file.write_text(token)
        words = ["doctor", "--cluster", "prod", "--token-file", str(file), "--url", one.url, "--url", two.url]

        code, checks, output = await _run(*words, env={"HOME": str(tmp_path)})

    assert code == 3
    assert [check["code"] for check in checks if check["status"] == "error"] == ["token-shared"]
    assert token not in output


def test_who_waits_looks_until_there_is_no_error() -> None:
    reports = [Report((error("x", "y"),)), Report((error("x", "y"),)), Report((passed(),))]

    found = doctor.run_until(lambda: reports.pop(0), wait=60, pause=0)

    assert (found.exit_code(fail_on_warning=False), reports) == (0, [])


def test_who_does_not_wait_looks_once() -> None:
    reports = [Report((error("x", "y"),)), Report((passed(),))]

    found = doctor.run_until(lambda: reports.pop(0), wait=0)

    assert (found.exit_code(fail_on_warning=False), len(reports)) == (3, 1)


def test_several_apis_are_told_apart() -> None:
    subjects = (Subject("http://127.0.0.1:1"), Subject("http://127.0.0.2:1"))

    report = doctor.run_each(doctor.CHECKS, subjects, only=("local", "tcp"))

    titles = [result.title for result in report.results if result.id == "tcp-connects"]
    assert [title.endswith(f"({s.url})") for title, s in zip(titles, subjects, strict=True)] == [True, True]
    assert [result.id for result in report.results].count("local-versions") == 1
