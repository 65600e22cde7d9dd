"""What stands before the API: an nginx with the certificate of a Secret, where an ingress controller would stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.testbed.images import nodes

NAME, PORT = "edge", 443
_LISTEN = 8443


def objects(namespace: str, secret: str) -> list[dict[str, Any]]:
    """Its objects. It serves the certificate that stands in *secret* at each handshake."""
    where = {"name": NAME, "namespace": namespace}
    labels = {"app": NAME}
    container = {
        "name": NAME,
        "image": nodes.EDGE,
        "args": ["-c", "/etc/edge/nginx.conf"],
        "readinessProbe": {"tcpSocket": {"port": _LISTEN}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "configuration", "mountPath": "/etc/edge"},
            {"name": "certificate", "mountPath": "/etc/certificate"},
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "configuration", "configMap": {"name": NAME}},
            {"name": "certificate", "secret": {"secretName": secret}},
        ],
    }
    configuration = nginx(str(_LISTEN), "/etc/certificate", ["kubently-api:8080"])
    template = {"metadata": {"labels": labels}, "spec": pod}
    port = {"port": PORT, "nodePort": PORT, "targetPort": _LISTEN}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": where, "data": {"nginx.conf": configuration}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": where,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": where,
            "spec": {"type": "NodePort", "selector": labels, "ports": [port]},
        },
    ]


def nginx(
    listen: str, folder: str, servers: Sequence[str], *, plain: str = "", user: str = "", scratch: str = "/tmp"
) -> str:
    """Its configuration. A path with a variable makes nginx read the certificate anew for each handshake.

    With *plain* (address:port) it also stands there without TLS.
    """
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"  {kind}_temp_path {scratch}/{kind};" for kind in kinds)
    tls = f"""\
    listen {listen} ssl;
    ssl_certificate $certificate/tls.crt;
    ssl_certificate_key $certificate/tls.key;
    ssl_protocols TLSv1.2 TLSv1.3;"""
    return f"""\
{f"user {user};" if user else ""}
worker_processes 1;
pid {scratch}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
{temporary}
  access_log off;
  map $ssl_server_name $certificate {{ default {folder}; }}
  map $http_upgrade $connection_header {{ default upgrade; '' ''; }}
  upstream api {{ {" ".join(f"server {server};" for server in servers)} }}
{_server(tls)}
{_server(f"    listen {plain};") if plain else ""}
}}
"""


def _server(listening: str) -> str:
    return f"""\
  server {{
{listening}
    location / {{
      proxy_pass http://api;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_header;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }}
  }}"""
