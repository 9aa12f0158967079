"""What a job tells its environment while it runs."""

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

Intervals = Mapping[str, Mapping[str, Sequence[float]]]
"""Metric → field → lower and upper bound."""

TRAINING_SHARE = 0.95
"""Progress when the last step is done; the rest is predicting and writing."""

MIN_SECONDS = 0.5
"""Progress alone is reported no more often than this."""

logger = logging.getLogger(__name__)


class StepReport(Protocol):
    """Is told of a training while it goes on."""

    def steps(self, done: int, total: int, epoch: float) -> None:
        """Hear of the steps that are done, and of the passes over the data."""
        ...

    def learning(self, point: dict[str, float]) -> None:
        """Hear of a point (step, epoch, loss, learning_rate) of the training curve."""
        ...


class JobReport:
    """One growing dictionary, all of which is sent each time: what the environment keeps is always the whole."""

    def __init__(self, client: JobMetadataClient) -> None:
        self._client = client
        self._metadata: dict[str, Any] = {"progress": 0.0}
        self._sent = 0.0
        self._place = {"step": 0.0, "epoch": 0.0}

    def message(self, text: str) -> None:
        """Say in a line what the job is at."""
        logger.info("%s", text)
        self._client.update_message(text)

    def steps(self, done: int, total: int, epoch: float) -> None:
        """Report steps of the training, and epochs done so far, if the last report is not too fresh."""
        self._place = {"step": done, "epoch": round(epoch, 3)}
        self._metadata["progress"] = TRAINING_SHARE * done / max(total, 1)
        if time.monotonic() - self._sent >= MIN_SECONDS:
            self._send()

    def learning(self, point: dict[str, float]) -> None:
        """Add a point (step, epoch, loss, learning_rate) to the training curve; it goes out with the next report."""
        self._metadata.setdefault("history", []).append(point)

    def evaluation(self, metrics: Metrics, intervals: Intervals | None = None) -> None:
        """Report the metrics of the model as it is now, and add them to those of earlier epochs.

        Args:
            metrics: of the model.
            intervals: of the metrics; None while the training goes on.
        """
        self._metadata["evaluation_results"] = metrics
        if intervals is not None:
            self._metadata["evaluation_intervals"] = intervals
        self._metadata.setdefault("evaluations", []).append({**self._place, "metrics": _rounded(metrics)})
        self._send()

    def update(self, **values: Any) -> None:
        """Report other facts."""
        self._metadata.update(values)
        self._send()

    def _send(self) -> None:
        self._sent = time.monotonic()
        self._client.update_metadata(copy.deepcopy(self._metadata))


def _rounded(metrics: Metrics) -> dict[str, dict[str, float | str]]:
    # The curve of every field goes along with each report: four digits are what a plot can show.
    return {
        metric: {field: value if isinstance(value, str) else round(value, 4) for field, value in fields.items()}
        for metric, fields in metrics.items()
    }
