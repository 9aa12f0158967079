"""Answers of the operations; `model_dump(mode="json")` turns each into JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MIN_ROWS = 30
"""Minimum number of rows for a comparison of two models."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Metrics(_Answer):
    """Metrics of a model on the test rows, as scikit-learn defines them, for the labels that test rows have.

    Attributes:
        accuracy: fraction 0..1 of the rows with the right label.
        loss: mean cross entropy; None if the model lacks some of the labels.
        ece: expected calibration error, 0..1, of the scores of the predicted labels; None if there are no scores.
        precision: by label, with `macro avg` and `weighted avg`.
        recall, f1: likewise.
        support: number of test rows by label.
    """

    accuracy: float
    loss: float | None
    ece: float | None = None
    precision: dict[str, float]
    recall: dict[str, float]
    f1: dict[str, float]
    support: dict[str, int]


class RowCounts(_Answer):
    """Numbers of rows in a training.

    Attributes:
        read: rows read from the database.
        train: rows trained on.
        held_out: rows of the training part that the temperature was fitted to, and that were not trained on.
        test: rows that both models were evaluated on.
        skipped: rows without a label or a text.
        truncated: rows with more tokens than the model reads.
    """

    read: int
    train: int
    held_out: int = 0
    test: int
    skipped: int
    truncated: int


Interval = tuple[float, float]
"""Lower and upper bound."""


class Intervals(_Answer):
    """Two-sided 95 % confidence interval of each metric.

    Wilson intervals for fractions of rows (accuracy, precision and recall of a label, and the weighted average of
    recall, which is the accuracy); bootstrap over the test rows for F1 and the other averages. A label without an
    interval is left out, such as the precision of a label that is never predicted. Loss and ECE have none.

    Attributes:
        accuracy: interval of the accuracy.
        precision: intervals by label, with `macro avg` and `weighted avg`.
        recall, f1: likewise.
    """

    accuracy: Interval
    precision: dict[str, Interval]
    recall: dict[str, Interval]
    f1: dict[str, Interval]


class Difference(_Answer):
    """A metric of both models on the same rows, and the interval of the difference by a paired bootstrap.

    Attributes:
        old: value of the model in use.
        new: value of the new model.
        difference: new minus old.
        low, high: bounds of the difference.
    """

    old: float
    new: float
    difference: float
    low: float
    high: float


class AccuracyDifference(Difference):
    """Accuracy of both models.

    Attributes:
        p_value: two-sided p-value of McNemar's exact test: probability of such a difference, or a larger one, between
            models that are equally good.
    """

    p_value: float


class WorseRow(_Answer):
    """A test row that the model in use gets right and the new model gets wrong.

    Attributes:
        row: number of the row, from 1, among those with a label and a text, in the order of reading.
        text: at most 200 characters of its text.
        label: the right label.
        old: label that the model in use predicts.
        new: label that the new model predicts.
    """

    row: int
    text: str
    label: str
    old: str
    new: str


class Comparison(_Answer):
    """Comparison of the new model and the model in use, on test rows that the latter was not trained on.

    Attributes:
        rows: number of test rows compared.
        learned: number of test rows left out because the model in use was trained on them; None if it has no record
            of its training rows, and then no row is left out.
        reason: why accuracy and F1 were not compared; empty if they were.
        confidence: confidence of the intervals, 0..1; both bounds of a 0.9 interval are one-sided bounds of 0.95.
        accuracy: None if there is a reason.
        f1: weighted average of F1; None if there is a reason.
        only_old_right: number of rows that only the model in use gets right.
        only_new_right: number of rows that only the new model gets right.
        worse: rows that only the model in use gets right, at most 50.
    """

    rows: int
    learned: int | None
    reason: str = ""
    confidence: float
    accuracy: AccuracyDifference | None
    f1: Difference | None
    only_old_right: int
    only_new_right: int
    worse: list[WorseRow]


class RowTestPart(_Answer):
    """The test part of a split.

    Two results with the same fingerprint were measured on the same rows. Rows are the same if their texts are equal,
    ignoring case and white space.

    Attributes:
        unit: unit of `count`.
        count: number of test rows.
        fingerprint: hash of the test rows, 16 hexadecimal digits.
        seed: seed of the split; None if a split column decides.
        split: rule of the split: "text", "group column NAME" or "split column NAME".
        duplicates: number of rows, of all, with the text of an earlier row.
        on_both_sides: number of test rows whose text is trained on too; 0 if the text decides.
        labels_without_test_rows: labels of the model that no test row has, and which have no metrics.
        learned_before: number of test rows that the model in use, or one that it was tuned from, was trained on; None
            if one of these models was tuned by an older version, which kept no record.
    """

    unit: Literal["rows"] = "rows"
    count: int
    fingerprint: str
    seed: int | None
    split: str
    duplicates: int
    on_both_sides: int
    labels_without_test_rows: list[str]
    learned_before: int | None


class Prediction(_Answer):
    """Prediction of the new model, loaded as for serving, for a test row.

    Attributes:
        inputs: the text.
        label: the label in the table.
        predicted: the label that the model predicts.
        score: probability of the predicted label, 0..1.
    """

    inputs: str
    label: str
    predicted: str
    score: float


class TrainAnswer(_Answer):
    """Result of a training.

    Attributes:
        model_name: name of the model.
        version: name of the new version, the candidate.
        waiting: folder of the new model.
        labels: labels of the new model, in the order of its outputs.
        old: metrics of the model in use.
        new: metrics of the new model, on the same rows.
        evaluation_intervals: intervals of the metrics of the new model.
        comparison: comparison of both models; None if the model in use cannot classify texts yet.
        compared_with: name of the version in use; None if there was no model yet.
        old_head_is_new: whether the model in use had no head for these labels, so that `old` is that of a random head.
        temperature: number that the new model's outputs were divided by, to make scores probabilities; None if none.
        rows: numbers of rows.
        test_part: the test rows.
        batch_sizes: rows of a batch, by `train` and `test`.
        seconds: wall time of the whole training.
        message: how to put the new model in use.
        predictions: predictions for test rows, as many as were requested.
    """

    model_name: str
    version: str = ""
    waiting: str = ""
    labels: list[str]
    old: Metrics
    new: Metrics
    evaluation_intervals: Intervals
    comparison: Comparison | None
    compared_with: str | None = None
    old_head_is_new: bool
    temperature: float | None = None
    rows: RowCounts
    test_part: RowTestPart
    batch_sizes: dict[str, int]
    seconds: float = 0.0
    message: str
    predictions: list[Prediction] = Field(default_factory=list)


class TakeAnswer(_Answer):
    """The model in use after an override or a rollback.

    Attributes:
        model_name: name of the model.
        in_use: the version in use now.
        previous: the version in use before, which a rollback brings back; None if there was none.
        message: the change in words, with the known difference between the two versions.
    """

    model_name: str
    in_use: str
    previous: str | None
    message: str


class DiscardAnswer(_Answer):
    """A deleted candidate.

    Attributes:
        model_name: name of the model.
        discarded: the version that was the candidate.
        in_use: the version in use, which has not changed; None if there is none.
        message: the change in words.
    """

    model_name: str
    discarded: str
    in_use: str | None
    message: str


class VersionAnswer(_Answer):
    """A version of a model.

    Attributes:
        name: name of the version.
        training: the answer of its training, without `version`, `waiting`, `predictions` and `message`; None if it was
            not trained here.
    """

    name: str
    training: dict[str, Any] | None


Verdict = Literal["better", "worse", "undecided", "unknown"]
"""Difference of two models: certainly better or worse, undecided on these rows, or not known."""


class DifferenceAnswer(_Answer):
    """Difference between the candidate and the model in use.

    Attributes:
        verdict: "worse" candidates are promoted only with `force`.
        sentence: the difference in words.
    """

    verdict: Verdict
    sentence: str


class ModelDetails(_Answer):
    """Versions of a model, with the records of their trainings.

    Attributes:
        model_name: name of the model.
        in_use: the version in use.
        waiting: the candidate, or None.
        previous: the version that a rollback brings back, or None.
        difference: between the candidate and the version in use; None without a candidate.
    """

    model_name: str
    in_use: VersionAnswer
    waiting: VersionAnswer | None
    previous: VersionAnswer | None
    difference: DifferenceAnswer | None


class ArgumentAnswer(_Answer):
    """An argument of a training.

    Attributes:
        name: its name in `transformers.TrainingArguments`.
        default: its default here, as JSON or in words.
        help: its description by transformers.
    """

    name: str
    default: str
    help: str


class ModelAnswer(_Answer):
    """Versions of a model.

    Attributes:
        model_name: name of the model.
        in_use: the version in use; "as downloaded" before the first override.
        folder: folder of the model in use.
        waiting: the candidate, or None.
        previous: the version that a rollback brings back, or None.
    """

    model_name: str
    in_use: str
    folder: str
    waiting: str | None
    previous: str | None
