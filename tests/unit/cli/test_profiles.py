"""The file of the profiles: private, replaced in one step, explained when broken; and which endpoint wins."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from tests.unit.cli.fake import run

from kubently.cli import profiles
from kubently.cli.profiles import Profile, Profiles
from kubently.errors import ConfigError, NotFoundError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "made" / "config.json"


def _environ(file: Path, **more: str) -> dict[str, str]:
    return {"KUBENTLY_CONFIG": str(file), **more}


def test_file_is_private_and_its_folder_too(file: Path) -> None:
    profiles.save(file, Profiles("a", {"a": Profile("https://a", "key")}))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_what_is_saved_is_loaded(file: Path) -> None:
    known = Profiles("b", {"a": Profile("https://a", "k", "/ca"), "b": Profile("https://b")})

    profiles.save(file, known)

    assert profiles.load(file) == known


def test_file_is_replaced_and_nothing_is_left_beside_it(file: Path) -> None:
    profiles.save(file, Profiles("a", {"a": Profile("https://a")}))
    with file.open() as reader:
        profiles.save(file, Profiles("b", {"b": Profile("https://b")}))

        assert json.load(reader)["current"] == "a", "a reader keeps the file that it opened"
    assert [path.name for path in file.parent.iterdir()] == ["config.json"]


def test_no_file_is_no_profile(file: Path) -> None:
    assert profiles.load(file) == Profiles()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"profiles": []}', '{"profiles": {"a": {}}}', '{"profiles": {"a": {"odd": 1}}}']
)
def test_broken_file_is_named(file: Path, content: str) -> None:
    file.parent.mkdir()
    file.write_text(content)

    with pytest.raises(ConfigError, match=f"{file} cannot be read") as caught:
        profiles.load(file)

    assert caught.value.hint == "mend it or remove it"


def test_first_profile_becomes_the_current_one_and_later_ones_only_when_asked(file: Path) -> None:
    profiles.add(file, "a", Profile("https://a"), use=False)
    profiles.add(file, "b", Profile("https://b"), use=False)
    assert profiles.load(file).current == "a"

    profiles.add(file, "c", Profile("https://c"), use=True)
    assert profiles.load(file).current == "c"


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"KUBENTLY_CONFIG": "/x/y.json", "XDG_CONFIG_HOME": "/c"}, "/x/y.json"),
        ({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "/c/kubently/config.json"),
        ({"HOME": "/h"}, "/h/.config/kubently/config.json"),
    ],
)
def test_where_the_file_stands(environ: dict[str, str], path: str) -> None:
    assert profiles.config_path(environ) == Path(path)


@pytest.mark.parametrize(
    ("environ", "name", "expected"),
    [
        ({}, "", Profile("https://a", "ka", "/ca")),
        ({}, "b", Profile("https://b", "kb", "")),
        ({"KUBENTLY_PROFILE": "b"}, "", Profile("https://b", "kb", "")),
        ({"KUBENTLY_PROFILE": "b"}, "a", Profile("https://a", "ka", "/ca")),
        ({"KUBENTLY_API_KEY": "kx"}, "", Profile("https://a", "kx", "/ca")),
        ({"KUBENTLY_CA_CERT": "/other"}, "b", Profile("https://b", "kb", "/other")),
        ({"KUBENTLY_URL": "https://x"}, "", Profile("https://x", "", "")),
        ({"KUBENTLY_URL": "https://x", "KUBENTLY_API_KEY": "kx"}, "", Profile("https://x", "kx", "")),
    ],
)
def test_which_endpoint_wins(file: Path, environ: dict[str, str], name: str, expected: Profile) -> None:
    profiles.save(file, Profiles("a", {"a": Profile("https://a", "ka", "/ca"), "b": Profile("https://b", "kb")}))

    assert profiles.choose(_environ(file, **environ), name=name) == expected


def test_key_of_the_current_profile_is_not_sent_to_another_url(file: Path) -> None:
    profiles.save(file, Profiles("a", {"a": Profile("https://a", "secret")}))

    assert profiles.choose(_environ(file, KUBENTLY_URL="https://elsewhere")).key == ""


def test_unknown_profile_is_named(file: Path) -> None:
    with pytest.raises(NotFoundError, match="no profile 'x'"):
        profiles.choose(_environ(file), name="x")


def test_key_does_not_show_in_a_representation() -> None:
    assert "secret" not in repr(Profile("https://a", "secret"))


def test_commands_add_use_list_and_remove(file: Path) -> None:
    env = _environ(file)

    added = run("profile", "add", "work", "--url", "https://w", "--ca", "/ca", env=env, stdin="kbk_secret\n")
    run("profile", "add", "home", "--url", "https://h", "--no-use", env=env, stdin="kbk_other\n")
    listed = run("profile", "list", env=env)
    run("profile", "use", "home", env=env)
    as_json = run("profile", "list", "-o", "json", env=env)
    removed = run("profile", "remove", "home", env=env)

    assert (added.exit_code, added.stdout, added.stderr) == (0, "", f"saved work in {file}\n")
    assert [line.split() for line in listed.stdout.splitlines()] == [
        ["NAME", "URL", "CA"],
        ["home", "https://h"],
        ["*", "work", "https://w", "/ca"],
    ]
    assert "secret" not in listed.stdout + as_json.stdout
    assert json.loads(as_json.stdout) == [
        {"name": "home", "url": "https://h", "current": True},
        {"name": "work", "url": "https://w", "current": False},
    ]
    assert removed.exit_code == 0
    assert profiles.load(file) == Profiles("", {"work": Profile("https://w", "kbk_secret", "/ca")})


@pytest.mark.parametrize("command", ["use", "remove"])
def test_command_about_an_unknown_profile(file: Path, command: str) -> None:
    result = run("profile", command, "x", env=_environ(file))

    assert result.exit_code == 64
    assert result.stderr.startswith("error: there is no profile 'x' [not-found]\n  try: kubently profile list")


def test_broken_file_is_a_sentence(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("{")

    result = run("clusters", env=_environ(file))

    assert result.exit_code == 64
    assert result.stderr.startswith(f"error: {file} cannot be read")
