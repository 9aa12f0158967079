"""Errors of the sandbox; each message names the thing, the reason, and what to do."""

import errno

_TEMPORARY = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS})
"""Errors of a machine that has run out of something temporarily."""


class SandboxError(Exception):
    """A request that cannot be served: HTTP 200, with the text as ``msg`` (Instabase protocol, "Errors")."""


class NoPackageError(SandboxError):
    """A request names no code, and no published package has the module."""


class BodyTooLargeError(SandboxError):
    """The request body is over the limit: HTTP 413."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the request body is larger than the limit of {limit / 2**20:g} MiB; nothing was written "
            "(the sandbox's option --max-body sets the limit)"
        )


class BusyError(SandboxError):
    """The machine lacks something temporarily: HTTP 503; the word UNAVAILABLE makes clients retry."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"UNAVAILABLE: {reason}; retry in a moment")


class TooManyCallsError(SandboxError):
    """Too many calls of a tenant wait for models: HTTP 429."""

    retry_after = 5
    """Seconds."""

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"{waiting} calls of this token wait for models already, the most allowed; retry when some are answered"
        )


def refusal(doing: str, error: OSError, reason: str | None = None) -> SandboxError:
    """Error for a refusal of the operating system; ``doing`` names the action, without a path of this machine."""
    text = f"{doing}: {reason or error.strerror or error}"
    return BusyError(text) if error.errno in _TEMPORARY else SandboxError(text)


class StoreError(SandboxError):
    """The database cannot be read or written."""


class StartError(Exception):
    """The sandbox cannot start: exit code 1, and the text on stderr."""

    exit_code = 1


class DataInUseError(StartError):
    """Another sandbox has the data folder, or the database."""


class UsageError(StartError):
    """The command line is wrong: exit code 2."""

    exit_code = 2
