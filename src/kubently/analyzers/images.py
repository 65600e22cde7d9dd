"""Images that cannot be pulled, told apart by the words of the kubelet, the runtime and the registry."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubently.analyzers import cases, containers
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.containers import Container
from kubently.analyzers.resources import SECRETS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, ResourceRef, Severity

NOT_FOUND = Condition(
    "pod/image-not-found",
    Severity.OUTAGE,
    "The registry answers that the image or its tag does not exist.",
    "Compare repository and tag with what the registry holds; a tag may be mistyped, not pushed yet or deleted.",
)
UNAUTHORIZED = Condition(
    "pod/image-unauthorized",
    Severity.OUTAGE,
    "The registry refuses the pull: credentials are missing or wrong, or the repository does not exist.",
    "Check imagePullSecrets of the pod and its service account, and the repository's name: registries hide private"
    " repositories behind the same answer.",
    symptom_of=("pod/image-pull-secret-missing", "cronjob/renewal-suspended"),
)
UNREACHABLE = Condition(
    "pod/image-registry-unreachable",
    Severity.OUTAGE,
    "The node cannot reach the registry: name resolution, network, proxy or TLS.",
    "Check from a node that the registry's name resolves and its port answers; check proxy settings and certificates.",
)
RATE_LIMITED = Condition(
    "pod/image-rate-limited",
    Severity.OUTAGE,
    "The registry refuses more pulls for now.",
    "Pull with credentials, or through a mirror or cache.",
)
WRONG_ARCHITECTURE = Condition(
    "pod/image-wrong-architecture",
    Severity.OUTAGE,
    "The image has no variant for the node's processor or system, or its program is built for another.",
    "Build the image for the nodes' architecture, or select nodes that fit with kubernetes.io/arch.",
)
BAD_NAME = Condition(
    "pod/image-bad-name",
    Severity.OUTAGE,
    "The image reference cannot be parsed.",
    "Correct the reference: names are lower case, with at most one tag and one digest.",
)
NEVER_PULL = Condition(
    "pod/image-never-pull",
    Severity.OUTAGE,
    "The pull policy is Never and the image is not on the node.",
    "Load the image on every node, or set imagePullPolicy to IfNotPresent.",
)
PULL_FAILED = Condition(
    "pod/image-pull-failed",
    Severity.OUTAGE,
    "The image cannot be pulled, for a reason that is not one of the known ones.",
    "Read the quoted words of the runtime; disk space and the runtime's own configuration are common causes.",
    confidence=Confidence.POSSIBLE,
)

PULL_SECRET_MISSING = Condition(
    "pod/image-pull-secret-missing",
    Severity.OUTAGE,
    "The pod's image pull Secret does not exist, and the registry refuses the image.",
    "Create the Secret of type kubernetes.io/dockerconfigjson in the pod's namespace, or correct its name.",
)

_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)

# The first match wins. Being unreachable comes before being refused, because a token server that cannot be reached
# reads "failed to authorize: ... no such host".
_WORDS: tuple[tuple[Condition, re.Pattern[str]], ...] = (
    (RATE_LIMITED, re.compile(r"toomanyrequests|429 Too Many Requests|rate limit", re.IGNORECASE)),
    (
        UNREACHABLE,
        re.compile(
            r"no such host|server misbehaving|name resolution|dial tcp|i/o timeout|connection refused|"
            r"connection reset|no route to host|network is unreachable|TLS handshake|tls: |x509: |"
            r"deadline exceeded|Client\.Timeout|proxyconnect|HTTP response to HTTPS client|"
            r"50[0234] (?:Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time)",
            re.IGNORECASE,
        ),
    ),
    (WRONG_ARCHITECTURE, re.compile(r"no match for platform|no matching manifest for|no image found", re.IGNORECASE)),
    (
        UNAUTHORIZED,
        re.compile(
            r"pull access denied|insufficient_scope|authorization failed|failed to authorize|unauthorized|"
            r"authentication required|no basic auth credentials|403 Forbidden|denied:|access denied|"
            r"credentials|not authorized",
            re.IGNORECASE,
        ),
    ),
    (NOT_FOUND, re.compile(r"manifest unknown|name unknown|not found|does not exist|NotFound", re.IGNORECASE)),
    (BAD_NAME, re.compile(r"invalid reference format|couldn't parse image|must be lowercase", re.IGNORECASE)),
)

_WHAT = {
    NOT_FOUND.code: "does not exist in the registry",
    UNAUTHORIZED.code: "is refused by the registry: no access, or no such repository",
    UNREACHABLE.code: "cannot be pulled because the registry cannot be reached",
    RATE_LIMITED.code: "cannot be pulled because the registry limits the rate",
    WRONG_ARCHITECTURE.code: "has no variant for the node's platform",
    BAD_NAME.code: "is not a valid image reference",
    NEVER_PULL.code: "is not on the node and the pull policy is Never",
    PULL_FAILED.code: "cannot be pulled",
}

_PASSING = (UNREACHABLE, RATE_LIMITED, PULL_FAILED)
"""What a second attempt may heal; reported only when it lasts."""

_OF_REGISTRY = (UNAUTHORIZED, UNREACHABLE, RATE_LIMITED)
"""What the registry may do to everybody."""

CONDITIONS = (
    PULL_SECRET_MISSING,
    NOT_FOUND,
    UNAUTHORIZED,
    UNREACHABLE,
    RATE_LIMITED,
    WRONG_ARCHITECTURE,
    BAD_NAME,
    NEVER_PULL,
    PULL_FAILED,
)


@analyzer("pod-images", needs=(*cases.NEEDS, SECRETS), conditions=CONDITIONS)
def pod_images(snapshot: Snapshot) -> Iterator[Finding]:
    """Explain why containers wait for their image."""
    yield from cases.findings(snapshot, _cases(snapshot))


def _cases(snapshot: Snapshot) -> Iterator[Case]:
    for container in containers.of_living_pods(snapshot):
        if container.waiting_reason in _REASONS:
            yield from _case(snapshot, container)


def _case(snapshot: Snapshot, container: Container) -> Iterator[Case]:
    condition, words = _classify(container.waiting_reason, _words(snapshot, container))
    if condition in _PASSING and containers.is_young(snapshot, container.pod, seconds=GRACE.total_seconds()):
        return
    source = cases.pod_source(container.pod, f"{container.path}.state.waiting")
    pod = objects.ref(container.pod)
    evidence = [quote(source, f"{container.waiting_reason}: {container.waiting_message}"), *words]
    if condition is UNAUTHORIZED:
        yield from _without_credentials(snapshot, container)
    yield Case(
        condition,
        container.pod,
        what=f'image "{container.image}" of container {container.name} {_WHAT[condition.code]}',
        evidence=tuple(evidence),
        key=container.name,
        others=(registry_of(container.image),) if condition in _OF_REGISTRY else (),
        next_checks=(
            f"describe pod {pod.name} -n {pod.namespace}",
            f"get events -n {pod.namespace} --field-selector involvedObject.name={pod.name}",
        ),
    )


def refused(snapshot: Snapshot) -> Iterator[tuple[KubeObject, Evidence]]:
    """Yield the pods whose image a registry refuses, with its words."""
    for container in containers.of_living_pods(snapshot):
        said = _words(snapshot, container) if container.waiting_reason in _REASONS else ()
        if said and (found := _classify(container.waiting_reason, said))[0] is UNAUTHORIZED:
            yield container.pod, (*found[1], said[0])[0]


def registry_of(image: str) -> ResourceRef:
    """Return the registry of an image reference: its first part, if that can be a host, or else Docker Hub.

    Source: github.com/distribution/reference, the grammar of references.
    """
    first, slash, _ = image.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    return ResourceRef(kind="Registry", name=clean(first, limit=253) if is_host else "docker.io")


def _without_credentials(snapshot: Snapshot, container: Container) -> Iterator[Case]:
    namespace = objects.namespace(container.pod)
    if not snapshot.is_complete(SECRETS, namespace):
        return
    for item in objects.mappings(container.pod, "spec", "imagePullSecrets"):
        name = clean(objects.text(item, "name"), limit=253)
        if name and snapshot.get(SECRETS, namespace, name) is None:
            source = cases.pod_source(container.pod, "spec.imagePullSecrets")
            yield Case(
                PULL_SECRET_MISSING,
                container.pod,
                what=f'image pull Secret "{name}" does not exist',
                evidence=(quote(source, name), quote(f"secrets in namespace {namespace}", "not among them")),
                key=name,
                others=(ResourceRef(kind="Secret", namespace=namespace, name=name),),
                next_checks=(f"get secrets -n {namespace}",),
            )


def _words(snapshot: Snapshot, container: Container) -> tuple[Evidence, ...]:
    """Collect what is said about the pull, newest first.

    While a pull backs off, older kubelets say only that; the registry's words are then left in an event.
    """
    waiting = quote(cases.pod_source(container.pod, f"{container.path}.state.waiting"), container.waiting_message)
    pod = objects.ref(container.pod)
    events = (
        quote(cases.event_source(pod, event.reason), event.message)
        for event in snapshot.events(container.pod, "Failed", "InspectFailed", "ErrImageNeverPull")
        if event.container in ("", container.name) and "image" in event.message.lower()
    )
    return (waiting, *events)


def _classify(reason: str, said: tuple[Evidence, ...]) -> tuple[Condition, tuple[Evidence, ...]]:
    """Return the condition, with the words that decided it unless those are the waiting message itself."""
    if reason == "InvalidImageName":
        return BAD_NAME, ()
    if reason == "ErrImageNeverPull":
        return NEVER_PULL, ()
    for index, words in enumerate(said):
        for condition, pattern in _WORDS:
            if pattern.search(_without_reference(words.quote)):
                return condition, (words,) if index else ()
    return PULL_FAILED, said[1:2]


_REFERENCE = re.compile(r"\"[^\"\s]{1,500}\"")


def _without_reference(words: str) -> str:
    """Take quoted names out: an image called "not-found" is no reason."""
    return _REFERENCE.sub('""', words)


ANALYZERS: tuple[Analyzer, ...] = (pod_images,)
