"""Tables: drawn for a terminal's width with colours, plain and uncut when piped."""

from __future__ import annotations

import contextlib
import io

import pytest
from rich.table import Table
from rich.text import Text

from kubently.cli.render import console

LONG = "a-word " * 40


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")


TABLE = console.table(("NAME", "STATE", "NOTE"), [("prod-eu", Text("connected", "green"), LONG)])


def _on_a_terminal(table: Table) -> str:
    with contextlib.redirect_stdout(Terminal()) as terminal:
        console.show(table)
    return terminal.getvalue()


def test_terminal_gets_colours_and_its_width() -> None:
    drawn = _on_a_terminal(TABLE)

    plain = Text.from_ansi(drawn).plain
    assert "\x1b[32mconnected" in drawn
    assert max(map(len, plain.splitlines())) <= 40
    assert plain.count("a-word") == 40


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    drawn = _on_a_terminal(TABLE)

    assert "\x1b[32m" not in drawn
    assert "connected" in drawn


def test_piped_output_is_plain_and_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    console.show(TABLE)

    head, row = capsys.readouterr().out.splitlines()
    assert head == "NAME     STATE      NOTE"
    assert row == f"prod-eu  connected  {LONG.rstrip()}"


def test_only_the_last_column_folds() -> None:
    table = console.table(("AT", "WHAT"), [("2026-01-02T03:04:05", "get pods --all-namespaces -o wide")])

    lines = Text.from_ansi(_on_a_terminal(table)).plain.splitlines()
    assert lines[1].startswith("2026-01-02T03:04:05  get pods")


def test_brackets_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    console.show(console.table(("A",), [("[bold]x[/bold]",)]))

    assert capsys.readouterr().out.splitlines()[1] == "[bold]x[/bold]"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (59, "59s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d"), (1e7, "115d")],
)
def test_ages_are_short(seconds: float, text: str) -> None:
    assert console.age(seconds) == text
