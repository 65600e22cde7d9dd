"""Executors that come by client certificate: to our own TLS listener, or handed on by a proxy that is trusted."""

from __future__ import annotations

import base64
import ipaddress
import ssl
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives import serialization
from tests.integration.test_enrolment import Dialled, Enrolled, enrol
from tests.integration.tls_peers import Identity, Wish, make

from kubently import trust, wire
from kubently.api import program
from kubently.errors import TunnelClosedError
from kubently.schema import ClusterState
from kubently.settings import ApiSettings
from kubently.testing import RunningFleet, run_fleet
from kubently.trust import identity
from kubently.tunnel import Session
from kubently.tunnel.transports import websocket
from kubently.tunnel.transports.websocket import UpgradeRefusedError

pytestmark = pytest.mark.anyio

CUT = (OSError, TunnelClosedError)
"""A refusal in TLS 1.3 comes after the handshake, as an alert or as the connection's end."""

CORPORATE = make(Wish("Corporate CA", ca=True))
OTHER = make(Wish("Other CA", ca=True))


def client(name: str = "prod", *, issuer: Identity = CORPORATE, **wish: Any) -> Identity:
    return make(Wish(name, **wish), issuer)


class Served:
    """Files of an API with a TLS listener of its own."""

    def __init__(self, folder: Path) -> None:
        self.authority = trust.make_authority("test")
        self.cert, self.key, self.clients = folder / "tls.crt", folder / "tls.key", folder / "clients.crt"
        trust.issue(self.authority, ["localhost"]).write(self.cert, self.key)
        self.clients.write_bytes(CORPORATE.pem)

    def settings(self, mode: str, **more: Any) -> dict[str, Any]:
        return {
            "tls_listen": ("127.0.0.1", 0),
            "tls_cert": self.cert,
            "tls_key": self.key,
            "client_certs": mode,
            "client_ca": self.clients,
            **more,
        }

    def context(self, folder: Path, shown: Identity | Enrolled | None) -> ssl.SSLContext:
        context = trust.client_context(ca=self.authority.cert.decode())
        if shown is not None:
            cert, key = folder / "client.crt", folder / "client.key"
            if isinstance(shown, Enrolled):
                cert.write_bytes(shown.certificate.public_bytes(serialization.Encoding.PEM))
                key.write_bytes(identity.to_pem(shown.key))
            else:
                cert.write_bytes(shown.pem)
                key.write_bytes(shown.key_pem)
            context.load_cert_chain(cert, key)
        return context


async def dial(
    fleet: RunningFleet,
    context: ssl.SSLContext | None,
    *,
    cluster: str = "prod",
    headers: dict[str, str] | None = None,
) -> Dialled:
    """Over TLS where there is a context, else plainly."""
    secure = f"wss://localhost:{fleet.serving.tls_port}" if context else fleet.url.replace("http", "ws")
    link = await websocket.dial(
        secure + websocket.PATH,
        headers={"X-Kubently-Cluster": cluster, **(headers or {})},
        ssl=context,
        timeout=5,
    )
    dialled = Dialled()
    dialled.session = Session(
        wire.Role.EXECUTOR, link, clock=time.monotonic, info={"instance": "one"}, on_closed=dialled.on_closed
    )
    link.attach(dialled.session)
    dialled.session.flush()
    fleet.dialled.append(dialled.session)
    return dialled


async def connected(fleet: RunningFleet) -> None:
    await fleet.wait_for(lambda: fleet.state("prod") is ClusterState.CONNECTED)


async def refusal(fleet: RunningFleet, context: ssl.SSLContext | None, **how: Any) -> tuple[int, str]:
    with pytest.raises(UpgradeRefusedError) as caught:
        await dial(fleet, context, **how)
    return caught.value.status, caught.value.body.decode()


# ---------------------------------------------------------------------- our own listener


async def test_plain_http_is_served_beside_tls(tmp_path: Path) -> None:
    served = Served(tmp_path)
    async with run_fleet(tmp_path, **served.settings("off")) as fleet:
        assert (await fleet.http.get("/health")).status_code == 200
        token = await fleet.serving.services.tokens.create("prod")  # type: ignore[arg-type]

        await dial(fleet, served.context(tmp_path, None), headers={"Authorization": f"Bearer {token}"})
        await connected(fleet)


@pytest.mark.parametrize("mode", ["accept", "require"])
@pytest.mark.parametrize(
    "wish",
    [
        {"name": "prod"},
        {"name": "a pod", "names": ("prod",)},
    ],
    ids=["common name", "dns name"],
)
async def test_a_certificate_that_names_the_cluster_lets_in(tmp_path: Path, mode: str, wish: dict[str, Any]) -> None:
    served = Served(tmp_path)
    async with run_fleet(tmp_path, **served.settings(mode)) as fleet:
        await dial(fleet, served.context(tmp_path, client(**wish)))
        await connected(fleet)


async def test_an_enrolled_certificate_lets_in_without_another_proof(tmp_path: Path) -> None:
    served = Served(tmp_path)
    async with run_fleet(tmp_path, **served.settings("require")) as fleet:
        enrolled = await enrol(fleet)
        await dial(fleet, served.context(tmp_path, enrolled))
        await connected(fleet)

        await fleet.http.post("/api/v1/clusters/prod/reset")

        status, body = await refusal(fleet, served.context(tmp_path, enrolled))
        assert (status, "executor-certificate-expired" in body) == (401, True)


@pytest.mark.parametrize("name", ["prod-2", "pro", "PROD", "*", "other"])
async def test_a_certificate_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    served = Served(tmp_path)
    async with run_fleet(tmp_path, **served.settings("accept")) as fleet:
        status, body = await refusal(fleet, served.context(tmp_path, client(name)))

        assert (status, "not for prod" in body) == (401, True)


async def test_where_one_is_required_a_token_alone_does_not_do(tmp_path: Path) -> None:
    served = Served(tmp_path)
    async with run_fleet(tmp_path, **served.settings("require")) as fleet:
        token = await fleet.serving.services.tokens.create("prod")  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {token}"}

        for context in (served.context(tmp_path, None), None):
            status, body = await refusal(fleet, context, headers=headers)
            assert (status, "client-certificate-missing" in body) == (403, True)


async def test_where_one_is_accepted_a_token_does(tmp_path: Path) -> None:
    served = Served(tmp_path)
    async with run_fleet(tmp_path, **served.settings("accept")) as fleet:
        token = await fleet.serving.services.tokens.create("prod")  # type: ignore[arg-type]
        await dial(fleet, served.context(tmp_path, None), headers={"Authorization": f"Bearer {token}"})
        await connected(fleet)


async def test_a_certificate_of_an_unknown_authority_fails_in_tls(tmp_path: Path) -> None:
    served = Served(tmp_path)
    async with run_fleet(tmp_path, **served.settings("accept")) as fleet:
        with pytest.raises(CUT):
            await dial(fleet, served.context(tmp_path, client(issuer=OTHER)))


async def test_authorities_come_and_go_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "CERTIFICATE_POLL", 0.02)
    served = Served(tmp_path)
    async with run_fleet(tmp_path, **served.settings("accept")) as fleet:
        old, new = client(), client(issuer=OTHER)
        await dial(fleet, served.context(tmp_path, old))
        await connected(fleet)

        served.clients.write_bytes(OTHER.pem)

        with anyio.fail_after(10):
            while True:
                try:
                    await dial(fleet, served.context(tmp_path, new))
                    break
                except CUT:
                    await anyio.sleep(0.02)
        with pytest.raises(CUT):
            await dial(fleet, served.context(tmp_path, old))


async def test_a_blocked_client_certificate_is_cut_and_refused(tmp_path: Path) -> None:
    served = Served(tmp_path)
    async with run_fleet(tmp_path, **served.settings("require")) as fleet:
        shown = client()
        dialled = await dial(fleet, served.context(tmp_path, shown))
        await connected(fleet)

        fingerprint = identity.fingerprint(shown.certificate)
        await fleet.http.post("/api/v1/blocked-certificates", json={"fingerprint": fingerprint})

        with anyio.fail_after(2):
            await dialled.closed.wait()
        assert (await refusal(fleet, served.context(tmp_path, shown)))[0] == 403


# ---------------------------------------------------------------------- a gateway in front


def handed_on(shown: Identity) -> dict[str, str]:
    return {"Client-Cert": f":{base64.b64encode(shown.der).decode()}:"}


@pytest.mark.parametrize("trusted", ["127.0.0.0/8", "10.0.0.0/8"])
async def test_a_forwarded_certificate_counts_from_a_trusted_proxy_only(tmp_path: Path, trusted: str) -> None:
    served = Served(tmp_path)
    settings = served.settings(
        "require", client_cert_header="client-cert", trusted_proxies=(ipaddress.ip_network(trusted),)
    )
    async with run_fleet(tmp_path, **settings) as fleet:
        if trusted == "127.0.0.0/8":
            await dial(fleet, None, headers=handed_on(client()))
            await connected(fleet)
        else:
            status, body = await refusal(fleet, None, headers=handed_on(client()))
            assert (status, "client-certificate-missing" in body) == (403, True)


@pytest.mark.parametrize("kind", ["another name", "another authority", "expired", "garbage"])
async def test_a_forwarded_certificate_is_read_with_suspicion(tmp_path: Path, kind: str) -> None:
    shown = {
        "another name": lambda: handed_on(client("other")),
        "another authority": lambda: handed_on(client(issuer=OTHER)),
        "expired": lambda: handed_on(client(begins=timedelta(days=-2), ends=timedelta(days=-1))),
        "garbage": lambda: {"Client-Cert": ":AAAA:"},
    }
    served = Served(tmp_path)
    settings = served.settings(
        "accept", client_cert_header="client-cert", trusted_proxies=(ipaddress.ip_network("127.0.0.1/32"),)
    )
    async with run_fleet(tmp_path, **settings) as fleet:
        status, _ = await refusal(fleet, None, headers=shown[kind]())

        assert status == 401


def test_settings_are_read_from_the_environment() -> None:
    environ = {
        "KUBENTLY_TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8",
        "KUBENTLY_CLIENT_CERTS": "require",
        "KUBENTLY_CLIENT_CERT_HEADER": "X-Forwarded-Client-Cert",
    }
    settings = ApiSettings.from_env(environ)

    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "fd00::/8"]
    assert (settings.client_certs, settings.client_cert_header) == ("require", "x-forwarded-client-cert")
