"""Retry policy of each call: after which errors it is retried, how often, and for how long.

``docs/reliability.md`` shows the same table; a test keeps both equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from pytest_ibmodels.instabase.errors import ApiError, EnvironmentUnavailable, GarbledAnswer

UNAVAILABLE = "UNAVAILABLE"
"""Part of ``msg`` in an error envelope if a service behind the environment is temporarily down."""

WORKER_RESTARTED = "Worker received non-pending task"
"""Part of a job's error if the job's container was restarted, so that the job will never end."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
_WITHOUT_EFFECT = frozenset({429, 503})
"""HTTP statuses of requests that were not processed."""


class RetryMode(StrEnum):
    """When a call may be retried."""

    ALWAYS = "always"
    IF_NO_EFFECT = "if it had no effect"
    NEVER = "no"


@dataclass(frozen=True)
class RetryPolicy:
    """Retry policy of one call.

    Attributes:
        call: method and path below ``/api/v1``.
        why: why the call is safe to repeat, or not.
        mode: when the call may be retried.
        tries: maximum number of tries, including the first.
        seconds: no try starts later than this after the first.
        timeout: seconds until a complete answer, for the content of a file seconds between two bytes. Uploads have more
            time, by their size.
        jitter: random fraction of each pause, 0..1, so that many cases do not retry at the same moment.
        retry_refused: whether to retry after a refused connection.
    """

    call: str
    why: str
    mode: RetryMode = RetryMode.ALWAYS
    tries: int = 20
    seconds: float = 120.0
    timeout: float = 60.0
    jitter: float = 0.5
    retry_refused: bool = True

    def allows(self, error: BaseException) -> bool:
        """Return whether the call may be retried after ``error``."""
        if not is_transient(error) or (not self.retry_refused and getattr(error, "reached", True) is False):
            return False
        return self.mode is RetryMode.ALWAYS or (self.mode is RetryMode.IF_NO_EFFECT and not is_uncertain(error))

    def pause(self, tries: int, error: BaseException | None, random: float) -> float:
        """Seconds to wait after ``tries`` tries, at least those of ``Retry-After``; ``random`` is 0..1."""
        asked = getattr(error, "retry_after", None)
        longest = min(FIRST_PAUSE * 2.0 ** (tries - 1), LONGEST_PAUSE)
        pause = longest * (1 - self.jitter * random)
        return max(pause, asked) if isinstance(asked, int | float) else pause


def is_transient(error: BaseException) -> bool:
    """Return whether a retry may help.

    Transient errors are refused or reset connections, timeouts, HTTP 429 and 5xx, answers that are not JSON (a
    gateway's page, empty, or truncated), and ``UNAVAILABLE`` in the message of an error envelope.
    """
    if isinstance(error, EnvironmentUnavailable | GarbledAnswer):
        return True
    return isinstance(error, ApiError) and UNAVAILABLE in error.reason


def is_uncertain(error: BaseException) -> bool:
    """Return whether the call may have had its effect although it failed, because only its answer was lost.

    The call had no effect without a connection, or if the environment rejected it with 429, 503 or ``UNAVAILABLE``.
    """
    if isinstance(error, EnvironmentUnavailable):
        return error.reached and error.status not in _WITHOUT_EFFECT
    return isinstance(error, GarbledAnswer)


READ = RetryPolicy("GET drives/PATH", "reading changes nothing")
WRITE = RetryPolicy("POST drives/PATH", "the whole file is written again", seconds=300.0, timeout=120.0)
DELETE = RetryPolicy("DELETE drives/PATH", "a deleted node stays deleted; if it is already gone, that is no error")
UNZIP = RetryPolicy("POST drives/FOLDER/unzip", "the same files are overwritten")
STATUS = RetryPolicy(
    "GET jobs/status", "the next poll is the retry", RetryMode.NEVER, tries=1, seconds=0.0, timeout=30.0
)
FIND = RetryPolicy("GET jobs/list", "reading changes nothing")
CANCEL = RetryPolicy("POST jobs/cancel", "a job can only be cancelled once", tries=4, seconds=5.0, timeout=5.0)
LOG = RetryPolicy("GET /classifier/logs/JOB", "reading changes nothing", tries=4, seconds=10.0, timeout=10.0)
TRAIN = RetryPolicy(
    "POST model-service/run_train",
    "an Instabase would train twice: the job is looked up first",
    RetryMode.IF_NO_EFFECT,
)
UNLOAD = RetryPolicy(
    "POST model-service/unload_model", "an unloaded model stays unloaded", tries=4, seconds=5.0, timeout=5.0
)
EXPORT = RetryPolicy("POST annotator/export_model", "the same program is written again", timeout=120.0)
REFINE = RetryPolicy("POST refiner-v5/run", "a second run predicts the same; the first one is ignored")
RUN = RetryPolicy("POST model-service/run", "the model gives the same answer", timeout=120.0)
LIST = RetryPolicy(
    "GET marketplace/list", "reading changes nothing", tries=8, timeout=30.0, jitter=0.0, retry_refused=False
)
PUBLISH = RetryPolicy(
    "POST marketplace/publish", "the marketplace's list tells the effect", tries=8, jitter=0.0, retry_refused=False
)
UNPUBLISH = replace(PUBLISH, call="POST marketplace/unpublish")

SANDBOX = RetryPolicy(
    "GET sandbox/status", "only a sandbox has this call", RetryMode.NEVER, tries=1, seconds=0.0, timeout=10.0
)

POLICIES = (
    *(READ, WRITE, DELETE, UNZIP, STATUS, FIND, CANCEL, LOG),
    *(TRAIN, UNLOAD, EXPORT, REFINE, RUN, LIST, PUBLISH, UNPUBLISH, SANDBOX),
)


def as_table() -> list[str]:
    """Lines of the table in ``docs/reliability.md``."""
    lines = ["| call | retried | tries | within | answer lost after | |", "|---|---|---|---|---|---|"]
    for policy in POLICIES:
        times = f"{policy.tries} | {policy.seconds:g} s | {policy.timeout:g} s"
        lines.append(f"| `{policy.call}` | {policy.mode} | {times} | {policy.why} |")
    return lines
