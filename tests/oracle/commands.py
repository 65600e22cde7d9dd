"""An independent reading of argument lists: the command that kubectl would run, its flags, and what is wrong with it.

The command is found as cobra finds it (flags between the words are skipped, with the word after each that is not known
to stand alone), and the rest is read as pflag reads it. Which flags there are says ``kubectl.txt``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Names = tuple[str, ...]
Flags = Mapping[str, tuple[str, bool]]

READS: frozenset[Names] = frozenset(
    {
        *(("get",), ("describe",), ("logs",), ("explain",), ("api-resources",), ("api-versions",), ("events",)),
        *(("version",), ("cluster-info",), ("wait",), ("rollout", "history"), ("rollout", "status")),
        *(("auth", "can-i"), ("auth", "whoami"), *(("top", word) for word in ("pod", "pods", "po"))),
        *(("top", word) for word in ("node", "nodes", "no")),
    }
)
HARMLESS_EVERYWHERE = frozenset({"namespace", "request-timeout", "disable-compression", "warnings-as-errors", "help"})
HARMFUL = frozenset(
    {"filename", "kustomize", "raw", "local", "insecure-skip-tls-verify-backend", "output-directory", "save-config"}
)
_SECRET_TYPES = ("secret", "secrets")
_CORE = ("", "v1", "v1.")
_ALONE = frozenset({"dry-run", "cascade", "validate"})
"""Flags of kubectl that may stand without a value though they take one (pflag's NoOptDefVal)."""
_ALIASES = {"pods": "pod", "po": "pod", "nodes": "node", "no": "node"}
"""Of the words after `kubectl top`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What kubectl makes of an argument list."""

    command: Names
    flags: tuple[tuple[str, str], ...]
    """In their order, as pflag would set them."""
    words: Names

    @property
    def meaning(self) -> tuple[Names, tuple[tuple[str, str], ...], Names]:
        """What two lists must have in common to be the same command: for one flag the order counts."""
        command = tuple(_ALIASES.get(word, word) for word in self.command)
        return command, tuple(sorted(self.flags, key=lambda flag: flag[0])), self.words


class UsageError(Exception):
    """Kubectl would print how it is used, and do nothing else."""


class Grammar:
    """kubectl's commands, each with the flags that are its own."""

    def __init__(self, commands: Mapping[Names, Flags]) -> None:
        self._commands = commands
        self._everywhere = commands[()]

    def read(self, argv: Sequence[str]) -> Reading:
        """Read an argument list (without the program's name). Raises UsageError."""
        command, rest = self._find((), list(argv))
        if not command:
            raise UsageError("there is no command")
        known = {**self._everywhere, **self._commands[command], "help": ("h", False)}
        return _parsed(command, known, rest)

    # ------------------------------------------------------------------ cobra: Command.Find

    def _find(self, command: Names, argv: list[str]) -> tuple[Names, list[str]]:
        known = {**self._everywhere, **(self._commands[command] if command else {})}
        place = _first_word(argv, known)
        if place is None or (*command, argv[place]) not in self._commands:
            if place is not None and not command:
                raise UsageError(f"kubectl has no command {argv[place]!r}")
            return command, argv
        return self._find((*command, argv[place]), argv[:place] + argv[place + 1 :])


def _first_word(argv: Sequence[str], known: Flags) -> int | None:
    """Where the first word is that cobra takes for none of a flag's."""
    place = 0
    while place < len(argv):
        word = argv[place]
        if word == "--":
            return None
        if word.startswith("-"):
            place += 1 + _takes_next(word, known)
        elif word:
            return place
        else:
            place += 1
    return None


def _takes_next(word: str, known: Flags) -> bool:
    if "=" in word:
        return False
    if word.startswith("--"):
        return not _stands_alone(_normal(word[2:]), known)
    name = next((name for name, (short, _) in known.items() if short == word[1:]), "")
    return len(word) == 2 and not _stands_alone(name, known)


def _stands_alone(name: str, known: Flags) -> bool:
    return name in known and (not known[name][1] or name in _ALONE)


def _normal(name: str) -> str:
    return name.replace("_", "-")


# ---------------------------------------------------------------------- pflag: FlagSet.Parse


def _parsed(command: Names, known: Flags, argv: Sequence[str]) -> Reading:
    flags: list[tuple[str, str]] = []
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--":
            words += rest
        elif len(word) < 2 or word[0] != "-":
            words.append(word)
        elif word[1] == "-":
            flags.append(_long(word[2:], known, rest))
        else:
            flags += _short(word[1:], known, rest)
    return Reading(command, tuple(flags), tuple(words))


def _long(text: str, known: Flags, rest: Iterator[str]) -> tuple[str, str]:
    if not text or text[0] in "-=":
        raise UsageError(f"bad flag syntax: --{text}")
    name, equals, value = text.partition("=")
    name = _normal(name)
    if name not in known:
        raise UsageError(f"unknown flag: --{name}")
    if equals:
        return name, _value(name, value, known)
    return name, "true" if _stands_alone(name, known) else _next(name, rest)


def _short(letters: str, known: Flags, rest: Iterator[str]) -> Iterator[tuple[str, str]]:
    while letters:
        name = next((name for name, (short, _) in known.items() if short == letters[0]), "")
        if not name:
            raise UsageError(f"unknown shorthand flag: {letters[0]!r}")
        if len(letters) > 2 and letters[1] == "=":
            yield name, _value(name, letters[2:], known)
            return
        if _stands_alone(name, known):
            yield name, "true"
            letters = letters[1:]
            continue
        yield name, letters[1:] or _next(name, rest)
        return


def _value(name: str, value: str, known: Flags) -> str:
    if known[name][1]:
        return value
    if value in ("1", "t", "T", "TRUE", "true", "True"):
        return "true"
    if value in ("0", "f", "F", "FALSE", "false", "False"):
        return "false"
    raise UsageError(f"invalid argument {value!r} for --{name}")


def _next(name: str, rest: Iterator[str]) -> str:
    for word in rest:
        return word
    raise UsageError(f"flag needs an argument: --{name}")


# ---------------------------------------------------------------------- objections


def objections(reading: Reading, everywhere: Flags) -> Iterator[str]:
    """Why a command must not be run; nothing for one that only reads."""
    if reading.command not in READS:
        yield f"{' '.join(reading.command)} does more than reading"
        return
    for name, value in reading.flags:
        if name in HARMFUL or (name in everywhere and name not in HARMLESS_EVERYWHERE):
            yield f"--{name} leads elsewhere"
        if name == "recursive" and reading.command != ("explain",):
            yield "--recursive reads files"
        if name == "output" and value.partition("=")[0].endswith("file"):
            yield f"--output={value} reads a file"
        if name == "subresource" and reading.command == ("get",) and value not in ("", "status", "scale"):
            yield f"the subresource {value} may not be read"
    if reading.command[0] in ("get", "describe", "wait", "rollout") and any(map(_names_secrets, _types(reading.words))):
        yield "it asks for Secrets"


def _types(words: Names) -> Iterator[str]:
    for index, word in enumerate(words):
        if index == 0 or "/" in word:
            yield from word.partition("/")[0].split(",")


def _names_secrets(word: str) -> bool:
    resource, _, rest = word.lower().partition(".")
    return resource in _SECRET_TYPES and rest in _CORE
