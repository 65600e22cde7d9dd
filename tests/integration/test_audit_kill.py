"""The API's process is killed under load, or its disk is full: what it answered is in the audit log."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kubently.client import Api
from kubently.client.api import ApiError
from kubently.errors import KubentlyError
from kubently.journal import records, segments, verify

KEY = "kbk_" + "a" * 40


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "KUBENTLY_STORE": f"sqlite://{tmp_path}/store.db",
        "KUBENTLY_LISTEN": "127.0.0.1:0",
        "KUBENTLY_ADMIN_KEY": KEY,
        "KUBENTLY_AUDIT_SEGMENT_BYTES": "20000",
    }


def start(environ: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    """An API, and its URL by its log."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kubently.main", "api"], env=environ, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if '"event": "listening"' in line:
            return process, "http://127.0.0.1:" + line.split('"port": ')[1].split(",")[0].rstrip("}\n")
    raise AssertionError("the API did not start")


def make_tokens_until_it_dies(url: str, client: int) -> list[str]:
    """Names of clusters for which the API said that it made a token."""
    made: list[str] = []
    api = Api(url, KEY)
    while True:
        name = f"c{client}-{os.urandom(4).hex()}"
        try:
            api.post(f"/api/v1/clusters/{name}/tokens")
        except KubentlyError:
            return made
        made.append(name)


def test_every_answered_request_has_its_records_after_kill_9(tmp_path: Path, environ: dict[str, str]) -> None:
    answered: set[str] = set()
    for _ in range(2):
        process, url = start(environ)
        with process, ThreadPoolExecutor(5) as pool:
            clients = [pool.submit(make_tokens_until_it_dies, url, client) for client in range(4)]
            wanted = random.randint(40, 120)
            api = Api(url, KEY)
            while len(api.get("/api/v1/audit?after=-1000&limit=1000")["records"]) < wanted + 2 * len(answered):
                pass
            process.send_signal(signal.SIGKILL)
            answered |= {name for client in clients for name in client.result()}
    process, url = start(environ)
    with process:
        served = Api(url, KEY).get("/api/v1/audit/lines?after=0&limit=1000")["lines"]
        process.send_signal(signal.SIGTERM)

    (journal,) = segments.journals(tmp_path / "audit")
    lines = [records.read(raw) for path in segments.segments(journal) for raw in segments.raw_lines(path)]
    begun = {line.id: line.cluster for line in lines if line.event == "started"}
    ended = [line.id for line in lines if line.event == "ended"]
    assert len(answered) > 20 and answered <= set(begun.values())
    assert sorted(ended) == sorted(begun)
    (verdict,) = verify.verify_path(tmp_path / "audit")
    assert verdict.holds and verdict.unended == set()
    (copy,) = verify.verify([("api", raw.encode()) for raw in served])
    assert copy.holds and copy.lines == len(set(served))


def let_files_grow(process: subprocess.Popen[str], most: int) -> None:
    """As a full disk does, for one process."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def metrics_of(url: str) -> dict[str, float]:
    request = urllib.request.Request(f"{url}/metrics", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {s.name + "".join(s.labels.values()): s.value for family in families for s in family.samples}


@pytest.mark.parametrize("fail_closed", [True, False])
def test_a_full_disk_refuses_or_counts_and_heals(tmp_path: Path, environ: dict[str, str], fail_closed: bool) -> None:
    folder = tmp_path / "journal"
    more = {"KUBENTLY_AUDIT_DIR": str(folder), "KUBENTLY_AUDIT_FAIL_CLOSED": str(fail_closed).lower()}
    process, url = start({**environ, "KUBENTLY_STORE": "memory:", **more})
    with process:
        api = Api(url, KEY)
        api.post("/api/v1/clusters/before/tokens")
        let_files_grow(process, 100)
        refusal = "" if fail_closed else "it was not"
        try:
            api.post("/api/v1/clusters/during/tokens")
        except ApiError as error:
            refusal = f"{error.status} {error.code}"
        broken = metrics_of(url)
        with pytest.raises(urllib.error.HTTPError) as health:
            urllib.request.urlopen(f"{url}/health", timeout=10)
        let_files_grow(process, resource.RLIM_INFINITY)
        api.post("/api/v1/clusters/after/tokens")
        seen = [(r["cluster"], r["event"]) for r in api.get("/api/v1/audit")["records"]]
        healed = metrics_of(url)
        process.send_signal(signal.SIGTERM)

    assert refusal == ("503 audit-unavailable" if fail_closed else "it was not")
    assert health.value.code == 503
    health.value.close()
    assert (broken["kubently_audit_writable"], healed["kubently_audit_writable"]) == (0, 1)
    acts = {"refused": 1, "allowed": 0} if fail_closed else {"refused": 0, "allowed": 1}
    assert {act: broken[f"kubently_audit_unrecordable_requests_total{act}"] for act in acts} == acts
    clusters = ["before", "after"] if fail_closed else ["before", "during", "after"]
    assert sorted(seen) == sorted((cluster, event) for cluster in clusters for event in ("started", "ended"))
    assert all(verdict.holds for verdict in verify.verify_path(folder))
