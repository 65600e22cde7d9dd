"""How large a container's program may make its heap, where it is told: a heap above the limit ends in a kill."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from kubently.analyzers import settings
from kubently.analyzers.containers import Container
from kubently.analyzers.snapshot import Snapshot

# Java's option, Node's, and Go's variable; sizes are in binary units, Node's in MiB.
_JAVA = re.compile(r"(?<![\w-])-Xmx([0-9]{1,15})([kKmMgGtT]?)\b")
_NODE = re.compile(r"--max[-_]old[-_]space[-_]size[= ]([0-9]{1,9})\b")
_GO = re.compile(r"([0-9]{1,15})(|B|KiB|MiB|GiB|TiB)")
_POWERS = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, slots=True)
class Heap:
    """What a program is told about its heap."""

    where: str
    """As in `settings.Setting`."""
    words: str
    size: Decimal
    """Bytes."""


def heap_of(snapshot: Snapshot, container: Container) -> Heap | None:
    """Return the largest heap that a container's variables and arguments allow its program."""
    own = f"container {container.name} "
    told = (setting for setting in settings.settings_of(snapshot, container.pod) if setting.where.startswith(own))
    found = [heap for setting in told for heap in _heaps(setting)]
    return max(found, key=lambda heap: heap.size, default=None)


def _heaps(setting: settings.Setting) -> list[Heap]:
    text = setting.text[:4000]
    found = [Heap(setting.where, match[0], _bytes(match[1], match[2])) for match in _JAVA.finditer(text)]
    found += [Heap(setting.where, match[0], _bytes(match[1], "M")) for match in _NODE.finditer(text)]
    if setting.where.endswith(" variable GOMEMLIMIT") and (match := _GO.fullmatch(text)) is not None:
        found.append(Heap(setting.where, f"GOMEMLIMIT={match[0]}", _bytes(match[1], match[2])))
    return found


def _bytes(number: str, unit: str) -> Decimal:
    return Decimal(number) * Decimal(1024) ** _POWERS[unit[:1].upper()]
