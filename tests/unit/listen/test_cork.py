"""Writes of one turn of the loop leave together, and nothing is lost or turned round by that."""

import asyncio
from typing import Any

import pytest

from kubently.listen.cork import MOST, CorkedTransport

pytestmark = pytest.mark.anyio


class Wire(asyncio.Transport):
    """Notes what is written, and what it was called for."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.calls: list[str] = []

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def is_closing(self) -> bool:
        return "close" in self.calls


def corked() -> tuple[CorkedTransport, Wire]:
    wire = Wire()
    return CorkedTransport(wire, asyncio.get_running_loop()), wire


async def test_writes_of_one_turn_are_one() -> None:
    cork, wire = corked()

    cork.write(b"head ")
    cork.write(b"body")
    held = list(wire.writes)
    await asyncio.sleep(0)
    cork.write(b"next")
    await asyncio.sleep(0)

    assert held == []
    assert wire.writes == [b"head body", b"next"]


async def test_much_is_not_held() -> None:
    cork, wire = corked()

    cork.write(b"x" * MOST)
    cork.write(b"y")
    cork.write(b"z")

    assert wire.writes == [b"x" * MOST + b"y"]
    await asyncio.sleep(0)
    assert wire.writes[1:] == [b"z"]


async def test_what_was_written_leaves_before_the_connection_closes() -> None:
    cork, wire = corked()

    cork.write(b"goodbye")
    cork.close()
    await asyncio.sleep(0)

    assert wire.writes == [b"goodbye"]
    assert wire.calls == ["close"]
    assert cork.is_closing()


async def test_nothing_is_written_to_a_connection_that_was_lost_meanwhile() -> None:
    cork, wire = corked()

    cork.write(b"late")
    wire.close()
    await asyncio.sleep(0)

    assert wire.writes == []


async def test_who_takes_the_transport_writes_behind_what_was_written() -> None:
    cork, wire = corked()

    cork.write(b"first ")
    cork.release().write(b"second")
    await asyncio.sleep(0)

    assert wire.writes == [b"first ", b"second"]


async def test_the_rest_is_the_transport_s_own() -> None:
    cork, wire = corked()

    cork.pause_reading()
    cork.resume_reading()
    cork.abort()

    assert wire.calls == ["pause", "resume", "abort"]
