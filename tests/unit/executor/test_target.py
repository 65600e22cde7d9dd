"""Kubeconfigs and service accounts, and what is said of broken ones."""

import base64
import json
import os
import ssl
import stat
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from kubently import trust
from kubently.errors import ConfigError
from kubently.executor import target
from kubently.executor.target import ExecToken, from_kubeconfig

pytestmark = pytest.mark.anyio


def kubeconfig(folder: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> Path:
    path = folder / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "here",
                "contexts": [
                    {"name": "here", "context": {"cluster": "c", "user": "u"}},
                    {"name": "broken", "context": {"cluster": "missing"}},
                ],
                "clusters": [{"name": "c", "cluster": cluster or {"server": "https://k8s.example.com:6443/prefix/"}}],
                "users": [{"name": "u", "user": user}],
            }
        )
    )
    return path


async def test_a_token_and_the_current_context(tmp_path: Path) -> None:
    found = target.from_kubeconfig(kubeconfig(tmp_path, {"token": "abc"}))

    assert (found.host, found.port, found.path) == ("k8s.example.com", 6443, "/prefix")
    assert found.tls is not None
    assert await found.credential.authorization() == b"Bearer abc"
    assert target.contexts(tmp_path / "config") == ["here", "broken"]


async def test_ca_and_client_certificate_from_data_and_from_files(tmp_path: Path) -> None:
    authority = trust.make_authority("test")
    pair = trust.issue(authority, ["client.example.com"])
    pair.write(tmp_path / "tls.crt", tmp_path / "tls.key")
    cluster = {
        "server": "https://k8s",
        "certificate-authority-data": base64.b64encode(authority.cert).decode(),
        "tls-server-name": "other.example.com",
    }

    found = target.from_kubeconfig(
        kubeconfig(tmp_path, {"client-certificate": "tls.crt", "client-key": "tls.key"}, cluster)
    )

    assert (found.port, found.server_name) == (443, "other.example.com")
    assert found.tls is not None
    assert len(found.tls.get_ca_certs()) == 1
    assert await found.credential.authorization() is None


async def test_basic_and_token_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("rotating\n")
    basic = target.from_kubeconfig(kubeconfig(tmp_path, {"username": "a", "password": "b"}))
    assert await basic.credential.authorization() == b"Basic " + base64.b64encode(b"a:b")

    file = target.from_kubeconfig(kubeconfig(tmp_path, {"tokenFile": "token"}))
    assert await file.credential.authorization() == b"Bearer rotating"


def plugin(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return {"exec": {"command": str(path), "env": [{"name": "WHO", "value": "me"}], "apiVersion": "v1"}}


async def test_a_credential_plugin_is_run_once_while_its_token_lasts(tmp_path: Path) -> None:
    spec = plugin(tmp_path, f'echo run >> {tmp_path}/count; echo "{{\\"status\\":{{\\"token\\":\\"$WHO\\"}}}}"')
    found = target.from_kubeconfig(kubeconfig(tmp_path, spec))

    assert await found.credential.authorization() == b"Bearer me"
    assert await found.credential.authorization() == b"Bearer me"
    assert (tmp_path / "count").read_text() == "run\n"


@pytest.mark.parametrize(("text", "words"), [("echo no >&2; exit 1", "gave no token: no"), ("echo {", "failed")])
async def test_a_credential_plugin_that_fails_is_named(tmp_path: Path, text: str, words: str) -> None:
    found = target.from_kubeconfig(kubeconfig(tmp_path, plugin(tmp_path, text)))

    with pytest.raises(ConfigError, match=words):
        await found.credential.authorization()


@pytest.mark.parametrize(
    ("user", "cluster", "context", "words"),
    [
        ({}, None, "nosuch", "no context named 'nosuch'"),
        ({}, None, "broken", "no cluster named 'missing'"),
        ({}, {"server": "ftp://x"}, "", "no usable server"),
        ({"auth-provider": {"name": "gcp"}}, None, "", "auth-provider"),
        ({}, {"server": "https://x", "certificate-authority": "missing.crt"}, "", "cannot be read"),
        ({}, {"server": "https://x", "certificate-authority-data": "bm90IGEgY2VydA=="}, "", "cannot be used"),
    ],
)
def test_a_broken_kubeconfig_is_said_plainly(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any] | None, context: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        target.from_kubeconfig(kubeconfig(tmp_path, user, cluster), context)


@pytest.mark.parametrize("text", ["{", "- a list", ": :"])
def test_an_unreadable_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)

    with pytest.raises(ConfigError):
        target.from_kubeconfig(tmp_path / "config")


async def test_a_service_account_is_found_and_its_token_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("one")
    (tmp_path / "ca.crt").write_bytes(trust.make_authority("test").cert)
    now = [0.0]
    monkeypatch.setattr(target.time, "monotonic", lambda: now[0])

    found = target.in_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)

    assert (found.host, found.port) == ("10.0.0.1", 443)
    assert await found.credential.authorization() == b"Bearer one"
    (tmp_path / "token").write_text("two")
    assert await found.credential.authorization() == b"Bearer one"
    now[0] = 61
    assert await found.credential.authorization() == b"Bearer two"
    os.unlink(tmp_path / "token")
    now[0] = 122
    assert await found.credential.authorization() == b"Bearer two"


def test_outside_of_a_cluster_it_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cluster is configured") as caught:
        target.in_cluster({}, tmp_path)

    assert "KUBENTLY_KUBECONFIG" in caught.value.hint


@pytest.mark.parametrize(
    "answer",
    ["[]", "null", '{"status": null}', '{"status": {"token": "x", "expirationTimestamp": "soon"}}', '{"status": "x"}'],
)
async def test_a_credential_plugin_that_answers_nonsense_is_named(answer: str) -> None:
    credential = ExecToken({"command": sys.executable, "args": ["-c", f"print({answer!r})"]})

    with pytest.raises(ConfigError, match="credential plugin"):
        await credential.authorization()


async def test_a_credential_plugin_ends_with_its_caller(tmp_path: Path) -> None:
    script = "import os, time, sys; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    credential = ExecToken({"command": sys.executable, "args": ["-c", script, str(tmp_path / "pid")]})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(credential.authorization)
        with anyio.fail_after(10):
            while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

    # It is killed by then; whoever reaps it may be a thread that has its turn a little later.
    with pytest.raises(ProcessLookupError), anyio.fail_after(10):
        while True:
            os.kill(int((tmp_path / "pid").read_text()), 0)
            await anyio.sleep(0.01)


async def test_a_token_with_a_line_end_does_not_write_headers(tmp_path: Path) -> None:
    path = tmp_path / "config"
    user = {"name": "u", "user": {"token": "secret\n"}}
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://h"}}],
        "users": [user],
    }
    path.write_text(json.dumps(config))
    assert await from_kubeconfig(path).credential.authorization() == b"Bearer secret"

    user["user"] = {"token": "a\r\nX-Evil: b"}
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="token"):
        from_kubeconfig(path)


def test_chains_are_verified_by_the_same_rules_on_every_python(tmp_path: Path) -> None:
    """Python 3.13 would refuse the CAs of many clusters, which kubectl takes."""
    (tmp_path / "token").write_text("one")
    (tmp_path / "ca.crt").write_bytes(trust.make_authority("test").cert)
    pod = target.in_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path).tls
    file = from_kubeconfig(kubeconfig(tmp_path, {"token": "t"})).tls

    for context in (pod, file, trust.client_context()):
        assert context is not None
        assert not context.verify_flags & ssl.VerifyFlags.VERIFY_X509_STRICT
        assert context.verify_flags & ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_service_account_without_its_ca_is_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one")

    with pytest.raises(ConfigError, match=r"ca\.crt"):
        target.in_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
