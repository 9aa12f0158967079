"""Certificates are verified, against those that the environment's entry names, if it names any."""

from __future__ import annotations

import asyncio
import http.server
import ssl
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trustme
from pydantic import SecretStr

from pytest_ibmodels.instabase.client import Instabase
from pytest_ibmodels.instabase.errors import CertificateRefused
from pytest_ibmodels.spec import Environment, SpecError, environment_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"drives": [{"full_path": "a/b/fs/D", "mount_details": {"kind": "S3"}}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
        pass


class QuietServer(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust us hangs up."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def host(authority: trustme.CA) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    with QuietServer(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    return "company.pem"


def entry(host: str, tmp_path: Path, *, ca_bundle: str | None = None, verify: bool = True) -> Environment:
    file = tmp_path / "environments.yaml"
    token = SecretStr("${T}")
    return Environment(
        name="e", line=1, host=host, path="a/b/fs/D/x", token=token, ca_bundle=ca_bundle, verify=verify, file=file
    )


def ask(environment: Environment) -> object:
    resolved = environment.resolve({"T": "t0ken"})

    async def main() -> object:
        client = Instabase(resolved.host, SecretStr("t0ken"), verify=resolved.verification)
        try:
            return await client.drive.mount_details(resolved.path)
        finally:
            await client.close()

    return asyncio.run(main())


def test_a_certificate_of_nobody_we_know_is_refused_with_what_to_do(host: str, tmp_path: Path) -> None:
    with pytest.raises(CertificateRefused) as caught:
        ask(entry(host, tmp_path))
    text = str(caught.value)
    assert f"the certificate of {host} is not trusted (unable to get local issuer certificate)" in text
    assert text.endswith(": name the certificates to trust in `ca_bundle` of this environment")


def test_a_certificate_of_the_bundle_is_trusted(host: str, tmp_path: Path, bundle: str) -> None:
    assert ask(entry(host, tmp_path, ca_bundle=bundle)) == {"kind": "S3"}


def test_a_bundle_is_in_place_of_the_public_certificates(tmp_path: Path, bundle: str) -> None:
    context = entry("https://x.example.com", tmp_path, ca_bundle=bundle).resolve({"T": "t"}).verification
    assert isinstance(context, ssl.SSLContext)
    assert len(context.get_ca_certs()) == 1


def test_verify_false_trusts_anybody_and_is_warned_of(host: str, tmp_path: Path) -> None:
    environment = entry(host, tmp_path, verify=False)
    assert ask(environment) == {"kind": "S3"}
    (caution,) = environment_warnings(environment, {"T": "t0ken"})
    assert caution.message == (
        "environment `e` does not verify its host's certificate: anybody in between can read the token; "
        "name the certificates to trust in `ca_bundle` instead of `verify: false`"
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.pem", None, "cannot be read: No such file or directory"),
        ("empty.pem", "not a certificate", "contains no certificate (PEM)"),
    ],
)
def test_a_bundle_that_is_none_is_a_mistake(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SpecError) as caught:
        entry("https://x.example.com", tmp_path, ca_bundle=name).resolve({"T": "t"})
    assert str(caught.value).endswith(f"`ca_bundle`: {tmp_path / name} {said}")


@pytest.mark.parametrize(
    ("host", "token", "warned"),
    [
        ("http://ib.example.com", "${T}", ["environment `e` sends its token over plain http: "]),
        ("http://${H}", "${T}", ["environment `e` sends its token over plain http: "]),
        ("http://127.0.0.2:8000", "${T}", []),
        ("http://localhost", "${T}", []),
        ("http://[::1]:1", "${T}", []),
        ("https://ib.example.com", "${T}", []),
        ("https://ib.example.com", "s3cret", ["environment `e` has its token in the file; "]),
        ("sandbox", "s3cret", []),
    ],
)
def test_what_gives_a_token_away_is_warned_of(host: str, token: str, warned: list[str]) -> None:
    environment = Environment(name="e", line=3, host=host, path="a/b/fs/D/x", token=SecretStr(token))
    found = environment_warnings(environment, {"T": "t0ken", "H": "ib.example.com"})
    assert [caution.message.startswith(start) for caution, start in zip(found, warned, strict=True)] == [True] * len(
        warned
    )
    assert not any("t0ken" in str(caution) or "s3cret" in str(caution) for caution in found)


@pytest.mark.parametrize(
    ("token", "database", "warned"),
    [
        ("abc", None, ["the token has fewer than 4 characters"]),
        ("abcd", "postgresql://me:p@host/db", ["the password of its database has fewer than 4 characters"]),
        ("abcd", "postgresql://me:pass@host/db", []),
        ("abcd", "postgresql://me@host/db", []),
    ],
)
def test_a_secret_that_is_too_short_to_hide_is_warned_of(
    tmp_path: Path, token: str, database: str | None, warned: list[str]
) -> None:
    url = None if database is None else SecretStr("${D}")
    environment = replace(entry("https://ib.example.com", tmp_path), database=url)
    told = [str(caution) for caution in environment_warnings(environment, {"T": token, "D": database or ""})]
    assert [one.partition("environment `e`: ")[2] for one in told] == [
        f"{one}, too few to be redacted from output; use a longer one" for one in warned
    ]
