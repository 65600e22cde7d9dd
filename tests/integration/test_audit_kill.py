"""The API's process is killed under load: what it answered is in the audit log."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubently.client import Api
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
