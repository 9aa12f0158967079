"""Transport of the client: a connection pool per environment, authentication, checked answers and typed errors."""

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
    error_message,
    loads,
    read_answer,
    retry_after,
    retry_after_note,
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
from pytest_ibmodels.instabase.machine import MachineError, default_ssl_context, proxy_for, trust_note
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
_PROXY_AUTHENTICATION_REQUIRED = 407
_EXCERPT_CHARACTERS = 200
_SLOWEST_UPLOAD = 20_000
"""Bytes per second."""
# An answer may wait for a large file or for a busy file service; a connection to a running host may not.
_CONNECT_SECONDS = 10.0
_MAX_CONNECTIONS = 32
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# Long enough for the interval between two polls; load balancers close connections that are idle for a minute.
_KEEPALIVE_SECONDS = 30.0


class Transport:
    """Sends requests to one environment and returns typed answers or raises typed errors.

    Args:
        host: for example ``https://www.instabase.com``; calls go to ``HOST/api/v1``.
        token: sent only in the ``Authorization`` header, and only to ``host``.
        retrier: retries calls as their policies say; None disables retries.
        verify: certificates to trust for an https host; False disables verification.
        secrets: further secrets that :meth:`redact` hides besides the token.
        transport: transport of httpx, for tests of faults that the sandbox cannot cause.
    """

    def __init__(
        self,
        host: str,
        token: SecretStr,
        *,
        retrier: Retrier | None = None,
        verify: ssl.SSLContext | bool = True,
        secrets: Sequence[str] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.host = host.rstrip("/")
        self._token = token
        remember(token.get_secret_value(), *secrets)
        self._retrier = retrier
        # Environment variables may name a proxy, which counts for every host but a sandbox on the loopback address.
        try:
            address = httpx.URL(self.host)
            uses_environ = address.host not in _LOOPBACK
            self._proxy = proxy_for(address) if uses_environ and transport is None else None
            ssl_context = _ssl_context(address, verify, uses_environ=uses_environ)
            self._trust_note = trust_note() if uses_environ and verify is True else ""
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ClientSetupError(self.host, f"`host` is not a valid address: {error}") from None
        except MachineError as error:
            raise ClientSetupError(self.host, str(error)) from None
        if self._proxy is not None:
            remember(self._proxy.password)
        self._target = self.host if self._proxy is None else f"{self.host} through {self._proxy.description}"

        def client() -> httpx.AsyncClient:
            return httpx.AsyncClient(
                headers={"Authorization": f"Bearer {self._token.get_secret_value()}"},
                verify=ssl_context,
                limits=httpx.Limits(max_connections=1, keepalive_expiry=_KEEPALIVE_SECONDS),
                follow_redirects=False,
                transport=transport,
                proxy=None if self._proxy is None else self._proxy.url,
                trust_env=False,
            )

        self._clients = ClientPool(client, _MAX_CONNECTIONS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._clients.close()

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
        headers: Mapping[str, str] | None = None,
    ) -> AnswerT:
        """Send a request below ``/api/v1`` and validate its JSON answer with the model ``answer``.

        Raises:
            ClientSetupError: no request can be sent to this host from this machine.
            EnvironmentUnavailable: no answer, HTTP 429, or HTTP 500 and above.
            AccessRefused: HTTP 401 or 403.
            CertificateRefused: the host's certificate is not trusted.
            Redirected: HTTP 300 to 399.
            ApiError: an error envelope (also with HTTP 200), or another HTTP status of 400 and above.
            GarbledAnswer: the body is not JSON.
            UnexpectedAnswer: the body does not fit ``answer``.
        """
        name = visible(f"{method} {path}")

        async def send() -> AnswerT:
            url = f"{API_PREFIX}/{_encoded(path)}"
            more = {**(args.header() if args is not None else {}), **(headers or {})}
            received = await self._send(method, url, name, policy, headers=more, body=body, params=params)
            return self._validated(answer, received, name)

        return await self._with_retries(policy, send)

    async def read(self, path: str, args: DriveArgs, *, policy: RetryPolicy) -> bytes:
        """Read the bytes of a file. An error envelope instead of the file is an error, not content.

        Raises: as :meth:`call`; GarbledAnswer also for an empty answer, or a web page instead of another file.
        """
        name = visible(f"GET {path}")

        async def send() -> bytes:
            url = f"{API_PREFIX}/{_encoded(path)}"
            received = await self._send("GET", url, name, policy, headers=args.header(), is_file=True)
            return self._content(received, path, name)

        return await self._with_retries(policy, send)

    async def get_json(self, path: str, *, policy: RetryPolicy) -> object:
        """Read the JSON value at ``HOST/path``, outside ``/api/v1``. Raises: as :meth:`call`."""
        name = visible(f"GET {path}")

        async def send() -> object:
            value = self._json(await self._send("GET", f"/{_encoded(path)}", name, policy), name)
            self._raise_for_envelope(value, name)
            return value

        return await self._with_retries(policy, send)

    async def _with_retries(self, policy: RetryPolicy, send: Callable[[], Awaitable[T]]) -> T:
        return await send() if self._retrier is None else await self._retrier(policy, send)

    def _validated(self, kind: type[AnswerT], answer: Answer, name: str) -> AnswerT:
        value = self._json(answer, name)
        self._raise_for_envelope(value, name)
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            location = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise UnexpectedAnswer(name, f"{location}: {first['msg']}; got {self._excerpt(answer)}") from None

    def _content(self, answer: Answer, path: str, name: str) -> bytes:
        kind = answer.headers.get("content-type", "")
        if not answer.content:
            raise GarbledAnswer(name, "the answer is empty")
        if kind.startswith("text/html") and not path.endswith((".html", ".htm")):
            raise GarbledAnswer(name, f"the answer is a web page instead of the file: {self._excerpt(answer)}")
        if kind.startswith("application/json"):
            try:
                value = loads(answer.content)
            except ValueError:
                return answer.content
            # A file may be a JSON object with a key "status", so only a complete envelope is an error.
            if isinstance(value, dict) and value.get("status") == "ERROR" and "msg" in value:
                self._raise_for_envelope(value, name)
        return answer.content

    async def _send(
        self,
        method: str,
        url: str,
        name: str,
        policy: RetryPolicy,
        *,
        headers: Mapping[str, str] | None = None,
        body: BaseModel | bytes | None = None,
        params: Mapping[str, str] | None = None,
        is_file: bool = False,
    ) -> Answer:
        headers = dict(headers or {})
        content: bytes | None
        if isinstance(body, BaseModel):
            content = body.model_dump_json().encode()
            headers["Content-Type"] = "application/json"
        else:
            content = body
        # httpx would parse the URL again for each part that it adds.
        full_url = f"{self.host}{url}?{urlencode(params, quote_via=quote)}" if params else f"{self.host}{url}"
        timeout = httpx.Timeout(policy.timeout, connect=min(_CONNECT_SECONDS, policy.timeout))
        # An answer that arrives byte by byte never meets the timeout between two bytes. Only a file may take longer.
        seconds = None if is_file else policy.timeout + len(content or b"") / _SLOWEST_UPLOAD
        try:
            async with (
                self._clients.client() as client,
                asyncio.timeout(seconds),
                client.stream(method, full_url, headers=headers, content=content, timeout=timeout) as response,
            ):
                answer = await read_answer(response, None if is_file else MAX_JSON_BYTES)
        except TooLarge:
            raise UnexpectedAnswer(name, f"the answer has more than {MAX_JSON_BYTES // 2**20} MiB") from None
        except Exception as error:  # noqa: BLE001 - an address or a library may raise anything, and only this environment fails
            raise self._failure(error, name, seconds) from None
        self._raise_for_status(answer, name)
        return answer

    def _failure(self, error: Exception, name: str, seconds: float | None) -> InstabaseError:
        """Convert an error of the HTTP client."""
        if isinstance(error, TimeoutError) and seconds is not None:
            return EnvironmentUnavailable(name, f"{self._target} did not send a complete answer within {seconds:.0f} s")
        if isinstance(error, httpx.TimeoutException):
            reason = f"{self._target} did not answer in time ({type(error).__name__})"
            reached = not isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
            return EnvironmentUnavailable(name, reason, reached=reached)
        text = self.redact(str(error)) or type(error).__name__
        if isinstance(error, httpx.HTTPError) and not isinstance(error, httpx.LocalProtocolError):
            verification = _verification_error(error)
            if verification is not None:
                return self._certificate_refused(verification, name)
            reached = not isinstance(error, httpx.ConnectError | httpx.ProxyError)
            return EnvironmentUnavailable(name, f"no answer from {self._target}: {text}", reached=reached)
        return ClientSetupError(name, f"no request can be sent to {self._target}: {text}")

    def _certificate_refused(self, error: ssl.SSLCertVerificationError, name: str) -> CertificateRefused:
        reason = f"the certificate of {self.host} is not trusted ({error.verify_message})"
        advice = "name the certificates to trust in `ca_bundle` of this environment"
        return CertificateRefused(name, f"{reason}: {advice}{self._trust_note}")

    def _raise_for_status(self, answer: Answer, name: str) -> None:
        code = answer.status
        if code < 300:
            return
        if code in {401, 403}:
            reason = f"{self.host} refused the token (HTTP {code}): check `token` of this environment"
            raise AccessRefused(name, reason)
        if code >= 500 or code == _TOO_MANY_REQUESTS:
            reason = f"{self._target} cannot answer at present (HTTP {code}: {self._excerpt(answer)})"
            reason += retry_after_note(answer)
            raise EnvironmentUnavailable(name, reason, status=code, retry_after=retry_after(answer))
        if code < 400:
            target = self.redact(answer.headers.get("location", "elsewhere"))
            raise Redirected(name, f"HTTP {code} points to {target}; the token is not sent there: correct `host`")
        if code == _PROXY_AUTHENTICATION_REQUIRED and self._proxy is not None:
            raise ClientSetupError(name, f"{self._proxy.description} requires a user and a password (HTTP {code})")
        message = error_message(answer) or self._excerpt(answer)
        raise ApiError(name, f"{self.redact(message)} (HTTP {code}){retry_after_note(answer)}")

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

    def _raise_for_envelope(self, value: object, name: str) -> None:
        if not isinstance(value, dict) or value.get("status") != "ERROR" or "state" in value:
            # With a `state` it is the status of a failed job, which is an answer, not an error of the call.
            return
        raise ApiError(name, self.redact(str(value.get("msg") or "the environment gave no reason")))

    def _excerpt(self, answer: Answer) -> str:
        text = answer.content[:ERROR_BYTES].decode("utf-8", "replace")
        text = self.redact(" ".join(text.split()))
        return repr(text[:_EXCERPT_CHARACTERS] + ("…" if len(text) > _EXCERPT_CHARACTERS else ""))

    def redact(self, text: str) -> str:
        """Return the text without the token and other secrets."""
        return str(redacted(text))


def _encoded(path: str) -> str:
    # "+" stays literal, because neither end of this protocol reads it as a space.
    return quote(path, safe="/+")


def _ssl_context(address: httpx.URL, verify: ssl.SSLContext | bool, *, uses_environ: bool) -> ssl.SSLContext | bool:
    """Certificates to trust, shared by all clients because reading those of the machine is slow."""
    if verify is not True:
        return verify
    if address.scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # plain http never uses it
    return default_ssl_context(uses_environ=uses_environ)


def _verification_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error
