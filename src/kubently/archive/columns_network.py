"""Services, endpoints, ingresses and network policies as rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from kubently.archive import cells
from kubently.archive.cells import AGE, NAME, NONE, SELECTOR, UNSET, Cell, Column, Layout
from kubently.kube import objects


def _service(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [
        objects.name(item),
        objects.text(item, "spec", "type"),
        objects.text(item, "spec", "clusterIPs", 0) or NONE,
        _external_ip(item),
        ",".join(map(_service_port, objects.mappings(item, "spec", "ports"))) or NONE,
        cells.age(item, now),
        cells.label_map(objects.mapping(item, "spec", "selector")),
    ]


def _external_ip(item: objects.KubeObject) -> str:
    own = objects.strings(item, "spec", "externalIPs")
    match objects.text(item, "spec", "type"):
        case "ClusterIP" | "NodePort":
            return ",".join(own) or NONE
        case "LoadBalancer":
            return ",".join([*_addresses(item), *own]) or "<pending>"
        case "ExternalName":
            return objects.text(item, "spec", "externalName")
        case _:
            return "<unknown>"


def _addresses(item: objects.KubeObject) -> list[str]:
    """Return the addresses of a load balancer, each once, sorted."""
    points = objects.mappings(item, "status", "loadBalancer", "ingress")
    found = {objects.text(point, "ip") or objects.text(point, "hostname") for point in points}
    return sorted(found - {""})


def _service_port(port: objects.KubeObject) -> str:
    number, protocol = objects.integer(port, "port"), objects.text(port, "protocol")
    node_port = objects.integer(port, "nodePort")
    return f"{number}:{node_port}/{protocol}" if node_port > 0 else f"{number}/{protocol}"


# ---- endpoints


def _endpoints(item: objects.KubeObject, now: datetime) -> list[Cell]:
    addresses = list(_subset_addresses(item))
    has_subsets = bool(objects.mappings(item, "subsets"))
    text = cells.shortened(addresses, most=3, empty="") if has_subsets else NONE
    return [objects.name(item), text, cells.age(item, now)]


def _subset_addresses(item: objects.KubeObject) -> Iterator[str]:
    for subset in objects.mappings(item, "subsets"):
        addresses = [objects.text(address, "ip") for address in objects.mappings(subset, "addresses")]
        ports = objects.mappings(subset, "ports")
        if not ports:
            yield from addresses
        for port in ports:
            number = objects.integer(port, "port")
            yield from (f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}" for ip in addresses)


def _endpoint_slice(item: objects.KubeObject, now: datetime) -> list[Cell]:
    ports = [_slice_port(port) for port in objects.mappings(item, "ports")]
    endpoints = objects.mappings(item, "endpoints")
    addresses = [address for endpoint in endpoints for address in objects.strings(endpoint, "addresses")]
    return [
        objects.name(item),
        objects.text(item, "addressType"),
        cells.shortened(ports, most=3, empty=UNSET),
        cells.shortened(addresses, most=3, empty=UNSET),
        cells.age(item, now),
    ]


def _slice_port(port: objects.KubeObject) -> str:
    if objects.at(port, "port") is not None:
        return str(objects.integer(port, "port"))
    # An empty name is a name too: a real server prints it.
    return objects.text(port, "name", default="*")


# ---- ingresses


def _ingress(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [
        objects.name(item),
        objects.text(item, "spec", "ingressClassName") or NONE,
        _hosts(objects.mappings(item, "spec", "rules")),
        ",".join(_addresses(item)),
        "80, 443" if objects.mappings(item, "spec", "tls") else "80",
        cells.age(item, now),
    ]


def _hosts(rules: list[objects.KubeObject]) -> str:
    """Return up to three hosts; the rest is counted in rules, with or without a host, as the original does."""
    most, hosts, more = 3, list[str](), False
    for rule in rules:
        more = more or len(hosts) == most
        host = objects.text(rule, "host")
        if host and not more:
            hosts.append(host)
    if not hosts:
        return "*"
    return ",".join(hosts) + (f" + {len(rules) - most} more..." if more else "")


def _ingress_class(item: objects.KubeObject, now: datetime) -> list[Cell]:
    is_default = objects.annotation(item, "ingressclass.kubernetes.io/is-default-class") == "true"
    parameters = objects.mapping(item, "spec", "parameters")
    text = NONE
    if parameters:
        group = objects.text(parameters, "apiGroup")
        kind = objects.text(parameters, "kind") + (f".{group}" if group else "")
        text = f"{kind}/{objects.text(parameters, 'name')}"
    name = objects.name(item) + (" (default)" if is_default else "")
    return [name, objects.text(item, "spec", "controller"), text, cells.age(item, now)]


def _network_policy(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [objects.name(item), cells.selector(item, "spec", "podSelector"), cells.age(item, now)]


def _service_cidr(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [objects.name(item), ",".join(objects.strings(item, "spec", "cidrs")), cells.age(item, now)]


def _ip_address(item: objects.KubeObject, now: datetime) -> list[Cell]:
    parent = objects.mapping(item, "spec", "parentRef")
    text = NONE
    if parent:
        group, resource = objects.text(parent, "group"), objects.text(parent, "resource")
        namespace = objects.text(parent, "namespace")
        qualified = f"{resource}.{group}" if group else resource
        text = "/".join(part for part in (qualified.lower(), namespace, objects.text(parent, "name")) if part)
    return [objects.name(item), text, cells.age(item, now)]


def _columns(*names: str) -> tuple[Column, ...]:
    return (NAME, *map(Column, names), AGE)


LAYOUTS = (
    Layout("", "services", (*_columns("Type", "Cluster-IP", "External-IP", "Port(s)"), SELECTOR), _service),
    Layout("", "endpoints", _columns("Endpoints"), _endpoints),
    Layout("discovery.k8s.io", "endpointslices", _columns("AddressType", "Ports", "Endpoints"), _endpoint_slice),
    Layout("networking.k8s.io", "ingresses", _columns("Class", "Hosts", "Address", "Ports"), _ingress),
    Layout("networking.k8s.io", "ingressclasses", _columns("Controller", "Parameters"), _ingress_class),
    Layout("networking.k8s.io", "networkpolicies", _columns("Pod-Selector"), _network_policy),
    Layout("networking.k8s.io", "servicecidrs", _columns("CIDRs"), _service_cidr),
    Layout("networking.k8s.io", "ipaddresses", _columns("ParentRef")[:-1], _ip_address),
)
