"""The result of a trainer, and its check: metrics, predictions, and the model to save."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ibformers.errors import TrainingInputError, did_you_mean
from ibformers.sdk.values import as_text, finite, plain, row_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEYS = ("id", "input", "predicted", "expected", "score")


@dataclass
class Result:
    """Result of a training. `docs/your-own-trainer.md` describes what each part may be.

    Attributes:
        metrics: metric -> number, or metric -> label -> number.
        predictions: one mapping for each test row: `predicted`, and if known `id`, `input`, `expected`, `score`.
        model: folder or file to copy, function that saves into a folder, or object to save with joblib.
        inputs: id of a prediction -> input for serving, for predictions without `input`.
    """

    metrics: Mapping[str, Any]
    predictions: Sequence[Mapping[str, Any]] = ()
    model: Any = None
    inputs: Mapping[str, Any] | None = None
    origin: tuple[str, int] = field(init=False, repr=False, compare=False, default=("", 0))
    """File and line that made this result, for messages."""

    def __post_init__(self) -> None:
        frame = inspect.currentframe()
        maker = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
        if maker is not None:
            self.origin = maker.f_code.co_filename, maker.f_lineno


@dataclass(frozen=True)
class Row:
    """A checked prediction; `is_number` if it is no label."""

    id: str
    input: Any
    predicted: str
    expected: str | None
    score: float | None
    is_number: bool

    @property
    def key(self) -> int:
        """Key of the input, as `Job.split` makes it; of the id if there is no input."""
        return row_key(self.id if self.input is None else self.input)

    @property
    def prediction(self) -> dict[str, Any]:
        """Entry of `predictions.json`; numbers are not compared with what was expected, since they rarely are equal."""
        is_judged = self.expected is not None and not self.is_number
        return {
            "text": self.predicted,
            "avg_confidence": self.score,
            "gold_text": self.expected,
            "is_match": self.predicted == self.expected if is_judged else None,
        }


def checked_metrics(metrics: Any, where: str) -> dict[str, Any]:
    """Return metrics as plain numbers.

    Raises:
        TrainingInputError: There are none, or a value is no finite number.
    """
    if not hasattr(metrics, "items") or not metrics:
        raise TrainingInputError(
            f'{where}: the result has no metrics: give it some, as in `metrics={{"accuracy": 0.9}}`.'
        )
    found: dict[str, Any] = {}
    try:
        for metric, value in metrics.items():
            if hasattr(value, "items"):
                fields = {str(plain(name)): finite(number, f"{metric}.{name}") for name, number in value.items()}
                found[str(metric)] = fields
            else:
                found[str(metric)] = finite(value, str(metric))
    except ValueError as error:
        raise TrainingInputError(f"{where}: metric {error}: report a finite number, or leave it out.") from None
    return found


def checked_rows(result: Result, where: str) -> list[Row]:
    """Return the predictions of a result.

    Raises:
        TrainingInputError: One is incomplete, repeated, or has a value that JSON does not have; the message names it.
    """
    rows: dict[str, Row] = {}
    for number, one in enumerate(result.predictions, 1):
        try:
            row = _row(one, number, result.inputs or {})
        except ValueError as error:
            raise TrainingInputError(f"{where}: prediction {number}: {error}.") from None
        if row.id in rows:
            raise TrainingInputError(f"{where}: prediction {number} has the id {row.id!r}, as an earlier one has.")
        rows[row.id] = row
    return list(rows.values())


def _row(one: Any, number: int, inputs: Mapping[str, Any]) -> Row:
    if not hasattr(one, "items"):
        raise ValueError(f"it is a {type(one).__name__}, not a mapping with `predicted`")
    if unknown := [name for name in one if name not in _KEYS]:
        raise ValueError(f"unknown key `{unknown[0]}`{did_you_mean(unknown[0], _KEYS)} (keys: {', '.join(_KEYS)})")
    if one.get("predicted") is None:
        raise ValueError("it has no `predicted`")
    name = str(one.get("id") or f"row-{number}")
    values = {"input": one.get("input", inputs.get(name)), "expected": one.get("expected"), "score": one.get("score")}
    texts: dict[str, Any] = {}
    for key, convert in (("predicted", as_text), ("expected", as_text), ("input", plain)):
        value = values.get(key, one.get(key))
        try:
            texts[key] = None if value is None else convert(value)
        except ValueError as error:
            raise ValueError(f"`{key}` is {error}") from None
    score = None if values["score"] is None else finite(values["score"], "score")
    is_number = isinstance(plain(one["predicted"]), float)
    return Row(name, texts["input"], texts["predicted"], texts["expected"], score, is_number)
