"""``http.client`` through an HTTP proxy.

Its own ``set_tunnel`` reads an endless answer for ever, and cannot speak TLS to the proxy.
"""

from __future__ import annotations

import http.client

from kubently.trust import Keeper, nested
from kubently.trust.proxies import Proxy


class ProxiedConnection(http.client.HTTPConnection):
    """A connection to host:port through *proxy*, by TLS where *secure*.

    Connecting raises ProxyError beside what ``http.client`` raises.
    """

    def __init__(
        self,
        proxy: Proxy,
        host: str,
        port: int | None,
        timeout: float,
        keeper: Keeper,
        *,
        secure: bool,
    ) -> None:
        if secure:
            self.default_port = http.client.HTTPS_PORT  # which the Host header leaves out
        super().__init__(host, port, timeout=timeout)
        self._proxy, self._secure, self._seconds = proxy, secure, timeout
        self._context = keeper.context() if secure or proxy.secure else None
        self._server_name = keeper.settings.server_name or host

    def connect(self) -> None:
        """Connect; `http.client` calls it with the first request."""
        made = nested.open_through(self._proxy, self.host, self.port, timeout=self._seconds, tls=self._context)
        if self._secure and self._context is not None:
            self.sock = nested.wrap(made, self._context, self._server_name)
        else:
            self.sock = made
