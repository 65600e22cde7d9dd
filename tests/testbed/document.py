"""The deployment guide's code blocks: files that it shows, and commands with the place where they are run.

Above each block stands ``<!-- file: NAME -->`` or ``<!-- run: WHERE -->``: ``hub`` and ``remote`` are shells with
kubectl and Helm in the API's cluster and in another one, ``person`` one with the command line, ``pods of the hub`` and
``pods of the remote`` need pods that really run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "MULTI_CLUSTER_TLS.md"

_PART = re.compile(
    r"^(?P<heading>#{2,3} [^\n]+)$"
    r"|^(?:<!-- (?P<what>file|run): (?P<where>[^>\n]+) -->\n)?```\w*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One block."""

    section: str
    what: str
    """``file`` or ``run``; empty where nothing is said."""
    where: str
    """The file's name, or where to run it."""
    text: str


def blocks(guide: Path = GUIDE) -> list[Block]:
    """All blocks in their order."""
    section, found = "", []
    for part in _PART.finditer(guide.read_text()):
        if part["heading"]:
            section = part["heading"].lstrip("# ")
        else:
            found.append(Block(section, part["what"] or "", (part["where"] or "").strip(), part["text"]))
    return found


def commands(where: str) -> list[Block]:
    """Those that are run in one place."""
    return [block for block in blocks() if block.what == "run" and block.where == where]
