"""API answers rewritten while they pass through: a list member by member, a watch event by event, one object whole.

Nothing is held but the member that is being read, so a list may be as long as it likes. What is not rewritten travels
as the bytes it came in. An answer of another shape than was asked for is an error, never passed on unread.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from typing import Any, Protocol

MAX_MEMBER = 8 * 1024 * 1024
"""Characters of one object; etcd's own limit for one is 1.5 MiB."""

Object = dict[str, Any]
Rewrite = Callable[[Object], Object]
"""Takes one object (a list's member, a Table's row, a watch event, or the only one); may return it unchanged."""

_MEMBER_KEYS = frozenset({"items", "rows"})
_LIST_KEYS = frozenset({"kind", "apiVersion", "metadata", "columnDefinitions", *_MEMBER_KEYS})
_WHITE = " \t\r\n"


class Rewriter(Protocol):
    """Takes an answer's bytes in pieces and gives those that leave."""

    @property
    def held(self) -> int:
        """How much waits for what is to come, in bytes or characters."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take a piece. Raises ValueError when the answer cannot be read."""
        ...

    def finish(self) -> bytes:
        """Give the rest. Raises ValueError when the answer is not complete."""
        ...


class WholeRewriter:
    """One object."""

    def __init__(self, rewrite: Rewrite) -> None:
        self._rewrite = rewrite
        self._body = bytearray()

    @property
    def held(self) -> int:
        """See `Rewriter.held`."""
        return len(self._body)

    def feed(self, data: bytes) -> bytes:
        """See `Rewriter.feed`; gives nothing before the end."""
        self._body += data
        if len(self._body) > MAX_MEMBER:
            raise ValueError(f"the object is over {MAX_MEMBER} bytes")
        return b""

    def finish(self) -> bytes:
        """See `Rewriter.finish`."""
        return _rewritten(self._rewrite, bytes(self._body).decode())


class WatchRewriter:
    """Watch events, one a line."""

    def __init__(self, rewrite: Rewrite) -> None:
        self._rewrite = rewrite
        self._line = bytearray()

    @property
    def held(self) -> int:
        """See `Rewriter.held`."""
        return len(self._line)

    def feed(self, data: bytes) -> bytes:
        """See `Rewriter.feed`."""
        self._line += data
        *lines, rest = bytes(self._line).split(b"\n")
        self._line = bytearray(rest)
        if len(rest) > MAX_MEMBER:
            raise ValueError(f"the event is over {MAX_MEMBER} bytes")
        return b"".join(_rewritten(self._rewrite, line.decode()) + b"\n" for line in lines if line.strip())

    def finish(self) -> bytes:
        """See `Rewriter.finish`; half an event at the end is dropped, as a client would."""
        return b""


class ListRewriter:
    """A list or a Table: its members one by one."""

    def __init__(self, rewrite: Rewrite) -> None:
        self._rewrite = rewrite
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._try_at = 0
        """Length of the text at which reading is tried again: it doubles, so that a long member costs no more."""
        self._step: Callable[[int], tuple[int, str]] = self._open
        self._is_done = False

    @property
    def held(self) -> int:
        """See `Rewriter.held`."""
        return len(self._text)

    def feed(self, data: bytes) -> bytes:
        """See `Rewriter.feed`."""
        self._text += self._decoder.decode(data)
        return self._advance() if len(self._text) >= self._try_at else b""

    def finish(self) -> bytes:
        """See `Rewriter.finish`."""
        self._text += self._decoder.decode(b"", final=True)
        out = self._advance()
        if not self._is_done:
            raise ValueError("the list is not complete")
        return out

    def _advance(self) -> bytes:
        out: list[str] = []
        position = 0
        while True:
            start = self._skip(position)
            if start == len(self._text):
                break
            try:
                position, piece = self._step(start)
            except (json.JSONDecodeError, IndexError):
                break  # more has to come
            except RecursionError:
                raise ValueError("an object of the list is nested too deeply") from None
            out.append(piece)
        self._text = self._text[start:]
        if len(self._text) > MAX_MEMBER:
            raise ValueError(f"an object of the list is over {MAX_MEMBER} characters, or is no JSON")
        self._try_at = 2 * len(self._text)
        return "".join(out).encode()

    def _skip(self, position: int) -> int:
        while position < len(self._text) and self._text[position] in _WHITE:
            position += 1
        return position

    def _expect(self, position: int, allowed: str) -> str:
        found = self._text[position]
        if found not in allowed:
            raise ValueError(f"the list has {found!r} where {' or '.join(allowed)} belongs")
        return found

    # ------------------------------------------------------------------ steps: each reads one thing and names the next

    def _open(self, position: int) -> tuple[int, str]:
        self._expect(position, "{")
        self._step = self._key
        return position + 1, "{"

    def _key(self, position: int) -> tuple[int, str]:
        self._expect(position, '"')
        key, end = self._json.raw_decode(self._text, position)
        colon = self._skip(end)
        value = self._skip(colon + 1)
        self._expect(colon, ":")
        first = self._text[value]
        if key not in _LIST_KEYS:
            raise ValueError(f"a list with the key {key[:50]!r} is none")
        if key in _MEMBER_KEYS and first == "[":
            self._step = self._member_or_end
            return value + 1, f"{json.dumps(key)}:["
        if key in _MEMBER_KEYS and first != "n":
            raise ValueError(f"the list's {key} are no list")
        _, end = self._json.raw_decode(self._text, value)
        self._text[end]  # a number or word may go on in the next piece
        self._step = self._comma_or_close
        return end, f"{json.dumps(key)}:{self._text[value:end]}"

    def _comma_or_close(self, position: int) -> tuple[int, str]:
        found = self._expect(position, ",}")
        self._step = self._key if found == "," else self._nothing
        self._is_done = found == "}"
        return position + 1, found

    def _member_or_end(self, position: int) -> tuple[int, str]:
        if self._text[position] == "]":
            self._step = self._comma_or_close
            return position + 1, "]"
        return self._member(position)

    def _member(self, position: int) -> tuple[int, str]:
        self._expect(position, "{")
        _, end = self._json.raw_decode(self._text, position)
        self._step = self._comma_or_bracket
        return end, _rewritten(self._rewrite, self._text[position:end]).decode()

    def _comma_or_bracket(self, position: int) -> tuple[int, str]:
        found = self._expect(position, ",]")
        self._step = self._member if found == "," else self._comma_or_close
        return position + 1, found

    def _nothing(self, position: int) -> tuple[int, str]:
        raise ValueError("the list goes on after its end")


def _rewritten(rewrite: Rewrite, text: str) -> bytes:
    try:
        obj = json.loads(text)
    except RecursionError:
        raise ValueError("the object is nested too deeply") from None
    if not isinstance(obj, dict):
        raise ValueError("there is no object where one belongs")
    changed = rewrite(obj)
    return text.encode() if changed == obj else json.dumps(changed, separators=(",", ":")).encode()
