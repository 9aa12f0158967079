"""The transport: one connection pool per environment, the token in one header, every answer checked."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote, urlencode

import httpx
from pydantic import BaseModel, ValidationError

from pytest_ibmodels.instabase.answers import (
    ERROR_BYTES,
    MAX_DEPTH,
    MAX_JSON_BYTES,
    Answer,
    TooDeep,
    TooLarge,
    asked_pause,
    loads,
    message_of,
    read_answer,
    retry_after,
)
from pytest_ibmodels.instabase.client_pool import ClientPool
from pytest_ibmodels.instabase.errors import (
    AccessRefused,
    ApiError,
    CertificateRefused,
    ClientSetupError,
    EnvironmentUnavailable,
    GarbledAnswer,
    InstabaseError,
    Redirected,
    UnexpectedAnswer,
)
from pytest_ibmodels.instabase.machine import MachineError, proxy_for, public_certificates, trusted_sentence
from pytest_ibmodels.instabase.wire import API_PREFIX, DriveArgs
from pytest_ibmodels.redaction import redacted, remember, visible

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from pydantic import SecretStr

    from pytest_ibmodels.instabase.policy import RetryPolicy
    from pytest_ibmodels.instabase.retrying import Retrier

AnswerT = TypeVar("AnswerT", bound=BaseModel)
T = TypeVar("T")

_TOO_MANY_REQUESTS = 429
_PROXY_LOGIN = 407
_EXCERPT_CHARACTERS = 200
_SLOWEST_UPLOAD = 20_000
"""Bytes a second."""
# An answer may wait for a large file or for a busy file service; connecting to a living host may not.
_CONNECT_SECONDS = 10.0
_CONNECTIONS = 32
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# Between two looks at a job that takes long. Load balancers close what is idle for a minute.
_KEPT_SECONDS = 30.0


class Transport:
    """Sends requests to one environment and turns what comes back into typed answers or typed errors.

    Args:
        host: for example ``https://www.instabase.com``; calls go below ``HOST/api/v1``.
        token: leaves this object only in the ``Authorization`` header, and only to ``host``.
        patience: sends calls again, as their policies say; None: every call is sent once.
        verify: how the certificate of an https host is verified; False: not at all.
        secrets: what :meth:`redact` leaves out beside the token.
        transport: the seam for tests that need a fault which no server of ours can provoke.
    """

    def __init__(
        self,
        host: str,
        token: SecretStr,
        *,
        patience: Retrier | None = None,
        verify: ssl.SSLContext | bool = True,
        secrets: Sequence[str] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.host = host.rstrip("/")
        self._token = token
        remember(token.get_secret_value(), *secrets)
        self._patience = patience
        # Variables of this machine may name proxies: none belongs between us and a sandbox on loopback, and for a real
        # host they are wanted.
        try:
            address = httpx.URL(self.host)
            trusts_environ = address.host not in _LOOPBACK
            self._proxy = proxy_for(address) if trusts_environ and transport is None else None
            trusted = _certificates(address, verify, trusts_environ=trusts_environ)
            self._trusted = trusted_sentence() if trusts_environ and verify is True else ""
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ClientSetupError(self.host, f"`host` is no address: {error}") from None
        except MachineError as error:
            raise ClientSetupError(self.host, str(error)) from None
        if self._proxy is not None:
            remember(self._proxy.password)
        self._asked = self.host if self._proxy is None else f"{self.host} through {self._proxy.sentence}"

        def client() -> httpx.AsyncClient:
            return httpx.AsyncClient(
                headers={"Authorization": f"Bearer {self._token.get_secret_value()}"},
                verify=trusted,
                limits=httpx.Limits(max_connections=1, keepalive_expiry=_KEPT_SECONDS),
                follow_redirects=False,
                transport=transport,
                proxy=None if self._proxy is None else self._proxy.url,
                trust_env=False,
            )

        self._lanes = ClientPool(client, _CONNECTIONS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._lanes.close()

    async def call(
        self,
        answer: type[AnswerT],
        method: str,
        path: str,
        *,
        policy: RetryPolicy,
        args: DriveArgs | None = None,
        body: BaseModel | bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> AnswerT:
        """Send a request below ``/api/v1`` and check its JSON answer against the model ``answer``.

        Raises:
            ClientSetupError: nothing can be sent to this host from this machine.
            EnvironmentUnavailable: nothing answered, or only a gateway.
            AccessRefused: HTTP 401 or 403.
            CertificateRefused: the host's certificate cannot be verified.
            Redirected: HTTP 300 to 399.
            ApiError: an error envelope (also under HTTP 200), or another HTTP status of 400 and above.
            GarbledAnswer: the body is not JSON.
            UnexpectedAnswer: it does not fit ``answer``.
        """
        name = visible(f"{method} {path}")

        async def send() -> AnswerT:
            url = f"{API_PREFIX}/{_encoded(path)}"
            came = await self._send(method, url, name, policy, args=args, body=body, params=params)
            return self._checked(answer, came, name)

        return await self._patiently(policy, send)

    async def read(self, path: str, args: DriveArgs, *, policy: RetryPolicy) -> bytes:
        """The bytes of a file. An error envelope in place of the file is an error, not content.

        Raises: as :meth:`call`; GarbledAnswer if there is nothing, or a web page in place of another file.
        """
        name = visible(f"GET {path}")

        async def send() -> bytes:
            came = await self._send("GET", f"{API_PREFIX}/{_encoded(path)}", name, policy, args=args, is_file=True)
            return self._content(came, path, name)

        return await self._patiently(policy, send)

    async def get_json(self, path: str, *, policy: RetryPolicy) -> object:
        """The JSON value at ``HOST/path``, for the calls outside ``/api/v1``. Raises: as :meth:`call`."""
        name = visible(f"GET {path}")

        async def send() -> object:
            value = self._json(await self._send("GET", f"/{_encoded(path)}", name, policy), name)
            self._refuse_error_envelope(value, name)
            return value

        return await self._patiently(policy, send)

    async def _patiently(self, policy: RetryPolicy, send: Callable[[], Awaitable[T]]) -> T:
        return await send() if self._patience is None else await self._patience(policy, send)

    def _checked(self, kind: type[AnswerT], answer: Answer, name: str) -> AnswerT:
        value = self._json(answer, name)
        self._refuse_error_envelope(value, name)
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise UnexpectedAnswer(name, f"{where}: {first['msg']}; got {self._excerpt(answer)}") from None

    def _content(self, answer: Answer, path: str, name: str) -> bytes:
        kind = answer.headers.get("content-type", "")
        if not answer.content:
            raise GarbledAnswer(name, "the answer is empty")
        if kind.startswith("text/html") and not path.endswith((".html", ".htm")):
            raise GarbledAnswer(name, f"a web page came in place of the file: {self._excerpt(answer)}")
        if kind.startswith("application/json"):
            try:
                value = loads(answer.content)
            except ValueError:
                return answer.content
            # A file may well be a JSON object with a key "status": only the whole envelope counts.
            if isinstance(value, dict) and value.get("status") == "ERROR" and "msg" in value:
                self._refuse_error_envelope(value, name)
        return answer.content

    async def _send(
        self,
        method: str,
        url: str,
        name: str,
        policy: RetryPolicy,
        *,
        args: DriveArgs | None = None,
        body: BaseModel | bytes | None = None,
        params: Mapping[str, str] | None = None,
        is_file: bool = False,
    ) -> Answer:
        headers = args.header() if args is not None else {}
        content: bytes | None
        if isinstance(body, BaseModel):
            content = body.model_dump_json().encode()
            headers["Content-Type"] = "application/json"
        else:
            content = body
        # Whole, since httpx would parse it anew for each part that it adds.
        whole = f"{self.host}{url}?{urlencode(params, quote_via=quote)}" if params else f"{self.host}{url}"
        timeout = httpx.Timeout(policy.timeout, connect=min(_CONNECT_SECONDS, policy.timeout))
        # An answer that comes byte by byte never meets the time-outs between two bytes. Only a file may take its time.
        seconds = None if is_file else policy.timeout + len(content or b"") / _SLOWEST_UPLOAD
        try:
            async with (
                self._lanes.client() as client,
                asyncio.timeout(seconds),
                client.stream(method, whole, headers=headers, content=content, timeout=timeout) as response,
            ):
                answer = await read_answer(response, None if is_file else MAX_JSON_BYTES)
        except TooLarge:
            raise UnexpectedAnswer(name, f"the answer has more than {MAX_JSON_BYTES // 2**20} MiB") from None
        except Exception as error:  # noqa: BLE001 - whatever an address or a library raises belongs to this environment
            raise self._failure(error, name, seconds) from None
        self._refuse_http_error(answer, name)
        return answer

    def _failure(self, error: Exception, name: str, seconds: float | None) -> InstabaseError:
        """The error of ours for what the HTTP client raised."""
        if isinstance(error, TimeoutError) and seconds is not None:
            return EnvironmentUnavailable(name, f"{self._asked} did not answer to the end within {seconds:.0f} s")
        if isinstance(error, httpx.TimeoutException):
            reason = f"{self._asked} did not answer in time ({type(error).__name__})"
            reached = not isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
            return EnvironmentUnavailable(name, reason, reached=reached)
        told = self.redact(str(error)) or type(error).__name__
        if isinstance(error, httpx.HTTPError) and not isinstance(error, httpx.LocalProtocolError):
            verification = _verification_error(error)
            if verification is not None:
                return self._certificate_refused(verification, name)
            reached = not isinstance(error, httpx.ConnectError | httpx.ProxyError)
            return EnvironmentUnavailable(name, f"no answer from {self._asked}: {told}", reached=reached)
        return ClientSetupError(name, f"{self._asked} cannot be asked: {told}")

    def _certificate_refused(self, error: ssl.SSLCertVerificationError, name: str) -> CertificateRefused:
        reason = f"the certificate of {self.host} is not trusted ({error.verify_message})"
        advice = "name the certificates to trust in `ca_bundle` of this environment"
        return CertificateRefused(name, f"{reason}: {advice}{self._trusted}")

    def _refuse_http_error(self, answer: Answer, name: str) -> None:
        code = answer.status
        if code < 300:
            return
        if code in {401, 403}:
            reason = f"{self.host} refused the token (HTTP {code}): check `token` of this environment"
            raise AccessRefused(name, reason)
        if code >= 500 or code == _TOO_MANY_REQUESTS:
            reason = (
                f"{self._asked} cannot answer at present (HTTP {code}: {self._excerpt(answer)}){asked_pause(answer)}"
            )
            raise EnvironmentUnavailable(name, reason, status=code, retry_after=retry_after(answer))
        if code < 400:
            target = self.redact(answer.headers.get("location", "elsewhere"))
            raise Redirected(name, f"HTTP {code} points to {target}; the token is not sent there: correct `host`")
        if code == _PROXY_LOGIN and self._proxy is not None:
            raise ClientSetupError(name, f"{self._proxy.sentence} wants a user and a password (HTTP {code})")
        message = message_of(answer) or self._excerpt(answer)
        raise ApiError(name, f"{self.redact(message)} (HTTP {code}){asked_pause(answer)}")

    def _json(self, answer: Answer, name: str) -> object:
        try:
            value = loads(answer.content)
        except TooDeep:
            reason = f"the answer is nested more than {MAX_DEPTH} levels deep: {self._excerpt(answer)}"
            raise UnexpectedAnswer(name, reason) from None
        except ValueError:
            what = f"not JSON: {self._excerpt(answer)}" if answer.content.strip() else "empty"
            raise GarbledAnswer(name, f"the answer is {what}") from None
        if value is None:
            raise GarbledAnswer(name, "the answer is null")
        return value

    def _refuse_error_envelope(self, value: object, name: str) -> None:
        if not isinstance(value, dict) or value.get("status") != "ERROR" or "state" in value:
            # With a `state` it is the status of a job that failed, which is an answer, not an error of the call.
            return
        raise ApiError(name, self.redact(str(value.get("msg") or "the environment gave no reason")))

    def _excerpt(self, answer: Answer) -> str:
        text = answer.content[:ERROR_BYTES].decode("utf-8", "replace")
        text = self.redact(" ".join(text.split()))
        return repr(text[:_EXCERPT_CHARACTERS] + ("…" if len(text) > _EXCERPT_CHARACTERS else ""))

    def redact(self, text: str) -> str:
        """``text`` without the token and other secrets, wherever it came from."""
        return str(redacted(text))


def _encoded(path: str) -> str:
    # "+" stays literal: no end of this protocol reads it as a space.
    return quote(path, safe="/+")


def _certificates(address: httpx.URL, verify: ssl.SSLContext | bool, *, trusts_environ: bool) -> ssl.SSLContext | bool:
    """What the clients of a transport verify with. Reading the certificates of the machine takes long: once for all."""
    if verify is not True:
        return verify
    if address.scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which nobody asks
    return public_certificates(trust_environ=trusts_environ)


def _verification_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error
