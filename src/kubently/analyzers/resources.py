"""The resources that analyzers read, with what a client needs to list them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the Kubernetes API, named as RBAC and URLs name it."""

    group: str
    """API group, empty for core."""
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True
    is_addon: bool = False
    """Whether an add-on serves it: a cluster that does not know it has none, and nothing is missed."""

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """What objects of this resource carry as apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None) -> str:
        """Return the URL path of the collection, in one namespace or in all."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        if namespace and self.is_namespaced:
            return f"{root}/namespaces/{namespace}/{self.plural}"
        return f"{root}/{self.plural}"


PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
NODES = Resource("", "v1", "nodes", "Node", is_namespaced=False)
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", is_namespaced=False)
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
JOBS = Resource("batch", "v1", "jobs", "Job")
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
INGRESS_CLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", is_namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", is_namespaced=False)
HORIZONTAL_POD_AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
POD_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
VALIDATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    is_namespaced=False,
)
MUTATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    is_namespaced=False,
)
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
CERTIFICATES = Resource("cert-manager.io", "v1", "certificates", "Certificate", is_addon=True)
ISSUERS = Resource("cert-manager.io", "v1", "issuers", "Issuer", is_addon=True)
CLUSTER_ISSUERS = Resource(
    "cert-manager.io", "v1", "clusterissuers", "ClusterIssuer", is_namespaced=False, is_addon=True
)
GATEWAY_CLASSES = Resource(
    "gateway.networking.k8s.io", "v1", "gatewayclasses", "GatewayClass", is_namespaced=False, is_addon=True
)
GATEWAYS = Resource("gateway.networking.k8s.io", "v1", "gateways", "Gateway", is_addon=True)
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", is_addon=True)
ARGO_APPLICATIONS = Resource("argoproj.io", "v1alpha1", "applications", "Application", is_addon=True)
FLUX_KUSTOMIZATIONS = Resource("kustomize.toolkit.fluxcd.io", "v1", "kustomizations", "Kustomization", is_addon=True)
FLUX_HELM_RELEASES = Resource("helm.toolkit.fluxcd.io", "v2", "helmreleases", "HelmRelease", is_addon=True)
API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", is_namespaced=False)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", is_namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", is_namespaced=False
)
FLOW_SCHEMAS = Resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema", is_namespaced=False)
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", is_namespaced=False)

RESOURCES: tuple[Resource, ...] = (
    PODS,
    EVENTS,
    SERVICES,
    CONFIG_MAPS,
    SECRETS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    RESOURCE_QUOTAS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    DAEMON_SETS,
    JOBS,
    CRON_JOBS,
    INGRESSES,
    INGRESS_CLASSES,
    STORAGE_CLASSES,
    NAMESPACES,
    API_SERVICES,
    HORIZONTAL_POD_AUTOSCALERS,
    POD_DISRUPTION_BUDGETS,
    VALIDATING_WEBHOOKS,
    MUTATING_WEBHOOKS,
    NETWORK_POLICIES,
    CERTIFICATES,
    ISSUERS,
    CLUSTER_ISSUERS,
    GATEWAY_CLASSES,
    GATEWAYS,
    HTTP_ROUTES,
    ARGO_APPLICATIONS,
    FLUX_KUSTOMIZATIONS,
    FLUX_HELM_RELEASES,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    FLOW_SCHEMAS,
)

WORKLOADS: tuple[Resource, ...] = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, REPLICA_SETS, JOBS, CRON_JOBS)
"""What makes pods from a template."""

_BY_KIND = {(resource.group, resource.kind): resource for resource in RESOURCES}


def resource_of(group: str, kind: str) -> Resource | None:
    """Return the resource of a kind, or None if no analyzer reads it. Events of both API groups are one resource."""
    if kind == "Event" and group == "events.k8s.io":
        return EVENTS
    return _BY_KIND.get((group, kind))
