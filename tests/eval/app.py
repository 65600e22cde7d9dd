"""An application with a fault, or its healthy twin: objects to create, and what a kubelet would then have reported.

Deployments, Services, nodes and so on go to the API server as they are, and the real controllers, the real scheduler
and kwok do the rest. What only a kubelet sees (waiting reasons, exit codes, events of images and mounts, logs) is
written into the status of pods after they were scheduled: `Kubelet` says what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
Object = Mapping[str, Any]

PORT = 8080
_SMALL = {"requests": {"cpu": "10m", "memory": "16Mi"}}


@dataclass(frozen=True)
class Kubelet:
    """What a kubelet reports of the pods with the label app=*app*."""

    app: str
    container: str = ""
    """Empty: the first one."""
    state: Object = field(default_factory=dict)
    last: Object = field(default_factory=dict)
    restarts: int = 0
    init: bool = False
    ready: bool = False
    status: Object = field(default_factory=dict)
    """Fields of the pod's status besides its containers', for instance phase and reason."""
    events: Sequence[tuple[str, str]] = ()
    """Reason and message of warnings about the pod."""
    log: str = ""
    previous_log: str | None = None


@dataclass
class App:
    """One application in a namespace of its own; *broken* or the twin."""

    slug: str
    broken: bool
    objects: list[Object] = field(default_factory=list)
    cluster_objects: list[Object] = field(default_factory=list)
    """Created first, named with `own`."""
    namespace_labels: dict[str, str] = field(default_factory=dict)
    reports: list[Kubelet] = field(default_factory=list)
    afterwards: list[Sequence[str]] = field(default_factory=list)
    """Commands of kubectl once everything runs, without waiting for what they begin."""
    held: set[str] = field(default_factory=set)
    """Labels app of pods that the simulated kubelet must not start."""

    @property
    def namespace(self) -> str:
        """Its namespace, also the prefix of what it has outside of it."""
        return self.slug if self.broken else f"{self.slug}-twin"

    def pick(self, broken: T, well: T) -> T:
        """The fault, or what stands in its place in the twin."""
        return broken if self.broken else well

    def own(self, name: str) -> str:
        """A name for an object of the cluster that is this application's own."""
        return f"{self.namespace}-{name}"

    # ------------------------------------------------------------------ objects

    def add(
        self, api_version: str, kind: str, name: str, *, labels: Mapping[str, str] | None = None, **rest: Any
    ) -> None:
        """An object in the namespace."""
        metadata = {"name": name, "namespace": self.namespace, "labels": dict(labels or {})}
        self.objects.append({"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest})

    def add_to_cluster(self, api_version: str, kind: str, name: str, **rest: Any) -> str:
        """An object of the cluster; returns its full name."""
        labels = rest.pop("labels", {})
        metadata = {"name": self.own(name), "labels": labels}
        self.cluster_objects.append({"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest})
        return self.own(name)

    def container(self, name: str, **fields: Any) -> dict[str, Any]:
        """A container with a port and small requests; a field that is None is left out."""
        usual = {
            "name": name,
            "image": f"registry.example/{self.slug}/{name}:1.4.2",
            "ports": [{"name": "http", "containerPort": PORT}],
            "resources": _SMALL,
        }
        return {key: value for key, value in {**usual, **fields}.items() if value is not None}

    def template(self, name: str, *, labels: Mapping[str, str] | None = None, **pod: Any) -> dict[str, Any]:
        """A pod's template; *pod* holds fields of its spec."""
        spec = {"containers": [self.container(name)], **pod}
        return {"metadata": {"labels": {"app": name, **(labels or {})}}, "spec": spec}

    def deployment(
        self, name: str, *, replicas: int = 2, pod: Object | None = None, containers: Sequence[Object] = (), **spec: Any
    ) -> None:
        """A Deployment with the label app=*name*."""
        fields: dict[str, Any] = dict(pod or {})
        if containers:
            fields["containers"] = list(containers)
        selector = {"matchLabels": {"app": name}}
        template = self.template(name, **fields)
        self.add(
            "apps/v1",
            "Deployment",
            name,
            spec={"replicas": replicas, "selector": selector, "template": template, **spec},
        )

    def service(self, name: str, *, selector: Object | None = None, **spec: Any) -> None:
        """A Service for app=*name*."""
        ports = [{"name": "http", "port": 80, "targetPort": "http"}]
        self.add("v1", "Service", name, spec={"selector": selector or {"app": name}, "ports": ports, **spec})

    def ingress(
        self, name: str, service: str, *, port: Object | None = None, host: str = "", path: str = "/", **spec: Any
    ) -> None:
        """An Ingress in front of a Service."""
        backend = {"service": {"name": service, "port": port or {"number": 80}}}
        rule = {
            "host": host or f"{self.namespace}.example.com",
            "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]},
        }
        self.add("networking.k8s.io/v1", "Ingress", name, spec={"ingressClassName": "nginx", "rules": [rule], **spec})

    def claim(self, name: str, **spec: Any) -> None:
        """A PersistentVolumeClaim of 1Gi; a field that is None is left out."""
        usual = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
            **spec,
        }
        self.add(
            "v1", "PersistentVolumeClaim", name, spec={key: value for key, value in usual.items() if value is not None}
        )

    def volume(self, name: str, **spec: Any) -> str:
        """A PersistentVolume of 1Gi without a class; returns its full name."""
        usual = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": f"/data/{self.own(name)}"},
        }
        return self.add_to_cluster(
            "v1", "PersistentVolume", name, labels=spec.pop("labels", {}), spec={**usual, **spec}
        )

    def bind(self, claim: str) -> Object:
        """The claimRef by which a volume is kept for a claim of this application."""
        return {"namespace": self.namespace, "name": claim}

    # ------------------------------------------------------------------ what a kubelet reports

    def report(self, app: str, **fields: Any) -> None:
        """What the kubelet says of the broken application; the twin is well."""
        if self.broken:
            self.reports.append(Kubelet(app, **fields))

    def crash(self, app: str, code: int, log: str, *, reason: str = "Error", **fields: Any) -> None:
        """A container that ends again and again."""
        ended = {"exitCode": code, "reason": reason, "startedAt": ago(90), "finishedAt": ago(70)}
        waiting = {
            "reason": "CrashLoopBackOff",
            "message": f"back-off 2m40s restarting failed container={app} pod={app}",
        }
        back_off = ("BackOff", f"Back-off restarting failed container {app} in pod {app}")
        events = [*fields.pop("events", ()), back_off]
        state, last = {"waiting": waiting}, {"terminated": ended}
        self.report(app, state=state, last=last, restarts=6, log=log, previous_log=log, events=events, **fields)

    def waits(self, app: str, reason: str, message: str, events: Sequence[tuple[str, str]] = (), **fields: Any) -> None:
        """A container that does not start."""
        self.hold(app)
        self.report(app, state={"waiting": {"reason": reason, "message": message}}, events=events, **fields)

    def hold(self, app: str) -> None:
        """Let the simulated kubelet leave these pods of the broken application as they are."""
        if self.broken:
            self.held.add(app)

    def after(self, *command: str) -> None:
        """A command of kubectl for the broken application, when everything runs."""
        if self.broken:
            self.afterwards.append(command)


@dataclass(frozen=True)
class Scenario:
    """A fault, and what a diagnosis must say of it."""

    slug: str
    code: str
    at_fault: str
    """The object at fault as a finding names it; {ns} stands for the namespace."""
    words: tuple[str, ...]
    """All of them must stand in the title or the evidence of the finding: they are the cause."""
    make: Callable[[App], None]
    about: str
    needs: str = ""
    """A program of the test bed without which it makes no sense."""

    def app(self, *, broken: bool) -> App:
        """The application, or its twin."""
        made = App(self.slug, broken)
        self.make(made)
        return made


def scenario(
    slug: str, code: str, at_fault: str, *words: str, needs: str = ""
) -> Callable[[Callable[[App], None]], Scenario]:
    """Declare a scenario by the function that makes it; the function's docstring says what is wrong."""

    def declared(make: Callable[[App], None]) -> Scenario:
        assert make.__doc__, slug
        return Scenario(slug, code, at_fault, words, make, make.__doc__, needs)

    return declared


def ago(seconds: float) -> str:
    """An instant before now, as Kubernetes writes it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
