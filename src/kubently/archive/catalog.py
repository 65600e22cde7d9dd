"""The resource types that an archived cluster can serve, as the API server's discovery describes them.

Built-in types stand in one table; custom ones come from the CustomResourceDefinitions in an archive. The verbs are
those that can be answered from an archive, whatever a real server would add.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kubently.kube import objects

READ = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource in discovery, with the kind that it answers."""

    name: str
    kind: str
    verbs: tuple[str, ...] = ("get",)


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource type in one API version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = READ
    subresources: tuple[Subresource, ...] = ()
    custom: bool = False
    """Whether a CustomResourceDefinition defines it: members of its lists then carry kind and apiVersion."""
    printer_columns: tuple[objects.KubeObject, ...] = ()
    """additionalPrinterColumns of a custom resource."""
    selectable_fields: tuple[str, ...] = ()
    """Fields beyond name and namespace that a fieldSelector may name in a custom resource, without leading dot."""
    schema: objects.KubeObject | None = None
    """openAPIV3Schema of a custom resource."""

    @property
    def api_version(self) -> str:
        """The apiVersion of its objects: "apps/v1", or "v1" in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The name that error messages use: "deployments.apps", or "pods" in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _row(line: str, group: str, version: str) -> Resource:
    """Read "plural Kind scope [short,short] [@category]"; the scope is N or C."""
    plural, kind, scope, *rest = line.split()
    short = next((word.split(",") for word in rest if not word.startswith("@")), [])
    categories = tuple(word[1:] for word in rest if word.startswith("@"))
    has_status = plural in _WITH_STATUS
    status = (Subresource("status", kind),) if has_status else ()
    log = (Subresource("log", kind),) if plural == "pods" and not group else ()
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced=scope == "N",
        singular=kind.lower(),
        short_names=tuple(short),
        categories=categories,
        subresources=(*log, *status),
    )


_WITH_STATUS = frozenset(
    (
        "namespaces",
        "nodes",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "services",
        "apiservices",
        "daemonsets",
        "deployments",
        "replicasets",
        "statefulsets",
        "horizontalpodautoscalers",
        "cronjobs",
        "jobs",
        "certificatesigningrequests",
        "ingresses",
        "servicecidrs",
        "poddisruptionbudgets",
        "volumeattachments",
        "customresourcedefinitions",
        "flowschemas",
        "prioritylevelconfigurations",
    )
)

_GROUPS: tuple[tuple[str, str, str], ...] = (
    (
        "",
        "v1",
        """
        configmaps ConfigMap N cm
        endpoints Endpoints N ep
        events Event N ev
        limitranges LimitRange N limits
        namespaces Namespace C ns
        nodes Node C no
        persistentvolumeclaims PersistentVolumeClaim N pvc
        persistentvolumes PersistentVolume C pv
        pods Pod N po @all
        podtemplates PodTemplate N
        replicationcontrollers ReplicationController N rc @all
        resourcequotas ResourceQuota N quota
        secrets Secret N
        serviceaccounts ServiceAccount N sa
        services Service N svc @all
        """,
    ),
    ("apiregistration.k8s.io", "v1", "apiservices APIService C @api-extensions"),
    (
        "apps",
        "v1",
        """
        controllerrevisions ControllerRevision N
        daemonsets DaemonSet N ds @all
        deployments Deployment N deploy @all
        replicasets ReplicaSet N rs @all
        statefulsets StatefulSet N sts @all
        """,
    ),
    ("events.k8s.io", "v1", "events Event N ev"),
    ("autoscaling", "v2", "horizontalpodautoscalers HorizontalPodAutoscaler N hpa @all"),
    (
        "batch",
        "v1",
        """
        cronjobs CronJob N cj @all
        jobs Job N @all
        """,
    ),
    ("certificates.k8s.io", "v1", "certificatesigningrequests CertificateSigningRequest C csr"),
    (
        "networking.k8s.io",
        "v1",
        """
        ingressclasses IngressClass C
        ingresses Ingress N ing
        ipaddresses IPAddress C ip
        networkpolicies NetworkPolicy N netpol
        servicecidrs ServiceCIDR C
        """,
    ),
    ("policy", "v1", "poddisruptionbudgets PodDisruptionBudget N pdb"),
    (
        "rbac.authorization.k8s.io",
        "v1",
        """
        clusterrolebindings ClusterRoleBinding C
        clusterroles ClusterRole C
        rolebindings RoleBinding N
        roles Role N
        """,
    ),
    (
        "storage.k8s.io",
        "v1",
        """
        csidrivers CSIDriver C
        csinodes CSINode C
        csistoragecapacities CSIStorageCapacity N
        storageclasses StorageClass C sc
        volumeattachments VolumeAttachment C
        """,
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        """
        mutatingwebhookconfigurations MutatingWebhookConfiguration C @api-extensions
        validatingwebhookconfigurations ValidatingWebhookConfiguration C @api-extensions
        """,
    ),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions CustomResourceDefinition C crd,crds @api-extensions"),
    ("scheduling.k8s.io", "v1", "priorityclasses PriorityClass C pc"),
    ("coordination.k8s.io", "v1", "leases Lease N"),
    ("node.k8s.io", "v1", "runtimeclasses RuntimeClass C"),
    ("discovery.k8s.io", "v1", "endpointslices EndpointSlice N"),
    (
        "flowcontrol.apiserver.k8s.io",
        "v1",
        """
        flowschemas FlowSchema C
        prioritylevelconfigurations PriorityLevelConfiguration C
        """,
    ),
)


def _builtin() -> Iterator[Resource]:
    for group, version, rows in _GROUPS:
        for line in rows.strip().splitlines():
            yield _row(line, group, version)


BUILTIN: tuple[Resource, ...] = tuple(_builtin())

EVENTS_VIEW = next(item for item in BUILTIN if item.group == "events.k8s.io")
"""The same events as core's, under other field names; archives hold them once, as core events."""

METRICS: tuple[Resource, ...] = (
    Resource("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", False, "", verbs=("get", "list")),
    Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", True, "", verbs=("get", "list")),
)
"""Served only where the archive holds them, as by a metrics server."""

REVIEWS: tuple[Resource, ...] = tuple(
    Resource(group, "v1", f"{kind.lower()}s", kind, False, kind.lower(), verbs=("create",))
    for group, kind in (
        ("authentication.k8s.io", "SelfSubjectReview"),
        ("authorization.k8s.io", "SelfSubjectAccessReview"),
        ("authorization.k8s.io", "SelfSubjectRulesReview"),
    )
)
"""Questions about the caller's own rights: the only things that can be posted."""


def custom_resources(definition: objects.KubeObject) -> Iterator[Resource]:
    """Yield a resource type for every served version of a CustomResourceDefinition, the preferred one first."""
    spec = objects.mapping(definition, "spec")
    names = objects.mapping(spec, "names")
    versions = [item for item in objects.mappings(spec, "versions") if objects.flag(item, "served", default=True)]
    for version in sorted(versions, key=lambda item: version_priority(objects.text(item, "name")), reverse=True):
        subresources = objects.mapping(version, "subresources")
        kind = objects.text(names, "kind")
        yield Resource(
            group=objects.text(spec, "group"),
            version=objects.text(version, "name"),
            plural=objects.text(names, "plural"),
            kind=kind,
            namespaced=objects.text(spec, "scope") == "Namespaced",
            singular=objects.text(names, "singular") or kind.lower(),
            short_names=tuple(objects.strings(names, "shortNames")),
            categories=tuple(objects.strings(names, "categories")),
            subresources=(Subresource("status", kind),) if "status" in subresources else (),
            custom=True,
            printer_columns=tuple(objects.mappings(version, "additionalPrinterColumns")),
            selectable_fields=tuple(
                objects.text(item, "jsonPath").removeprefix(".")
                for item in objects.mappings(version, "selectableFields")
            ),
            schema=objects.mapping(version, "schema", "openAPIV3Schema"),
        )


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Return a key by which API versions sort: v2 above v1 above v1beta2 above v1alpha1 above anything else."""
    digits = version.removeprefix("v")
    for rank, word in ((1, "alpha"), (2, "beta")):
        major, found, minor = digits.partition(word)
        if found and major.isdigit() and minor.isdigit():
            return rank, int(major), int(minor), ""
    if version.startswith("v") and digits.isdigit():
        return 3, int(digits), 0, ""
    return 0, 0, 0, version
