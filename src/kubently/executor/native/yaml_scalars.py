"""Texts as go-yaml 2 writes them: plain, quoted once or twice, or as a block, folded at spaces beyond column 80.

Texts with characters that its reader refuses or reads as line ends raise Unsure: kubectl reads its own JSON as YAML.
"""

from __future__ import annotations

import calendar
import re

from kubently.executor.native.unsure import Unsure

_WIDTH = 80

_SIMPLE = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*+")
"""Texts that are plain whatever surrounds them, but for the words of `_WORDS`."""
_WORDS = frozenset(
    (
        *("y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF"),
        *("true", "True", "TRUE", "false", "False", "FALSE", "~", "null", "Null", "NULL", ".nan", ".NaN", ".NAN"),
        *(sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")),
    )
)
"""What is not text when it stands plainly."""

_UNREADABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_SPECIAL = re.compile("[\x00-\x09\x0b-\x1f\U00010000-\U0010ffff]")
"""What go-yaml does not think printable, tabs and everything beyond the first plane among it."""
_INDICATOR_FIRST = frozenset("#,[]{}&*!|>'\"%@`")
_BLOCK_INDICATOR = re.compile(r":(?:[ \t]|$)| #")

_ESCAPED = re.compile('[\x00-\x1f"\\\\\U00010000-\U0010ffff]')
_ESCAPES = {
    "\x00": "0",
    "\x07": "a",
    "\x08": "b",
    "\t": "t",
    "\n": "n",
    "\x0b": "v",
    "\x0c": "f",
    "\r": "r",
    "\x1b": "e",
    '"': '"',
    "\\": "\\",
}


def key(text: str) -> str:
    """Write a mapping's key. Raises Unsure for keys that go-yaml writes in its long form."""
    if _SIMPLE.fullmatch(text) and text not in _WORDS and len(text) <= 128:
        return text
    if len(text.encode()) > 128 or "\n" in text or "\r" in text:
        raise Unsure("a key that is long or has several lines")
    return value(text, 0, 0, may_fold=False)


def value(text: str, column: int, indent: int, *, may_fold: bool = True) -> str:
    """Write a text that begins at *column*; further lines stand at *indent*.

    A block that ends with a line break has it in its text.
    """
    if _SIMPLE.fullmatch(text) and text not in _WORDS:
        return text
    if _UNREADABLE.search(text):
        raise Unsure("text that go-yaml does not read")
    special = _SPECIAL.search(text)
    if "\n" in text:
        if special or " \n" in text or text.endswith(" "):
            return _double_quoted(text, column, indent, may_fold=may_fold)
        return _literal(text, indent)
    if special or not _is_text(text):
        return _double_quoted(text, column, indent, may_fold=may_fold)
    if text[0] == " " or text[-1] == " " or _has_indicators(text):
        return _single_quoted(text, column, indent, may_fold=may_fold)
    return _folded(text, column, indent) if may_fold and column + len(text) > _WIDTH else text


def _has_indicators(text: str) -> bool:
    first = text[0]
    if first in _INDICATOR_FIRST or text.startswith(("---", "...")):
        return True
    if first in "?:-" and (len(text) == 1 or text[1] in " \t"):
        return True
    return _BLOCK_INDICATOR.search(text, 1) is not None


# ---- what is not text

_DATE = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:([Tt ])([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<x>[0-9a-fA-F]+)|0[bB](?P<b>[01]+)|0[oO](?P<o>[0-7]+)|0(?P<old>[0-7]*)|(?P<d>[1-9][0-9]*))"
)
_BASES = {"x": 16, "b": 2, "o": 8, "old": 8, "d": 10}


def _is_text(text: str) -> bool:
    """Whether go-yaml reads the text as text when it stands plainly."""
    if not text or text in _WORDS:
        return False
    first = text[0]
    if first == ".":
        return not _is_float(text)
    if first not in "+-0123456789":
        return True
    if _BASE_60.fullmatch(text) or _is_date(text):
        return False
    plain = text.replace("_", "")
    return not (_is_integer(plain) or _is_float(plain))


def _is_float(text: str) -> bool:
    if "_" in text and not text.strip("+-.0123456789_eE"):
        raise Unsure("a number with underscores")
    return bool(_FLOAT.fullmatch(text)) and float(text) not in (float("inf"), float("-inf"))


def _is_integer(text: str) -> bool:
    if text.startswith(("0b-", "0b+", "-0b-", "-0b+")):
        raise Unsure("a binary number with two signs")
    match = _INTEGER.fullmatch(text)
    if match is None:
        return False
    name, digits = next((n, match[n]) for n in _BASES if match[n] is not None)
    number = int(digits or "0", _BASES[name])
    if match["sign"] == "-":
        return number <= 2**63
    return number < (2**63 if match["sign"] else 2**64)


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    year, month, day = (int(match[n]) for n in (1, 2, 3))
    if not 1 <= month <= 12 or not 1 <= day <= _days(year, month):
        return False
    separator, zone = match[4], match[8]
    if separator is None:
        return True
    if (separator == " ") == bool(zone):
        return False
    hour, minute, second = (int(match[n]) for n in (5, 6, 7))
    if zone and zone != "Z" and (int(zone[1:3]) > 23 or int(zone[4:6]) > 59):
        raise Unsure("a date in a zone that does not exist")
    return hour < 24 and minute < 60 and second < 60


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if calendar.isleap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


# ---- styles


_SINGLE_SPACE = re.compile(r"(?<! ) (?! )")


def _folded(text: str, column: int, indent: int) -> str:
    """Break at single spaces beyond the width; *text* has no line breaks."""
    pad = "\n" + " " * indent
    out: list[str] = []
    start = 0
    for match in _SINGLE_SPACE.finditer(text):
        space = match.start()
        if column + space - start > _WIDTH and 0 < space < len(text) - 1:
            out += (text[start:space], pad)
            start, column = space + 1, indent
    return "".join(out) + text[start:]


def _single_quoted(text: str, column: int, indent: int, *, may_fold: bool) -> str:
    doubled = text.replace("'", "''")
    if not may_fold or column + len(doubled) + 1 <= _WIDTH:
        return f"'{doubled}'"
    return f"'{_folded(doubled, column + 1, indent)}'"


def _double_quoted(text: str, column: int, indent: int, *, may_fold: bool) -> str:
    if not may_fold or (" " not in text) or column + len(text) * 10 <= _WIDTH:
        return f'"{_ESCAPED.sub(_escape, text)}"'
    pad = "\n" + " " * indent
    out, was_space, last = ['"'], False, len(text) - 1
    column += 1
    for position, char in enumerate(text):
        if char == " ":
            folds = not was_space and column > _WIDTH and 0 < position < last
            was_space = True
            if folds:
                slash = "\\" if text[position + 1] == " " else ""
                out.append(pad + slash)
                column = indent + len(slash)
                continue
            written = char
        else:
            was_space = False
            written = _ESCAPED.sub(_escape, char)
        out.append(written)
        column += len(written)
    out.append('"')
    return "".join(out)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if short := _ESCAPES.get(char):
        return f"\\{short}"
    code = ord(char)
    return f"\\x{code:02X}" if code <= 0xFF else f"\\U{code:08X}"


def _literal(text: str, indent: int) -> str:
    hint = "2" if text[0] in " \n" else ""
    keeps = text == "\n" or text.endswith("\n\n")
    chomp = "+" if keeps else "" if text.endswith("\n") else "-"
    pad = " " * indent
    lines = "\n".join(f"{pad}{line}" if line else "" for line in text.split("\n"))
    return f"|{hint}{chomp}\n{lines}"
