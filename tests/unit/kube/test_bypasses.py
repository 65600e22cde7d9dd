"""Known ways around a read-only policy, each shut at the argument list, at the request, or at both.

The first half are holes that a policy on substrings and on the second word of a command had; the second half are facts
about kubectl and the apiserver (seen with 1.36 and 1.37) that such a policy does not know.
"""

from __future__ import annotations

import base64
import json
import shlex

import pytest

from kubently.errors import CommandDeniedError, CommandInvalidError, ConfigError, InvalidRequestError
from kubently.kube import headers, kubectl, paths, policy, redact
from kubently.kube.policy import Allow, Deny

CANARY = "canary-of-a-secret"


def rule_of_command(line: str) -> str:
    """Return the rule that denies a command, "invalid" if it cannot be read, or "allowed"."""
    try:
        kubectl.parse(shlex.split(line))
    except CommandDeniedError as error:
        return str(error.details["rule"])
    except CommandInvalidError:
        return "invalid"
    return "allowed"


def rule_of_request(method: str, target: str) -> str:
    """Return the rule that decides a request, or "invalid" if it cannot be read."""
    path, _, query = target.partition("?")
    try:
        request = paths.parse(method, path, query)
    except InvalidRequestError:
        return "invalid"
    decision = policy.decide(request)
    return decision.rule if isinstance(decision, Deny) else "allowed"


# ---- holes of a policy on substrings


@pytest.mark.parametrize(
    "line",
    [
        "get secret -A -o yaml",
        "get secrets",
        "describe secret x",
        "get -o yaml secrets",
        "get pods,secret",
        "get pods/x secret/y",
        "get Secret.v1. x",
    ],
)
def test_secrets_by_any_of_their_names(line: str) -> None:
    assert rule_of_command(line) == "no-secrets"


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/secrets",
        "/api/v1/secrets?limit=500",
        "/api/v1/namespaces/shop/secrets/db",
        "/api/v1/secrets?watch=true",
        "/api/v1/namespaces/shop/secrets?fieldSelector=type%3Dhelm.sh%2Frelease.v1",
    ],
)
def test_secrets_however_the_words_chose_them(target: str) -> None:
    """A category, a short name or a template may choose Secrets: the request says it."""
    assert rule_of_request("GET", target) == "no-secrets"


def test_raw_paths() -> None:
    assert rule_of_command("get --raw /api/v1/secrets") == "flag-raw"
    assert rule_of_command("get --raw=/api/v1/secrets") == "flag-raw"
    assert rule_of_command("--raw /api/v1/secrets get") == "flag-raw"


@pytest.mark.parametrize("form", ["go-template-file", "templatefile", "jsonpath-file", "custom-columns-file"])
@pytest.mark.parametrize("spelling", ["-o {}={}", "-o={}={}", "-o{}={}", "--output={}={}", "--output {}={}"])
def test_reading_files_of_the_executor_by_templates(form: str, spelling: str) -> None:
    assert rule_of_command("get pods " + spelling.format(form, "/proc/self/environ")) == "flag-files"


@pytest.mark.parametrize(
    "line", ["get -f /etc/passwd", "get -f https://169.254.169.254/", "describe -k /x", "get -f -"]
)
def test_files_and_urls(line: str) -> None:
    assert rule_of_command(line) == "flag-files"


@pytest.mark.parametrize(
    "line",
    [
        "-s http://169.254.169.254 get pods",
        "get pods -s http://169.254.169.254",
        "get pods --server http://169.254.169.254",
        "get pods --certificate-authority /x",
        "get pods --context x",
        "get pods --as system:admin",
        "get pods --as-group system:masters",
        "get pods --cache-dir /x",
        "get pods -v=9",
        "get pods --kubeconfig=/x",
        "get pods --token-file=/x",
        "get pods --insecure-skip-tls-verify",
    ],
)
def test_flags_that_swap_the_server_or_the_identity(line: str) -> None:
    assert rule_of_command(line).startswith("flag-")


def test_the_value_of_a_flag_is_not_the_subverb() -> None:
    assert rule_of_command("rollout -n history restart deployment/x") == "no-patch"
    assert rule_of_command("rollout --namespace history undo deployment/x") == "no-patch"
    assert rule_of_command("rollout -n restart history deployment/x") == "allowed"


@pytest.mark.parametrize("verb", ["drain", "cordon", "label", "set", "debug", "annotate", "taint", "scale"])
def test_no_policy_document_can_add_verbs(verb: str) -> None:
    assert rule_of_command(f"{verb} x") != "allowed"
    for key in ("customVerbs", "verbs", "allow", "extraVerbs"):
        with pytest.raises(ConfigError):
            policy.parse_policy({"mode": "read-only", key: [verb]})


@pytest.mark.parametrize("mode", ["fullAccess", "full-access", "extendedReadOnly", "", None])
def test_no_mode_is_quietly_another(mode: object) -> None:
    with pytest.raises(ConfigError):
        policy.parse_policy({"mode": mode})


def test_no_policy_is_no_policy() -> None:
    """A document that cannot be read is an error for whoever loads it, never a default."""
    for document in (None, {}, "read-only", []):
        with pytest.raises(ConfigError):
            policy.parse_policy(document)


@pytest.mark.parametrize(
    "line",
    [
        "get pod dispatcher-5d",
        "get pod credit-5d",
        "get pods -n create-orders",
        "logs deployment/cluster-autoscaler -n kube-system",
        "get events --field-selector reason=FailedCreate",
        "get pods -n external-secrets",
        "get pods -ojson -nfoo",
        "get pods -o 'jsonpath={.items[*].metadata.name};|`$('",
    ],
)
def test_words_that_only_look_dangerous_pass(line: str) -> None:
    assert rule_of_command(line) == "allowed"


# ---- facts about kubectl


def test_before_the_verb_kubectl_skips_the_word_after_an_unknown_flag() -> None:
    """To kubectl this is "delete --all": nothing that is not a known global flag may stand before the verb."""
    assert rule_of_command("-A pods delete --all") == "invalid"
    assert rule_of_command("--show-labels get delete pods --all") == "invalid"
    assert rule_of_command("-o get delete pods --all") == "invalid"


@pytest.mark.parametrize("word", ["secrets.", "Secret.", "SECRETS.", "secret.v1.", "Secrets.v1.", "pods,Secret."])
def test_a_dot_at_the_end_still_means_secrets(word: str) -> None:
    assert rule_of_command(f"get {word}") == "no-secrets"
    assert rule_of_command(f"describe {word}") == "no-secrets"


@pytest.mark.parametrize(
    "flag", ["--as_group=x", "--certificate_authority=x", "--insecure_skip_tls_verify", "--client_key=x"]
)
def test_underscores_count_as_dashes(flag: str) -> None:
    assert rule_of_command(f"get pods {flag}").startswith("flag-")
    assert rule_of_command("get pods --all_namespaces") == "allowed"


@pytest.mark.parametrize("subresource", ["exec", "proxy", "attach", "portforward", "token", "ephemeralcontainers"])
def test_subresources_pass_through_get_no_more(subresource: str) -> None:
    assert rule_of_command(f"get pods x --subresource={subresource}") == "no-other-subresource"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for resource in ("pods", "services", "serviceaccounts"):
            target = f"/api/v1/namespaces/a/{resource}/x/{subresource}?command=sh&command=-c"
            assert rule_of_request(method, target) == f"no-{subresource}"


@pytest.mark.parametrize(
    "line",
    [
        "annotate --list secret x",
        "wait -o yaml secret/x --for=create",
        "set env --list --resolve deploy/x",
        "describe pod x -v=8",
    ],
)
def test_commands_that_print_secrets_on_the_side(line: str) -> None:
    assert rule_of_command(line) not in ("allowed", "invalid")


@pytest.mark.parametrize("flag", ["-s https://evil", "-shttps://evil", "-s=https://evil", "--server=https://evil"])
def test_the_token_is_not_sent_elsewhere(flag: str) -> None:
    assert rule_of_command(f"get pods {flag}") == "flag-road"
    assert rule_of_command(f"{flag} get pods") == "flag-road"


@pytest.mark.parametrize("kind", ["Secret", "PartialObjectMetadata"])
def test_tables_and_metadata_of_secrets_carry_no_copy(kind: str) -> None:
    manifest = {"kind": "Secret", "data": {"k": base64.b64encode(CANARY.encode()).decode()}}
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(manifest)}
    table = {
        "kind": "Table",
        "rows": [{"cells": [], "object": {"kind": kind, "metadata": {"annotations": annotations}}}],
    }

    text = json.dumps(redact.redact_object(table, secrets="metadata", kind="Secret"))

    assert manifest["data"]["k"] not in text  # type: ignore[index]


# ---- facts about the apiserver


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/namespaces/default%2Fsecrets",
        "/api%2Fv1%2Fsecrets",
        "/api/v1/namespaces//secrets",
        "//api/v1/secrets",
        "/api/v1//secrets",
        "/api/v1/./secrets",
        "/api/v1/pods/../secrets",
        "/api/v1/pods%2f..%2fsecrets",
        "/api/v1/pods/%2e%2e/secrets",
        "/api/v1/%73ecrets",
        "/api/v1/Secrets",
        "/api/v1/secrets%00",
        "/api/v1/secrets%20",
        "/api/v1/secrets;x",
        "/api/v1/secrets%3Bx",
        "/api/v1\\secrets",
        "/api/v1%5Csecrets",
        "/api/v1/watch/secrets",
        "/api/v1/watch/namespaces/a/secrets/x",
        "/api/v1/proxy/nodes/n/pods",
    ],
)
def test_no_spelling_of_a_path_lists_secrets(target: str) -> None:
    assert rule_of_request("GET", target) == "invalid"


def test_a_watch_is_not_upgraded() -> None:
    with pytest.raises(InvalidRequestError):
        headers.request_headers([(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")])


def test_a_dry_run_still_makes_a_token() -> None:
    assert rule_of_request("POST", "/api/v1/namespaces/a/serviceaccounts/s/token?dryRun=All") == "no-token"


@pytest.mark.parametrize("target", ["/api/v1/namespaces/a/pods", "/apis/apps/v1/namespaces/a/deployments"])
def test_dry_runs_are_writes(target: str) -> None:
    assert rule_of_request("POST", target + "?dryRun=All") == "no-create"
    assert rule_of_request("PATCH", target + "/x?dryRun=All&fieldManager=kubectl-client-side-diff") == "no-patch"
    assert rule_of_request("DELETE", target + "?dryRun=All") == "no-deletecollection"


def test_the_kubelets_certificate_is_always_checked() -> None:
    assert rule_of_request("GET", "/api/v1/namespaces/a/pods/p/log?insecureSkipTLSVerifyBackend=true") == "invalid"
    assert rule_of_command("logs p --insecure-skip-tls-verify-backend") == "flag-road"


def test_the_only_creations_are_questions_about_oneself() -> None:
    allowed = {
        (group, resource)
        for group in ("authorization.k8s.io", "authentication.k8s.io", "certificates.k8s.io")
        for resource in (
            *("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"),
            *("subjectaccessreviews", "localsubjectaccessreviews", "tokenreviews", "certificatesigningrequests"),
        )
        if rule_of_request("POST", f"/apis/{group}/v1/{resource}") == "allowed"
    }

    assert allowed == paths.SELF_REVIEWS


def test_what_is_decided_is_what_is_sent() -> None:
    """Two spellings of a parameter cannot be read in two ways: it is written anew from what was decided."""
    request = paths.parse("GET", "/api/v1/namespaces/a/pods/", "limit=5&watch=True&limit=5")

    assert isinstance(policy.decide(request), Allow)
    assert paths.build(request) == (b"/api/v1/namespaces/a/pods", b"limit=5&watch=true")
    assert rule_of_request("GET", "/api/v1/namespaces/a/pods?watch=0&watch=1") == "invalid"
