"""Errors of the client.

::

    InstabaseError              base of all errors
      ClientSetupError          no request can be sent: an environment variable or the address is unusable
      EnvironmentUnavailable    no answer, or HTTP 429 or 5xx: a retry may help
      AccessRefused             HTTP 401 or 403: the token is wrong or lacks a permission
      CertificateRefused        the host's certificate is not trusted
      Redirected                the environment redirects; the token is not sent elsewhere
      ApiError                  the environment understood the request and rejected it
      UnexpectedAnswer          the answer does not have the form of the protocol
        GarbledAnswer           the answer is not JSON: a gateway's page, empty, or truncated

Each error names the call (method and path, no headers) and contains a short excerpt of the answer, without the token.
"""

from __future__ import annotations


class InstabaseError(Exception):
    """Base of all errors of the client.

    Attributes:
        call: method and path of the request, for example ``POST drives/acme/ci/fs/Drive/x.zip``.
        reason: the failure in one sentence, without the call.
    """

    def __init__(self, call: str, reason: str) -> None:
        super().__init__(f"{call}: {reason}")
        self.call = call
        self.reason = reason


class ClientSetupError(InstabaseError):
    """No request was sent, because an environment variable or the address is unusable. The reason names it."""


class EnvironmentUnavailable(InstabaseError):
    """No answer, or HTTP 429, or HTTP 500 and above.

    Attributes:
        reached: False if there was no connection, so that the request cannot have had an effect.
        status: the HTTP status; None without an answer.
        retry_after: seconds of the ``Retry-After`` header; None without one.
    """

    def __init__(
        self,
        call: str,
        reason: str,
        *,
        reached: bool = True,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(call, reason)
        self.reached = reached
        self.status = status
        self.retry_after = retry_after


class AccessRefused(InstabaseError):
    """The environment does not accept the token."""


class CertificateRefused(InstabaseError):
    """The host's certificate is not trusted; no request was sent."""


class Redirected(InstabaseError):
    """The environment redirects to another address. The redirect is not followed: the token belongs to one host."""


class ApiError(InstabaseError):
    """The environment answered with an error envelope (``status`` ERROR), or with an HTTP status of 400 and above."""


class UnexpectedAnswer(InstabaseError):
    """The answer does not have the form of the protocol."""


class GarbledAnswer(UnexpectedAnswer):
    """The answer is not JSON. The call may have had its effect."""
