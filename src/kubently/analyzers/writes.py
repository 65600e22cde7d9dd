"""When objects were written, by their resourceVersions.

An API server counts its writes: of two objects, the one with the higher resourceVersion was written later. KEP-5504
promises it of one resource; it holds for all that are kept in one etcd, which events often are not. Who wrote what and
when stands in managedFields, but not always: somebody who only removes fields of others leaves no entry there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate

from kubently.kube import objects
from kubently.kube.objects import KubeObject


class Writes:
    """What the writes of some objects tell about those of others."""

    def __init__(self, members: Iterable[KubeObject], *, until: datetime) -> None:
        """*members* are of one storage; entries after *until* are taken for wrong clocks."""
        entries = ((version_of(member), newest_entry(member)) for member in members)
        known = sorted((version, at) for version, at in entries if version is not None and at is not None)
        told = [(version, at) for version, at in known if at <= until]
        self._versions = [version for version, _ in told]
        self._times = list(accumulate((at for _, at in told), max))

    def no_earlier_than(self, member: KubeObject) -> datetime | None:
        """Return an instant before which the last write of *member* cannot have been, None if none is known."""
        version = version_of(member)
        before = 0 if version is None else bisect_left(self._versions, version)
        return self._times[before - 1] if before else None


def version_of(member: KubeObject) -> int | None:
    """Return the resourceVersion, None where it is no number that a server counts with."""
    text = objects.text(member, "metadata", "resourceVersion")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def newest_entry(member: KubeObject) -> datetime | None:
    """Return the newest time in managedFields, of the status too."""
    entries = objects.mappings(member, "metadata", "managedFields")
    return max((at for entry in entries if (at := objects.instant(entry, "time")) is not None), default=None)
