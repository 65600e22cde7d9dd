"""Kubeconfig files survive whatever happens to them."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubently.cli import kubeconfigs
from kubently.cli.profiles import Profile
from kubently.errors import ConfigError

OTHER: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "mine",
    "preferences": {"colors": True},
    "clusters": [{"name": "mine", "cluster": {"server": "https://mine"}}],
    "users": [{"name": "mine", "user": {"token": "t"}}],
    "contexts": [{"name": "mine", "context": {"cluster": "mine", "user": "mine"}}],
}


def ours(*clusters: str, profile: str = "local") -> dict[str, Any]:
    return kubeconfigs.entries(Profile("https://api/"), profile, clusters, plugin=["/bin/kubently-credential"])


def names(config: dict[str, Any]) -> list[str]:
    return [context["name"] for context in config["contexts"]]


def test_an_entry_asks_the_plugin_for_its_cluster() -> None:
    config = ours("prod")

    assert config["clusters"][0]["cluster"] == {"server": "https://api/clusters/prod/k8s"}
    plugin = config["users"][0]["user"]["exec"]
    assert [plugin["command"], *plugin["args"]] == [
        "/bin/kubently-credential",
        "--profile",
        "local",
        "--cluster",
        "prod",
    ]
    assert "token" not in str(config)


def test_merging_keeps_what_is_there_and_replaces_ours() -> None:
    once = kubeconfigs.merge(OTHER, ours("a", "b"))
    twice = kubeconfigs.merge(once, ours("b", profile="other"))

    assert names(twice) == ["mine", "kubently-a", "kubently-b"]
    assert twice["current-context"] == "mine"
    assert twice["preferences"] == {"colors": True}
    assert twice["users"][2]["user"]["exec"]["args"][1] == "other"


def test_removing_takes_out_ours_only() -> None:
    config = kubeconfigs.merge(OTHER, ours("a", "b"))
    config["current-context"] = "kubently-a"

    assert names(kubeconfigs.without(config, ["a"])) == ["mine", "kubently-b"]
    assert kubeconfigs.without(config, ["a"])["current-context"] == ""
    assert {**kubeconfigs.without(config, []), "current-context": "mine"} == OTHER


def test_a_file_is_replaced_with_its_mode_and_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHER))
    path.chmod(0o640)

    with kubeconfigs.changing(path) as config:
        config.update(kubeconfigs.merge(config, ours("a")))

    assert names(yaml.safe_load(path.read_text())) == ["mine", "kubently-a"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert yaml.safe_load((tmp_path / "config.kubently-backup").read_text()) == OTHER
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config", "config.kubently-backup"]


def test_a_new_file_is_private_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "config")

    with kubeconfigs.changing(tmp_path / "link") as config:
        config.update(kubeconfigs.merge(config, ours("a")))

    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "deep" / "config").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["{", "- a\n- list\n", "clusters: text\n"])
def test_what_is_no_kubeconfig_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"is no kubeconfig|cannot be read"), kubeconfigs.changing(path):
        pass

    assert path.read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["config"]


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHER))

    with pytest.raises(RuntimeError), kubeconfigs.changing(path) as config:
        config.clear()
        raise RuntimeError

    assert yaml.safe_load(path.read_text()) == OTHER
    assert [p.name for p in tmp_path.iterdir()] == ["config"]


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config"

    def write(cluster: str) -> None:
        with kubeconfigs.changing(path) as config:
            config.update(kubeconfigs.merge(config, ours(cluster)))

    threads = [threading.Thread(target=write, args=(f"c{i}",)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(names(yaml.safe_load(path.read_text()))) == sorted(f"kubently-c{i}" for i in range(12))


def test_kubectls_own_writes_are_not_lost_either(tmp_path: Path) -> None:
    """kubectl takes the same lock: while we hold it, its write fails and nothing is overwritten."""
    kubectl = Path(sys.executable).with_name("kubectl")
    if not kubectl.exists():
        pytest.skip("kubectl is not installed beside the interpreter")
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHER))
    env = {**os.environ, "KUBECONFIG": str(path), "HOME": str(tmp_path)}
    argv = [str(kubectl), "config", "set-context", "theirs", "--cluster=mine"]

    with kubeconfigs.changing(path) as config:
        held = subprocess.run(argv, env=env, capture_output=True, text=True)
        config.update(kubeconfigs.merge(config, ours("a")))
    free = subprocess.run(argv, env=env, capture_output=True, text=True)

    assert held.returncode != 0
    assert free.returncode == 0
    assert sorted(names(yaml.safe_load(path.read_text()))) == ["kubently-a", "mine", "theirs"]


def test_a_lock_that_stays_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfigs, "_LOCK_PATIENCE", 0.05)
    (tmp_path / "config.lock").touch()

    with (
        pytest.raises(ConfigError, match=r"config\.lock says that another writer"),
        kubeconfigs.changing(tmp_path / "config"),
    ):
        pass

    assert (tmp_path / "config.lock").exists()


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"KUBECONFIG": "/a:/b", "HOME": "/h"}, "/a"),
        ({"KUBECONFIG": ":/b", "HOME": "/h"}, "/b"),
        ({"HOME": "/h"}, "/h/.kube/config"),
    ],
)
def test_the_default_file_is_kubectls(environ: dict[str, str], path: str) -> None:
    assert kubeconfigs.default_path(environ) == Path(path)
