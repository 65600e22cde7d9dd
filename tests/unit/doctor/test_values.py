"""What values files alone tell."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kubently.doctor import Status, Subject, values

GOOD = """
api: {enabled: false}
executor: {clusterId: b, apiUrl: "https://api.example.com", existingSecret: t}
"""
FAULTS = {
    "values-plain-http": "{api: {enabled: false}, executor: {apiUrl: 'http://api.example.com'}}",
    "values-api-enabled": "{api: {enabled: true}, executor: {apiUrl: 'https://api.example.com'}}",
    "values-internal-across":
        "{api: {enabled: false}, tls: {mode: internal}, executor: {apiUrl: 'https://api.example.com'}}",
    "token-example": "{executor: {token: your-executor-token}}",
    "values-ingress-host": "{tls: {external: {domain: a.example}}, ingress: {hosts: [{host: b.example}]}}",
    "values-volume-not-mounted": "{executor: {volumes: [{name: ca-bundle}]}}",
    "values-namespace-label":
        "{networkPolicy: {ingress: [{from: [{namespaceSelector: {matchLabels: {name: kubently}}}]}]}}",
    "values-istio-url": "{executor: {apiUrl: 'https://kubently-api.istio-system.svc.cluster.local'}}",
    "verification-off": "{executor: {env: {KUBENTLY_SSL_VERIFY: 'false'}}}",
    "values-no-url": "{api: {enabled: false}}",
    "values-unknown-key": "{exekutor: {}}",
    "values-unreadable": "a: &a [1]\nb: *a",
}  # fmt: skip


@pytest.mark.parametrize("code", FAULTS)
def test_fault_is_named(code: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(FAULTS[code])

    found = values.check(Subject(values=(file,)))

    assert code in found.evidence["codes"]  # type: ignore[operator]  # a list


def test_good_file_passes(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(GOOD)

    assert values.check(Subject(values=(file,))).status is Status.PASS


def test_one_token_in_two_files_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    files = (tmp_path / "b.yaml", tmp_path / "c.yaml")
    for file in files:
        file.write_text("{executor: {token: s3cr3t-0123456789}}")

    found = values.check(Subject(values=files))

    assert (found.status, found.code) == (Status.ERROR, "token-shared")
    assert "s3cr3t" not in f"{found}"


def test_a_file_of_comments_alone_is_the_charts_defaults(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("# nothing is set\n")

    assert values.check(Subject(values=(file,))).status is Status.PASS


def test_top_level_values_are_the_charts() -> None:
    chart = Path(__file__).resolve().parents[3] / "deployment" / "helm" / "kubently" / "values.yaml"

    assert set(yaml.safe_load(chart.read_text())) == values._KNOWN
