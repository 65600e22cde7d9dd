"""Settings: each variable, what it is without, and what a bad value says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kubently import settings
from kubently.errors import ConfigError
from kubently.settings import ApiSettings, ExecutorSettings, LimitSettings, LogSettings, TimingSettings, TrustSettings

URL = "https://api.example.com"
EXECUTOR = {"KUBENTLY_API_URL": URL, "KUBENTLY_CLUSTER_ID": "prod", "KUBENTLY_TOKEN": "t0ken"}


def executor(environ: Mapping[str, str]) -> ExecutorSettings:
    return ExecutorSettings.from_env({**EXECUTOR, **environ})


@pytest.mark.parametrize(
    ("read", "name", "text", "field", "value"),
    [
        (LogSettings.from_env, "KUBENTLY_LOG_LEVEL", "DEBUG", "level", "debug"),
        (LogSettings.from_env, "KUBENTLY_LOG_FORMAT", "Console", "json_lines", False),
        (LogSettings.from_env, "KUBENTLY_LOG_FORMAT", "json", "json_lines", True),
        (TimingSettings.from_env, "HEALTH_CHECK_INTERVAL", "30", "ping_after", 30.0),
        (TimingSettings.from_env, "HEALTH_CHECK_INTERVAL", "30s", "ping_after", 30.0),
        (TimingSettings.from_env, "CONNECTION_TIMEOUT", "2.5", "dial_timeout", 2.5),
        (executor, "KUBENTLY_TRANSPORT", "long-poll", "transport", "long-poll"),
        (executor, "KUBENTLY_SESSIONS", "3", "sessions", 3),
        (executor, "KUBENTLY_API_URL_ORDER", "nearest", "api_url_order", "nearest"),
        (executor, "KUBENTLY_API_URLS", " https://b/, https://c", "api_urls", (URL, "https://b", "https://c")),
        (executor, "KUBENTLY_API_URLS", f"https://b,{URL}", "api_urls", (URL, "https://b")),
        (ApiSettings.from_env, "KUBENTLY_LISTEN", "0.0.0.0:8443", "listen", ("0.0.0.0", 8443)),
        (ApiSettings.from_env, "KUBENTLY_LISTEN", ":8080", "listen", ("0.0.0.0", 8080)),
        (ApiSettings.from_env, "KUBENTLY_LISTEN", "[::1]:8080", "listen", ("::1", 8080)),
        (ApiSettings.from_env, "KUBENTLY_METRICS_LISTEN", "127.0.0.1:9090", "metrics_listen", ("127.0.0.1", 9090)),
        (ApiSettings.from_env, "KUBENTLY_STORE", "sqlite:///var/k.db", "store_url", "sqlite:///var/k.db"),
        (ApiSettings.from_env, "KUBENTLY_ADMIN_KEY", "secret", "admin_key", "secret"),
        (ApiSettings.from_env, "KUBENTLY_EXECUTOR_TOKENS_DIR", "/tokens", "tokens_dir", Path("/tokens")),
        (ApiSettings.from_env, "KUBENTLY_HOSTS", "A.example, b.example,", "hosts", ("a.example", "b.example")),
        (LimitSettings.from_env, "KUBENTLY_MAX_COMMANDS_PER_CLUSTER", "7", "commands_per_cluster", 7),
        (LimitSettings.from_env, "KUBENTLY_MAX_REQUESTS_PER_CLUSTER", "7", "requests_per_cluster", 7),
        (LimitSettings.from_env, "KUBENTLY_MAX_REQUESTS", "7", "requests", 7),
        (LimitSettings.from_env, "KUBENTLY_MAX_REQUESTS_PER_KEY", "7", "requests_per_key", 7),
        (LimitSettings.from_env, "KUBENTLY_REQUEST_RATE_PER_KEY", "0", "request_rate_per_key", 0),
        (LimitSettings.from_env, "KUBENTLY_ACCEPT_RATE", "7", "accept_rate", 7),
        (LimitSettings.from_env, "KUBENTLY_FOLLOW_RATE", "7", "follow_rate", 7),
        (LimitSettings.from_env, "KUBENTLY_FOLLOW_BURST", "7", "follow_burst", 7),
        (ApiSettings.from_env, "KUBENTLY_PEER_LISTEN", "0.0.0.0:8443", "peer_listen", ("0.0.0.0", 8443)),
        (ApiSettings.from_env, "KUBENTLY_PEER_ADDRESS", "10.0.0.1:8443", "peer_address", ("10.0.0.1", 8443)),
        (ApiSettings.from_env, "HEALTH_CHECK_INTERVAL", "5", "timing", TimingSettings(5.0, 10.0)),
        (ApiSettings.from_env, "KUBENTLY_LOG_LEVEL", "error", "log", LogSettings("error")),
        (executor, "KUBENTLY_API_URL", "https://h:1/prefix/", "api_url", "https://h:1/prefix"),
        (executor, "KUBENTLY_CLUSTER_ID", "west", "cluster_id", "west"),
        (executor, "KUBENTLY_TOKEN", "other", "token", "other"),
        (executor, "KUBENTLY_LABELS", "env=prod, a.b/c=d,bare", "labels", {"env": "prod", "a.b/c": "d", "bare": ""}),
        (executor, "KUBENTLY_CA_CERT", "/ca.crt", "trust", TrustSettings(ca_cert="/ca.crt")),
        (TrustSettings.from_env, "KUBENTLY_CA_CERT", "/ca", "ca_cert", "/ca"),
        (TrustSettings.from_env, "KUBENTLY_CA_MODE", "Exclusive", "ca_exclusive", True),
        (TrustSettings.from_env, "KUBENTLY_CA_MODE", "additive", "ca_exclusive", False),
        (TrustSettings.from_env, "SSL_CERT_FILE", "/roots.pem", "cert_file", Path("/roots.pem")),
        (TrustSettings.from_env, "SSL_CERT_DIR", "/etc/ssl/certs", "cert_dirs", (Path("/etc/ssl/certs"),)),
        (TrustSettings.from_env, "SSL_CERT_DIR", "/a::/b", "cert_dirs", (Path("/a"), Path("/b"))),
        (TrustSettings.from_env, "KUBENTLY_TLS_SERVER_NAME", "api.internal", "server_name", "api.internal"),
        (TrustSettings.from_env, "KUBENTLY_TLS_MIN_VERSION", "1.3", "min_version", "1.3"),
        (TrustSettings.from_env, "KUBENTLY_SSL_VERIFY", "true", "verify", True),
        (TrustSettings.from_env, "KUBENTLY_SSL_VERIFY", "", "verify", True),
        (executor, "KUBENTLY_KUBECONFIG", "/config", "kubeconfig", Path("/config")),
        (executor, "KUBENTLY_CONTEXT", "dev", "context", "dev"),
        (executor, "KUBENTLY_POLICY_FILE", "/policy", "policy_file", Path("/policy")),
        (executor, "KUBENTLY_KUBECTL", "/bin/kubectl", "kubectl", "/bin/kubectl"),
        (executor, "KUBENTLY_STATE_DIR", "/state", "state_dir", Path("/state")),
        (executor, "KUBENTLY_REQUIRE_SANDBOX", "Yes", "require_sandbox", True),
        (executor, "KUBENTLY_REQUIRE_SANDBOX", "0", "require_sandbox", False),
        (executor, "KUBENTLY_MAX_OUTPUT_BYTES", "2048", "max_output_bytes", 2048),
        (executor, "KUBENTLY_MAX_CHILDREN", "9", "max_children", 9),
        (executor, "KUBENTLY_HEALTH_LISTEN", "127.0.0.1:8081", "health_listen", ("127.0.0.1", 8081)),
    ],
)
def test_variable_sets_its_field(
    read: Callable[[Mapping[str, str]], object], name: str, text: str, field: str, value: object
) -> None:
    assert getattr(read({name: text}), field) == value


def test_api_without_variables_is_what_the_class_says() -> None:
    assert ApiSettings.from_env({}) == ApiSettings()


def test_executor_needs_three_variables_and_no_more() -> None:
    made = ExecutorSettings.from_env(EXECUTOR)

    plain = ExecutorSettings("https://api.example.com", "prod", "t0ken", instance=made.instance)
    assert made == plain
    assert len(made.instance) == 16


@pytest.mark.parametrize("name", ["KUBENTLY_API_URL", "KUBENTLY_CLUSTER_ID", "KUBENTLY_TOKEN"])
@pytest.mark.parametrize("empty", [{}, {"value": ""}])
def test_missing_variable_is_named(name: str, empty: dict[str, str]) -> None:
    environ = {**EXECUTOR, **dict.fromkeys([name], empty.get("value", ""))}

    with pytest.raises(ConfigError, match=f"{name}.* is not set") as caught:
        ExecutorSettings.from_env(environ)

    assert name in caught.value.hint


def test_cluster_id_has_an_older_name() -> None:
    environ = {k: v for k, v in EXECUTOR.items() if k != "KUBENTLY_CLUSTER_ID"}

    assert ExecutorSettings.from_env({**environ, "CLUSTER_ID": "old"}).cluster_id == "old"
    assert executor({"CLUSTER_ID": "old"}).cluster_id == "prod"


@pytest.mark.parametrize(
    ("read", "name", "text"),
    [
        (LogSettings.from_env, "KUBENTLY_LOG_LEVEL", "loud"),
        (LogSettings.from_env, "KUBENTLY_LOG_FORMAT", "xml"),
        (TimingSettings.from_env, "HEALTH_CHECK_INTERVAL", "often"),
        (TimingSettings.from_env, "HEALTH_CHECK_INTERVAL", "0.5"),
        (TimingSettings.from_env, "HEALTH_CHECK_INTERVAL", "nan"),
        (TimingSettings.from_env, "CONNECTION_TIMEOUT", "301"),
        (ApiSettings.from_env, "KUBENTLY_LISTEN", "8080x"),
        (ApiSettings.from_env, "KUBENTLY_LISTEN", "host"),
        (ApiSettings.from_env, "KUBENTLY_LISTEN", "host:65536"),
        (ApiSettings.from_env, "KUBENTLY_LISTEN", "host:²"),
        (ApiSettings.from_env, "KUBENTLY_METRICS_LISTEN", "host:"),
        (ApiSettings.from_env, "KUBENTLY_MAX_COMMANDS_PER_CLUSTER", "0"),
        (executor, "KUBENTLY_API_URL", "api.example.com"),
        (executor, "KUBENTLY_API_URL", "ftp://api.example.com"),
        (executor, "KUBENTLY_API_URL", "https://"),
        (executor, "KUBENTLY_API_URL", "https://h/?a=b"),
        (executor, "KUBENTLY_API_URL", "https://["),
        (executor, "KUBENTLY_API_URL", "https://h:port"),
        (executor, "KUBENTLY_API_URL", "https://h:70000"),
        (TrustSettings.from_env, "KUBENTLY_CA_MODE", "only"),
        (TrustSettings.from_env, "KUBENTLY_TLS_MIN_VERSION", "1.1"),
        (TrustSettings.from_env, "KUBENTLY_TLS_SERVER_NAME", "https://h"),
        (TrustSettings.from_env, "KUBENTLY_SSL_VERIFY", "maybe"),
        (executor, "KUBENTLY_LABELS", "env=prod,=x"),
        (executor, "KUBENTLY_LABELS", "env=a b"),
        (executor, "KUBENTLY_REQUIRE_SANDBOX", "maybe"),
        (executor, "KUBENTLY_MAX_OUTPUT_BYTES", "10"),
        (executor, "KUBENTLY_MAX_CHILDREN", "-1"),
        (executor, "KUBENTLY_HEALTH_LISTEN", "x"),
    ],
)
def test_bad_value_is_named(read: Callable[[Mapping[str, str]], object], name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({name: text})

    assert caught.value.message == f"{name}={text!r} cannot be used"
    assert caught.value.hint


@pytest.mark.parametrize("name", ["KUBENTLY_TLS_CERT", "KUBENTLY_TLS_KEY"])
def test_certificate_and_key_belong_together(name: str) -> None:
    with pytest.raises(ConfigError, match="KUBENTLY_TLS_CERT and KUBENTLY_TLS_KEY"):
        ApiSettings.from_env({name: "/file"})

    both = ApiSettings.from_env({"KUBENTLY_TLS_CERT": "/c", "KUBENTLY_TLS_KEY": "/k"})
    assert (both.tls_cert, both.tls_key) == (Path("/c"), Path("/k"))


@pytest.mark.parametrize("name", ["KUBENTLY_CLIENT_CERT", "KUBENTLY_CLIENT_KEY"])
def test_client_certificate_and_key_belong_together(name: str) -> None:
    with pytest.raises(ConfigError, match="KUBENTLY_CLIENT_CERT and KUBENTLY_CLIENT_KEY"):
        TrustSettings.from_env({name: "/file"})

    both = TrustSettings.from_env({"KUBENTLY_CLIENT_CERT": "/c", "KUBENTLY_CLIENT_KEY": "/k"})
    assert (both.client_cert, both.client_key) == (Path("/c"), Path("/k"))


@pytest.mark.parametrize("said", [{}, {"KUBENTLY_INSECURE_ACKNOWLEDGED": "true"}])
def test_verification_ends_only_with_an_acknowledgement(said: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="nobody acknowledged that") as caught:
        TrustSettings.from_env({"KUBENTLY_SSL_VERIFY": "false", **said})

    assert "KUBENTLY_INSECURE_ACKNOWLEDGED=i-understand" in caught.value.hint
    acknowledged = {"KUBENTLY_SSL_VERIFY": "false", "KUBENTLY_INSECURE_ACKNOWLEDGED": "i-understand"}
    assert TrustSettings.from_env(acknowledged).verify is False
    assert TrustSettings.from_env({"KUBENTLY_INSECURE_ACKNOWLEDGED": "i-understand"}).verify is True


def test_url_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        executor({"KUBENTLY_API_URL": "https://me:hunter2@api.example.com"})

    assert "hunter2" not in str(caught.value) + caught.value.hint


def _admin_key(environ: Mapping[str, str]) -> str:
    return ApiSettings.from_env(environ).admin_key


def _token(environ: Mapping[str, str]) -> str:
    return executor({"KUBENTLY_TOKEN": "", **environ}).token


SECRETS = pytest.mark.parametrize(("read", "name"), [(_admin_key, "KUBENTLY_ADMIN_KEY"), (_token, "KUBENTLY_TOKEN")])


@SECRETS
def test_secret_is_read_from_a_file(read: Callable[[Mapping[str, str]], str], name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-file\n")

    assert read({f"{name}_FILE": str(file)}) == "from-file"
    assert read({f"{name}_FILE": str(file), name: "direct"}) == "direct"


@SECRETS
def test_secret_file_that_cannot_be_read_is_named(
    read: Callable[[Mapping[str, str]], str], name: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "none")

    with pytest.raises(ConfigError, match=f"{name}_FILE={path} cannot be read"):
        read({f"{name}_FILE": path})


@pytest.mark.parametrize("made", [ApiSettings(admin_key="hunter2"), executor({"KUBENTLY_TOKEN": "hunter2"})])
def test_secrets_do_not_show_in_a_representation(made: Any) -> None:
    assert "hunter2" not in repr(made)


def test_process_environ_is_the_environment() -> None:
    assert settings.process_environ() is os.environ


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KUBENTLY_TRANSPORT", "smoke-signals"),
        ("KUBENTLY_SESSIONS", "5"),
        ("KUBENTLY_SESSIONS", "0"),
        ("KUBENTLY_API_URL_ORDER", "random"),
        ("KUBENTLY_API_URLS", "https://a,ftp://b"),
    ],
)
def test_ways_that_cannot_be_gone_are_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name):
        executor({name: text})


def test_several_urls_need_no_single_one() -> None:
    environ = {**EXECUTOR, "KUBENTLY_API_URL": "", "KUBENTLY_API_URLS": "https://b,https://c"}

    assert ExecutorSettings.from_env(environ).api_urls == ("https://b", "https://c")
