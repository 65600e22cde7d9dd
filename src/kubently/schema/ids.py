"""Identifiers that cross a process border."""

from __future__ import annotations

import re
from typing import NewType

from kubently.errors import InvalidRequestError

ClusterId = NewType("ClusterId", str)
"""Name of a registered cluster: a DNS-1123 label, so that it can be a host name, a certificate name and a store key."""

CLUSTER_ID_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_CLUSTER_ID = re.compile(CLUSTER_ID_PATTERN)


def parse_cluster_id(text: str) -> ClusterId:
    """Check *text* against RFC 1123's label form (at most 63 characters).

    Raises InvalidRequestError with what is allowed.
    """
    if not _CLUSTER_ID.fullmatch(text):
        raise InvalidRequestError(
            f"{text[:80]!r} is not a cluster id",
            hint="use at most 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
        )
    return ClusterId(text)
