"""What the sandbox says when it refuses: one sentence that names the thing, the reason, and what to do."""

import errno

_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS})
"""Error numbers of a machine that has run out of something for the moment."""


class SandboxError(Exception):
    """A request that cannot be served; its text is the ``msg`` of the error envelope (HTTP 200, section 1.4)."""


class BodyTooLargeError(SandboxError):
    """A request body over the limit: the one refusal with an HTTP status of its own, 413."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the request body is larger than the limit of {limit / 2**20:g} MiB; nothing was written "
            "(the sandbox's option --max-body sets the limit)"
        )


class BusyError(SandboxError):
    """The machine lacks something for the moment: HTTP 503, and the word that makes clients try again."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"UNAVAILABLE: {reason}; try again in a moment")


class TooManyCallsError(SandboxError):
    """So many calls wait for models already that one more is refused: HTTP 429, to be tried again later."""

    retry_after = 5
    """Seconds."""

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"{waiting} calls of this token wait for models already, as many as may; try again when some have been "
            "answered"
        )


def refusal(doing: str, error: OSError, reason: str | None = None) -> SandboxError:
    """The sentence for what the operating system refused; ``doing`` names the action, and no path of this machine."""
    sentence = f"{doing}: {reason or error.strerror or error}"
    return BusyError(sentence) if error.errno in _PASSING else SandboxError(sentence)


class StoreError(SandboxError):
    """The database cannot be read or written."""


class StartError(Exception):
    """The sandbox cannot start: printed as one sentence on stderr."""

    exit_code = 1


class DataInUseError(StartError):
    """It cannot start because another sandbox has the data folder."""


class UsageError(StartError):
    """It cannot start because of what the command line says."""

    exit_code = 2
