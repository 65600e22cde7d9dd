"""Sessions of people over real sockets: what is accepted, what is refused, and what ends them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from tests.testbed.oidc import CLIENT, ROLES, StubProvider, stub

from kubently.auth import oidc
from kubently.errors import ConfigError
from kubently.settings import OidcSettings
from kubently.testing import RunningFleet, ScriptedExecutor, run_fleet

pytestmark = pytest.mark.anyio

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with stub() as made:
        yield made


def settings(provider: StubProvider, folder: Path, **more: Any) -> OidcSettings:
    roles = folder / "roles.yaml"
    if not roles.exists():
        roles.write_text(ROLES)
    return OidcSettings(provider.issuer, CLIENT, roles, audiences=(CLIENT,), **more)


async def login(fleet: RunningFleet, token: str, **more: str) -> httpx.Response:
    return await fleet.http.post("/api/v1/login", json={"id_token": token, **more}, headers={"authorization": ""})


async def session(fleet: RunningFleet, token: str) -> dict[str, str]:
    made = await login(fleet, token)
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['token']}"}


async def test_a_session_does_what_its_group_may_and_is_named_in_the_audit(
    tmp_path: Path, provider: StubProvider
) -> None:
    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)) as fleet:
        made = (await login(fleet, provider.sign())).json()
        headers = {"Authorization": f"Bearer {made['token']}"}

        who = (await fleet.http.get("/api/v1/whoami", headers=headers)).json()
        await fleet.http.post("/api/v1/keys", json={"name": "ann"}, headers=headers)
        record = (await fleet.http.get("/api/v1/audit?after=-1")).json()["records"][0]

        assert (who["name"], who["role"], who["session"]) == ("user:alice@example.org", "admin", made["info"]["id"])
        assert (record["principal"], record["session"]) == ("user:alice@example.org", made["info"]["id"])
        stored = str(await fleet.serving.services.store.scan("auth:login:"))
        assert made["token"] not in stored
        assert made["info"]["id"] in stored


async def test_groups_decide_and_are_asked_of_the_rules_at_each_use(tmp_path: Path, provider: StubProvider) -> None:
    oidc_settings = settings(provider, tmp_path)
    async with run_fleet(tmp_path, oidc=oidc_settings) as fleet:
        headers = await session(fleet, provider.sign(groups=["support", "shop"]))

        before = (await fleet.http.get("/api/v1/whoami", headers=headers)).json()
        oidc_settings.roles_file.write_text("rules:\n- groups: [shop]\n  role: viewer\n  clusters: [beta]\n")
        after = (await fleet.http.get("/api/v1/whoami", headers=headers)).json()
        oidc_settings.roles_file.write_text("rules: []\n")
        gone = await fleet.http.get("/api/v1/whoami", headers=headers)

        assert (before["role"], before["clusters"]) == ("operator", ["alpha"])
        assert before["limits"] == [{"clusters": ["alpha"], "namespaces": ["shop"], "resources": None, "names": None}]
        assert (after["role"], after["clusters"], after["limits"]) == ("viewer", ["beta"], [])
        assert (gone.status_code, gone.json()["code"]) == (403, "no-role")
        assert gone.json()["details"] == {"groups": ["support", "shop"]}


async def test_who_has_no_rule_gets_no_session(tmp_path: Path, provider: StubProvider) -> None:
    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)) as fleet:
        answer = await login(fleet, provider.sign(groups=["visitors"]))

        assert (answer.status_code, answer.json()["code"]) == (403, "no-role")
        assert "visitors" in answer.json()["detail"]
        assert not await fleet.serving.services.store.scan("auth:login:")


def unsigned(provider: StubProvider) -> str:
    _, claims, _ = provider.sign().split(".")
    return f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{claims}."


def signed_with_the_public_key(provider: StubProvider) -> str:
    """What a library takes for good that lets the token choose HMAC and gives it the published key."""
    _, claims, _ = provider.sign().split(".")
    name, key = next(iter(provider.keys.items()))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = f"{encoded({'alg': 'HS256', 'kid': name})}.{claims}"
    return f"{head}.{bare(hmac.digest(public, head.encode(), hashlib.sha256))}"


def with_its_own_key(provider: StubProvider) -> str:
    """Signed by a stranger, whose key comes along in the header."""
    stranger = StubProvider(provider.issuer)
    stranger.rotate(next(iter(provider.keys)))
    return stranger.sign(headers={"jwk": stranger.jwks()["keys"][0], "jku": "https://evil.example"})


def encoded(value: Mapping[str, Any]) -> str:
    return bare(json.dumps(value).encode())


def bare(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


NOW = int(time.time())
REFUSED: Mapping[str, tuple[Callable[[StubProvider], str], str]] = {
    "expired": (lambda p: p.sign(iat=NOW - 500, exp=NOW - 200), "expired"),
    "too old to open a session": (lambda p: p.sign(iat=NOW - 4000, exp=NOW + 9000), "older than"),
    "from the future": (lambda p: p.sign(iat=NOW + 3600, exp=NOW + 9000), "future"),
    "not yet valid": (lambda p: p.sign(nbf=NOW + 3600), "future"),
    "without an end": (lambda p: p.sign(exp=None), "iat, exp"),
    "an end that is no number": (lambda p: p.sign(exp=None, iat="x"), "iat"),
    "another audience": (lambda p: p.sign(aud="grafana"), "grafana"),
    "no audience": (lambda p: p.sign(aud=None), "not for"),
    "another issuer": (lambda p: p.sign(iss="https://evil.example"), "evil.example"),
    "issuer with a slash": (lambda p: p.sign(iss=f"{p.issuer}/"), "issuer"),
    "another application": (lambda p: p.sign(azp="grafana"), "application"),
    "several audiences, no application": (lambda p: p.sign(aud=[CLIENT, "grafana"]), "application"),
    "nobody": (lambda p: p.sign(sub=None), "nobody"),
    "an access token": (lambda p: p.sign(headers={"typ": "at+jwt"}), "typ"),
    "critical extension": (lambda p: p.sign(headers={"crit": ["b64"], "b64": True}), "refused"),
    "alg none": (unsigned, "refused"),
    "HMAC with the public key": (signed_with_the_public_key, "HS256"),
    "a key of its own": (with_its_own_key, "signature"),
    "an unknown key": (lambda p: p.sign(headers={"kid": "nobody's"}), "no key"),
    "no token": (lambda p: "a.b.c", "JWT"),
    "empty": (lambda p: "", "JWT"),
    "groups that are no names": (lambda p: p.sign(groups={"a": 1}), "groups"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused(name: str, tmp_path: Path, provider: StubProvider) -> None:
    make, word = REFUSED[name]
    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)) as fleet:
        answer = await login(fleet, make(provider))

        assert (answer.status_code, answer.json()["code"]) == (401, "id-token-invalid"), answer.text
        assert word in answer.json()["detail"]
        assert not await fleet.serving.services.store.scan("auth:login:")
        assert (await login(fleet, provider.sign())).status_code == 201, "a good one is taken all the same"


async def test_a_token_opens_one_session_and_only_with_its_nonce(tmp_path: Path, provider: StubProvider) -> None:
    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)) as fleet:
        token = provider.sign(nonce="right")

        assert (await login(fleet, token, nonce="wrong")).status_code == 401
        assert (await login(fleet, token, nonce="right")).status_code == 201
        again = await login(fleet, token, nonce="right")
        assert (again.status_code, "before" in again.json()["detail"]) == (401, True)


async def test_an_unverified_address_names_nobody(tmp_path: Path, provider: StubProvider) -> None:
    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)) as fleet:
        headers = await session(fleet, provider.sign(email="boss@example.org", email_verified=False))

        assert (await fleet.http.get("/api/v1/whoami", headers=headers)).json()["name"] == "user:sub:alice"


async def test_keys_rotate_without_a_restart(tmp_path: Path, provider: StubProvider) -> None:
    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)) as fleet:
        old = provider.sign()
        assert (await login(fleet, provider.sign())).status_code == 201

        provider.rotate("second")
        with_new = await login(fleet, provider.sign())
        with_old = await login(fleet, old)

        assert with_new.status_code == 201
        assert (with_old.status_code, "no key" in with_old.json()["detail"]) == (401, True)


async def test_made_up_keys_do_not_become_the_providers_load(tmp_path: Path, provider: StubProvider) -> None:
    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)) as fleet:
        for number in range(50):
            assert (await login(fleet, provider.sign(headers={"kid": f"k{number}"}))).status_code == 401

        assert len(provider.asked) <= oidc.FETCHES
        assert (await login(fleet, provider.sign())).status_code == 201


async def test_a_revoked_session_and_what_it_made_end_at_once(tmp_path: Path, provider: StubProvider) -> None:
    async def pods(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path, login_ttl=600)) as fleet:
        await fleet.add("alpha", ScriptedExecutor(None, kubernetes=pods))  # type: ignore[arg-type]  # asked for none
        headers = await session(fleet, provider.sign())
        path = "/clusters/alpha/k8s/api/v1/pods"
        made = (await fleet.http.post("/api/v1/clusters/alpha/kubernetes-token", headers=headers)).json()
        kubectl = {"Authorization": f"Bearer {made['token']}"}
        assert 500 < made["expires_in"] <= 600, "a token does not outlive its session"
        assert [(await fleet.http.get(path, headers=h)).status_code for h in (headers, kubectl)] == [200, 200]

        listed = (await fleet.http.get("/api/v1/sessions", headers=headers)).json()
        revoked = await fleet.http.delete(f"/api/v1/sessions/{listed[0]['id']}", headers=headers)

        assert revoked.status_code == 204
        assert [(await fleet.http.get(path, headers=h)).status_code for h in (headers, kubectl)] == [401, 401]
        assert (await fleet.http.get("/api/v1/whoami", headers=headers)).json()["code"] == "session-expired"


async def test_sessions_of_others_are_an_administrators_to_see_and_end(tmp_path: Path, provider: StubProvider) -> None:
    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)) as fleet:
        bob = await session(fleet, provider.sign(sub="bob", email="bob@example.org", groups=["support"]))
        alice = await session(fleet, provider.sign())
        everybody = (await fleet.http.get("/api/v1/sessions", headers=alice)).json()
        ids = {info["name"].partition("@")[0]: info["id"] for info in everybody}

        own = (await fleet.http.get("/api/v1/sessions", headers=bob)).json()
        by_bob = await fleet.http.delete(f"/api/v1/sessions/{ids['user:alice']}", headers=bob)
        by_alice = await fleet.http.delete(f"/api/v1/sessions/{ids['user:bob']}", headers=alice)

        assert [info["name"] for info in own] == ["user:bob@example.org"]
        assert (by_bob.status_code, by_alice.status_code) == (404, 204)


async def test_sessions_go_on_without_the_provider_and_logins_say_so(tmp_path: Path) -> None:
    with stub() as provider:
        oidc_settings = settings(provider, tmp_path)
        token = provider.sign()
        late = provider.sign()
    async with run_fleet(tmp_path, oidc=oidc_settings) as fleet:
        refused = await login(fleet, token)
        methods = (await fleet.http.get("/.well-known/kubently-auth", headers={"authorization": ""})).json()

        assert (refused.status_code, refused.json()["code"]) == (503, "oidc-unavailable")
        assert methods["oidc"]["flows"] == ["authorization_code"]
        assert (await login(fleet, late)).status_code == 503


HOSTILE: Mapping[str, tuple[str, Callable[[StubProvider], tuple[int, Mapping[str, str], bytes]]]] = {
    "another issuer": (DISCOVERY, lambda p: ok({**p.discovery(), "issuer": "https://evil.example"})),
    "keys over http": (DISCOVERY, lambda p: ok({**p.discovery(), "jwks_uri": "http://evil.example/keys"})),
    "keys in a file": (DISCOVERY, lambda p: ok({**p.discovery(), "jwks_uri": "file:///etc/passwd"})),
    "a token endpoint over http": (DISCOVERY, lambda p: ok({**p.discovery(), "token_endpoint": "http://evil.example"})),
    "no endpoints": (DISCOVERY, lambda p: ok({"issuer": p.issuer})),
    "a redirect": (DISCOVERY, lambda p: (302, {"location": f"{p.issuer}/keys"}, b"")),
    "a redirect of the keys": ("/keys", lambda p: (302, {"location": f"{p.issuer}/other"}, b"")),
    "no JSON": (DISCOVERY, lambda p: (200, {}, b"<html>")),
    "deep JSON": (DISCOVERY, lambda p: (200, {}, b"[" * 100_000)),
    "a huge JWKS": ("/keys", lambda p: (200, {}, b" " * (2 * oidc.MAX_ANSWER))),
    "compressed keys": ("/keys", lambda p: (200, {"content-encoding": "gzip"}, gzip.compress(ok(p.jwks())[2]))),
    "very many keys": ("/keys", lambda p: ok({"keys": p.jwks()["keys"] * 100})),
    "no keys": ("/keys", lambda p: ok({"keys": []})),
    "only a symmetric key": ("/keys", lambda p: ok({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "first"}]})),
    "a gigantic key": ("/keys", lambda p: ok({"keys": [{**p.jwks()["keys"][0], "n": "_" * 20_000}]})),
    "an error": ("/keys", lambda p: (500, {}, b"")),
}


def ok(value: Any) -> tuple[int, Mapping[str, str], bytes]:
    return 200, {}, json.dumps(value).encode()


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_provider_lets_nobody_in(name: str, tmp_path: Path, provider: StubProvider) -> None:
    path, answer = HOSTILE[name]
    provider.answers[path] = lambda: answer(provider)
    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)) as fleet:
        refused = await login(fleet, provider.sign())

        assert (refused.status_code, refused.json()["code"]) == (503, "oidc-unavailable"), refused.text
        assert "/other" not in provider.asked


async def test_a_silent_provider_holds_nobody_up(
    tmp_path: Path, provider: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "TIMEOUT", 0.3)

    def dawdle() -> tuple[int, Mapping[str, str], bytes]:
        time.sleep(2)
        return 200, {}, b"{}"

    provider.answers[DISCOVERY] = dawdle
    async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)) as fleet:
        refused = await login(fleet, provider.sign())

        assert (refused.status_code, refused.json()["code"]) == (503, "oidc-unavailable")
        assert (await fleet.http.get("/api/v1/whoami")).json()["name"] == "key:admin"


async def test_without_a_provider_there_are_only_keys(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        methods = await fleet.http.get("/.well-known/kubently-auth", headers={"authorization": ""})

        assert methods.json() == {"api_version": "v1", "methods": ["api-key"], "oidc": None}
        assert "max-age" in methods.headers["cache-control"]
        assert (await login(fleet, "a.b.c")).status_code == 404


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("rules: 1", "rules"),
        ("rules:\n- role: admin", "neither"),
        ("rules:\n- groups: [a]\n  role: king", "role"),
        ("rules:\n- groups: [a]\n  role: admin\n  limits: [{namespaces: [shop]}]", "admin"),
        ("rules:\n- groups: [a]\n  role: viewer\n  clusters: [dev-*]\n  limits: [{clusters: [prod]}]", "prod"),
        ("rules:\n- groups: [a]\n  role: viewer\n  cluster: [dev]", "cluster"),
        ("[", "roles.yaml"),
    ],
)
async def test_a_roles_file_that_cannot_be_used_ends_the_start(
    text: str, word: str, tmp_path: Path, provider: StubProvider
) -> None:
    (tmp_path / "roles.yaml").write_text(text)

    with pytest.raises(BaseException) as caught:  # a group, or the error itself
        async with run_fleet(tmp_path, oidc=settings(provider, tmp_path)):
            pass

    found: BaseException = caught.value
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, ConfigError)
    assert word in found.message
