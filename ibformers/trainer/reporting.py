"""Progress reports of a job to its environment."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ibformers.platform import JobMetadataClient

Metrics = Mapping[str, Mapping[str, float | str]]
"""Metric → field → value, or the text "NAN"."""

Averages = Mapping[str, float | Mapping[str, float]]
"""Metric → its value, or average → value."""

Intervals = Mapping[str, Mapping[str, Sequence[float]]]
"""Metric → field → lower and upper bound."""

TRAINING_SHARE = 0.95
"""Progress (0..1) after the last step; prediction and writing follow."""

MIN_SECONDS = 0.5
"""Minimum seconds between two reports of mere progress."""

logger = logging.getLogger(__name__)


class StepReport(Protocol):
    """Receiver of training progress."""

    def steps(self, done: int, total: int, epoch: float) -> None:
        """Report the number of finished steps and epochs."""
        ...

    def learning(self, point: dict[str, float]) -> None:
        """Report a point (step, epoch, loss, learning_rate) of the training curve."""
        ...

    def evaluated(self, metrics: Averages) -> None:
        """Report metrics of the model at the step that was reported last."""
        ...


class JobReport:
    """Metadata of a job: one growing dictionary, sent as a whole each time, because the environment replaces it."""

    def __init__(self, client: JobMetadataClient) -> None:
        self._client = client
        self._metadata: dict[str, Any] = {"progress": 0.0}
        self._sent = 0.0
        self._place = {"step": 0.0, "epoch": 0.0}

    def message(self, text: str) -> None:
        """Set the status message of the job, one line."""
        logger.info("%s", text)
        self._client.update_message(text)

    def steps(self, done: int, total: int, epoch: float) -> None:
        """Report finished steps and epochs, at most once per `MIN_SECONDS`."""
        self._place = {"step": done, "epoch": round(epoch, 3)}
        self._metadata["progress"] = TRAINING_SHARE * done / max(total, 1)
        if time.monotonic() - self._sent >= MIN_SECONDS:
            self._send()

    def learning(self, point: dict[str, float]) -> None:
        """Add a point (step, epoch, loss, learning_rate) to the training curve; the next report sends it."""
        self._metadata.setdefault("history", []).append(point)

    def evaluated(self, metrics: Averages) -> None:
        """Append metrics of the model during the training to the curves; they are not those of the finished model."""
        self._metadata.setdefault("evaluations", []).append({**self._place, "metrics": _rounded(metrics)})
        self._send()

    def evaluation(self, metrics: Metrics, intervals: Intervals | None = None) -> None:
        """Report the metrics of the current model, and append them to those of earlier epochs.

        Args:
            metrics: metrics of the current model.
            intervals: intervals of the metrics; None during training.
        """
        self._metadata["evaluation_results"] = metrics
        if intervals is not None:
            self._metadata["evaluation_intervals"] = intervals
        self._metadata.setdefault("evaluations", []).append({**self._place, "metrics": _rounded(metrics)})
        self._send()

    def update(self, **values: Any) -> None:
        """Report further metadata."""
        self._metadata.update(values)
        self._send()

    def _send(self) -> None:
        self._sent = time.monotonic()
        self._client.update_metadata(copy.deepcopy(self._metadata))


def _rounded(metrics: Mapping[str, Any]) -> dict[str, Any]:
    # Every report contains the curves of all fields; a plot shows no more than four digits.
    return {
        name: _rounded(value) if isinstance(value, Mapping) else value if isinstance(value, str) else round(value, 4)
        for name, value in metrics.items()
    }
