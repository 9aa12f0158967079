"""Proxy and trusted certificates of this machine, from its environment variables.

httpx reads the same variables all at once, and its errors do not name them: it fails for an entry of ``NO_PROXY`` that
does not concern the host, or for certificates that are not needed. This module reads each variable when it counts.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOCKS = {"socks5", "socks5h"}
_SCHEMES = {"http", "https", *_SOCKS}
_HIGHEST_PORT = 65535
# Forms of an entry of NO_PROXY.
_IN_BRACKETS = re.compile(r"\[(?P<host>[^\]]*)\](?P<range>/\d+)?(:(?P<port>\d+))?")
_WITH_PORT = re.compile(r"(?P<host>[^:]*)(?P<range>)(:(?P<port>\d+))")


class MachineError(Exception):
    """An environment variable is unusable; the message names it and says why."""


@dataclass(frozen=True)
class Proxy:
    """A proxy between this machine and a host.

    Attributes:
        url: the URL, with user and password.
        password: the password; empty without one.
        description: the proxy and its variable, for messages.
    """

    url: str = field(repr=False)
    password: str = field(repr=False)
    description: str


def proxy_for(host: httpx.URL, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """Proxy for a host; None for a direct connection.

    Raises:
        MachineError: the variable that names the proxy is unusable.
    """
    named = _variable(host.scheme, environ) or _variable("all", environ)
    if named is None or _is_exempt(host, environ.get("no_proxy", environ.get("NO_PROXY", ""))):
        return None
    variable, text = named
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise MachineError(f"{variable} does not name a valid proxy: {error}") from None
    _check(variable, url)
    at = "" if url.port is None else f":{url.port}"
    return Proxy(str(url), url.password, f"the proxy {url.scheme}://{url.host}{at} of {variable}")


def default_ssl_context(*, uses_environ: bool) -> ssl.SSLContext:
    """Certificates to trust if the environment names none.

    Args:
        uses_environ: whether SSL_CERT_FILE and SSL_CERT_DIR count.

    Raises:
        MachineError: a variable that counts is unusable.
    """
    if uses_environ and not os.environ.get("SSL_CERT_FILE"):
        _check_certificate_folders(os.environ.get("SSL_CERT_DIR", ""))
    try:
        return httpx.create_ssl_context(trust_env=uses_environ)
    except OSError as error:
        raise MachineError(_certificate_problem(error)) from None


def trust_note() -> str:
    """Suffix for a message about an untrusted certificate, with the variable that counts; empty without one."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if os.environ.get(variable):
            return f" (trusted are those of {variable}, {os.environ[variable]})"
    return ""


def _variable(scheme: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and value of the proxy variable for a scheme; lower case comes first."""
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
        # In a CGI program, HTTP_PROXY is a request header that any client can set.
        if name in environ and not (name == "HTTP_PROXY" and "REQUEST_METHOD" in environ):
            return (name, environ[name].strip()) if environ[name].strip() else None
    return None


def _check(variable: str, url: httpx.URL) -> None:
    if url.scheme not in _SCHEMES:
        known = "http, https, socks5, socks5h"
        raise MachineError(f"{variable} names a proxy with the unknown scheme {url.scheme} (schemes: {known})")
    if not url.host:
        raise MachineError(f"{variable} names a proxy without a host")
    if url.port is not None and not 0 < url.port <= _HIGHEST_PORT:
        raise MachineError(f"{variable} names a proxy with the port {url.port}; ports go from 1 to {_HIGHEST_PORT}")
    if url.scheme in _SOCKS and importlib.util.find_spec("socksio") is None:
        raise MachineError(
            f"{variable} names a SOCKS proxy, which needs the package socksio: pip install 'httpx[socks]', or unset it"
        )


def _is_exempt(host: httpx.URL, no_proxy: str) -> bool:
    """Return whether NO_PROXY contains a host, as a name, domain, address, or range of addresses."""
    return any(_matches(entry, host) for entry in re.split(r"[,\s]+", no_proxy) if entry)


def _matches(entry: str, host: httpx.URL) -> bool:
    scheme, separator, rest = entry.rpartition("://")
    if separator and scheme.lower() not in {host.scheme, "all"}:
        return False
    found = _IN_BRACKETS.fullmatch(rest) or _WITH_PORT.fullmatch(rest)
    known, port = (found["host"] + (found["range"] or ""), found["port"]) if found else (rest, None)
    if port is not None and int(port) != (host.port or {"http": 80, "https": 443}.get(host.scheme)):
        return False
    return known == "*" or _is_inside(host.host.lower(), known.lower())


def _is_inside(name: str, known: str) -> bool:
    """Return whether a host's name or address equals ``known``, is a subdomain of it, or is in its range."""
    network = _network(known)
    if network is not None:
        address = _network(name)
        return address is not None and address.version == network.version and address.network_address in network
    known = known.removeprefix("*")
    return name == known or (bool(known.strip(".")) and name.endswith(f".{known.removeprefix('.')}"))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _check_certificate_folders(folders: str) -> None:
    if folders and not any(Path(folder).is_dir() for folder in folders.split(os.pathsep)):
        raise MachineError(f"SSL_CERT_DIR names {folders}, which does not exist")


def _certificate_problem(error: OSError) -> str:
    key_log, file = os.environ.get("SSLKEYLOGFILE"), os.environ.get("SSL_CERT_FILE")
    if key_log and error.filename == key_log:
        return f"SSLKEYLOGFILE names {key_log}, which cannot be written: {error.strerror}"
    if not file:
        return f"the certificates of this machine cannot be read: {error}"
    if isinstance(error, FileNotFoundError):
        return f"SSL_CERT_FILE names {file}, which does not exist"
    reason = "which holds no certificate (PEM)"
    return f"SSL_CERT_FILE names {file}, " + (
        reason if isinstance(error, ssl.SSLError) else f"which cannot be read: {error.strerror}"
    )
