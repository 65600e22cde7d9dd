"""Which certificates are watched, and what the metrics say of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from kubently import trust
from kubently.settings import TrustSettings
from kubently.trust import watching
from kubently.trust.watching import Validity

START = datetime(2030, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=6)
TEN_DAYS = Validity(START, START + timedelta(days=10))


@pytest.mark.parametrize(
    ("now", "share"),
    [(START, 1.0), (NOW, 0.4), (START + timedelta(days=11), 0.0), (START - timedelta(days=1), 1.0)],
)
def test_share_of_life_stays_between_nought_and_one(now: datetime, share: float) -> None:
    assert TEN_DAYS.life_left(now) == pytest.approx(share)


def test_a_certificate_that_ends_before_it_begins_has_no_life_left() -> None:
    assert Validity(START, START).life_left(START) == 0


def test_metrics_say_end_and_share_of_what_is_there() -> None:
    watched, registry = watching.Watched(), CollectorRegistry()
    registry.register(watching.Exported(watched, now=lambda: NOW))
    watched.add("served", lambda: TEN_DAYS)
    watched.add("client", lambda: None)

    told = generate_latest(registry).decode()

    end = TEN_DAYS.not_after.timestamp()
    assert float(_value(told, "kubently_certificate_not_after_timestamp_seconds", "served")) == end
    assert float(_value(told, "kubently_certificate_life_left_ratio", "served")) == pytest.approx(0.4)
    assert 'certificate="client"' not in told


def test_a_series_goes_with_its_certificate() -> None:
    watched, present = watching.Watched(), [TEN_DAYS]
    watched.add("identity", lambda: present[0] if present else None)
    assert dict(watched.found()) == {"identity": TEN_DAYS}

    present.clear()

    assert dict(watched.found()) == {}


def test_of_several_trusted_certificates_the_first_to_end_counts(tmp_path: Path) -> None:
    authority = trust.make_authority("test")
    short = trust.issue(authority, ["a.example"], lifetime=timedelta(days=2))
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(authority.cert + short.cert)

    found = watching.of_trusted(TrustSettings(ca_cert=str(bundle)))

    assert found is not None
    assert found == watching.of_file(bundle)
    assert found.not_after - datetime.now(UTC) < timedelta(days=3)


def test_what_cannot_be_read_is_not_watched(tmp_path: Path) -> None:
    garbage = tmp_path / "ca.crt"
    garbage.write_bytes(b"-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n")

    assert watching.of_file(garbage) is None
    assert watching.of_file(tmp_path / "missing") is None
    assert watching.of_trusted(TrustSettings()) is None
    assert watching.of_trusted(TrustSettings(ca_cert=str(tmp_path / "missing"))) is None


def _value(told: str, metric: str, certificate: str) -> str:
    start = f'{metric}{{certificate="{certificate}"}} '
    return next(line.removeprefix(start) for line in told.splitlines() if line.startswith(start))
