"""Helm's releases: what is asked for as Helm asks, and what is left of a release."""

from __future__ import annotations

import base64
import gzip
import json
import random
from typing import Any

import pytest
import yaml

from kubently.kube import _manifests, helm, members, paths, policy
from kubently.kube.helm import ReleaseRedactor
from kubently.kube.policy import Allow, Deny, Policy, decide

PLANTED = "planted-in-a-release"
GRANTED = Policy(grants=frozenset({"helm-releases"}))
METADATA = Policy(secrets="metadata", grants=frozenset({"helm-releases"}))
NAME = "sh.helm.release.v1.shop.v3"


def encoded(release: object) -> str:
    """A release as it stands in the ``data`` of a Secret that the API server gives."""
    packed = base64.b64encode(gzip.compress(json.dumps(release).encode()))
    return base64.b64encode(packed).decode()


def decoded(secret: dict[str, Any]) -> dict[str, Any]:
    """What Helm reads from an answer."""
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    return dict(json.loads(gzip.decompress(packed)))


def secret(release: object, **changes: Any) -> dict[str, Any]:
    metadata = {"name": NAME, "namespace": "shop", "resourceVersion": "7", "labels": {"owner": "helm", "name": "shop"}}
    stored = {"metadata": metadata, "type": "helm.sh/release.v1", "data": {"release": encoded(release)}}
    return {"kind": "Secret", "apiVersion": "v1", **stored, **changes}


MANIFEST = f"""---
# Source: shop/templates/secret.yaml
apiVersion: v1
kind: Secret
metadata: {{name: db, annotations: {{note: fine}}}}
stringData:
  password: {PLANTED}
---
# {PLANTED}
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  DB_PASSWORD: {PLANTED}
  conf: |
    colour = blue
    password = {PLANTED}
"""

RELEASE: dict[str, Any] = {
    "name": "shop",
    "namespace": "shop",
    "version": 3,
    "apply_method": "ssa",
    "info": {
        "first_deployed": "2026-01-02T03:04:05.123456789Z",
        "last_deployed": "2026-01-02T03:04:05+01:00",
        "deleted": "",
        "description": "Upgrade complete",
        "status": "deployed",
        "notes": f"Thanks for installing.\npassword: {PLANTED}\n",
        "resources": {"v1/Secret": [{"data": {"x": PLANTED}}]},
    },
    "chart": {
        "metadata": {"name": "shop", "version": "1.2.3", "appVersion": "4.5", "annotations": {"a": f"token={PLANTED}"}},
        "lock": {"digest": PLANTED},
        "templates": [{"name": "templates/x.yaml", "data": base64.b64encode(PLANTED.encode()).decode()}],
        "values": {"user": PLANTED, "deep": {"list": [PLANTED, {"pin": 1234}]}, "nothing": None},
        "schema": base64.b64encode(PLANTED.encode()).decode(),
        "files": [{"name": "README.md", "data": PLANTED}],
    },
    "config": {"password": PLANTED, "pin": 1234, "tls": {"enabled": True}},
    "manifest": MANIFEST,
    "hooks": [
        {
            "name": "prepare",
            "kind": "Secret",
            "path": "shop/templates/hook.yaml",
            "manifest": f"kind: Secret\ndata: {{key: {PLANTED}}}\n",
            "events": ["pre-install"],
            "last_run": {"started_at": "2026-01-02T03:04:05Z", "completed_at": "", "phase": "Succeeded"},
            "weight": -5,
            "extra": PLANTED,
        }
    ],
    "CONFIG": {"password": PLANTED},
    "Manifest": PLANTED,
    "labels": {"x": PLANTED},
}


# ---- requests

AS_HELM = [
    f"/api/v1/namespaces/shop/secrets/{NAME}",
    "/api/v1/namespaces/shop/secrets/sh.helm.release.v1.a.b-c.v12",
    "/api/v1/secrets?labelSelector=owner%3Dhelm",
    "/api/v1/secrets?labelSelector=owner%3D%3Dhelm&limit=500",
    "/api/v1/namespaces/shop/secrets?labelSelector=name%3Dshop%2Cowner%3Dhelm%2Cstatus%3Ddeployed",
    "/api/v1/namespaces/shop/secrets?labelSelector=owner%3Dhelm&watch=1",
    f"/api/v1/namespaces/shop/secrets?labelSelector=owner%3Dhelm&fieldSelector=metadata.name%3D{NAME}",
]
NOT_AS_HELM = [
    "/api/v1/namespaces/shop/secrets/db",
    "/api/v1/namespaces/shop/secrets/sh.helm.release.v1.shop",
    "/api/v1/namespaces/shop/secrets/sh.helm.release.v1..v1",
    "/api/v1/namespaces/shop/secrets/sh.helm.release.v1.shop.vx",
    f"/api/v1/namespaces/shop/secrets/{NAME}.bak",
    f"/api/v1/namespaces/shop/secrets/x{NAME}",
    f"/api/v1/namespaces/shop/secrets/{NAME}/status",
    "/api/v1/secrets",
    "/api/v1/secrets?labelSelector=owner",
    "/api/v1/secrets?labelSelector=owner%21%3Dhelm",
    "/api/v1/secrets?labelSelector=owner+in+%28helm%2Cx%29",
    "/api/v1/secrets?labelSelector=owner+notin+%28helm%29",
    "/api/v1/secrets?labelSelector=xowner%3Dhelm",
    "/api/v1/secrets?labelSelector=owner%3Dhelmx",
    f"/api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3D{NAME}",
    "/apis/example.com/v1/secrets?labelSelector=owner%3Dhelm",
]


def asked(target: str, method: str = "GET") -> paths.ApiRequest:
    path, _, query = target.partition("?")
    return paths.parse(method, path, query)


@pytest.mark.parametrize("target", AS_HELM)
@pytest.mark.parametrize("secrets", ["none", "metadata"])
def test_without_the_grant_helm_gets_a_sentence_that_names_it(target: str, secrets: Any) -> None:
    decision = decide(asked(target), Policy(secrets=secrets))

    assert isinstance(decision, Deny) and decision.rule == "helm-releases"
    message = policy.deny_status(decision, asked(target))["message"]
    assert "Helm" in message and "Secrets" in message and "`grants: [helm-releases]`" in message


@pytest.mark.parametrize("target", AS_HELM)
@pytest.mark.parametrize("rules", [GRANTED, METADATA])
def test_the_grant_allows_what_helm_asks_for(target: str, rules: Policy) -> None:
    assert decide(asked(target), rules) == Allow("helm-releases")


@pytest.mark.parametrize("target", NOT_AS_HELM)
def test_the_grant_allows_nothing_else(target: str) -> None:
    decision = decide(asked(target), GRANTED)

    assert isinstance(decision, Deny) and decision.rule == "no-secrets"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_grant_allows_no_writes(method: str) -> None:
    assert isinstance(decide(asked(f"/api/v1/namespaces/shop/secrets/{NAME}", method), GRANTED), Deny)


def test_denials_and_limits_come_before_the_grant() -> None:
    document = {"mode": "read-only", "grants": ["helm-releases"], "deny": [{"name": "no-shop", "namespaces": ["shop"]}]}
    rules = policy.parse_policy(document)
    limits = policy.Narrowing.from_json({"namespaces": ["other"]})

    assert decide(asked(AS_HELM[0]), rules).rule == "no-shop"
    assert isinstance(decide(asked(AS_HELM[0]), GRANTED, limits), Deny)
    assert isinstance(decide(asked("/api/v1/secrets?labelSelector=owner%3Dhelm"), GRANTED, limits), Deny)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("owner%3Dhelm", False),
        ("owner%3Dhelm%2Cname%3Dshop", True),
        ("owner%3Dhelm%2Cname+in+%28a%2Cb%29", False),
        ("owner%3Dhelm%2Cname%21%3Dshop", False),
        ("owner%3Dhelm%2Cname", False),
    ],
)
def test_a_selector_of_one_name_is_about_one_release(query: str, expected: bool) -> None:
    request = asked(f"/api/v1/secrets?labelSelector={query}")

    assert helm.redactor_for(request, GRANTED).with_manifests == expected
    assert helm.redactor_for(asked(AS_HELM[0]), GRANTED).with_manifests


# ---- releases


def test_a_release_keeps_what_helm_shows() -> None:
    answer = ReleaseRedactor()(secret(RELEASE))
    release = decoded(answer)

    assert PLANTED not in json.dumps(release)
    assert {key: release[key] for key in ("name", "namespace", "version", "apply_method")} == {
        "name": "shop",
        "namespace": "shop",
        "version": 3,
        "apply_method": "ssa",
    }
    assert release["info"] == {
        "first_deployed": "2026-01-02T03:04:05.123456789Z",
        "last_deployed": "2026-01-02T03:04:05+01:00",
        "deleted": "0001-01-01T00:00:00Z",
        "description": "Upgrade complete",
        "status": "deployed",
        "notes": "Thanks for installing.\npassword: [redacted by Kubently: password]\n",
    }
    assert release["chart"]["metadata"]["version"] == "1.2.3"
    assert set(release["chart"]) == {"metadata", "values"}
    assert answer["metadata"]["labels"] == {"owner": "helm", "name": "shop"}
    assert answer["type"] == "helm.sh/release.v1"


def test_values_keep_their_keys_and_shape_alone() -> None:
    release = decoded(ReleaseRedactor()(secret(RELEASE)))
    blank = "[redacted by Kubently: value]"

    assert release["config"] == {"password": blank, "pin": blank, "tls": {"enabled": blank}}
    assert release["chart"]["values"] == {"user": blank, "deep": {"list": [blank, {"pin": blank}]}, "nothing": None}


def test_manifests_stay_manifests() -> None:
    release = decoded(ReleaseRedactor()(secret(RELEASE)))
    first, second = yaml.safe_load_all(release["manifest"])

    assert release["manifest"].startswith("---\n# Source: shop/templates/secret.yaml\n")
    assert first["stringData"] == {} and first["metadata"]["annotations"] == {"note": "fine"}
    assert second["data"]["conf"] == "colour = blue\npassword = [redacted by Kubently: password]\n"
    assert release["hooks"][0] == {
        "name": "prepare",
        "kind": "Secret",
        "path": "shop/templates/hook.yaml",
        "events": ["pre-install"],
        "last_run": {
            "started_at": "2026-01-02T03:04:05Z",
            "completed_at": "0001-01-01T00:00:00Z",
            "phase": "Succeeded",
        },
        "weight": -5,
        "manifest": "kind: Secret\ndata: {}\n",
    }


def test_in_lists_of_all_releases_manifests_are_left_out() -> None:
    release = decoded(ReleaseRedactor(with_manifests=False)(secret(RELEASE)))
    hint = "# [redacted by Kubently: manifests are shown for one release at a time]\n"

    assert (release["manifest"], release["hooks"][0]["manifest"]) == (hint, hint)
    assert release["info"]["status"] == "deployed"
    assert PLANTED not in json.dumps(release)


def test_with_metadata_the_keys_in_secret_manifests_stay() -> None:
    release = decoded(ReleaseRedactor("metadata")(secret(RELEASE)))

    assert list(next(yaml.safe_load_all(release["manifest"]))["stringData"]) == ["password"]
    assert PLANTED not in json.dumps(release)


def test_a_release_of_the_time_before_compression_is_read() -> None:
    stored = base64.b64encode(base64.b64encode(json.dumps(RELEASE).encode())).decode()

    assert decoded(ReleaseRedactor()(secret({}, data={"release": stored})))["name"] == "shop"


@pytest.mark.parametrize(
    "stored",
    [
        None,
        5,
        "",
        "%%%",
        base64.b64encode(PLANTED.encode()).decode(),
        base64.b64encode(base64.b64encode(PLANTED.encode())).decode(),
        encoded([PLANTED]),
        encoded(PLANTED),
        base64.b64encode(base64.b64encode(gzip.compress(b"{}") + gzip.compress(PLANTED.encode()))).decode(),
        base64.b64encode(base64.b64encode(gzip.compress(json.dumps(RELEASE).encode())[:-9])).decode(),
        base64.b64encode(base64.b64encode(b'{"config":' * 100_000)).decode(),
        base64.b64encode(base64.b64encode(b'{"chart":{"metadata":{"a":NaN}}}')).decode(),
    ],
    ids=range(12),
)
def test_a_release_that_cannot_be_read_does_not_leave(stored: Any) -> None:
    answer = ReleaseRedactor()(secret({}, data={"release": stored, "other": PLANTED}))

    assert answer["data"] == {
        "release": base64.b64encode(b"[redacted by Kubently: a Helm release that cannot be read]").decode()
    }


def test_a_release_that_is_too_large_when_unpacked_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm, "MAX_RELEASE_BYTES", 10_000)

    answer = ReleaseRedactor()(secret({"name": "a" * 10_000}))

    assert b"cannot be read" in base64.b64decode(answer["data"]["release"])
    assert decoded(ReleaseRedactor()(secret({"name": "a" * 5_000})))["name"] == "a" * 5_000


@pytest.mark.parametrize("member", ["[]", '{"":0}', "0", '"a"', '{"a":[{"b":1}]}'])
def test_a_release_of_too_many_values_does_not_leave(member: str) -> None:
    def stored(count: int) -> str:
        text = f'{{"name":"web","config":[{",".join([member] * count)}]}}'
        return base64.b64encode(base64.b64encode(gzip.compress(text.encode()))).decode()

    assert b"cannot be read" in ReleaseRedactor().release(stored(helm.MAX_VALUES))
    assert b"cannot be read" not in ReleaseRedactor().release(stored(1000))


def test_commas_and_brackets_in_texts_are_no_values() -> None:
    text = ',[{"\\\n' * (helm.MAX_VALUES + 1)

    assert decoded(ReleaseRedactor()(secret({"name": text})))["name"] == text


def test_a_release_in_another_encoding_than_helms_does_not_leave() -> None:
    text = json.dumps({"name": "web"}).encode("utf-16")

    stored = base64.b64encode(base64.b64encode(gzip.compress(text))).decode()

    assert b"cannot be read" in ReleaseRedactor().release(stored)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "Opaque"},
        {"type": None},
        {"metadata": {"name": NAME, "namespace": "shop", "labels": {"owner": "me"}, "annotations": {"a": PLANTED}}},
        {"metadata": {"name": NAME, "namespace": "shop"}},
    ],
)
def test_what_is_no_release_is_a_name(changes: dict[str, Any]) -> None:
    other = secret(RELEASE, **changes) | {"data": {"password": PLANTED}, "stringData": {"x": PLANTED}}

    hidden = ReleaseRedactor()(other)
    blanked = ReleaseRedactor("metadata")(other)

    assert set(hidden) == {"kind", "apiVersion", "metadata"}
    assert set(hidden["metadata"]) <= {"name", "namespace", "resourceVersion"}
    assert list(blanked["data"]) == ["password"] and PLANTED not in json.dumps(blanked["data"])


def test_the_executors_own_secret_is_a_name_whatever_it_says_it_is() -> None:
    own = ReleaseRedactor("metadata", ("shop", NAME))(secret(RELEASE))

    assert own == {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": NAME, "namespace": "shop", "resourceVersion": "7"},
    }


def test_events_of_a_watch_are_read_too() -> None:
    redact = ReleaseRedactor()
    bookmark = {
        "kind": "Secret",
        "metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}},
    }
    error = {"kind": "Status", "message": "too old", "code": 410}

    assert decoded(redact({"type": "ADDED", "object": secret(RELEASE)})["object"])["name"] == "shop"
    assert set(redact({"type": "DELETED", "object": secret(RELEASE, type="Opaque")})["object"]) == {
        "kind",
        "apiVersion",
        "metadata",
    }
    assert redact({"type": "BOOKMARK", "object": bookmark}) == {"type": "BOOKMARK", "object": bookmark}
    assert redact({"type": "ERROR", "object": error}) == {"type": "ERROR", "object": error}


def test_the_operators_patterns_count_in_releases() -> None:
    patterns = policy.Patterns.from_json({"patterns": [{"name": "colour", "pattern": "blue|Upgrade"}]})

    release = decoded(ReleaseRedactor(patterns=patterns)(secret(RELEASE)))

    assert "colour = [redacted by Kubently: colour]" in release["manifest"]
    assert release["info"]["description"] == "[redacted by Kubently: colour] complete"


# ---- manifests


def redacted(text: str) -> str:
    return _manifests.redact_manifests(text, dict)


@pytest.mark.parametrize(
    "document",
    [
        f"kind: Secret\ndata: [{PLANTED}",
        f"just {PLANTED}",
        f"- {PLANTED}",
        f"kind: Secret\nkind: Other\n1: {PLANTED}",
        f"kind: !!python/object:os.system {PLANTED}",
        f"kind: !!set {{{PLANTED}}}",
        f"kind: !!pairs [{{kind: Secret}}, {{data: {PLANTED}}}]",
        f"kind: !!binary {base64.b64encode(PLANTED.encode()).decode()}",
        f"a: &a {{x: {PLANTED}}}\nb: {{<<: *a}}",
        "a: " + "[" * 200 + PLANTED + "]" * 200,
        "{a: " * 10_000 + PLANTED,
        f"a: &a [{PLANTED}]\nb: *c",
        f"a: &a [*a, {PLANTED}]",
        f"%TAG ! tag:x:\n{PLANTED}",
        f"a: \x00{PLANTED}",
    ],
)
def test_a_document_that_cannot_be_read_is_left_out(document: str) -> None:
    text = redacted(f"---\n# Source: a/b.yaml\n{document}\n---\nkind: Pod\n")

    assert PLANTED not in text
    assert text == (
        "---\n# Source: a/b.yaml\n# [redacted by Kubently: a document that cannot be read]\n---\nkind: Pod\n"
    )


def test_aliases_cannot_make_a_document_huge() -> None:
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 12):
        laughs += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"

    assert redacted(laughs) == "# [redacted by Kubently: a document that cannot be read]\n"
    assert yaml.safe_load(redacted("a: &a [x]\nb: *a\n")) == {"a": ["x"], "b": ["x"]}


def test_too_much_text_is_left_out_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_manifests, "MAX_CHARS", 100)

    assert redacted(f"kind: Pod\nx: {'y' * 50}\n").startswith("kind: Pod")
    assert "kind" not in redacted(f"kind: Pod\nx: {'y' * 100}\n")


def test_a_document_of_too_many_parts_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_manifests, "MAX_DOCUMENT_EVENTS", 50)

    text = redacted(f"a: [{'1,' * 50}]\n---\nkind: Pod\n")

    assert text == "# [redacted by Kubently: a document that cannot be read]\n---\nkind: Pod\n"


def test_all_manifests_of_a_release_share_their_room() -> None:
    room = _manifests.Room(events=150)

    texts = [_manifests.redact_manifests("---\nkind: Pod\n" * 10, dict, room) for _ in range(3)]

    assert texts[0].count("kind: Pod") == 10
    assert 0 < texts[1].count("kind: Pod") < 10
    assert texts[1].endswith("manifests that are too large]\n")
    assert texts[2] == "---\n# [redacted by Kubently: manifests that are too large]\n"


def test_plain_values_stay_what_they_are() -> None:
    text = 'kind: Pod\nport: 80\nquoted: "80"\nflag: on\nword: "yes"\nratio: 0.5\n'
    text += "day: 2026-01-02\ntext: |\n  a\n  b\nnone: null\n"

    assert yaml.safe_load(redacted(text)) == yaml.safe_load(text)
    assert "text: |\n  a\n  b\n" in redacted(text)


# ---- whatever the shape


def test_a_planted_value_never_survives() -> None:
    """It stands at random places of releases, in lists and watch events that arrive in random pieces."""
    chance = random.Random(20261122)
    for _ in range(150):
        answer = {"kind": "SecretList", "metadata": {}, "items": [_random_secret(chance) for _ in range(3)]}
        event = {"type": "MODIFIED", "object": {"kind": "Secret", **_random_secret(chance)}}
        for mode in ("none", "metadata"):
            redact = ReleaseRedactor(mode)  # type: ignore[arg-type]  # a literal of both
            whole = json.dumps(answer).encode()
            leaving = _through(members.ListRewriter(redact), whole, chance)
            assert leaving == _through(members.ListRewriter(redact), whole, chance)
            leaving += _through(members.WatchRewriter(redact), json.dumps(event).encode() + b"\n", chance)
            for form in _forms(leaving):
                assert PLANTED not in form


def _through(rewriter: members.Rewriter, data: bytes, chance: random.Random) -> bytes:
    out = b""
    while data:
        size = chance.randint(1, 2000)
        out += rewriter.feed(data[:size])
        data = data[size:]
    return out + rewriter.finish()


def _forms(leaving: bytes) -> list[str]:
    """The answer, and what stands in its data."""
    forms = [leaving.decode()]
    lists, _, event = leaving.decode().partition("]}")
    shown = [*json.loads(lists + "]}")["items"], json.loads(event)["object"]]
    for item in shown:
        for value in item.get("data", {}).values():
            forms.append(base64.b64decode(value).decode())
            if "redacted" not in forms[-1]:
                forms.append(json.dumps(decoded(item)))
    return forms


def _random_secret(chance: random.Random) -> dict[str, Any]:
    release = json.loads(json.dumps(RELEASE))
    for _ in range(chance.randint(0, 5)):
        _plant(release, chance)
    item = secret(release)
    del item["kind"], item["apiVersion"]
    if chance.random() < 0.3:
        item["type"] = chance.choice(["Opaque", "kubernetes.io/tls", ""])
        item["data"] = {"release": PLANTED, "tls.crt": base64.b64encode(PLANTED.encode()).decode()}
    if chance.random() < 0.2:
        item["metadata"]["labels"] = chance.choice([{}, None, {"owner": "x"}])
    if chance.random() < 0.2:
        item["metadata"]["annotations"] = {"kubently.io/certificate-x": PLANTED, "big": "{" + PLANTED}
    return item


def _plant(release: dict[str, Any], chance: random.Random) -> None:
    """Put the value where it must never be shown: into members that are blanked or left out, and Secret manifests."""
    place = chance.choice(["config", "values", "unknown", "manifest", "hook", "kind"])
    odd = chance.choice([PLANTED, [PLANTED], {"a": PLANTED}, [{"b": [PLANTED]}]])
    if place == "config":
        release["config"] = chance.choice([odd, {"k": odd}])
    elif place == "values":
        release["chart"] = {"values": {"k": odd}}
    elif place == "unknown":
        parts = [part for part in (release, release["chart"], release["info"]) if isinstance(part, dict)]
        chance.choice(parts)[chance.choice(["Config", "x", "VALUES"])] = odd
    elif place == "manifest":
        release["manifest"] = f"{release['manifest']}{_secret_document(chance)}"
    elif place == "hook":
        release["hooks"] += [{"manifest": _secret_document(chance)}, odd]
    else:
        release[chance.choice(["version", "hooks", "info", "chart", "manifest"])] = [odd]


def _secret_document(chance: random.Random) -> str:
    return chance.choice(
        [
            f"\n---\nkind: Secret\ndata: {{x: {PLANTED}}}\n",
            f"\n---\n{{kind: Secret, stringData: {{x: '{PLANTED}'}}}}\n",
            f'\n---\n"kind": "\\u0053ecret"\ndata:\n  x: {PLANTED}\n',
            f"\n---\nkind: List\nitems:\n- kind: Secret\n  data: {{x: {PLANTED}}}\n",
            f"\n---\nkind: SecretList\nitems:\n- data: {{x: {PLANTED}}}\n",
            f"\n---\nkind: Foo\nkind: Secret\ndata: {PLANTED}\n",
            f"\n---\n# kind: Secret {PLANTED}\nkind: Pod\n",
            f"\n---kind: Secret\ndata: {{x: {PLANTED}}}\n",
            f"\n--- # {PLANTED}\n",
            f"\n---\nkind: Pod\nspec: {{containers: [{{env: [{{name: DB_PASSWORD, value: {PLANTED}}}]}}]}}\n",
        ]
    )
