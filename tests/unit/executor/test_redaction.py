"""Where answers are rewritten: short ones on the event loop, long ones beside it, so that nobody waits for them."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kubently.executor import redaction
from kubently.kube import members

pytestmark = pytest.mark.anyio

MEMBERS = '{{"kind":"ConfigMapList","items":[{0},{0}]}}'


@pytest.mark.parametrize(
    ("rewriter", "text"),
    [(members.WholeRewriter, "{0}"), (members.ListRewriter, MEMBERS), (members.WatchRewriter, "{0}\n{0}\n")],
)
@pytest.mark.parametrize(("size", "is_beside"), [(1_000, False), (300_000, True)])
async def test_long_objects_are_rewritten_beside_the_event_loop(
    rewriter: Callable[[members.Rewrite], members.Rewriter], text: str, size: int, is_beside: bool
) -> None:
    threads: set[int] = set()

    def rewrite(obj: dict[str, Any]) -> dict[str, Any]:
        threads.add(threading.get_ident())
        return obj

    rewriting = rewriter(rewrite)
    body = text.format(json.dumps({"data": "x" * size})).encode()
    out = b""
    for start in range(0, len(body), 64 * 1024):
        out += await redaction.feed(rewriting, body[start : start + 64 * 1024])
    out += await redaction.finish(rewriting)

    assert out == body
    assert (threading.get_ident() not in threads) == is_beside
