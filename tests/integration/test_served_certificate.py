"""The API's own certificate changes as cert-manager renews it: new handshakes see it, nobody is cut."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute

from kubently import api, trust
from kubently.api import program
from kubently.settings import ApiSettings

pytestmark = pytest.mark.anyio

METRIC = 'kubently_certificate_not_after_timestamp_seconds{certificate="served"}'


def told(serving: api.Serving) -> str:
    """What the metrics say of the certificate's end."""
    return next(line for line in serving.services.metrics.render().decode().splitlines() if line.startswith(METRIC))


async def test_a_new_certificate_is_shown_while_connections_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "CERTIFICATE_POLL", 0.02)
    authority = trust.make_authority("test")
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    trust.issue(authority, ["localhost"], lifetime=timedelta(days=1)).write(cert, key)
    settings = ApiSettings(listen=("127.0.0.1", 0), tls_cert=cert, tls_key=key, admin_key="k" * 20)
    context = trust.client_context(ca=authority.cert.decode())

    async with api.serve(settings, drain_grace=0) as serving:

        async def connect() -> ByteStream:
            return await anyio.connect_tcp(
                "127.0.0.1", serving.port, tls=True, ssl_context=context, tls_hostname="localhost"
            )

        first, before = await connect(), told(serving)
        trust.issue(authority, ["localhost"], lifetime=timedelta(days=7)).write(cert, key)
        with anyio.fail_after(10):
            while told(serving) == before:
                await anyio.sleep(0.02)
        second = await connect()

        shown = [connection.extra(TLSAttribute.peer_certificate_binary) for connection in (first, second)]
        assert shown[0] != shown[1]
        await first.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in await first.receive()
        for connection in (first, second):
            await anyio.aclose_forcefully(connection)
