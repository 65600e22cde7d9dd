"""Which proxy a URL takes: Go's rules, and what curl adds."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.errors import ConfigError
from kubently.settings import ExecutorSettings, ProxySettings
from kubently.trust import proxies
from kubently.trust.proxies import Proxy

PROXY = "http://proxy.example.com:3128"


def chosen(url: str, **environ: str) -> str:
    """The proxy as text, empty without one."""
    found = proxies.choose(ProxySettings.from_env(environ), url)
    return str(found) if found else ""


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://api.example.com", {}, ""),
        ("https://api.example.com", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://api.example.com", {"https_proxy": PROXY}, PROXY),
        ("https://api.example.com", {"HTTPS_PROXY": "http://upper:1", "https_proxy": PROXY}, PROXY),
        ("https://api.example.com", {"HTTPS_PROXY": PROXY, "https_proxy": ""}, PROXY),
        ("https://api.example.com", {"HTTP_PROXY": PROXY}, ""),
        ("http://api.example.com", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://api.example.com", {"HTTPS_PROXY": PROXY}, ""),
        ("wss://api.example.com", {"HTTPS_PROXY": PROXY}, PROXY),
        ("ws://api.example.com", {"HTTP_PROXY": PROXY}, PROXY),
        ("https://api.example.com", {"ALL_PROXY": PROXY}, PROXY),
        ("http://api.example.com", {"all_proxy": PROXY}, PROXY),
        ("https://api.example.com", {"ALL_PROXY": "http://all:1", "HTTPS_PROXY": PROXY}, PROXY),
        ("http://api.example.com", {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, ""),
        ("http://api.example.com", {"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, PROXY),
        ("https://api.example.com", {"HTTPS_PROXY": PROXY, "REQUEST_METHOD": "GET"}, PROXY),
        ("https://api.example.com", {"HTTPS_PROXY": PROXY, "NO_PROXY": "a", "no_proxy": "api.example.com"}, ""),
    ],
)
def test_variable_of_the_scheme(url: str, environ: Mapping[str, str], expected: str) -> None:
    assert chosen(url, **environ) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://proxy:3128", Proxy("proxy", 3128)),
        ("http://proxy", Proxy("proxy", 80)),
        ("https://proxy", Proxy("proxy", 443, secure=True)),
        ("HTTP://Proxy:1/", Proxy("proxy", 1)),
        ("proxy:3128", Proxy("proxy", 3128)),
        ("proxy", Proxy("proxy", 80)),
        (" http://proxy:1 ", Proxy("proxy", 1)),
        ("10.1.2.3:3128", Proxy("10.1.2.3", 3128)),
        ("http://[2001:db8::1]:3128", Proxy("2001:db8::1", 3128)),
    ],
)
def test_proxy_is_read(value: str, expected: Proxy) -> None:
    assert proxies.choose(ProxySettings(https=value), "https://api.example.com") == expected


@pytest.mark.parametrize(
    ("userinfo", "pair"),
    [
        ("ann:secret", b"ann:secret"),
        ("ann", b"ann:"),
        ("ann:", b"ann:"),
        (":secret", b":secret"),
        ("a%40b:p%3Aw%2Fd%25", b"a@b:p:w/d%"),
        ("ann:a:b@c", b"ann:a:b@c"),
        ("%C3%A4nn:%0D%0AX", b"\xc3\xa4nn:\r\nX"),
    ],
)
def test_credentials_are_decoded_and_never_shown(userinfo: str, pair: bytes) -> None:
    found = proxies.choose(ProxySettings(https=f"http://{userinfo}@proxy:3128"), "https://api.example.com")

    assert found is not None
    kind, _, value = found.authorization.partition(" ")
    assert (kind, base64.b64decode(value)) == ("Basic", pair)
    assert str(found) == "http://proxy:3128"
    assert value not in repr(found)


def test_settings_do_not_show_the_proxies_password() -> None:
    settings = ProxySettings.from_env({"HTTPS_PROXY": "http://ann:hunter2@p", "ALL_PROXY": "http://ann:hunter2@p"})

    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("socks5://ann:hunter2@proxy:1080", "HTTPS_PROXY asks for socks5://, which is not supported"),
        ("socks5h://proxy:1080", "asks for socks5h://, which is not supported"),
        ("ftp://proxy", "asks for ftp://"),
        ("http://ann:hunter2@proxy:port", "is no URL"),
        ("http://ann:hun/ter2@proxy:1", "is no URL"),
        ("http://proxy:0", "is no URL"),
        ("http://proxy:99999", "is no URL"),
        ("http://[::1", "is no URL"),
        ("http://", "is no URL"),
        ("http://a b:1", "is no URL"),
    ],
)
def test_what_is_no_http_proxy_is_refused_without_its_password(value: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen("https://api.example.com", HTTPS_PROXY=value)

    assert words in caught.value.message
    assert "hun" not in caught.value.message + caught.value.hint


def test_unusable_proxy_does_not_matter_where_it_is_not_needed() -> None:
    assert chosen("https://api.example.com", HTTPS_PROXY="socks5://p", NO_PROXY=".example.com") == ""
    assert chosen("http://api.example.com", HTTPS_PROXY="socks5://p") == ""


@pytest.mark.parametrize(
    ("exceptions", "direct", "proxied"),
    [
        ("", "localhost localhost:8080 127.0.0.1 127.9.9.9:1 [::1] [::1]:443 [::ffff:127.0.0.1]", "10.0.0.1 a.example"),
        ("", "LOCALHOST", "localhost.example.com notlocalhost 128.0.0.1"),
        ("*", "api.example.com 10.0.0.1 [2001:db8::1]", ""),
        ("a, * ,b", "api.example.com", ""),
        (
            "example.com",
            "example.com api.example.com a.b.example.com EXAMPLE.com",
            "badexample.com example.com.evil.net",
        ),
        (".example.com", "api.example.com a.b.example.com", "example.com badexample.com"),
        ("*.example.com", "api.example.com a.b.example.com", "example.com badexample.com"),
        ("*example.com", "", "example.com api.example.com badexample.com"),
        ("Example.COM", "api.example.com", ""),
        (" , ,\texample.com ,", "example.com", "other.net"),
        ("example.com:8443", "example.com:8443 api.example.com:8443", "example.com example.com:443"),
        ("example.com:443", "example.com api.example.com:443", "example.com:8443"),
        (".example.com:8443", "api.example.com:8443", "example.com:8443 api.example.com"),
        ("example.com:", "example.com example.com:1", ""),
        (":443", "", "example.com"),
        ("http://example.com", "", "example.com"),
        ("10.0.0.0/8", "10.0.0.1 10.255.1.2:9 [::ffff:10.1.1.1]", "11.0.0.1 ten.example.com [2001:db8::1]"),
        ("10.1.2.3/8", "10.9.9.9", "11.0.0.1"),
        ("10.0.0.0/255.0.0.0", "", "10.0.0.1"),
        ("10.0.0.0/33", "", "10.0.0.1"),
        ("2001:db8::/32", "[2001:db8::1] [2001:db8:ffff::]:8443", "[2001:db9::1] 10.0.0.1"),
        ("192.168.1.2", "192.168.1.2 192.168.1.2:8443", "192.168.1.20 192.168.1.3"),
        ("192.168.1.2:8443", "192.168.1.2:8443", "192.168.1.2"),
        ("2001:db8::1", "[2001:db8::1] [2001:db8:0::1]:9", "[2001:db8::2]"),
        ("[2001:db8::1]:8443", "[2001:db8::1]:8443", "[2001:db8::1]"),
        ("[2001:db8::1]", "", "[2001:db8::1]"),
        ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("::ffff:10.0.0.0/104", "10.9.9.9 [::ffff:10.0.0.1]", "11.0.0.1"),
        (".0.1", "", "10.0.0.1"),
        ("bücher.example", "xn--bcher-kva.example a.xn--bcher-kva.example", "bucher.example"),
        (
            ".svc,.cluster.local,10.96.0.1",
            "api.kubently.svc api.svc.cluster.local 10.96.0.1",
            "api.kubently.svc.example",
        ),
    ],
)
def test_no_proxy(exceptions: str, direct: str, proxied: str) -> None:
    for host in direct.split():
        assert chosen(f"https://{host}/", HTTPS_PROXY=PROXY, NO_PROXY=exceptions) == "", host
    for host in proxied.split():
        assert chosen(f"https://{host}/", HTTPS_PROXY=PROXY, NO_PROXY=exceptions) == PROXY, host


LABELS = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(".".join)


@given(NAMES, LABELS)
def test_name_excepts_itself_and_all_below_it_and_nothing_beside(name: str, label: str) -> None:
    assert chosen(f"https://{name}", HTTPS_PROXY=PROXY, NO_PROXY=name) == ""
    assert chosen(f"https://{label}.{name}", HTTPS_PROXY=PROXY, NO_PROXY=name) == ""
    assert chosen(f"https://{label}{name}", HTTPS_PROXY=PROXY, NO_PROXY=name) == PROXY


@given(st.ip_addresses(), st.data())
def test_network_excepts_what_is_in_it(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, data: st.DataObject
) -> None:
    bits = data.draw(st.integers(0, address.max_prefixlen))
    other = data.draw(st.ip_addresses(v=address.version))
    network = ipaddress.ip_network(f"{address}/{bits}", strict=False)
    host = f"[{other}]" if other.version == 6 else str(other)
    mapped = getattr(other, "ipv4_mapped", None)
    free = other in network or other.is_loopback or bool(mapped and mapped.is_loopback)

    if mapped is None:
        assert (chosen(f"https://{host}", HTTPS_PROXY=PROXY, NO_PROXY=f"{address}/{bits}") == "") == free


@given(st.text(max_size=60))
def test_whatever_no_proxy_holds_is_survived(exceptions: str) -> None:
    assert chosen("https://api.example.com", HTTPS_PROXY=PROXY, NO_PROXY=exceptions) in ("", PROXY)


@given(st.text(max_size=60))
def test_whatever_a_proxy_variable_holds_is_a_proxy_or_an_error_of_ours(value: str) -> None:
    try:
        found = proxies.choose(ProxySettings(https=value), "https://api.example.com")
    except ConfigError:
        return
    assert found is None or (found.host.isascii() and 0 < found.port < 65536)


def test_executor_reads_them() -> None:
    environ = {"KUBENTLY_API_URL": "https://a.example", "KUBENTLY_CLUSTER_ID": "prod", "KUBENTLY_TOKEN": "t"}

    made = ExecutorSettings.from_env({**environ, "https_proxy": PROXY, "NO_PROXY": "b"})

    assert made.trust.proxies == ProxySettings(https=PROXY, exceptions="b")
