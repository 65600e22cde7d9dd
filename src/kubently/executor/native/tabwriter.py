"""Columns as kubectl aligns them: cells are ended by tabs, a column is as wide as its widest cell in adjoining lines.

The rules are those of Go's text/tabwriter with the settings of kubectl (at least 6 wide, 3 of padding), and with
widths that are remembered from one flush to the next, so that pages of a list line up.
"""

from __future__ import annotations

from kubently.executor.native.unsure import Unsure

_MIN_WIDTH = 6
_PADDING = 3
_MAX_TEXT = 32 * 1024 * 1024
"""Characters: one long cell widens its column in every line, and cells are what others have written."""


class TabWriter:
    """Takes lines as lists of cells; ``take`` gives what is ready."""

    def __init__(self) -> None:
        self._lines: list[list[str]] = []
        self._widths: list[int] = []
        """Of the columns to the left of the one that is being laid out."""
        self._remembered: list[int] = []
        self._out: list[str] = []
        self._room = _MAX_TEXT

    def line(self, cells: list[str]) -> None:
        """Add a line; its last cell is in no column."""
        self._lines.append(cells)
        if len(cells) == 1:
            self.flush()

    def flush(self) -> None:
        """Lay out what is there. Raises Unsure when that is too much."""
        lines, self._lines = self._lines, []
        if lines and not self._lay_out_even(lines):
            self._lay_out(lines)

    def forget_widths(self) -> None:
        """Begin a new table."""
        self._remembered = []

    def take(self) -> str:
        """Give the text that was laid out, and drop it."""
        text = "".join(self._out)
        self._out.clear()
        return text

    def _lay_out_even(self, lines: list[list[str]]) -> bool:
        """Lay out lines with as many cells each: nearly all tables, without recursion."""
        count = len(lines[0]) - 1
        if any(len(line) != count + 1 for line in lines):
            return False
        for column in range(count):
            self._widen(column, lines)
        widths = self._remembered[:count]
        self._out += [
            "".join([cell.ljust(width) for cell, width in zip(line, widths, strict=False)]) + line[count] + "\n"
            for line in lines
        ]
        return True

    def _widen(self, column: int, lines: list[list[str]]) -> int:
        """Return the width of a column in *lines*, which is no less than it was before."""
        width = max(max(len(line[column]) for line in lines) + _PADDING, _MIN_WIDTH)
        if len(self._remembered) == column:
            self._remembered.append(width)
        width = self._remembered[column] = max(self._remembered[column], width)
        self._room -= width * len(lines)
        if self._room < 0:
            raise Unsure("a wide table")
        return width

    def _lay_out(self, lines: list[list[str]]) -> None:
        column, start, position = len(self._widths), 0, 0
        while position < len(lines):
            if column >= len(lines[position]) - 1:
                position += 1
                continue
            self._write(lines[start:position])
            start = position
            while position < len(lines) and column < len(lines[position]) - 1:
                position += 1
            self._widths.append(self._widen(column, lines[start:position]))
            self._lay_out(lines[start:position])
            self._widths.pop()
            start = position
        self._write(lines[start:])

    def _write(self, lines: list[list[str]]) -> None:
        for line in lines:
            self._out += [cell.ljust(width) for cell, width in zip(line, self._widths, strict=False)]
            self._out += line[len(self._widths) :]
            self._out.append("\n")
