"""Environment variables: the proxy that counts for a host, and messages about unusable variables."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from pytest_ibmodels.instabase.client import Instabase
from pytest_ibmodels.instabase.errors import ClientSetupError, EnvironmentUnavailable, InstabaseError
from pytest_ibmodels.instabase.machine import MachineError, proxy_for
from pytest_ibmodels.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HTTPS = "https://ib.example.com"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Port at which nothing listens, reserved so that nothing else can."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def opened(host: str) -> None:
    async def main() -> None:
        await Instabase(host, SecretStr("t0ken-of-the-test")).close()

    asyncio.run(main())


def asked(host: str) -> None:
    async def main() -> None:
        client = Instabase(host, SecretStr("t0ken-of-the-test"))
        try:
            await client.jobs.status("j1")
        finally:
            await client.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "variables", "proxy"),
    [
        (HTTPS, {}, None),
        (HTTPS, {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        (HTTPS, {"https_proxy": "p:1"}, "http://p:1"),
        (HTTPS, {"https_proxy": "", "HTTPS_PROXY": "http://p:1"}, None),
        (HTTPS, {"HTTP_PROXY": "http://p:1"}, None),
        (HTTPS, {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        (HTTPS, {"ALL_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "http://q:1"),
        ("http://ib.example.com", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://ib.example.com", {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
    ],
)
def test_the_proxy_of_a_host(host: str, variables: dict[str, str], proxy: str | None) -> None:
    found = proxy_for(httpx.URL(host), variables)
    assert (found and found.url) == proxy


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_exempt"),
    [
        (HTTPS, "*", True),
        (HTTPS, "example.com", True),
        (HTTPS, ".example.com", True),
        (HTTPS, "*.example.com", True),
        (HTTPS, "IB.Example.COM", True),
        (HTTPS, "ample.com", False),
        (HTTPS, "::1,fd00::/8", False),
        (HTTPS, "[::1]", False),
        (HTTPS, "[", False),
        (HTTPS, "a b, ,ib.example.com", True),
        (HTTPS, "ib.example.com:443", True),
        (HTTPS, "ib.example.com:80", False),
        ("https://example.com", ".example.com", False),
        (HTTPS, "*:443", True),
        (HTTPS, "https://ib.example.com", True),
        (HTTPS, "http://ib.example.com", False),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3", "fd00::/8", False),
        ("https://[fd00::5]", "fd00::/8", True),
        ("https://[fd00::5]", "[fd00::5]", True),
        ("https://[fd00::5]", "::1,[fd00::]/8", True),
        ("https://[fd00::5]", "[::1]", False),
        ("https://[fd00::5]:8443", "[fd00::5]:8443", True),
        ("https://[fd00::5]:8443", "[fd00::5]:443", False),
    ],
)
def test_no_proxy_names_hosts_domains_addresses_and_ranges(host: str, no_proxy: str, is_exempt: bool) -> None:
    found = proxy_for(httpx.URL(host), {"HTTPS_PROXY": "http://p:1", "no_proxy": no_proxy})
    assert (found is None) == is_exempt


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("ftp://p:1", "ALL_PROXY names a proxy with the unknown scheme ftp (schemes: http, https, socks5, socks5h)"),
        ("socks4://p:1", "ALL_PROXY names a proxy with the unknown scheme socks4"),
        ("http://p:port", "ALL_PROXY does not name a valid proxy: Invalid port: 'port'"),
        ("http://p:99999", "ALL_PROXY names a proxy with the port 99999; ports go from 1 to 65535"),
        ("http://:8080", "ALL_PROXY names a proxy without a host"),
        ("http://[::1", "ALL_PROXY does not name a valid proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_with_its_variable(value: str, reason: str) -> None:
    with pytest.raises(MachineError) as caught:
        proxy_for(httpx.URL(HTTPS), {"ALL_PROXY": value})
    assert str(caught.value).startswith(reason)
    assert proxy_for(httpx.URL(HTTPS), {"ALL_PROXY": value, "NO_PROXY": "example.com"}) is None


@pytest.mark.skipif(importlib.util.find_spec("socksio") is not None, reason="socksio is installed")
def test_a_socks_proxy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(ClientSetupError, match="ALL_PROXY names a SOCKS proxy, which needs the package socksio"):
        opened(HTTPS)


@pytest.mark.parametrize(
    ("variable", "content", "reason"),
    [
        ("SSL_CERT_FILE", None, "SSL_CERT_FILE names {path}, which does not exist"),
        ("SSL_CERT_FILE", "", "SSL_CERT_FILE names {path}, which holds no certificate (PEM)"),
        ("SSL_CERT_FILE", "no certificate", "SSL_CERT_FILE names {path}, which holds no certificate (PEM)"),
        ("SSL_CERT_DIR", None, "SSL_CERT_DIR names {path}, which does not exist"),
        ("SSLKEYLOGFILE", None, "SSLKEYLOGFILE names {path}, which cannot be written: No such file or directory"),
    ],
)
def test_certificates_that_cannot_be_read_are_told_where_they_count(
    variable: str, content: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gone" / "file.pem"
    if content is not None:
        path.parent.mkdir()
        path.write_text(content)
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(ClientSetupError) as caught:
        opened(HTTPS)
    assert str(caught.value) == f"{HTTPS}: {reason.format(path=path)}"
    opened("http://ib.example.com")
    if variable != "SSLKEYLOGFILE":
        opened("https://127.0.0.1:1")


def test_a_proxy_that_is_down_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:pass-of-proxy@127.0.0.1:{closed_port}")
    with pytest.raises(EnvironmentUnavailable) as caught:
        asked("http://ib.example.com")
    through = f"http://ib.example.com through the proxy http://127.0.0.1:{closed_port} of HTTP_PROXY"
    assert str(caught.value) == f"GET jobs/status: no answer from {through}: All connection attempts failed"
    assert not caught.value.reached
    assert redacted("pass-of-proxy") == "***"


@pytest.mark.parametrize("host", ["http://a..example.com", f"http://{'a' * 70}.example.com", "http://127.0.0.2:99999"])
def test_an_address_that_no_library_takes_is_an_error_of_ours(host: str) -> None:
    with pytest.raises(InstabaseError, match=f"{host}"):
        asked(host)


@pytest.mark.parametrize("host", ["http://999.999.1.1", "http://[::1", "http://h:port"])
def test_an_address_that_is_none_is_said_when_it_is_opened(host: str) -> None:
    with pytest.raises(ClientSetupError, match="`host` is not a valid address"):
        opened(host)
