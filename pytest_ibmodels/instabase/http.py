"""The transport: one connection pool per environment, the token in one header, every answer checked."""

from __future__ import annotations

import email.utils
import json
import math
import ssl
import time
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote, urlencode

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from pytest_ibmodels.instabase.errors import (
    AccessRefused,
    ApiError,
    CertificateRefused,
    EnvironmentUnavailable,
    GarbledAnswer,
    Redirected,
    UnexpectedAnswer,
)
from pytest_ibmodels.instabase.lanes import Lanes
from pytest_ibmodels.instabase.wire import API_PREFIX, DriveArgs
from pytest_ibmodels.redaction import HIDDEN, redacted, remember

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from pytest_ibmodels.instabase.patience import Patience
    from pytest_ibmodels.instabase.policy import Policy

AnswerT = TypeVar("AnswerT", bound=BaseModel)
T = TypeVar("T")

_TOO_MANY_REQUESTS = 429
_EXCERPT_CHARACTERS = 200
_READ_BYTES = 65_536
"""Of an answer to take an excerpt from: more than it has, so that it ends in no part of a token."""
# An answer may wait for a large file or for a busy file service; connecting to a living host may not.
_CONNECT_SECONDS = 10.0
_CONNECTIONS = 32
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
        patience: Patience | None = None,
        verify: ssl.SSLContext | bool = True,
        secrets: Sequence[str] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.host = host.rstrip("/")
        self._token = token
        self._secrets = tuple(map(SecretStr, secrets))
        remember(token.get_secret_value(), *secrets)
        self._patience = patience
        # The environment of the process may name proxies and .netrc passwords: neither belongs between us and a sandbox
        # on loopback, and for a real host the proxies are wanted.
        wants_environ = not _is_loopback(self.host)
        # One for all clients: making it reads the certificates of the machine.
        verify = httpx.create_ssl_context(trust_env=wants_environ) if verify is True else verify

        def client() -> httpx.AsyncClient:
            return httpx.AsyncClient(
                headers={"Authorization": f"Bearer {token.get_secret_value()}"},
                verify=verify,
                limits=httpx.Limits(max_connections=1, keepalive_expiry=_KEPT_SECONDS),
                follow_redirects=False,
                transport=transport,
                trust_env=wants_environ,
            )

        self._lanes = Lanes(client, _CONNECTIONS)

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
        policy: Policy,
        args: DriveArgs | None = None,
        body: BaseModel | bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> AnswerT:
        """Send a request below ``/api/v1`` and check its JSON answer against the model ``answer``.

        Raises:
            EnvironmentUnavailable: nothing answered, or only a gateway.
            AccessRefused: HTTP 401 or 403.
            CertificateRefused: the host's certificate cannot be verified.
            Redirected: HTTP 300 to 399.
            ApiError: an error envelope (also under HTTP 200), or another HTTP status of 400 and above.
            GarbledAnswer: the body is not JSON.
            UnexpectedAnswer: it does not fit ``answer``.
        """
        name = f"{method} {path}"

        async def send() -> AnswerT:
            url = f"{API_PREFIX}/{_encoded(path)}"
            response = await self._send(method, url, name, policy, args=args, body=body, params=params)
            return self._checked(answer, response, name)

        return await self._patiently(policy, send)

    async def read(self, path: str, args: DriveArgs, *, policy: Policy) -> bytes:
        """The bytes of a file. An error envelope in place of the file is an error, not content.

        Raises: as :meth:`call`; GarbledAnswer if there is nothing, or a web page in place of another file.
        """
        name = f"GET {path}"

        async def send() -> bytes:
            response = await self._send("GET", f"{API_PREFIX}/{_encoded(path)}", name, policy, args=args)
            return self._content(response, path, name)

        return await self._patiently(policy, send)

    async def get_json(self, path: str, *, policy: Policy) -> object:
        """The JSON value at ``HOST/path``, for the calls outside ``/api/v1``. Raises: as :meth:`call`."""
        name = f"GET {path}"

        async def send() -> object:
            value = self._json(await self._send("GET", f"/{_encoded(path)}", name, policy), name)
            self._refuse_error_envelope(value, name)
            return value

        return await self._patiently(policy, send)

    async def _patiently(self, policy: Policy, send: Callable[[], Awaitable[T]]) -> T:
        return await send() if self._patience is None else await self._patience(policy, send)

    def _checked(self, answer: type[AnswerT], response: httpx.Response, name: str) -> AnswerT:
        value = self._json(response, name)
        self._refuse_error_envelope(value, name)
        try:
            return answer.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise UnexpectedAnswer(name, f"{where}: {first['msg']}; got {self._excerpt(response)}") from None

    def _content(self, response: httpx.Response, path: str, name: str) -> bytes:
        kind = response.headers.get("content-type", "")
        if not response.content:
            raise GarbledAnswer(name, "the answer is empty")
        if kind.startswith("text/html") and not path.endswith((".html", ".htm")):
            raise GarbledAnswer(name, f"a web page came in place of the file: {self._excerpt(response)}")
        if kind.startswith("application/json"):
            try:
                value = json.loads(response.content)
            except ValueError:
                return response.content
            # A file may well be a JSON object with a key "status": only the whole envelope counts.
            if isinstance(value, dict) and value.get("status") == "ERROR" and "msg" in value:
                self._refuse_error_envelope(value, name)
        return response.content

    async def _send(
        self,
        method: str,
        url: str,
        name: str,
        policy: Policy,
        *,
        args: DriveArgs | None = None,
        body: BaseModel | bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
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
        try:
            async with self._lanes.client() as client:
                response = await client.request(method, whole, headers=headers, content=content, timeout=timeout)
        except httpx.TimeoutException as error:
            reason = f"{self.host} did not answer in time ({type(error).__name__})"
            reached = not isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
            raise EnvironmentUnavailable(name, reason, reached=reached) from None
        except httpx.HTTPError as error:
            self._refuse_certificate(error, name)
            reason = f"no answer from {self.host}: {self.redact(str(error))}"
            raise EnvironmentUnavailable(name, reason, reached=not isinstance(error, httpx.ConnectError)) from None
        self._refuse_http_error(response, name)
        return response

    def _refuse_certificate(self, error: BaseException | None, name: str) -> None:
        while error is not None:
            if isinstance(error, ssl.SSLCertVerificationError):
                reason = f"the certificate of {self.host} is not trusted ({error.verify_message})"
                raise CertificateRefused(
                    name, f"{reason}: name the certificates to trust in `ca_bundle` of this environment"
                ) from None
            error = error.__cause__ or error.__context__

    def _refuse_http_error(self, response: httpx.Response, name: str) -> None:
        code = response.status_code
        if code < 300:
            return
        if code in {401, 403}:
            reason = f"{self.host} refused the token (HTTP {code}): check `token` of this environment"
            raise AccessRefused(name, reason)
        if code >= 500 or code == _TOO_MANY_REQUESTS:
            reason = f"{self.host} cannot answer at present (HTTP {code}: {self._excerpt(response)})"
            raise EnvironmentUnavailable(name, reason, status=code, retry_after=_retry_after(response))
        if code < 400:
            target = self.redact(response.headers.get("location", "elsewhere"))
            raise Redirected(name, f"HTTP {code} points to {target}; the token is not sent there: correct `host`")
        message = _message(response) or self._excerpt(response)
        raise ApiError(name, f"{self.redact(message)} (HTTP {code})")

    def _json(self, response: httpx.Response, name: str) -> object:
        try:
            value: object = json.loads(response.content)
        except ValueError:
            what = f"not JSON: {self._excerpt(response)}" if response.content.strip() else "empty"
            raise GarbledAnswer(name, f"the answer is {what}") from None
        if value is None:
            raise GarbledAnswer(name, "the answer is null")
        return value

    def _refuse_error_envelope(self, value: object, name: str) -> None:
        if not isinstance(value, dict) or value.get("status") != "ERROR" or "state" in value:
            # With a `state` it is the status of a job that failed, which is an answer, not an error of the call.
            return
        raise ApiError(name, self.redact(str(value.get("msg") or "the environment gave no reason")))

    def _excerpt(self, response: httpx.Response) -> str:
        text = response.content[:_READ_BYTES].decode("utf-8", "replace")
        text = self.redact(" ".join(text.split()))
        return repr(text[:_EXCERPT_CHARACTERS] + ("…" if len(text) > _EXCERPT_CHARACTERS else ""))

    def redact(self, text: str) -> str:
        """``text`` without the token and other secrets, wherever it came from."""
        text = redacted(text)
        for secret in (self._token, *self._secrets):
            text = text.replace(secret.get_secret_value() or HIDDEN, HIDDEN)
        return text


def _encoded(path: str) -> str:
    # "+" stays literal: no end of this protocol reads it as a space.
    return quote(path, safe="/+")


def _is_loopback(host: str) -> bool:
    return httpx.URL(host).host in {"127.0.0.1", "localhost", "::1"}


def _retry_after(response: httpx.Response) -> float | None:
    """The seconds of a ``Retry-After`` header, which gives a number or a date; None if there is none."""
    text = response.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _message(response: httpx.Response) -> str | None:
    try:
        value = json.loads(response.content)
    except ValueError:
        return None
    message = value.get("msg") if isinstance(value, dict) else None
    return message if isinstance(message, str) else None
