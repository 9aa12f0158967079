"""What can go wrong between us and an environment.

::

    InstabaseError              every error of the client
      ClientSetupError          nothing can be sent: a variable of this machine, or the address, cannot be used
      EnvironmentUnavailable    nothing answered, or only that it cannot (429, 5xx): trying again may help
      AccessRefused             401 or 403: the token is wrong, or has no right to this
      CertificateRefused        the host's certificate is not to be trusted
      Redirected                the environment points elsewhere; the token does not go there
      ApiError                  the environment understood, and said no
      UnexpectedAnswer          the answer does not have the form that the protocol gives it
        GarbledAnswer           it is no JSON at all: a gateway's page, nothing, or a part

Each names the call (method and path, never the headers) and carries a short piece of the answer, without the token.
"""

from __future__ import annotations


class InstabaseError(Exception):
    """Base of all errors of the client.

    Attributes:
        call: method and path of the request, for example ``POST drives/acme/ci/fs/Drive/x.zip``.
        reason: what went wrong, one sentence without the call.
    """

    def __init__(self, call: str, reason: str) -> None:
        super().__init__(f"{call}: {reason}")
        self.call = call
        self.reason = reason


class ClientSetupError(InstabaseError):
    """Nothing was sent: a variable of this machine or the environment's address cannot be used. It names which."""


class EnvironmentUnavailable(InstabaseError):
    """Nothing answered, or only that it cannot at present: HTTP 429, or 500 and above.

    Attributes:
        reached: false if there was no connection, so that the request cannot have had an effect.
        status: the HTTP status; None without an answer.
        retry_after: seconds that the environment asked to wait, if it did.
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
    """The certificate of the host is not one to trust; nothing was sent."""


class Redirected(InstabaseError):
    """The environment points to another address. It is not followed: the token belongs to one host."""


class ApiError(InstabaseError):
    """The environment answered with an error: an envelope with ``status`` ERROR, or an HTTP status of 400 and above."""


class UnexpectedAnswer(InstabaseError):
    """The answer does not have the form that the protocol gives it."""


class GarbledAnswer(UnexpectedAnswer):
    """The answer is no JSON at all. Whether the call had its effect is not known."""
