"""What the programs of a real node are told: containerd, CNI, kubelet, kube-proxy and CoreDNS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAUSE, COREDNS = "registry.test/pause:1", "registry.test/coredns:1"
SOCKET = "/run/containerd/containerd.sock"
DNS_ADDRESS = "10.96.0.10"
_POD_SUBNET = "10.244.0.0/24"
_CNI = "/usr/lib/cni"


def containerd(folder: Path, runc: str) -> str:
    """Its configuration. It may not change any process' score for the OOM killer: not every machine's root may."""
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    return f"""\
version = 3
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{SOCKET}"
[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE}"
[{runtime}]
restrict_oom_score_adj = true
[{runtime}.cni]
bin_dirs = ["{_CNI}"]
conf_dir = "{folder}/cni"
[{runtime}.containerd]
default_runtime_name = "runc"
[{runtime}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{runtime}.containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
"""


def cni(folder: Path) -> dict[str, Any]:
    """A bridge for pods with addresses of the node's own range."""
    ranges = {"type": "host-local", "dataDir": f"{folder}/addresses", "ranges": [[{"subnet": _POD_SUBNET}]]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True}
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {**bridge, "ipam": {**ranges, "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet(folder: Path, pki: Path, cgroup: str) -> dict[str, Any]:
    """Its configuration, for either version of cgroups."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "oomScoreAdj": 0,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet.key",
        "makeIPTablesUtilChains": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{folder}/resolv.conf",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "rotateCertificates": False,
        "nodeStatusUpdateFrequency": "5s",
        # How soon a changed Secret is in a running pod.
        "syncFrequency": "5s",
    }


def kube_proxy(kubeconfig: Path, name: str) -> dict[str, Any]:
    """Its configuration; it leaves the machine's connection tracking as it is."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": _POD_SUBNET,
        "hostnameOverride": name,
        "bindAddress": "0.0.0.0",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def coredns(names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The cluster's name server; *names* are addresses by name, in place of a DNS beyond the cluster."""
    where = {"name": "coredns", "namespace": "kube-system"}
    labels = {"k8s-app": "kube-dns"}
    hosts = " ".join(f"{address} {name}\n" for name, address in names.items())
    corefile = (
        ".:53 {\nerrors\nready\nreload\n"
        "kubernetes cluster.local in-addr.arpa {\npods insecure\nfallthrough in-addr.arpa\n}\n"
        f"hosts {{\n{hosts}fallthrough\n}}\n}}\n"
    )
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "coredns"}
    container = {
        "name": "coredns",
        "image": COREDNS,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
    }
    pod = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    ports = [{"name": f"dns-{p.lower()}", "port": 53, "protocol": p} for p in ("UDP", "TCP")]
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": where},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "coredns"}, "rules": rules},
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "coredns"},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", **where}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": where, "data": {"Corefile": corefile}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": where,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
            "spec": {"clusterIP": DNS_ADDRESS, "selector": labels, "ports": ports},
        },
    ]
