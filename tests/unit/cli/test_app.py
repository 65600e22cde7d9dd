"""The root command: what it says alone, its help, and how it fails."""

from __future__ import annotations

import pytest
from tests.references import command_line, errors
from tests.unit.cli.fake import fake_api, problem, run

from kubently import __version__
from kubently.cli import state
from kubently.cli.app import WELCOME

CALLS = [path.split()[1:] for path, _ in command_line.walk(command_line.root, "kubently")]


def test_alone_it_says_what_to_do_next() -> None:
    result = run()

    assert (result.exit_code, result.stdout, result.stderr) == (0, WELCOME, "")
    assert "kubently up" in WELCOME
    assert max(map(len, WELCOME.splitlines())) <= 80


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help(words: list[str], option: str) -> None:
    result = run(*words, option)

    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: {' '.join(['kubently', *words])} ")
    assert result.stderr == ""


def test_help_lists_every_command_with_a_line() -> None:
    shown = run("--help").stdout

    for name in command_line.root.list_commands(None):  # type: ignore[arg-type]
        assert any(line.split()[:1] == [name] and len(line.split()) > 2 for line in shown.splitlines()), name


def test_version() -> None:
    assert run("--version").stdout.strip().endswith(__version__)


@pytest.mark.parametrize(
    "words", [["nope"], ["run", "--nope"], ["token"], ["token", "nope"], ["diagnose", "--fail-on=x"]]
)
def test_wrong_words_are_a_usage_error(words: list[str]) -> None:
    result = run(*words)

    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert result.stdout == ""


def test_without_an_api_it_says_how_to_get_one() -> None:
    result = run("clusters")

    assert result.exit_code == state.USAGE
    assert result.stderr.startswith("error: no API is configured [config-invalid]\n  try: kubently up")


def test_unreachable_api_is_one_sentence_and_a_hint() -> None:
    result = run("clusters", env={"KUBENTLY_URL": "http://127.0.0.1:1"})

    assert result.exit_code == state.UNAVAILABLE
    assert result.stderr == (
        "error: nothing listens at http://127.0.0.1:1 [dial-refused]\n"
        "  try: check the address and whether the API runs\n"
    )


@pytest.mark.parametrize("code", sorted(errors.codes()))
def test_error_of_the_api_has_its_documented_exit_code(code: str) -> None:
    with fake_api({("GET", "/api/v1/clusters"): (418, problem(code, hint="look"))}) as api:
        result = api.run("clusters")

    assert result.exit_code == state.exit_code(code)
    assert result.stderr == f"error: it is so [{code}]\n  try: look\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("command-invalid", 64),
        ("cluster-not-found", 64),
        ("executor-offline", 69),
        ("api-unreachable", 69),
        ("command-unknown", 69),
        ("internal", 70),
        ("never-heard-of", 70),
        ("too-many-commands", 75),
        ("command-denied", 77),
        ("unauthenticated", 77),
        ("command-timeout", 124),
    ],
)
def test_exit_codes_that_scripts_rely_on(code: str, exit_code: int) -> None:
    assert state.exit_code(code) == exit_code


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_the_shells(shell: str) -> None:
    result = run("completion", shell)

    assert result.exit_code == 0
    assert f"{shell}_complete" in result.stdout
    assert "_KUBENTLY_COMPLETE" in result.stdout


def test_completion_completes_commands() -> None:
    result = run(env={"_KUBENTLY_COMPLETE": "bash_complete", "COMP_WORDS": "kubently di", "COMP_CWORD": "1"})

    assert result.stdout.split() == ["plain,diagnose"]
