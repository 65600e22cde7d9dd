"""Secrets out of text (logs, values of ConfigMaps, words of a command), line by line.

Private keys, tokens and what stands after words such as "password=" are masked. That is help against accidents, not a
border: the border is `policy`, which keeps Secrets from being read at all.

The text comes from whatever runs in a cluster, so every pattern is linear: literals or bounded counts in front,
possessive quantifiers behind, and no line is looked at beyond MAX_LINE_BYTES.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kubently.kube._patterns import NO_PATTERNS, Patterns, marker

MAX_LINE_BYTES = 16 * 1024
"""Longer lines are masked whole, since holding them would cost memory; most container runtimes split lines here."""

MAX_KEY_LINES = 256
"""Lines masked after the beginning of a private key that never ends; the largest keys in use have about 200."""


_PRIVATE_KEY = marker("private key").encode()
_TOKEN = marker("token").encode()
_PASSWORD = marker("password").encode()
_LONG_LINE = marker(f"line longer than {MAX_LINE_BYTES} bytes").encode()

# ---- one line of text

_HINTS = (
    *(b"private key", b"eyj", b"bearer", b"authorization", b"://"),
    *(b"pass", b"pwd", b"secret", b"token", b"key", b"credential"),
)
"""Each pattern below contains one of these, in whatever case; most lines contain none and are left at once."""

_RUN = re.compile(rb"[A-Za-z0-9_.=-]{24,}+")
_BEARER = re.compile(
    rb"(?i)(authorization\\{0,3}[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\{0,3}[\"']?(?:[a-z]{1,20}[ \t]{1,3})?"
    rb"|bearer[ \t]{1,3}(?=[^ \t]{16}))"
    rb"(?!\[redacted by Kubently)[^\s\"',;\\]++"
)
_USER_INFO = re.compile(rb"(://[^/\s:@\"']{0,256}+:)(?!\[redacted by Kubently)[^/\s@\"']{1,256}+(?=@)")

_KEYS = (b"access", b"account", b"api", b"encryption", b"private", b"secret", b"shared", b"signing")
_WORD = re.compile(
    rb"pass(?:w(?:or)?d|phrase|code|(?<![a-z]pass))|pwd|secret|token|credentials?"
    rb"|key(?:" + b"|".join(b"(?<=%bkey)|(?<=%b[-_]key)" % (name, name) for name in _KEYS) + rb")"
)
"""Words that announce a secret, in lower case; each begins with a letter, which lets the search skip quickly."""
_ASSIGNED = re.compile(
    rb"\\{0,3}[\"']?[ \t]{0,3}(?:=>|[:=]{1,2})[ \t]{0,3}(?!\[redacted by Kubently)"
    rb"(\\{1,3}\"[^\"]*+\"?|\"(?:[^\"\\]|\\.)*+\"?|'[^']*+'?|[^\s\"',;&]++)"
)
"""What stands behind such a word if a value is given to it."""


def _has_hint(text: bytes) -> bool:
    lowered = text.lower()
    return any(hint in lowered for hint in _HINTS)


def _redact_line(line: bytes) -> bytes:
    """Mask tokens and what follows words like "password" in a line that holds no private key."""
    lowered = line.lower()
    if b"eyJ" in line:
        line = _RUN.sub(_mask_token, line)
    if b"bearer" in lowered or b"authorization" in lowered:
        line = _BEARER.sub(rb"\1" + _TOKEN, line)
    if b"://" in line and b"@" in line:
        line = _USER_INFO.sub(rb"\1" + _PASSWORD, line)
    return _redact_values(line)


def _redact_values(line: bytes) -> bytes:
    """Mask values that stand behind announcing words; a word inside a masked value announces nothing."""
    out: list[bytes] = []
    done = 0
    for word in _WORD.finditer(line.lower()):
        value = _ASSIGNED.match(line, word.end()) if word.start() >= done else None
        if value is not None:
            out += (line[done : value.start(1)], _mask_value(value[1]))
            done = value.end()
    return b"".join([*out, line[done:]]) if out else line


def _mask_token(match: re.Match[bytes]) -> bytes:
    """Mask a JSON web token: a run with "eyJ" (an encoded brace and quote) and two dots at a distance."""
    run = match[0]
    start = run.find(b"eyJ")
    while start >= 0:
        first = run.find(b".", start)
        second = run.find(b".", first + 1)
        if first < 0 or second < 0:
            return run
        if first - start >= 8 and second - first >= 8:
            return run[:start] + _TOKEN
        start = run.find(b"eyJ", start + 3)
    return run


def _mask_value(value: bytes) -> bytes:
    """Keep the quotes of a value, with the backslashes before them, so that JSON stays JSON."""
    bare = value.lstrip(b"\\")
    quote = value[: len(value) - len(bare) + 1]
    return quote + _PASSWORD + quote if quote[-1:] in (b'"', b"'") else _PASSWORD


# ---- text as a stream

_TERMINATOR = re.compile(rb"[\r\n]")
_KEY_BEGIN = re.compile(rb"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,16}-{4,5}")
_KEY_END = re.compile(rb"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,16}-{4,5}")
_KEY_EDGE = re.compile(rb"-{4,5} ?(BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,16}-{4,5}")
_EDGE_BYTES = 128
"""More than the longest text that _KEY_EDGE matches."""


class TextRedactor:
    """Redacts text that arrives in pieces; the result is the same however it is cut.

    Holds back the line that is not yet ended, at most MAX_LINE_BYTES of it. The operator's *patterns* come after what
    is masked anyway, on each line by itself.
    """

    def __init__(self, patterns: Patterns = NO_PATTERNS) -> None:
        self._patterns = patterns
        self._carry = bytearray()
        self._key_lines = 0
        """How many more lines may belong to a private key."""
        self._is_skipping = False
        """Inside a line that was longer than the limit: its marker is written, the rest is dropped."""
        self._tail = b""
        """The end of what was skipped, where an edge of a private key may have begun."""

    @property
    def held(self) -> int:
        """How many bytes wait for the end of their line."""
        return len(self._carry)

    def feed(self, data: bytes) -> bytes:
        """Take the next piece and return what may be passed on."""
        if self._is_harmless(data):
            return self._patterns.apply_to_lines(data)
        out: list[bytes] = []
        start = 0
        for end in _TERMINATOR.finditer(data):
            out += self._append(data[start : end.start()])
            out += (self._end_line(), end[0])
            start = end.end()
        out += self._append(data[start:])
        return b"".join(out)

    def finish(self) -> bytes:
        """Return what was held back. Nothing may be fed afterwards."""
        return self._end_line()

    def _is_harmless(self, data: bytes) -> bool:
        """Say whether whole lines arrived in which patterns alone may find something: the usual case, and fast."""
        return (
            not (self._carry or self._is_skipping or self._key_lines)
            and data.endswith(b"\n")
            and not _has_hint(data)
            and max(map(len, data.splitlines())) <= MAX_LINE_BYTES
        )

    def _append(self, piece: bytes) -> tuple[bytes, ...]:
        if self._is_skipping:
            self._skip(piece)
            return ()
        self._carry += piece
        if len(self._carry) <= MAX_LINE_BYTES:
            return ()
        self._is_skipping = True
        self._skip(bytes(self._carry))
        self._carry.clear()
        return (_LONG_LINE,)

    def _skip(self, piece: bytes) -> None:
        """Follow the edges of private keys through a line that is dropped."""
        window = self._tail + piece
        for edge in _KEY_EDGE.finditer(window):
            self._key_lines = MAX_KEY_LINES if edge[1] == b"BEGIN" else 0
        self._tail = window[-_EDGE_BYTES:]

    def _end_line(self) -> bytes:
        if self._is_skipping:
            self._is_skipping, self._tail = False, b""
            return b""
        line = bytes(self._carry)
        self._carry.clear()
        return self._line(line) if line else b""

    def _line(self, line: bytes) -> bytes:
        out: list[bytes] = []
        while line:
            piece, line = self._inside_key(line) if self._key_lines else self._outside_key(line)
            out.append(piece)
        return self._patterns.apply(b"".join(out))

    def _outside_key(self, line: bytes) -> tuple[bytes, bytes]:
        """Return the redacted text up to a private key, and what follows the key's first edge."""
        begin = _KEY_BEGIN.search(line)
        if begin is None:
            return _redact_line(line), b""
        self._key_lines = MAX_KEY_LINES
        rest = line[begin.end() :]
        return _redact_line(line[: begin.start()]) + (b"" if rest else _PRIVATE_KEY), rest

    def _inside_key(self, line: bytes) -> tuple[bytes, bytes]:
        """Mask up to the last edge of a private key, or the whole line, and return what is left."""
        end = _KEY_END.search(line)
        if end is None:
            self._key_lines = MAX_KEY_LINES if _KEY_BEGIN.search(line) else self._key_lines - 1
            return _PRIVATE_KEY, b""
        self._key_lines = 0
        return _PRIVATE_KEY, line[end.end() :]


def redact_text(text: str, patterns: Patterns = NO_PATTERNS) -> str:
    """Redact a text that is there as a whole."""
    redactor = TextRedactor(patterns)
    data = redactor.feed(text.encode("utf-8", "surrogatepass")) + redactor.finish()
    return data.decode("utf-8", "surrogatepass")


# ---- words of a command line

_SENSITIVE = re.compile(
    r"(?i)passw(?:or)?d|passphrase|passcode|secret|token|credential|(?:api|access|private|encryption|signing|account)[-_.]?key"
    r"|connection[-_.]?string|(?:^|[-_.])(?:pass|pwd|dsn)(?:$|[-_.])"
)
_POINTER = re.compile(
    r"(?i)[-_.]?(?:file|filename|path|dir|name|names|ref|url|uri|endpoint|host|port|ttl|expiry|duration|seconds|minutes"
    r"|count|limit|size|enabled|disabled|type|issuer|audience)$"
)


def is_sensitive_name(name: str) -> bool:
    """Say whether a variable or key of this name is likely to hold a secret itself, and not where to find one."""
    return bool(_SENSITIVE.search(name)) and not _POINTER.search(name)


def redact_words(words: Sequence[str], patterns: Patterns = NO_PATTERNS) -> list[str]:
    """Redact an argument list: text in each word, and the word after a flag that is named like a secret."""
    out: list[str] = []
    is_value = False
    for word in words:
        out.append(marker("password") if is_value else redact_text(word, patterns))
        is_value = word.startswith("-") and "=" not in word and " " not in word and is_sensitive_name(word)
    return out
