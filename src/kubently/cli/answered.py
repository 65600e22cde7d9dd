"""Which clusters have answered a command already: a file of JSON lines, so that a later run asks the others only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubently.errors import ConfigError, InvalidRequestError


class Answered:
    """The file at *path* for the command *argv*: read at once, written with each answer.

    Raises InvalidRequestError where it is of another command, ConfigError where it cannot be read or written.
    """

    def __init__(self, path: Path, argv: Sequence[str]) -> None:
        self._path = path
        self._argv = list(argv)
        self.clusters = self._read()
        """Those whose command ran to its end."""

    def note(self, cluster: str, outcome: Mapping[str, Any]) -> None:
        """Write down an outcome, if it is one that need not be asked for again."""
        if outcome.get("ending") != "exited":
            return
        self.clusters.add(cluster)
        line = {"cluster": cluster, "argv": self._argv, "outcome": outcome}
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from error

    def _read(self) -> set[str]:
        try:
            lines = self._path.read_text().splitlines(keepends=True)
            if lines and not lines[-1].endswith("\n"):  # of a run that was killed
                self._path.write_text("".join(lines := lines[:-1]))
        except FileNotFoundError:
            return set()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self._path} cannot be read: {error}") from error
        found = set()
        for number, line in enumerate(lines, 1):
            try:
                told = json.loads(line)
                cluster, argv = str(told["cluster"]), told["argv"]
            except (ValueError, KeyError, TypeError):
                raise InvalidRequestError(
                    f"line {number} of {self._path} is no answer of a cluster", hint="give a file that --resume made"
                ) from None
            if argv != self._argv:
                raise InvalidRequestError(
                    f"{self._path} has the answers to another command: {' '.join(map(str, argv))[:200]}",
                    hint="give another file for this one",
                )
            found.add(cluster)
        return found
