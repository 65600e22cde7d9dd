"""The credential plugin: quick from its cache, careful with its files."""

import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kubently.cli import credential, tokens
from kubently.client import Api

ANSWER = '{"kind": "ExecCredential"}'


def cached(folder: Path, renew_at: float, text: str = ANSWER) -> Path:
    path = Path(credential.cache_path({"XDG_CACHE_HOME": str(folder)}, "local", "prod"))
    path.parent.mkdir(parents=True)
    path.write_text(f"{renew_at}\n{text}")
    return path


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(sys, "argv", ["kubently-credential", *words])
    credential.main()


def test_a_cached_token_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cached(tmp_path, time.time() + 100)

    run(monkeypatch, tmp_path, "--profile", "local", "--cluster", "prod")

    assert capsys.readouterr().out == ANSWER + "\n"


@pytest.mark.parametrize("text", ["", "nonsense\n{}", "1\n{}"])
def test_an_old_or_broken_cache_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = cached(tmp_path, 0)
    path.write_text(text)
    monkeypatch.setenv("KUBENTLY_URL", "http://localhost:1")
    monkeypatch.setenv("KUBENTLY_CONFIG", str(tmp_path / "none"))
    asked: list[str] = []

    def post(self: Api, url: str, body: object = None, **_: object) -> dict[str, object]:
        asked.append(url)
        return {"token": "kbt_new", "expires_in": 3600}

    monkeypatch.setattr(Api, "post", post)
    path2 = Path(credential.cache_path({"XDG_CACHE_HOME": str(tmp_path)}, "", "prod"))

    run(monkeypatch, tmp_path, "--cluster", "prod")
    run(monkeypatch, tmp_path, "--cluster", "prod")

    assert asked == ["/api/v1/clusters/prod/kubernetes-token"]
    assert capsys.readouterr().out.count("kbt_new") == 2
    assert stat.S_IMODE(path2.stat().st_mode) == 0o600
    tokens.forget("")
    assert not path2.exists()


def test_a_failure_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBENTLY_CONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBENTLY_URL", raising=False)

    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, tmp_path, "--cluster", "prod")

    assert str(ended.value.code).startswith("kubently: no API is configured [config-invalid]; ")


@pytest.mark.parametrize(
    "words", [(), ("--cluster",), ("--cluster", "../x"), ("--cluster", "a", "--profile", ".."), ("--nonsense", "a")]
)
def test_wrong_words_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, tmp_path, *words)

    assert ended.value.code == credential.USAGE


def test_the_cached_path_imports_nothing_slow() -> None:
    """Neither click nor json nor TLS: kubectl waits for this program before every command."""
    slow = "{'click', 'json', 'ssl', 'pydantic', 'yaml'}"
    code = f"import sys, kubently.cli.credential; print(sorted({slow} & set(sys.modules)))"

    out = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout == "[]\n"
