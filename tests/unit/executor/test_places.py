"""Places for children: what lasts does not keep short commands waiting, and nothing is without a bound."""

import anyio
import pytest

from kubently.errors import TooManyCommandsError
from kubently.executor.kubectl import Places

pytestmark = pytest.mark.anyio


async def hold(places: Places, taken: anyio.Event, *, endless: bool = False) -> None:
    async with places.take(endless=endless):
        taken.set()
        await anyio.sleep_forever()


async def test_short_commands_wait_for_a_place() -> None:
    places = Places(1)
    async with anyio.create_task_group() as tasks:
        first = anyio.Event()
        tasks.start_soon(hold, places, first)
        await first.wait()

        with anyio.move_on_after(0.05) as waited:
            async with places.take(endless=False):
                pass
        assert waited.cancelled_caught
        tasks.cancel_scope.cancel()
    with anyio.fail_after(1):
        async with places.take(endless=False):
            pass


async def test_endless_commands_take_no_short_place_and_are_bounded() -> None:
    places = Places(1)
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            taken = anyio.Event()
            tasks.start_soon(lambda event: hold(places, event, endless=True), taken)
            await taken.wait()

        with pytest.raises(TooManyCommandsError, match="4 commands that go on"):
            async with places.take(endless=True):
                pass
        with anyio.fail_after(1):
            async with places.take(endless=False):
                pass
        tasks.cancel_scope.cancel()
    async with places.take(endless=True):
        pass


async def test_a_command_that_lasts_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Places, "YOUNG", 0.01)
    places = Places(1)
    async with anyio.create_task_group() as tasks:
        for _ in range(5):  # four move over, the fifth keeps the short place
            taken = anyio.Event()
            tasks.start_soon(hold, places, taken)
            with anyio.fail_after(2):
                await taken.wait()
        with anyio.move_on_after(0.05) as waited:
            async with places.take(endless=False):
                pass
        assert waited.cancelled_caught
        tasks.cancel_scope.cancel()

    assert places._lasting == 0
    with anyio.fail_after(1):
        async with places.take(endless=False):
            pass
