"""Argument lists for kubectl: what may be run, and how it is written.

An argument list only chooses and bounds a child process; what that child may ask of the cluster is decided for each of
its requests by `policy`. The list is read as kubectl's own flag library (pflag, under cobra) reads it, against an
allow-list of verbs and of flags with their arity, and written anew: no word of the caller reaches kubectl in a place
where kubectl could read it differently. Nothing here searches text for bad words: there is no shell.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from kubently.errors import CommandDeniedError, CommandInvalidError
from kubently.kube import _verbs
from kubently.kube._verbs import Flag, VerbSpec
from kubently.kube.policy import SecretsMode

MAX_ARGUMENTS = 256
MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class KubectlCommand:
    """A kubectl command that may be run."""

    verb: str
    subverb: str = ""
    """"history", "status", "can-i", "whoami", "pod", "node", or empty."""
    positionals: tuple[str, ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    """Long names without dashes and values ("true" or "false" for switches), in the caller's order."""
    resources: tuple[str, ...] = ()
    """Types that the words name, in lower case and as far as the words tell: "pods", "deployments.apps"."""

    @property
    def argv(self) -> tuple[str, ...]:
        """What to run after the program's name: verb, flags in their long form with "=", then the other words."""
        head = (self.verb, self.subverb) if self.subverb else (self.verb,)
        return (*head, *(f"--{name}={value}" for name, value in self.flags), *self.positionals)

    @property
    def namespace(self) -> str:
        """The namespace that the flags name, or empty."""
        return self.flag("namespace")

    @property
    def all_namespaces(self) -> bool:
        """Whether the flags ask for all namespaces."""
        return self.flag("all-namespaces") == "true"

    @property
    def output(self) -> str:
        """The value of --output, or empty."""
        return self.flag("output")

    @property
    def is_streaming(self) -> bool:
        """Whether the command goes on until something happens or someone ends it."""
        match (self.verb, self.subverb):
            case ("logs", _):
                return self.flag("follow") == "true"
            case ("get" | "events", _):
                return "true" in (self.flag("watch"), self.flag("watch-only"))
            case ("rollout", "status"):
                return self.flag("watch") != "false"
            case _:
                return self.verb == "wait"

    def flag(self, name: str, default: str = "") -> str:
        """Return the value that counts of a flag: the last one."""
        return dict(self.flags).get(name, default)


def parse(argv: Sequence[str], *, secrets: SecretsMode = "none") -> KubectlCommand:
    """Read an argument list; a leading "kubectl" is dropped.

    *secrets* is the policy's mode: with "none" a command that plainly asks for Secrets is refused here already, as a
    courtesy. Raises CommandInvalidError for what cannot be read, and CommandDeniedError for what must not be run;
    its details name the rule.
    """
    words = _Words(_checked(argv))
    spec = words.verb()
    command = words.command(spec)
    _check_values(command, spec)
    _check_size(command.argv)
    if secrets == "none" and any(map(_is_secret, command.resources)):
        _deny(("no-secrets", "Secrets are not shown through Kubently", ""))
    return command


def _invalid(message: str, hint: str = "") -> NoReturn:
    raise CommandInvalidError(message, hint=hint)


def _deny(refusal: _verbs.Refusal) -> NoReturn:
    rule, message, hint = refusal
    raise CommandDeniedError(message, hint=hint or _usual_hint(rule), details={"rule": rule})


def _usual_hint(rule: str) -> str:
    """Say what to try after a refusal whose table entry has nothing more fitting."""
    if rule.startswith("flag-"):
        return "leave the flag out"
    if rule == "no-secrets" or rule.removeprefix("no-") in _verbs.WRITES:
        return "use your own access to the cluster for that"
    return "get, describe, logs, events, top, explain, rollout history and rollout status are served"


# ---- words

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_VERBS: Mapping[tuple[str, ...], VerbSpec] = {spec.words: spec for spec in _verbs.VERBS}
_GROUPS = frozenset(spec.words[0] for spec in _verbs.VERBS if len(spec.words) > 1)


def _checked(argv: Sequence[str]) -> list[str]:
    if isinstance(argv, str) or not all(isinstance(word, str) for word in argv):
        _invalid("a command is a list of texts")
    _check_size(argv)
    if any(_CONTROL.search(word) for word in argv):
        _invalid("the command has control characters")
    return list(argv[1:] if argv[:1] and argv[0] == "kubectl" else argv)


def _check_size(argv: Sequence[str]) -> None:
    if len(argv) > MAX_ARGUMENTS:
        _invalid(f"the command has more than {MAX_ARGUMENTS} words")
    if sum(len(word.encode("utf-8", "surrogatepass")) + 1 for word in argv) > MAX_BYTES:
        _invalid(f"the command is longer than {MAX_BYTES // 1024} KiB")


class _FlagSet:
    """The flags that may stand at one place, found by long name or letter."""

    def __init__(self, flags: Iterable[Flag], hint: str = "") -> None:
        known = (*flags,)
        self._hint = hint
        self.by_name = {flag.name: flag for flag in known}
        self.by_short = {flag.short: flag for flag in known if flag.short}

    def long(self, name: str) -> Flag:
        if flag := self.by_name.get(name):
            return flag
        _refuse_flag(name)
        _invalid(f"the flag --{name[:80]} is not known here", self._similar(name))

    def letter(self, letter: str) -> Flag:
        if flag := self.by_short.get(letter):
            return flag
        _refuse_flag(_verbs.DENIED_SHORTS.get(letter, ""))
        _invalid(f"the flag -{letter} is not known here", self._all())

    def _similar(self, name: str) -> str:
        similar = difflib.get_close_matches(name[:40], self.by_name, n=1)
        return f"did you mean --{similar[0]}" if similar else self._all()

    def _all(self) -> str:
        return self._hint or f"known are {', '.join(f'--{name}' for name in sorted(self.by_name))}"


def _refuse_flag(name: str) -> None:
    if refusal := _verbs.DENIED_FLAGS.get(name):
        _deny(refusal)
    for prefix, refusal in _verbs.DENIED_FLAG_PREFIXES:
        if name == prefix or name.startswith(prefix.removesuffix("-") + "-"):
            _deny(refusal)


_BEFORE_THE_VERB = _FlagSet(_verbs.GLOBAL_FLAGS, hint="write the flags of a verb after it")


class _Words:
    """Reads the words of one command from left to right, as pflag does."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._position = 0
        self._flags: list[tuple[str, str]] = []

    def verb(self) -> VerbSpec:
        """Read up to and including the verb, and the subverb of those that have some."""
        verb = self._first_word("there is no verb", f"use one of {', '.join(_verb_names())}")
        if refusal := _verbs.DENIED_VERBS.get(verb):
            _deny(refusal)
        if verb in _GROUPS:
            return self._subverb(verb)
        if spec := _VERBS.get((verb,)):
            return spec
        return _deny(("unknown-verb", f"{verb[:80]!r} is not a verb that Kubently runs", _similar_verb(verb)))

    def _subverb(self, verb: str) -> VerbSpec:
        choices = ", ".join(spec.words[1] for spec in _verbs.VERBS if spec.words[0] == verb)
        word = self._first_word(f"kubectl {verb} needs a word that says what", f"use one of {choices}")
        subverb = _verbs.SUBVERB_ALIASES.get((verb, word), word)
        if spec := _VERBS.get((verb, subverb)):
            return spec
        refusal = ("unknown-verb", f"{f'{verb} {word}'[:80]!r} is not something that Kubently runs", f"use {choices}")
        return _deny(_verbs.DENIED_SUBVERBS.get((verb, word), refusal))

    def _first_word(self, missing: str, hint: str) -> str:
        """Read flags up to the next word; kubectl itself skips words after flags it does not know at this place."""
        for word in self._rest():
            if not word.startswith("-"):
                return word
            self._flag(word, _BEFORE_THE_VERB)
        _invalid(missing, hint)

    def command(self, spec: VerbSpec) -> KubectlCommand:
        """Read the rest."""
        known = _FlagSet((*spec.flags, *_verbs.GLOBAL_FLAGS, _verbs.HELP_FLAG))
        positionals: list[str] = []
        for word in self._rest():
            if word.startswith("-"):
                self._flag(word, known)
            else:
                positionals.append(_positional(word, spec))
        if len(positionals) > spec.max_positionals:
            _invalid(f"kubectl {' '.join(spec.words)} takes no more than {spec.max_positionals} words after it")
        verb, subverb = (*spec.words, "")[:2]
        resources = _types(positionals) if spec.names_types else ()
        return KubectlCommand(verb, subverb, tuple(positionals), tuple(self._flags), resources)

    def _rest(self) -> Iterable[str]:
        while self._position < len(self._words):
            self._position += 1
            yield self._words[self._position - 1]

    def _flag(self, word: str, known: _FlagSet) -> None:
        if word in ("-", "--"):
            _invalid(f"{word!r} is refused", "write flags and words without it")
        if word.startswith("--"):
            self._long(word[2:], known)
        else:
            self._letters(word[1:], known)

    def _long(self, text: str, known: _FlagSet) -> None:
        name, equals, value = text.partition("=")
        flag = known.long(name.replace("_", "-"))
        if equals:
            self._add(flag, value)
        else:
            self._add(flag, self._next_value(flag) if flag.takes_value else "true")

    def _letters(self, text: str, known: _FlagSet) -> None:
        """Read joined letters: "-Aw", "-ojson", "-n=shop"; the first that takes a value takes the rest."""
        while text:
            flag, rest = known.letter(text[0]), text[1:]
            if len(rest) > 1 and rest[0] == "=":
                self._add(flag, rest[1:])
                return
            if flag.takes_value:
                self._add(flag, rest or self._next_value(flag))
                return
            self._add(flag, "true")
            text = rest

    def _next_value(self, flag: Flag) -> str:
        """Return the next word, whatever it looks like: so does pflag."""
        for word in self._rest():
            return word
        _invalid(f"the flag --{flag.name} needs a value")

    def _add(self, flag: Flag, value: str) -> None:
        if not flag.takes_value and value not in ("true", "false"):
            _invalid(f"the flag --{flag.name} is {value[:80]!r}", "a switch takes =true or =false")
        self._flags.append((flag.name, value))


def _verb_names() -> list[str]:
    return sorted({spec.words[0] for spec in _verbs.VERBS})


def _similar_verb(verb: str) -> str:
    similar = difflib.get_close_matches(verb[:40], _verb_names(), n=1)
    return f"did you mean {similar[0]}" if similar else f"use one of {', '.join(_verb_names())}"


def _positional(word: str, spec: VerbSpec) -> str:
    if not word:
        _invalid("the command has an empty word")
    refusal = _verbs.DENIED_SUBVERBS.get((spec.words[0], word))
    if refusal and not spec.max_positionals:
        _deny(refusal)
    return word


# ---- meaning

_NAMESPACE = re.compile(r"(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)?")
_TIMEOUT = re.compile(r"[0-9]{1,9}|(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ns|us|ms|s|m|h)){1,6}")
_READ_SUBRESOURCES = frozenset({"", "status", "scale"})
_CORE_SUFFIXES = frozenset({"", "v1", "v1."})


def _check_values(command: KubectlCommand, spec: VerbSpec) -> None:
    """Check every occurrence, though the last one counts."""
    for name, value in command.flags:
        match name:
            case "namespace" if not _NAMESPACE.fullmatch(value):
                _invalid(f"{value[:80]!r} cannot be a namespace")
            case "request-timeout" if not _TIMEOUT.fullmatch(value):
                _invalid(f"--request-timeout is {value[:80]!r}", 'write "30s" or "2m"')
            case "output":
                _check_output(value, spec)
            case "subresource" if command.verb == "get" and value not in _READ_SUBRESOURCES:
                _deny(("no-other-subresource", "of subresources only status and scale can be read with get", ""))


def _check_output(value: str, spec: VerbSpec) -> None:
    head = value.partition("=")[0]
    if head.endswith("file"):
        _deny(("flag-files", f"--output {head[:40]} is refused: it reads a file", "write the template itself"))
    if value and head not in spec.outputs:
        _invalid(f"--output {value[:80]!r} is not known here", f"use one of {', '.join(sorted(spec.outputs))}")


def _types(positionals: Sequence[str]) -> tuple[str, ...]:
    """Return the types in "TYPE[,TYPE] NAME..." or "TYPE/NAME...", in lower case as kubectl compares them."""
    places = [word for index, word in enumerate(positionals) if index == 0 or "/" in word]
    return tuple(part for word in places for part in word.partition("/")[0].lower().split(",") if part)


def _is_secret(type_word: str) -> bool:
    """Say whether a type means core Secrets: secret, secrets, "secrets." and "secret.v1." do."""
    resource, _, suffix = type_word.partition(".")
    return resource in ("secret", "secrets") and suffix in _CORE_SUFFIXES
