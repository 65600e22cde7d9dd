"""What is left of Secrets (facts of certificates, the name of the executor's own), and the operator's patterns."""

from __future__ import annotations

import base64
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kubently.kube import members
from kubently.kube.policy import Patterns
from kubently.kube.redact import TextRedactor, redact_object, redact_text

PLANTED = "planted-value"
OWN = ("kubently", "executor-token")
ANNOTATION = "kubently.io/certificate-tls.crt"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def certificate(*names: str) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example")])
    start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(0xABC).not_valid_before(start).not_valid_after(start + timedelta(days=90))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    made = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


CERT, KEY = certificate("shop.example", "www.shop.example")


def with_name_of_bits() -> bytes:
    """The certificate with a common name that is no text; the library raises for it what it raises for nothing else."""
    der = x509.load_pem_x509_certificate(CERT).public_bytes(serialization.Encoding.DER)
    text, bits = b"\x0c\x0cshop.example", b"\x03\x0cshop.example"
    assert der.count(text) == 2
    body = base64.encodebytes(der.replace(text, bits))
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def tls(**changes: Any) -> dict[str, Any]:
    data = {"tls.crt": encoded(CERT), "tls.key": encoded(KEY)}
    return {
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "t", "namespace": "a"},
        "data": data,
    } | changes


def facts(secret: dict[str, Any], annotation: str = ANNOTATION) -> Any:
    return json.loads(secret["metadata"]["annotations"][annotation])


# ---- certificates


def test_public_facts_of_a_certificate_take_the_place_of_the_data() -> None:
    shown = redact_object(tls(), secrets="metadata")

    loaded = x509.load_pem_x509_certificate(CERT)
    assert facts(shown) == {
        "subject": "CN=shop.example",
        "issuer": "CN=shop.example",
        "notBefore": "2026-01-02T03:04:05Z",
        "notAfter": "2026-04-02T03:04:05Z",
        "dnsNames": ["shop.example", "www.shop.example"],
        "serial": "abc",
        "fingerprintSha256": loaded.fingerprint(hashes.SHA256()).hex(),
        "certificates": 1,
    }
    text = json.dumps(shown)
    assert encoded(CERT)[40:80] not in text and encoded(KEY)[40:80] not in text


def test_a_chain_is_counted_and_its_first_told() -> None:
    other, _ = certificate()
    shown = redact_object(tls(data={"tls.crt": encoded(CERT + other), "ca.crt": encoded(other)}), secrets="metadata")

    assert (facts(shown)["certificates"], facts(shown)["dnsNames"][0]) == (2, "shop.example")
    assert facts(shown, "kubently.io/certificate-ca.crt")["dnsNames"] == []


@pytest.mark.parametrize(
    "value",
    [
        PLANTED,
        encoded(PLANTED.encode()),
        encoded(b"-----BEGIN CERTIFICATE-----\n" + PLANTED.encode() + b"\n-----END CERTIFICATE-----\n"),
        encoded(CERT.replace(b"MII", b"MIB", 1)),
        encoded(KEY),
        encoded(with_name_of_bits()),
        encoded(CERT * 250),
        encoded(CERT) * 1000,
        "",
        None,
        [PLANTED],
    ],
    ids=range(11),
)
def test_what_is_no_certificate_is_an_error_without_its_content(value: Any) -> None:
    shown = redact_object(tls(data={"tls.crt": value}), secrets="metadata")

    assert set(facts(shown)) == {"error"}
    assert PLANTED not in json.dumps(shown)


@pytest.mark.parametrize("secrets", ["none", "metadata"])
def test_facts_that_the_cluster_says_itself_are_taken_out(secrets: Any) -> None:
    annotations = {"kubently.io/certificate-tls.crt": "forged", "kubently.io/certificate-x": "forged", "note": "kept"}
    full = tls(metadata={"name": "t", "annotations": annotations})
    partial = {"kind": "PartialObjectMetadata", "metadata": {"name": "t", "annotations": annotations}}

    shown = redact_object(full, secrets=secrets)
    named = redact_object(partial, secrets=secrets, kind="Secret")

    assert "forged" not in json.dumps([shown, named])
    assert (ANNOTATION in shown["metadata"]["annotations"]) == (secrets == "metadata")
    assert named["metadata"]["annotations"] == {"note": "kept"}


def test_tables_with_objects_tell_the_facts_too() -> None:
    table = {"kind": "Table", "rows": [{"cells": ["t", "kubernetes.io/tls", 2, "3d"], "object": tls()}]}

    shown = redact_object(table, secrets="metadata", kind="Secret")

    assert facts(shown["rows"][0]["object"])["serial"] == "abc"
    assert shown["rows"][0]["cells"] == ["t", "kubernetes.io/tls", 2, "3d"]


# ---- the executor's own Secret


def own(**changes: Any) -> dict[str, Any]:
    metadata = {"name": OWN[1], "namespace": OWN[0], "resourceVersion": "7", "annotations": {"note": PLANTED}}
    return {"kind": "Secret", "metadata": metadata | {"labels": {"x": PLANTED}}, "data": {PLANTED: "eA=="}} | changes


OWN_NAME = {"kind": "Secret", "metadata": {"name": OWN[1], "namespace": OWN[0], "resourceVersion": "7"}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"kind": "SecretList", "items": [own()]}, {"kind": "SecretList", "items": [OWN_NAME]}),
        ({"type": "MODIFIED", "object": own()}, {"type": "MODIFIED", "object": OWN_NAME}),
        (own(kind="PartialObjectMetadata"), OWN_NAME | {"kind": "PartialObjectMetadata"}),
        (
            {"kind": "Table", "rows": [{"cells": [OWN[1], PLANTED, 1], "object": own()}]},
            {"kind": "Table", "rows": [{"cells": [OWN[1], None, None], "object": OWN_NAME}]},
        ),
        (
            {"type": "ADDED", "object": {"kind": "Table", "rows": [{"cells": [OWN[1], PLANTED], "object": own()}]}},
            {
                "type": "ADDED",
                "object": {"kind": "Table", "rows": [{"cells": [OWN[1], None], "object": OWN_NAME}]},
            },
        ),
        (
            {"kind": "Table", "rows": [{"cells": [OWN[1], PLANTED, 1]}]},
            {"kind": "Table", "rows": [{"cells": [OWN[1], None, None]}]},
        ),
    ],
)
def test_of_the_executors_own_secret_the_name_is_left(answer: dict[str, Any], expected: dict[str, Any]) -> None:
    for mode in ("none", "metadata"):
        assert redact_object(answer, secrets=mode, kind="Secret", own_secret=OWN) == expected  # type: ignore[arg-type]


def test_a_secret_of_that_name_elsewhere_is_another() -> None:
    other = own(metadata={"name": OWN[1], "namespace": "shop", "labels": {"a": "b"}})

    assert redact_object(other, secrets="metadata", own_secret=OWN)["metadata"]["labels"] == {"a": "b"}


# ---- Secrets in other objects

INNER = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": PLANTED}}


@pytest.mark.parametrize(
    "obj",
    [
        {"kind": "ControllerRevision", "data": {"spec": {"template": INNER}}},
        {"kind": "ControllerRevision", "data": INNER},
        {"kind": "Template", "objects": [INNER, {"kind": "List", "items": [INNER]}]},
        {"apiVersion": "example.com/v1", "kind": "Bundle", "spec": {"resources": [{"manifest": INNER}]}},
        {"kind": "List", "items": [{"kind": "Pod"}, INNER, {"kind": "ConfigMap", "data": {}}]},
        {"kind": "Pod", "metadata": {"annotations": {"x.example/applied": json.dumps(INNER)}}},
        {"kind": "Pod", "metadata": {"annotations": {"x.example/applied": json.dumps({"items": [INNER]})}}},
        {
            "kind": "PartialObjectMetadata",
            "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(INNER)}},
        },
        {"kind": "Table", "rows": [{"cells": ["a"], "object": INNER}]},
        {"kind": "Event", "message": f"cannot read -----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----"},
    ],
)
def test_secrets_in_other_objects_are_blanked(obj: dict[str, Any]) -> None:
    assert PLANTED in json.dumps(obj)
    for mode in ("none", "metadata"):
        assert PLANTED not in json.dumps(redact_object(obj, secrets=mode))  # type: ignore[arg-type]


# ---- patterns

CARDS = Patterns.from_json(
    {
        "patterns": [
            {"name": "card", "pattern": r"\b(?:[0-9]{4}[ -]?){3}[0-9]{4}\b"},
            {"name": "edge", "pattern": "^id-(.*)$"},
        ]
    }
)
CARD, CARD_MARKER = "4111 1111 1111 1111", "[redacted by Kubently: card]"


def test_patterns_find_what_nothing_else_would() -> None:
    line = f"paid with {CARD} today\n"

    assert redact_text(line) == line
    assert redact_text(line, CARDS) == f"paid with {CARD_MARKER} today\n"
    assert TextRedactor(CARDS).feed(b"id-7\r\nid-8\nan id-9\n") == (
        b"[redacted by Kubently: edge]\r\n".replace(b"[", b"id-[") + b"id-[redacted by Kubently: edge]\nan id-9\n"
    )


def test_patterns_come_after_what_is_masked_anyway() -> None:
    assert (
        redact_text(f"password={PLANTED} {CARD}", CARDS) == f"password=[redacted by Kubently: password] {CARD_MARKER}"
    )


def test_patterns_count_in_config_maps_variables_and_arguments() -> None:
    container = {"env": [{"name": "PAN", "value": CARD}], "args": [f"--pan={CARD}", CARD], "command": ["pay", CARD]}
    shown = redact_object({"kind": "Pod", "spec": {"containers": [container]}}, patterns=CARDS)
    config = redact_object({"kind": "ConfigMap", "data": {"a": f"x\n{CARD}\n"}}, patterns=CARDS)

    assert CARD not in json.dumps([shown, config])
    assert config["data"] == {"a": f"x\n{CARD_MARKER}\n"}
    assert shown["spec"]["containers"][0]["args"] == [f"--pan={CARD_MARKER}", CARD_MARKER]


def test_text_is_the_same_however_it_is_cut() -> None:
    chance = random.Random(7)
    words = [
        f" {CARD} ",
        "id-x",
        "plain",
        "password=x",
        "\n",
        "\r\n",
        "\r",
        " ",
        "é\udcff",
        "y" * 9000,
        "-----BEGIN PRIVATE KEY-----",
    ]
    for _ in range(300):
        text = "".join(chance.choice(words) for _ in range(chance.randint(1, 30)))
        data = text.encode("utf-8", "surrogateescape")
        whole = TextRedactor(CARDS)
        expected = whole.feed(data) + whole.finish()
        redactor = TextRedactor(CARDS)
        got = b""
        while data:
            size = chance.choice([1, 3, 20, 9000, len(data)])
            got += redactor.feed(data[:size])
            data = data[size:]
        assert got + redactor.finish() == expected
        assert CARD.encode() not in expected


def test_lists_of_secrets_are_the_same_however_they_are_cut() -> None:
    answer = json.dumps({"kind": "SecretList", "metadata": {}, "items": [tls(), own(), tls(type="Opaque")]}).encode()
    chance = random.Random(8)

    def through(size: int) -> bytes:
        rewriter = members.ListRewriter(
            lambda item: redact_object(item, secrets="metadata", kind="Secret", own_secret=OWN)
        )
        pieces = [answer[start : start + size] for start in range(0, len(answer), size)]
        return b"".join(map(rewriter.feed, pieces)) + rewriter.finish()

    expected = through(len(answer))
    assert PLANTED.encode() not in expected
    assert all(through(chance.randint(1, 900)) == expected for _ in range(50))
