"""What the sandbox says when it refuses: one sentence that names the thing, the reason, and what to do."""


class SandboxError(Exception):
    """A request that cannot be served; its text is the ``msg`` of the error envelope (HTTP 200, section 1.4)."""


class BodyTooLargeError(SandboxError):
    """A request body over the limit: the one refusal with an HTTP status of its own, 413."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the request body is larger than the limit of {limit / 2**20:g} MiB; nothing was written "
            "(the sandbox's option --max-body sets the limit)"
        )


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
