"""Secrets out of text and out of objects."""

from __future__ import annotations

import base64
import json
import time
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubently.kube import redact
from kubently.kube._text import MAX_KEY_LINES, MAX_LINE_BYTES

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nabcdef0123456789==\n-----END RSA PRIVATE KEY-----"
HIDDEN = "hunter2-canary"
B64 = base64.b64encode(HIDDEN.encode()).decode()


def feed_in_pieces(data: bytes, cuts: list[int]) -> bytes:
    redactor = redact.TextRedactor()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return b"".join(redactor.feed(data[start:end]) for start, end in pairwise(edges)) + redactor.finish()


# ---- text


@pytest.mark.parametrize(
    "line",
    [
        f"password={HIDDEN}",
        f"DB_PASSWORD: {HIDDEN} connecting",
        f'{{"password": "{HIDDEN}", "user": "bob"}}',
        f'{{\\"password\\":\\"{HIDDEN}\\",\\"user\\":\\"bob\\"}}',
        f"passwd := '{HIDDEN}'",
        f"--db-password={HIDDEN} --verbose",
        f"api_key={HIDDEN}",
        f"AWS_SECRET_ACCESS_KEY={HIDDEN}",
        f"client-secret => {HIDDEN}",
        f"token: {HIDDEN}",
        f"pass={HIDDEN}",
        f'password="unclosed {HIDDEN}',
        f'password="with \\" quote {HIDDEN}"',
        f"postgres://app:{HIDDEN}@db:5432/shop",
        f"Authorization: Basic {HIDDEN}",
        f'"authorization": "Bearer {HIDDEN}"',
        f"curl -H bearer {HIDDEN}-and-longer",
        f"request with {JWT} failed",
        f"jwt\\n{JWT}",
        f"before {KEY.replace(chr(10), chr(92) + 'n')} after",
    ],
)
def test_masks_secrets_in_a_line(line: str) -> None:
    masked = redact.redact_text(line)

    assert HIDDEN not in masked
    assert JWT.split(".")[1] not in masked
    assert "MIIEow" not in masked
    assert "[redacted by Kubently: " in masked


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET /healthz 200 3ms",
        "connected to http://web:8080/path?x=1",
        'MountVolume.SetUp failed for volume "certs" : secret "db-credentials" not found',
        "max_tokens=100 bypass=1 nextPage",
        "basic authentication is on",
        "-----BEGIN CERTIFICATE-----",
        "secretName=web-tls passwordless login",
        "eyJ is not a token, nor is eyJhbGci",
        "eyJ.is.not.a.token.either.eyJ.x-y-z-a-b-c eyJ.nor.is.this.one.as.you.can.see",
        "eyJhbGciOiJIUzI1NiJ9eyJzdWIiOiIxMjM0NTY3ODkwIn0",
    ],
)
def test_leaves_ordinary_lines(line: str) -> None:
    assert redact.redact_text(line) == line


def test_redacting_twice_changes_nothing_more() -> None:
    text = (
        f'password={HIDDEN}\n{{"token":"{HIDDEN}"}}\npostgres://a:{HIDDEN}@b\nBearer {HIDDEN}-and-longer\n{KEY}\n{JWT}'
    )

    once = redact.redact_text(text)

    assert redact.redact_text(once) == once


def test_a_private_key_is_masked_to_its_end_and_no_further() -> None:
    text = f"first\n{KEY}\nlast\n"

    masked = redact.redact_text(text)

    mark = redact.marker("private key")
    assert masked == f"first\n{mark}\n{mark}\n{mark}\n{mark}\nlast\n"


def test_a_private_key_that_never_ends_does_not_silence_a_log_for_ever() -> None:
    text = "-----BEGIN PRIVATE KEY-----\n" + "line\n" * (MAX_KEY_LINES + 5)

    masked = redact.redact_text(text).splitlines()

    assert masked.count("line") == 5
    assert masked[-5:] == ["line"] * 5


def test_a_second_beginning_keeps_the_mask_on() -> None:
    text = "-----BEGIN PRIVATE KEY-----\n" + "one\n" * 200 + "-----BEGIN PRIVATE KEY-----\n" + "two\n" * 200

    assert set(redact.redact_text(text).splitlines()) == {redact.marker("private key")}


def test_long_lines_are_masked_whole() -> None:
    masked = redact.redact_text("short\n" + "a" * (MAX_LINE_BYTES + 1) + "\nshort\n")

    assert masked == f"short\n{redact.marker(f'line longer than {MAX_LINE_BYTES} bytes')}\nshort\n"
    assert redact.redact_text("a" * MAX_LINE_BYTES) == "a" * MAX_LINE_BYTES


def test_a_private_key_that_begins_in_a_long_line_is_masked() -> None:
    text = "a" * MAX_LINE_BYTES + "-----BEGIN PRIVATE KEY-----\nMIIEow\n-----END PRIVATE KEY-----\nend\n"

    masked = redact.redact_text(text)

    assert "MIIEow" not in masked
    assert masked.endswith("\nend\n")


def test_holds_back_no_more_than_one_line() -> None:
    redactor = redact.TextRedactor()

    assert redactor.feed(b"one\ntwo\nthr") == b"one\ntwo\n"
    assert redactor.feed(b"ee\n") == b"three\n"
    assert redactor.feed(b"x" * MAX_LINE_BYTES) == b""
    assert redactor.feed(b"x") == redact.marker(f"line longer than {MAX_LINE_BYTES} bytes").encode()
    assert redactor.feed(b"x" * 100_000) == b""
    assert redactor.finish() == b""


FRAGMENTS = st.sampled_from(
    [
        *(
            "password=",
            "hunter2",
            '"',
            "'",
            " ",
            "\n",
            "\r\n",
            "\r",
            "\\",
            "é",
            "token: ",
            JWT,
            "Bearer ",
            "://a:b@c",
            "eyJ",
            ".",
        ),
        *(
            KEY,
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "-----BEGIN ",
            "word " * 5,
            "x" * 9000,
            "y" * 16384,
        ),
    ]
)


@given(
    fragments=st.lists(FRAGMENTS, max_size=12), cuts=st.lists(st.integers(0, 60_000) | st.integers(0, 200), max_size=8)
)
@example(fragments=["x" * 9000, "y" * 16384, "-----BEGIN PRIVATE KEY-----", "\n", "hunter2", "\n"], cuts=[25390, 25400])
def test_any_split_gives_the_same(fragments: list[str], cuts: list[int]) -> None:
    data = "".join(fragments).encode()

    assert feed_in_pieces(data, cuts) == feed_in_pieces(data, [])


@given(st.binary(max_size=200))
def test_every_byte_string_is_taken(data: bytes) -> None:
    assert feed_in_pieces(data, list(range(len(data)))) == feed_in_pieces(data, [])


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "eyJ",
        "eyJ.",
        "eyJaaaaaaa.",
        "password",
        "password=",
        'password="',
        "password='",
        'password=\\"',
        "bearer ",
        "-",
        "://",
        "://a:",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "authorization:a ",
        "token=>",
        "pass\\",
        "secret_key",
    ],
)
def test_hostile_lines_take_linear_time(unit: str) -> None:
    """Generous: a pattern that backtracks needs minutes for these, a linear one milliseconds."""
    line = (unit * MAX_LINE_BYTES)[:MAX_LINE_BYTES]

    began = time.process_time()
    for _ in range(4):
        redact.redact_text(line)
    spent = time.process_time() - began

    assert spent < 2.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DB_PASSWORD", True),
        ("apiKey", True),
        ("GITHUB_TOKEN", True),
        ("tls.private.key", True),
        ("PGPASS", False),
        ("DB_PASS", True),
        ("PASSWORD_FILE", False),
        ("SECRET_NAME", False),
        ("TOKEN_URL", False),
        ("COMPASS", False),
        ("LOG_LEVEL", False),
    ],
)
def test_sensitive_names(name: str, expected: bool) -> None:
    assert redact.is_sensitive_name(name) is expected


def test_words_of_a_command() -> None:
    words = ["serve", "--password", HIDDEN, f"--token={HIDDEN}", "--port", "80", "--password-file", "/etc/p"]

    masked = redact.redact_words(words)

    assert HIDDEN not in " ".join(masked)
    assert masked[-4:] == ["--port", "80", "--password-file", "/etc/p"]


# ---- objects


def secret(**changes: Any) -> dict[str, Any]:
    plain = {"apiVersion": "v1", "kind": "Secret", "data": {"password": B64}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": "db",
            "namespace": "shop",
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": json.dumps(plain),
                "other.tool/original": json.dumps(plain),
                "compressed": "H4sI" + B64 * 40,
                "team": "shop",
            },
        },
        "data": {"password": B64},
        "stringData": {"password": HIDDEN},
        **changes,
    }


def anonymous(obj: dict[str, Any]) -> dict[str, Any]:
    """A member of a list as the apiserver writes it: without kind and apiVersion."""
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


SHAPES: dict[str, dict[str, Any]] = {
    "single": secret(),
    "list": {"kind": "SecretList", "apiVersion": "v1", "items": [anonymous(secret()), anonymous(secret())]},
    "mixed list": {"kind": "List", "apiVersion": "v1", "items": [secret()]},
    "watch event": {"type": "ADDED", "object": secret()},
    "table with objects": {"kind": "Table", "rows": [{"cells": ["db", "Opaque", 1], "object": secret()}]},
    "watch event with a table": {
        "type": "MODIFIED",
        "object": {"kind": "Table", "rows": [{"cells": ["db"], "object": secret()}]},
    },
    "manifest inside another object": {"kind": "Template", "objects": [{"deep": [secret()]}]},
    "manifest in an annotation": {
        "kind": "Widget",
        "metadata": {"annotations": {"example.com/child": json.dumps(secret())}},
    },
}
HINTED: dict[str, dict[str, Any]] = {
    "table with metadata": {
        "kind": "Table",
        "rows": [{"cells": ["db"], "object": {**secret(), "kind": "PartialObjectMetadata"}}],
    },
    "metadata": {**secret(), "kind": "PartialObjectMetadata"},
    "metadata list": {"kind": "PartialObjectMetadataList", "items": [anonymous(secret())]},
    "metadata event": {"type": "ADDED", "object": {**secret(), "kind": "PartialObjectMetadata"}},
}
MODES: tuple[Literal["none", "metadata"], ...] = ("none", "metadata")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_carries_the_data_of_a_secret(shape: str, mode: Literal["none", "metadata"]) -> None:
    text = json.dumps(redact.redact_object(SHAPES[shape], secrets=mode))

    assert HIDDEN not in text
    assert B64 not in text
    assert '"team": "shop"' in text or '\\"team\\":\\"shop\\"' in text


@pytest.mark.parametrize("shape", HINTED)
def test_metadata_without_a_kind_is_redacted_by_the_hint(shape: str) -> None:
    text = json.dumps(redact.redact_object(HINTED[shape], kind="Secret"))

    assert HIDDEN not in text
    assert B64 not in text


def test_with_metadata_the_keys_stay_and_decode() -> None:
    masked = redact.redact_object(secret(), secrets="metadata")

    assert base64.b64decode(masked["data"]["password"]).decode() == redact.marker("data of a Secret")
    assert masked["type"] == "Opaque"
    assert redact.redact_object(secret(), secrets="none")["data"] == {}


def test_the_original_is_not_changed() -> None:
    original = secret()

    redact.redact_object(original)

    assert original == secret()


def test_config_maps() -> None:
    config_map = {
        "kind": "ConfigMap",
        "metadata": {"labels": {"owner": "helm"}},
        "data": {
            "DB_PASSWORD": HIDDEN,
            "app.properties": f"user=bob\npassword={HIDDEN}\n",
            "tls.pem": KEY,
            "release": B64,
            "log.level": "debug",
            "empty.token": "",
        },
        "binaryData": {"key.der": base64.b64encode(KEY.encode()).decode(), "logo": "AAAA", "broken": "=====x"},
    }

    masked = redact.redact_object({"kind": "ConfigMapList", "items": [anonymous(config_map)]})["items"][0]

    assert HIDDEN not in json.dumps(masked) and B64 not in json.dumps(masked) and "MIIEow" not in json.dumps(masked)
    assert masked["data"]["log.level"] == "debug" and masked["data"]["empty.token"] == ""
    assert "user=bob\n" in masked["data"]["app.properties"]
    assert masked["binaryData"]["logo"] == "AAAA" and masked["binaryData"]["broken"] == "=====x"
    assert b"MIIEow" not in base64.b64decode(masked["binaryData"]["key.der"])


def test_pods() -> None:
    container = {
        "name": "app",
        "args": ["--password", HIDDEN, "--port=80"],
        "command": ["sh", "-c", f"export TOKEN={HIDDEN}; run"],
        "env": [
            {"name": "DB_PASSWORD", "value": HIDDEN},
            {"name": "DSN_URL", "value": f"postgres://a:{HIDDEN}@db"},
            {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
            {"name": "LEVEL", "value": "debug"},
            "malformed",
        ],
    }
    pod = {"kind": "Pod", "spec": {"containers": [container]}}
    pod["metadata"] = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(pod)}}

    masked = redact.redact_object(pod)

    assert HIDDEN not in json.dumps(masked)
    env = masked["spec"]["containers"][0]["env"]
    assert env[2] == container["env"][2]
    assert env[3] == {"name": "LEVEL", "value": "debug"}


def test_other_objects_keep_their_words() -> None:
    event = {
        "kind": "Event",
        "involvedObject": {"kind": "Secret", "name": "db"},
        "message": 'secret: "db" not found',
        "metadata": {"annotations": {"json": '{"a": 1}', "broken": "{", "number": 3}},
    }

    assert redact.redact_object(event) == event
    assert JWT not in json.dumps(redact.redact_object({"kind": "Widget", "spec": {"x": [f"found {JWT}"]}}))


def test_an_unreadable_copy_is_masked() -> None:
    nested = '{"a":' * 100_000
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": nested, "x": f"{{password={HIDDEN}"}

    masked = redact.redact_object({"kind": "Widget", "metadata": {"annotations": annotations}})["metadata"][
        "annotations"
    ]

    assert masked["kubectl.kubernetes.io/last-applied-configuration"] == redact.marker("unreadable manifest")
    assert HIDDEN not in masked["x"]


def test_what_is_nested_too_deep_is_masked() -> None:
    obj: dict[str, Any] = secret()
    for _ in range(150):
        obj = {"inner": [obj]}

    assert B64 not in json.dumps(redact.redact_object(obj))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["Secret", "Table", "List", "ConfigMap"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "kind",
                    "data",
                    "stringData",
                    "metadata",
                    "annotations",
                    "items",
                    "rows",
                    "object",
                    "env",
                    "name",
                    "value",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(
    obj=st.dictionaries(st.sampled_from(["kind", "items", "object", "data", "metadata"]), JSON),
    hint=st.sampled_from(["", "Secret"]),
)
def test_any_shape_is_taken_and_a_secret_in_it_is_masked(obj: dict[str, Any], hint: str) -> None:
    redact.redact_object(obj, kind=hint)

    text = json.dumps(redact.redact_object({"items": [obj, {"x": {"y": secret()}}]}, kind=hint))

    assert B64 not in text
    assert HIDDEN not in text
