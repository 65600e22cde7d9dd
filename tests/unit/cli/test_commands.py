"""The commands that show and manage: what they ask of the API, and what they print as text and as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.fake import Answer, Lines, fake_api, problem, run

from kubently.journal import Chain, Record
from kubently.schema import Blind, ClusterDiagnosis, Coverage, Diagnosis, Evidence, Finding, ResourceRef, Severity

CLUSTERS: list[dict[str, Any]] = [
    {
        "id": "prod-eu",
        "state": "connected",
        "labels": {"region": "eu", "env": "prod"},
        "executors": [
            {
                "instance": "i",
                "version": "0.1.0",
                "kubernetes_version": "v1.36.3",
                "connected_at": "2026-01-02T00:00:00Z",
            }
        ],
    },
    {"id": "west", "state": "disconnected", "last_seen_at": "2020-01-01T00:00:00Z", "problem": "two use one id"},
    {"id": "new", "state": "never-connected"},
]


def shown(path: str, body: Any, *words: str) -> tuple[list[list[str]], str]:
    """The table that a command prints for an answer, and its JSON."""
    with fake_api({("GET", path): (200, body)}) as api:
        text, as_json = api.run(*words), api.run(*words, "--output", "json")
    assert (text.exit_code, text.stderr, as_json.exit_code) == (0, "", 0)
    assert "\x1b" not in text.stdout
    return [line.split() for line in text.stdout.splitlines()], as_json.stdout


def test_clusters() -> None:
    rows, as_json = shown("/api/v1/clusters", CLUSTERS, "clusters")

    assert rows[0] == ["CLUSTER", "STATE", "KUBERNETES", "EXECUTOR", "SEEN", "LABELS"]
    assert rows[1] == ["prod-eu", "connected", "v1.36.3", "0.1.0", "now", "env=prod,", "region=eu"]
    assert rows[2][:2] == ["west", "disconnected"]
    assert rows[2][-5:] == ["ago", "two", "use", "one", "id"]
    assert rows[3] == ["new", "never-connected", "never"]
    assert json.loads(as_json) == CLUSTERS


def test_one_cluster_in_detail() -> None:
    refusal = {"code": "unauthenticated", "message": "the token is not valid", "at": "2026-01-02T03:04:05Z"}
    executor: dict[str, Any] = {
        **CLUSTERS[0]["executors"][0],
        "identity": "certificate",
        "certificates": {"api": "2026-02-03T04:05:06Z"},
        "last_problem": {"code": "tls-expired", "message": "it expired", "at": "2026-01-01T00:00:00Z"},
    }
    cluster = {**CLUSTERS[0], "executors": [executor], "refused": {**refusal, "client": "192.0.2.7"}}

    with fake_api({("GET", "/api/v1/clusters/prod-eu"): (200, cluster)}) as api:
        text = api.run("clusters", "prod-eu").stdout.splitlines()

    assert text[0] == "prod-eu: connected, seen now"
    assert "  last refused  2026-01-02 03:04 UTC from 192.0.2.7: the token is not valid [unauthenticated]" in text
    assert "    identity      certificate" in text
    assert "    certificate   api ends 2026-02-03 04:05 UTC" in text
    assert "    kept out by   2026-01-01 00:00 UTC: it expired [tls-expired]" in text


def test_executor_that_does_not_verify_the_api_is_shown() -> None:
    executor = {**CLUSTERS[0]["executors"][0], "capabilities": {"tls": "unverified"}}

    rows, _ = shown("/api/v1/clusters", [{**CLUSTERS[0], "executors": [executor]}], "clusters")

    assert " ".join(rows[1][5:]) == "does not verify the API's certificate, env=prod, region=eu"


def test_no_cluster_says_what_to_do() -> None:
    with fake_api({("GET", "/api/v1/clusters"): (200, [])}) as api:
        result = api.run("clusters")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "kubently token create CLUSTER" in result.stderr


def test_tokens() -> None:
    found = [
        {"cluster": "a", "count": 2, "hashed": True, "source": "store", "warnings": []},
        {"cluster": "b", "count": 1, "hashed": False, "source": "file", "warnings": ["too short", "twice"]},
    ]

    rows, as_json = shown("/api/v1/tokens", found, "token", "list")

    assert rows[1] == ["a", "2", "hashed", "store"]
    assert rows[2] == ["b", "1", "clear", "file", "too", "short;", "twice"]
    assert json.loads(as_json) == found


def test_keys() -> None:
    ci = {
        "id": "1",
        "name": "ci",
        "role": "viewer",
        "clusters": ["prod-*", "x"],
        "created_at": "2026-01-02T03:04:05.6Z",
    }
    limits = [{"clusters": ["*"], "namespaces": ["shop", "bank"], "resources": ["pods"], "names": None}]
    found = [ci, {**ci, "name": "shop", "limits": limits}]

    rows, as_json = shown("/api/v1/keys", found, "key", "list")

    assert rows[1] == ["ci", "viewer", "prod-*,x", "-", "2026-01-02T03:04:05"]
    assert rows[2][3:5] == ["namespaces=shop,bank", "resources=pods"]
    assert json.loads(as_json) == found


RECORD = {
    "id": "1",
    "at": "2026-01-02T03:04:05.678Z",
    "event": "ended",
    "principal": "key:ci",
    "cluster": "prod",
    "action": "command",
    "what": "get pods -A",
    "outcome": "exited 0",
}


def test_audit() -> None:
    rows, as_json = shown(
        "/api/v1/audit?after=-2&limit=2", {"records": [RECORD, RECORD], "position": 9}, "audit", "-n", "2"
    )

    assert rows[1] == ["01-02", "03:04:05", "ended", "key:ci", "prod", "command", "exited", "0", "get", "pods", "-A"]
    assert [json.loads(line) for line in as_json.splitlines()] == [RECORD, RECORD]


def test_empty_audit_prints_nothing() -> None:
    rows, as_json = shown("/api/v1/audit?after=-50&limit=50", {"records": [], "position": 0}, "audit")

    assert (rows, as_json) == ([], "")


def test_audit_filters_are_the_apis() -> None:
    query = "after=-5&limit=5&cluster=prod&outcome=exited+1&since=2026-01-31T00%3A00%3A00%2B00%3A00"

    rows, _ = shown(
        f"/api/v1/audit?{query}",
        {"records": [RECORD], "position": 9},
        *("audit", "-n", "5", "--cluster", "prod", "--outcome", "exited 1", "--since", "2026-01-31"),
    )

    assert len(rows) == 2


LINES = [Chain("a1").add(Record("x", datetime(2026, 1, 2, tzinfo=UTC), "denied", "key:ci", "prod", "command", "get"))]
PAGES: dict[tuple[str, str], Answer] = {
    ("GET", "/api/v1/audit/lines?after=0&limit=1000"): (200, {"lines": [LINES[0].decode()], "position": 16}),
    ("GET", "/api/v1/audit/lines?after=16&limit=1000"): (200, {"lines": [], "position": 16}),
}


def test_audit_export_prints_lines_that_verify(tmp_path: Path) -> None:
    with fake_api(PAGES) as api:
        exported = api.run("audit", "export")
        by_api = api.run("audit", "verify", "--api")
    (tmp_path / "lines").write_text(exported.stdout)
    verified = run("audit", "verify", str(tmp_path / "lines"))

    assert (exported.stdout, exported.stderr) == (LINES[0].decode() + "\n", "position 16\n")
    assert (verified.exit_code, by_api.exit_code) == (0, 0)
    assert verified.stdout == by_api.stdout
    assert verified.stdout.startswith("holds   replica a1: lines 1 to 1, head ")


def test_audit_verify_names_the_broken_place(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(LINES[0].replace(b'"prod"', b'"test"') + b"\n")

    verified = run("audit", "verify", str(tmp_path / "lines"))

    assert verified.exit_code == 1
    assert (
        verified.stdout
        == f"BROKEN  unknown replica: {tmp_path}/lines:1: it was changed: its hash does not fit what it says\n"
    )


def test_audit_verify_wants_its_anchors(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(LINES[0] + b"\n")
    head = json.loads(LINES[0])["hash"]

    there = run("audit", "verify", "--anchor", f"1:{head}", str(tmp_path / "lines"))
    cut = run("audit", "verify", "--anchor", f"2:{head}", str(tmp_path / "lines"), "-o", "json")

    assert (there.exit_code, cut.exit_code) == (0, 1)
    assert "is not there" in cut.stderr and json.loads(cut.stdout)[0]["holds"]


TOKEN = {"cluster": "prod", "token": "t0ken"}
KEY = {"info": {"name": "ci"}, "key": "kbk_1"}


@pytest.mark.parametrize(
    ("words", "request_line", "answer", "stdout"),
    [
        ("token create prod", ("POST", "/api/v1/clusters/prod/tokens"), (201, TOKEN), "t0ken\n"),
        ("token rotate prod", ("POST", "/api/v1/clusters/prod/tokens?rotate=true"), (201, TOKEN), "t0ken\n"),
        ("token revoke prod", ("DELETE", "/api/v1/clusters/prod/tokens"), (204, None), ""),
        ("token revoke prod --older", ("DELETE", "/api/v1/clusters/prod/tokens?older_only=true"), (204, None), ""),
        ("key create ci", ("POST", "/api/v1/keys"), (201, KEY), "kbk_1\n"),
        ("key revoke ci", ("DELETE", "/api/v1/keys/ci"), (204, None), ""),
    ],
)
def test_secrets_go_to_stdout_and_words_to_stderr(
    words: str, request_line: tuple[str, str], answer: Answer, stdout: str
) -> None:
    with fake_api({request_line: answer}) as api:
        result = api.run(*words.split())

    assert (result.exit_code, result.stdout) == (0, stdout)
    assert result.stderr
    assert [(r.method, r.path) for r in api.requests] == [request_line]


def test_new_key_has_the_role_and_clusters_that_were_asked_for() -> None:
    with fake_api({("POST", "/api/v1/keys"): (201, KEY)}) as api:
        api.run("key", "create", "ci", "--role", "viewer", "--cluster", "prod-*", "--cluster", "x")
        as_json = api.run("key", "create", "ci", "-o", "json")

    assert [r.body for r in api.requests] == [
        {"name": "ci", "role": "viewer", "clusters": ["prod-*", "x"], "limits": []},
        {"name": "ci", "role": "operator", "clusters": ["*"], "limits": []},
    ]
    assert json.loads(as_json.stdout) == KEY


def test_new_token_says_where_it_belongs() -> None:
    with fake_api({("POST", "/api/v1/clusters/prod/tokens"): (201, TOKEN)}) as api:
        result = api.run("token", "create", "prod")

    assert "KUBENTLY_CLUSTER_ID=prod" in result.stderr
    assert f"KUBENTLY_API_URL={api.url}" in result.stderr
    assert "t0ken" not in result.stderr


# ---------------------------------------------------------------------- diagnose


def _line(cluster: str, *severities: Severity, read: bool = True) -> Any:
    found = tuple(
        Finding(
            id=f"{number:012x}",
            code="pod/crash-loop",
            severity=severity,
            title=f"finding {severity}",
            objects=(ResourceRef(kind="Pod", namespace="n", name="p"),),
            evidence=(Evidence(source="s", quote="q"),),
        )
        for number, severity in enumerate(severities)
    )
    blind = () if read else (Blind(resource="pods", reason="forbidden"),)
    coverage = Coverage(objects=int(read), resources=("pods",) if read else (), analyzers=(), blind=blind)
    diagnosis = Diagnosis(cluster=cluster, read_at=datetime(2026, 1, 2, tzinfo=UTC), findings=found, coverage=coverage)
    return ClusterDiagnosis(cluster=cluster, diagnosis=diagnosis).model_dump(mode="json")


UNREACHABLE = {"cluster": "gone", "problem": problem("executor-offline", hint="look there")}


@pytest.mark.parametrize(
    ("lines", "options", "exit_code"),
    [
        ([_line("a")], [], 0),
        ([_line("a", Severity.RISK)], [], 0),
        ([_line("a", Severity.DEGRADED)], [], 1),
        ([_line("a", Severity.OUTAGE)], [], 1),
        ([_line("a", Severity.DEGRADED)], ["--fail-on", "outage"], 0),
        ([_line("a", Severity.HYGIENE)], ["--fail-on", "hygiene"], 1),
        ([_line("a", Severity.OUTAGE)], ["--fail-on", "never"], 0),
        ([_line("a"), UNREACHABLE], [], 69),
        ([_line("a", Severity.OUTAGE), UNREACHABLE], [], 1),
        ([_line("a", Severity.OUTAGE), UNREACHABLE], ["--fail-on", "never"], 69),
        ([_line("a"), _line("b", read=False)], [], 69),
    ],
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_diagnosis_ends_with_a_code_for_pipelines(
    lines: list[Any], options: list[str], exit_code: int, output: str
) -> None:
    with fake_api({("POST", "/api/v1/diagnoses"): (200, Lines(lines))}) as api:
        result = api.run("diagnose", "--output", output, *options)

    assert result.exit_code == exit_code


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ([], {"clusters": [], "selector": "", "all": True, "namespace": ""}),
        (["a", "b", "-n", "shop"], {"clusters": ["a", "b"], "selector": "", "all": False, "namespace": "shop"}),
        (["-l", "env=prod"], {"clusters": [], "selector": "env=prod", "all": False, "namespace": ""}),
    ],
)
def test_diagnosis_asks_for_what_was_named(words: list[str], body: dict[str, Any]) -> None:
    with fake_api({("POST", "/api/v1/diagnoses"): (200, Lines([]))}) as api:
        api.run("diagnose", *words)

    assert api.requests[0].body == body


def test_diagnosis_as_text_names_clusters_that_could_not_be_read() -> None:
    with fake_api({("POST", "/api/v1/diagnoses"): (200, Lines([UNREACHABLE, _line("a", Severity.OUTAGE)]))}) as api:
        result = api.run("diagnose")

    assert "finding outage" in result.stdout
    assert result.stderr == "error: gone: it is so\n  try: look there\n"


def test_diagnosis_as_json_is_sorted_and_holds_problems() -> None:
    with fake_api({("POST", "/api/v1/diagnoses"): (200, Lines([UNREACHABLE, _line("a")]))}) as api:
        result = api.run("diagnose", "-o", "json")

    a, gone = json.loads(result.stdout)
    assert (a["cluster"], a["diagnosis"]["findings"]) == ("a", [])
    assert gone == UNREACHABLE
    assert result.stderr == ""


def test_profile_option_chooses_the_api(tmp_path: Any) -> None:
    with fake_api({("GET", "/api/v1/clusters"): (200, [])}) as api:
        env = {"KUBENTLY_CONFIG": str(tmp_path / "config.json")}
        run("profile", "add", "here", "--url", api.url, env=env, stdin="kbk_here\n")
        run("--profile", "here", "clusters", env=env)

    assert api.requests[0].headers["authorization"] == "Bearer kbk_here"
