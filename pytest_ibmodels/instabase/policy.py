"""Which call is tried again after which error, how often and how long: the one table of it.

``docs/reliability.md`` shows the same table; a test holds the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pytest_ibmodels.instabase.errors import ApiError, EnvironmentUnavailable, GarbledAnswer

UNAVAILABLE = "UNAVAILABLE"
"""In the ``msg`` of an error envelope: a service behind the environment is down at present."""

WORKER_RESTARTED = "Worker received non-pending task"
"""In the error of a job: the container that worked on it was restarted, and the job will never go on."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
_NOT_DONE = frozenset({429, 503})


class RetryMode(StrEnum):
    """When a call may be sent a second time."""

    ALWAYS = "always"
    IF_NOT_DONE = "if it had no effect"
    NEVER = "no"


@dataclass(frozen=True)
class RetryPolicy:
    """How one call meets a fault that passes.

    Attributes:
        call: method and path below ``/api/v1``.
        why: why a second call does no harm, or would.
        tries: in all, the first one too.
        seconds: no try begins later than this after the first.
        timeout: seconds after which an answer that is not there to its end counts as lost; of a file, seconds without a
            byte. What is uploaded has more time, by its size.
        jitter: the part of a pause that is random, so that many cases do not come back all at once.
        refused: whether a refused connection may pass.
    """

    call: str
    why: str
    again: RetryMode = RetryMode.ALWAYS
    tries: int = 20
    seconds: float = 120.0
    timeout: float = 60.0
    jitter: float = 0.5
    refused: bool = True

    def allows(self, error: BaseException) -> bool:
        """Whether the call may be sent again after ``error``."""
        if not is_transient(error) or (not self.refused and getattr(error, "reached", True) is False):
            return False
        return self.again is RetryMode.ALWAYS or (self.again is RetryMode.IF_NOT_DONE and not is_uncertain(error))

    def pause(self, tries: int, error: BaseException | None, random: float) -> float:
        """Seconds to wait after so many tries, and as long as ``Retry-After`` asks; ``random`` is from 0 to 1."""
        asked = getattr(error, "retry_after", None)
        longest = min(FIRST_PAUSE * 2.0 ** (tries - 1), LONGEST_PAUSE)
        pause = longest * (1 - self.jitter * random)
        return max(pause, asked) if isinstance(asked, int | float) else pause


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help.

    Connections refused or reset, time-outs, HTTP 429 and 5xx, no JSON where JSON belongs (a gateway's page, nothing, or
    a part), and ``UNAVAILABLE`` in the environment's own words.
    """
    if isinstance(error, EnvironmentUnavailable | GarbledAnswer):
        return True
    return isinstance(error, ApiError) and UNAVAILABLE in error.reason


def is_uncertain(error: BaseException) -> bool:
    """Whether the call may have had its effect although it failed: only its answer was lost.

    Without a connection it had none; nor if the environment says that it could not (429, 503, ``UNAVAILABLE``).
    """
    if isinstance(error, EnvironmentUnavailable):
        return error.reached and error.status not in _NOT_DONE
    return isinstance(error, GarbledAnswer)


READ = RetryPolicy("GET drives/PATH", "reading changes nothing")
WRITE = RetryPolicy("POST drives/PATH", "the whole file is written again", seconds=300.0, timeout=120.0)
DELETE = RetryPolicy("DELETE drives/PATH", "what is gone stays gone; if the second answer says so, that is no error")
UNZIP = RetryPolicy("POST drives/FOLDER/unzip", "the same files are written over themselves")
STATUS = RetryPolicy(
    "GET jobs/status", "the next poll is the next try", RetryMode.NEVER, tries=1, seconds=0.0, timeout=30.0
)
FIND = RetryPolicy("GET jobs/list", "reading changes nothing")
CANCEL = RetryPolicy("POST jobs/cancel", "a job ends once", tries=4, seconds=5.0, timeout=5.0)
LOG = RetryPolicy("GET /classifier/logs/JOB", "reading changes nothing", tries=4, seconds=10.0, timeout=10.0)
TRAIN = RetryPolicy(
    "POST model-service/run_train", "it would train twice: the engine looks for the job first", RetryMode.IF_NOT_DONE
)
UNLOAD = RetryPolicy("POST model-service/unload_model", "unloaded is unloaded", tries=4, seconds=5.0, timeout=5.0)
EXPORT = RetryPolicy("POST annotator/export_model", "the same program is written again", timeout=120.0)
REFINE = RetryPolicy("POST refiner-v5/run", "a second run predicts the same, and the first one is not read")
RUN = RetryPolicy("POST model-service/run", "the model answers the same again", timeout=120.0)
LIST = RetryPolicy("GET marketplace/list", "reading changes nothing", tries=8, timeout=30.0, jitter=0.0, refused=False)
PUBLISH = RetryPolicy(
    "POST marketplace/publish", "the list is read again, and decides", tries=8, jitter=0.0, refused=False
)
UNPUBLISH = RetryPolicy(
    "POST marketplace/unpublish", "the list is read again, and decides", tries=8, jitter=0.0, refused=False
)

POLICIES = (
    *(READ, WRITE, DELETE, UNZIP, STATUS, FIND, CANCEL, LOG),
    *(TRAIN, UNLOAD, EXPORT, REFINE, RUN, LIST, PUBLISH, UNPUBLISH),
)


def as_table() -> list[str]:
    """The lines of the table in ``docs/reliability.md``."""
    lines = ["| call | sent again | tries | within | answer lost after | |", "|---|---|---|---|---|---|"]
    for policy in POLICIES:
        times = f"{policy.tries} | {policy.seconds:g} s | {policy.timeout:g} s"
        lines.append(f"| `{policy.call}` | {policy.again} | {times} | {policy.why} |")
    return lines
