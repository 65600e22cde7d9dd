"""Client certificates that end at a real gateway: it hands on what it saw, and the API binds it to the cluster."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kubently import trust
from kubently.schema import ClusterId, ClusterState
from kubently.testing import RunningFleet, run_fleet
from kubently.trust import identity
from kubently.tunnel.transports import websocket
from kubently.tunnel.transports.websocket import UpgradeRefusedError
from tests.integration.tls_peers import authority, server
from tests.peers.servers import Plan, Running, running

pytestmark = pytest.mark.anyio

ROOT = authority()
SHOWN = server(issuer=ROOT)
HEADERS = {
    "nginx": "ssl-client-cert",
    "haproxy": "client-cert",
    "caddy": "client-cert",
    "envoy": "x-forwarded-client-cert",
}


async def enrolled(fleet: RunningFleet, folder: Path, cluster: str) -> dict[str, str]:
    """Files of a certificate that the API issued."""
    identities = fleet.serving.services.identities
    token, _ = await identities.enrolments.create(ClusterId(cluster), ttl=60)
    key = identity.make_key()
    request = identity.make_request(key, ClusterId(cluster)).decode()
    made = await identities.enrol(ClusterId(cluster), token, request, kube_system_uid="")
    cert, private = folder / f"{cluster}.crt", folder / f"{cluster}.key"
    cert.write_bytes(x509.load_pem_x509_certificate(made.certificate.encode()).public_bytes(serialization.Encoding.PEM))
    private.write_bytes(identity.to_pem(key))
    return {"certfile": str(cert), "keyfile": str(private)}


async def dial(proxy: Running, pair: dict[str, str], cluster: str, **headers: str) -> Any:
    context = trust.client_context(ca=ROOT.pem.decode())
    context.load_cert_chain(**pair)
    return await websocket.dial(
        f"wss://localhost:{proxy.port}{websocket.PATH}",
        headers={"X-Kubently-Cluster": cluster, **headers},
        ssl=context,
        timeout=5,
    )


@pytest.mark.parametrize("kind", HEADERS)
async def test_a_gateway_hands_the_certificate_on(kind: str, tmp_path: Path) -> None:
    settings = {
        "client_certs": "require",
        "client_cert_header": HEADERS[kind],
        "trusted_proxies": (ipaddress.ip_network("127.0.0.0/8"),),
    }
    async with run_fleet(tmp_path, **settings) as fleet:
        prod, other = await enrolled(fleet, tmp_path, "prod"), await enrolled(fleet, tmp_path, "other")
        plan = Plan(
            [SHOWN.pem],
            SHOWN.key_pem,
            clients=fleet.serving.services.identities.authority.encode(),
            upstream=fleet.serving.port,
            hand_on=HEADERS[kind],
        )
        with running(kind, tmp_path, plan) as proxy:
            link = await dial(proxy, prod, "prod")
            services = fleet.serving.services
            assert [c.admitted.is_key_bound for c in services.fleet._arriving] == [True]

            # What a client says itself is overwritten: other's holder cannot be prod.
            spoofed = {HEADERS[kind]: "forged", "X-Forwarded-For": "10.0.0.1"}
            with pytest.raises(UpgradeRefusedError) as caught:
                await dial(proxy, other, "prod", **spoofed)
            assert caught.value.status == 401
            assert b"not for" in caught.value.body
            link.close(1000, "the test ends")
    assert fleet.state("prod") is ClusterState.NEVER
