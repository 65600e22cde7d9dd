"""docs/reference/cli.md, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

from kubently.cli import state
from kubently.main import root
from tests.references import errors
from tests.references.markdown import NOTE, code, table

_INTRO = """\
# Command line

Results go to stdout, everything else to stderr. On a terminal tables and findings are drawn for its width, with colours
unless `NO_COLOR` is set; piped output is plain and uncut. With `--output json` a command prints the API's own types;
`audit` and `run` on several clusters print one object a line.

An API is chosen by `KUBENTLY_URL`, `--profile`, `KUBENTLY_PROFILE` or the current profile, see
[environment](environment.md#the-command-line) and [`kubently profile`](#kubently-profile).
"""

EXIT_CODES: Mapping[int, str] = {
    0: "It worked; a diagnosis found nothing of the `--fail-on` severity or worse.",
    state.FINDINGS: "`diagnose`: there are findings of that severity. `audit verify`: a chain is broken. "
    "`run`: kubectl's own code.",
    2: "The options or arguments are wrong, or an unknown command.",
    state.USAGE: "The request or the set-up is wrong: change it.",
    state.UNAVAILABLE: "The API, or the cluster's executor, is not there.",
    state.INTERNAL: "Anything else; a bug, or something in between that misbehaves.",
    state.TEMPORARY: "Too much at once: try again.",
    state.REFUSED: "Refused: by identity or by policy.",
    state.TIMED_OUT: "The command was killed at its time-out.",
    state.INTERRUPTED: "Ctrl-C.",
}
"""Documented here; that errors have these and no other is tested."""

_EXIT = """\
`kubently run` ends with the exit code of the command in the cluster, whatever that is. What Kubently itself has to say
stands apart:
"""


# As the root has them: click keeps a command's help option from the first context that asks for it.
_SETTINGS = root.context_settings


def page() -> str:
    """The page."""
    parts = [NOTE, _INTRO]
    for path, command in walk(root, "kubently"):
        parts.append(_section(path, command))
    parts.append(f"## Exit codes\n\n{_EXIT}\n" + table(("Code", "Meaning", "Errors"), _exit_rows()))
    return "\n".join(parts)


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """The command and everything below it, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, **_SETTINGS)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, f"{path} {name}")


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path, **_SETTINGS)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## {path}\n", _help(command), f"```\n{usage}\n```\n"]
    options = [_option(p, context) for p in command.params if isinstance(p, click.Option)]
    if options:
        parts.append(table(("Option", "Meaning", "Default"), options))
    if isinstance(command, click.Group):
        names = command.list_commands(context)
        parts.append(", ".join(f"[{name}](#{f'{path} {name}'.replace(' ', '-')})" for name in names) + "\n")
    return "\n".join(parts)


def _help(command: click.Command) -> str:
    paragraphs = (command.help or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs) + "\n"


def _option(option: click.Option, context: click.Context) -> tuple[str, str, str]:
    record = option.get_help_record(context)
    names = record[0] if record else ", ".join(option.opts)
    default = option.default if isinstance(option.default, str | int | float) and option.show_default else ""
    if isinstance(default, bool):
        default = option.opts[0] if default else (option.secondary_opts or [""])[0]
    return code(names), option.help or "", code(str(default))


def _exit_rows() -> Iterator[tuple[str, str, str]]:
    codes = {slug: state.exit_code(slug) for slug in errors.codes()}
    for number, meaning in sorted(EXIT_CODES.items()):
        slugs = sorted(slug for slug, exit_code in codes.items() if exit_code == number)
        yield str(number), meaning, ", ".join(f"[{slug}](errors.md#{slug})" for slug in slugs)
