"""The device flow against a provider that says what the test wants, by a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.testbed.oidc import StubProvider, stub

from kubently.cli import oidc_flows
from kubently.cli.oidc_flows import LoginLateError
from kubently.client.identity_provider import IdentityProvider, LoginRefusedError
from kubently.errors import OidcUnavailableError
from kubently.settings import TrustSettings

Answer = tuple[int, Mapping[str, str], bytes]


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with stub() as made:
        yield made


class Time:
    """Moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def say(value: Mapping[str, Any], status: int = 200) -> Answer:
    return status, {}, json.dumps(value).encode()


def ask(provider: StubProvider, *answers: Answer, **begun: Any) -> tuple[Any, list[float], list[str]]:
    """Run the flow; what the token endpoint answers comes in turn, the last for ever."""
    document = {**provider.discovery(), "device_authorization_endpoint": f"{provider.issuer}/device"}
    code = {"device_code": "d", "user_code": "AB-CD\x1b[2J", "verification_uri": "https://id.example", **begun}
    left = list(answers)
    provider.answers = {
        "/.well-known/openid-configuration": lambda: say(document),
        "/device": lambda: say(code),
        "/token": lambda: left.pop(0) if len(left) > 1 else left[0],
    }
    client, time, said = IdentityProvider(provider.issuer, "kubently", "", TrustSettings()), Time(), []
    client.discover()
    try:
        got: Any = oidc_flows.by_device(client, "openid", say=said.append, clock=lambda: time.now, sleep=time.sleep)
    except (LoginLateError, LoginRefusedError, OidcUnavailableError) as error:
        got = error
    return got, time.slept, said


PENDING = say({"error": "authorization_pending"}, 400)


def test_it_asks_at_the_interval_and_slower_when_told(provider: StubProvider) -> None:
    slow = say({"error": "slow_down"}, 400)

    got, slept, said = ask(provider, PENDING, slow, PENDING, say({"id_token": "t"}), interval=2)

    assert (got.id_token, slept) == ("t", [2, 2, 7, 7])
    assert "AB-CD[2J" in said[0], "what a provider says cannot steer the terminal"


def test_it_ends_with_the_code(provider: StubProvider) -> None:
    got, slept, _ = ask(provider, PENDING, interval=5, expires_in=30)

    assert isinstance(got, LoginLateError)
    assert sum(slept) <= 30


@pytest.mark.parametrize(
    ("error", "kind"),
    [("expired_token", LoginLateError), ("access_denied", LoginRefusedError), ("invalid_client", LoginRefusedError)],
)
def test_a_no_is_a_no(error: str, kind: type[Exception], provider: StubProvider) -> None:
    got, slept, _ = ask(provider, say({"error": error}, 400))

    assert (type(got), len(slept)) == (kind, 1)


@pytest.mark.parametrize(
    "answer",
    [(302, {"location": "https://evil.example"}, b""), (200, {}, b"["), (200, {}, b"[]"), (500, {}, b"{}")],
)
def test_an_answer_that_is_none_ends_it(answer: Answer, provider: StubProvider) -> None:
    assert isinstance(ask(provider, answer)[0], OidcUnavailableError)


def test_an_answer_without_an_id_token_is_no_login(provider: StubProvider) -> None:
    assert isinstance(ask(provider, say({"access_token": "x"}))[0], LoginRefusedError)


@pytest.mark.parametrize("url", ["http://id.example", "file:///etc/passwd", "https://a@id.example", "//", ""])
def test_what_is_not_https_is_not_asked(url: str) -> None:
    with pytest.raises(OidcUnavailableError):
        IdentityProvider(url, "kubently", "", TrustSettings()).discover()
