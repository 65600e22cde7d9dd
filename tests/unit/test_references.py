"""The generated reference pages are those of the code, and what they promise by hand is complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import references
from tests.references import command_line, environment, errors

import kubently
from kubently import wire
from kubently.cli import state

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(kubently.__file__).parent


@pytest.mark.parametrize("name", references.PAGES)
def test_page_is_what_the_code_says(name: str) -> None:
    written = (references.FOLDER / name).read_text()

    assert written == references.PAGES[name](), f"docs/reference/{name} is out of date: run `make references`"


def test_every_variable_that_the_source_names_is_documented() -> None:
    page = environment.page()

    named = {
        name
        for path in SOURCE.rglob("*.py")
        for name in re.findall(r"[\"`](KUBENTLY_[A-Z_]*[A-Z])[\"`]", path.read_text())
    }

    assert {name for name in named if f"`{name}`" not in page and name not in page} == set()


def test_every_code_has_advice_and_no_advice_is_left_over() -> None:
    assert errors.ADVICE.keys() == errors.codes().keys()


def test_every_exit_code_is_explained() -> None:
    used = {state.exit_code(slug) for slug in errors.codes()}

    assert used - command_line.EXIT_CODES.keys() == set()


def test_every_command_has_help() -> None:
    without = [path for path, command in command_line.walk(command_line.root, "kubently") if not command.help]

    assert without == []


def _pages() -> Iterator[Path]:
    yield from (ROOT / "docs").rglob("*.md")
    yield from (path for path in (ROOT / "README.md", ROOT / "CHANGELOG.md") if path.exists())


def _anchors(text: str) -> set[str]:
    """As GitHub makes them from headings."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in sorted(_pages())])
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)

    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{target} does not exist"
        if anchor and linked.suffix == ".md":
            assert anchor in _anchors(linked.read_text()), f"{target} has no such heading"


def _example() -> list[tuple[str, bytes]]:
    """The frames of the tunnel protocol's worked example, with who sends them."""
    text = (ROOT / "docs/concepts/tunnel-protocol.md").read_text().partition("<!-- example -->")[2]
    lines = text.partition("```\n")[2].partition("```")[0].splitlines()
    return [(who, bytes.fromhex(frame)) for who, _, frame in (line.partition(" ") for line in lines)]


def test_worked_example_of_the_tunnel_is_what_both_sides_send() -> None:
    control = wire.Connection(wire.Role.CONTROL, info={"ping_after": 20.0})
    executor = wire.Connection(wire.Role.EXECUTOR, info={"version": "0.1.0"})
    sent: list[tuple[str, bytes]] = []

    def deliver() -> None:
        for who, sender, receiver in (("C", control, executor), ("E", executor, control)):
            for frame in sender.frames_to_send():
                sent.append((who, frame))
                receiver.receive_frame(frame)

    deliver()
    head = [(b":method", b"GET"), (b":path", b"/k8s/version"), (b"accept", b"application/json")]
    stream = control.open_stream(head, end_stream=True)
    deliver()
    executor.send_response(stream, [(b":status", b"200"), (b"content-type", b"application/json")])
    executor.send_data(stream, b'{"major":"1"}', end_stream=True)
    deliver()
    control.ping((7).to_bytes(8))
    deliver()
    control.go_away(reason="the API stops")
    deliver()

    assert sent == _example()
    assert control.open_streams == executor.open_streams == 0
