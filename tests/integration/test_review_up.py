"""`kubently up` where something is in its way: another one, a broken folder, a person who changes their mind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from kubently.cli.commands import diagnose
from kubently.errors import ConfigError
from kubently.main import up
from kubently.main.errors import named_errors

pytestmark = pytest.mark.anyio


def options(state: Path, **changes: Any) -> up.Options:
    values: dict[str, Any] = {
        "contexts": (),
        "all_contexts": False,
        "kubeconfig": state / "none",
        "with_archives": False,
        "archives": (),
        "port": 0,
        "state": state / "up",
        "diagnose": True,
    }
    return up.Options(**{**values, **changes})


async def test_two_on_one_folder_do_not_take_each_others_executors(tmp_path: Path) -> None:
    async with up.running(options(tmp_path)) as first:
        names = [member.cluster for member in first.members]
        with anyio.fail_after(30):
            while not all(map(first.is_connected, names)):
                await anyio.sleep(0.02)

        with pytest.raises(ConfigError, match="another kubently up"):
            async with up.running(options(tmp_path)):
                pass

        assert all(map(first.is_connected, names))
        for name in names:
            assert await first.serving.services.tokens.is_known(name)


def _read_only(folder: Path) -> None:
    (folder / "up").write_text("a file where the folder should be")


def _broken_key(folder: Path) -> None:
    (folder / "up").mkdir()
    (folder / "up" / "ca.crt").write_text("")
    (folder / "up" / "ca.key").write_text("")


def _folder_for_file(folder: Path) -> None:
    (folder / "up" / "kubeconfig").mkdir(parents=True)


def _folder_for_certificate(folder: Path) -> None:
    (folder / "up" / "tls.crt").mkdir(parents=True)


@pytest.mark.parametrize("spoil", [_read_only, _broken_key, _folder_for_file, _folder_for_certificate])
async def test_a_folder_that_cannot_be_used_is_said(
    tmp_path: Path, spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(tmp_path)

    with pytest.raises(SystemExit), named_errors():
        async with up.running(options(tmp_path)):
            pass

    assert str(tmp_path) in capsys.readouterr().err


async def test_an_interrupt_ends_it_while_it_still_diagnoses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    stop, began = anyio.Event(), anyio.Event()
    token = anyio.lowlevel.current_token()

    def slow(*_: Any) -> Any:
        anyio.from_thread.run_sync(began.set, token=token)
        anyio.from_thread.run(anyio.sleep, 20, token=token)

    monkeypatch.setattr(diagnose, "collect", slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(up.run, options(tmp_path), stop)
        with anyio.fail_after(30):
            await began.wait()
        stop.set()
        with anyio.move_on_after(12) as patience:
            while tasks._tasks:  # type: ignore[attr-defined]
                await anyio.sleep(0.05)
        assert not patience.cancelled_caught
