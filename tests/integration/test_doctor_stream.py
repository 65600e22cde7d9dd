"""The doctor's probes through what stands in between, beside an executor that must not notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.integration.middlebox import middlebox
from tests.integration.test_enrolment import enrol
from tests.integration.test_survival import Plane, executor, plane, until

from kubently import doctor, trust
from kubently.doctor import Subject
from kubently.settings import TrustSettings
from kubently.testing import run_fleet
from kubently.trust import identity

pytestmark = [
    pytest.mark.anyio,
    # A doctor's loop ends with it, and a connection may not have ended by then.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CHECKS = {check.id: check for check in doctor.CHECKS}


async def look(name: str, subject: Subject) -> Any:
    return await anyio.to_thread.run_sync(CHECKS[name].run, subject)


async def asked(one: Plane, url: str, **more: Any) -> Subject:
    return Subject(url, token=await one.token(), cluster="prod", **more)


async def test_probes_say_what_they_saw_and_disturb_nobody(tmp_path: Path) -> None:
    async with plane(tmp_path) as one:
        token = await one.token()
        async with executor(token, one.url) as runs:
            await until(lambda: one.transports == ["websocket"] * 2)
            before = one.cluster.executors[0].sessions
            subject = Subject(one.url, token=token, cluster="prod", hold=1)

            found = {
                name: await look(name, subject)
                for name in ("stream-echo", "stream-flow", "stream-silence", "pair-view")
            }

            assert {name: str(result.status) for name, result in found.items()} == dict.fromkeys(found, "pass")
            assert "over websocket" in found["stream-echo"].detail
            assert "the API sees 127.0.0.1" in found["pair-view"].detail
            assert one.cluster.executors[0].sessions == before
            assert runs.app.requests == []
            metrics = one.serving.services.metrics
            await until(lambda: b'kubently_tunnel_probes_total{result="ok"} 4.0' in metrics.render())


async def test_where_no_websocket_gets_through_long_poll_is_probed(tmp_path: Path) -> None:
    async with plane(tmp_path) as one, middlebox(one.serving.port, strip_upgrade=True) as box:
        subject = await asked(one, box.url, hold=1)

        assert "over long-poll" in (await look("stream-echo", subject)).detail
        assert str((await look("stream-silence", subject)).status) == "pass"


async def test_a_cut_is_measured(tmp_path: Path) -> None:
    async with plane(tmp_path) as one, middlebox(one.serving.port, idle_cut=1.0) as box:
        found = await look("stream-silence", await asked(one, box.url, hold=10))

    assert (str(found.status), found.code) == ("error", "stream-cut")
    assert 0.5 < found.evidence["seconds"] < 5
    assert "something on the way cut after" in found.detail


async def test_an_enrolled_certificate_proves_its_key(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        enrolled = await enrol(fleet)
        header = enrolled.header["Authorization"]
        subject = Subject(
            fleet.url, cluster="prod", certificate=header, private_key=identity.to_pem(enrolled.key).decode(), hold=0
        )
        other = Subject(
            fleet.url, cluster="prod", certificate=header, private_key=identity.to_pem(identity.make_key()).decode()
        )

        assert str((await look("stream-echo", subject)).status) == "pass"
        assert str((await look("stream-silence", subject)).status) == "skipped"
        wrong = await look("stream-echo", other)
        assert (wrong.code, "does not hold its certificate's key" in wrong.detail) == ("stream-broken", True)


async def test_both_ends_agree_on_the_certificate_where_nothing_ends_tls(tmp_path: Path) -> None:
    authority = trust.make_authority("test")
    trust.issue(authority, ["localhost"]).write(tmp_path / "tls.crt", tmp_path / "tls.key")
    settings = {"tls_listen": ("127.0.0.1", 0), "tls_cert": tmp_path / "tls.crt", "tls_key": tmp_path / "tls.key"}
    async with plane(tmp_path, **settings) as one:
        trusted = TrustSettings(ca_cert=authority.cert.decode())
        subject = await asked(one, f"https://localhost:{one.serving.tls_port}", trust=trusted)

        found = await look("pair-view", subject)

    assert "both ends agree" in found.detail
    assert found.evidence["shown"] == found.evidence["served"]


async def test_one_probe_of_a_cluster_at_a_time(tmp_path: Path) -> None:
    async with plane(tmp_path) as one:
        subject, results = await asked(one, one.url, hold=2), []

        async def hold() -> None:
            results.append(await look("stream-silence", subject))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await until(lambda: bool(one.serving.services.fleet.probes._running))
            second = await look("stream-echo", subject)
        assert "another probe of this cluster is under way" in second.detail
        assert [str(result.status) for result in results] == ["pass"]


async def test_the_whole_doctor_passes_where_the_upgrade_is_stripped_and_says_so(tmp_path: Path) -> None:
    async with plane(tmp_path) as one, middlebox(one.serving.port, strip_upgrade=True) as box:
        good = await asked(one, box.url, hold=0)
        wrong = Subject(box.url, token="nobody-gave-this-token", cluster="prod", hold=0)

        report = await anyio.to_thread.run_sync(doctor.run, doctor.CHECKS, good)
        refused = await anyio.to_thread.run_sync(doctor.run, doctor.CHECKS, wrong)

    found = {result.id: result for result in report.results}
    assert (str(found["auth-accepted"].status), str(found["stream-echo"].status)) == ("pass", "pass")
    assert (str(found["stream-upgrade"].status), found["stream-upgrade"].code) == ("warning", "upgrade-stripped")
    assert report.exit_code(fail_on_warning=False) == 0
    codes = {result.id: result.code for result in refused.results}
    assert codes["auth-accepted"] == "unauthenticated"
