"""kubectl's commands and flags as the program itself lists them, kept in ``kubectl.txt``.

A line is a command with its flags: "get: A|all-namespaces chunk-size= ...", a letter before the bar, "=" at the end of
those that take a value; the first line holds the flags of every command. ``python -m tests.oracle.kubectl_help`` writes
the file anew.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.testbed.binaries import find_kubectl

FILE = Path(__file__).with_name("kubectl.txt")
EVERYWHERE = "(everywhere)"

_OPTION = re.compile(r"^ +(?:-(\w), )?--([\w-]+)=(.*):$", re.MULTILINE)
_COMMAND = re.compile(r"^  ([a-z][a-z0-9-]*) {2,}\S", re.MULTILINE)
_ALIASES = re.compile(r"^Aliases:\n(.*)$", re.MULTILINE)

Names = tuple[str, ...]


class Help:
    """The help pages of one kubectl."""

    def __init__(self, home: str) -> None:
        self._environ = {"HOME": home, "PATH": ""}

    def text(self) -> str:
        """What belongs into the file."""
        lines = [f"{EVERYWHERE}:{_flags(self._page('options'))}"]
        with ThreadPoolExecutor(2) as pool:
            top = [(name,) for name in _subcommands(self._page("--help"))]
            for found in pool.map(lambda words: list(self._described(words)), top):
                lines += found
        return "\n".join(lines) + "\n"

    def _described(self, words: Names) -> Iterator[str]:
        page = self._page(*words, "--help")
        for name in (*words[-1:], *_aliases(page)):
            yield f"{' '.join((*words[:-1], name))}:{_flags(page)}"
        if len(words) == 1:
            for name in _subcommands(page):
                yield from self._described((*words, name))

    def _page(self, *words: str) -> str:
        argv = [str(find_kubectl()), *words]
        return subprocess.run(argv, env=self._environ, capture_output=True, text=True, check=True, timeout=60).stdout


def _flags(page: str) -> str:
    found = sorted(_OPTION.findall(page), key=lambda option: option[1])
    return "".join(
        f" {short + '|' if short else ''}{name}{'' if default in ('true', 'false') else '='}"
        for short, name, default in found
    )


def _subcommands(page: str) -> list[str]:
    before_usage = page.partition("\nUsage:")[0]
    _, _, listed = before_usage.partition("Commands")
    return _COMMAND.findall(listed)


def _aliases(page: str) -> list[str]:
    found = _ALIASES.search(page)
    return found[1].split(", ")[1:] if found else []


def read() -> Mapping[Names, Mapping[str, tuple[str, bool]]]:
    """Each command's own flags: by name, the letter and whether a value is taken; those of all under no words."""
    commands: dict[Names, Mapping[str, tuple[str, bool]]] = {}
    for line in FILE.read_text().splitlines():
        words, _, flags = line.partition(":")
        key = () if words == EVERYWHERE else tuple(words.split())
        commands[key] = dict(map(_parsed, flags.split()))
    return commands


def _parsed(flag: str) -> tuple[str, tuple[str, bool]]:
    short, _, name = flag.rpartition("|")
    return name.removesuffix("="), (short, name.endswith("="))


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as home:
        FILE.write_text(Help(home).text())


if __name__ == "__main__":
    main()
