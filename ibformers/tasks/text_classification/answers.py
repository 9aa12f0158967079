"""What the operations answer. Each can be written as JSON by `model_dump(mode="json")`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MIN_ROWS = 30
"""Fewer compared rows than this do not show that a model is as good as another."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Metrics(_Answer):
    """How good a model is on the test rows; the definitions are those of scikit-learn, for the labels that these have.

    Attributes:
        accuracy: share of the rows with the right label.
        loss: mean cross entropy; None where the model does not know all labels.
        precision: per label, and `macro avg` and `weighted avg`.
        recall: the same.
        f1: the same.
        support: test rows per label.
    """

    accuracy: float
    loss: float | None
    precision: dict[str, float]
    recall: dict[str, float]
    f1: dict[str, float]
    support: dict[str, int]


class RowCounts(_Answer):
    """Rows of a training.

    Attributes:
        read: rows that the database gave.
        train: rows that were learned from.
        test: rows that both models were measured on.
        skipped: rows without a label or a text.
        truncated: rows with more tokens than the model reads.
    """

    read: int
    train: int
    test: int
    skipped: int
    truncated: int


Interval = tuple[float, float]
"""Lower and upper end."""


class Intervals(_Answer):
    """The two-sided 95 % interval of each metric: what other rows of the same kind might give.

    Wilson intervals for what is a share of rows (accuracy, precision and recall of a label, and the weighted average
    of recall, which is the accuracy); bootstrap over the test rows for F1 and the other averages. A label of which
    nothing can be said is left out, as the precision of a label that is never predicted.

    Attributes:
        accuracy: of the accuracy.
        precision: per label, and `macro avg` and `weighted avg`.
        recall: the same.
        f1: the same.
    """

    accuracy: Interval
    precision: dict[str, Interval]
    recall: dict[str, Interval]
    f1: dict[str, Interval]


class Difference(_Answer):
    """A metric of both models on the same rows, and the interval of its difference by a paired bootstrap.

    Attributes:
        old: of the model in use.
        new: of the new model.
        difference: new minus old.
        low: lower end of the difference's interval.
        high: upper end.
    """

    old: float
    new: float
    difference: float
    low: float
    high: float


class AccuracyDifference(Difference):
    """Accuracy of both models.

    Attributes:
        p_value: of McNemar's exact test, two-sided: how likely such a difference, or a bigger one, is between models
            that are equally good.
    """

    p_value: float


class WorseRow(_Answer):
    """A test row that the model in use gets right and the new model gets wrong.

    Attributes:
        row: number of the row among those with a label and a text, from 1, in the order in which they were read.
        text: at most 200 characters of its text.
        label: the right label.
        old: answer of the model in use.
        new: answer of the new model.
    """

    row: int
    text: str
    label: str
    old: str
    new: str


class Comparison(_Answer):
    """The new model beside the model in use, on the test rows that the latter has not learned.

    Attributes:
        rows: test rows that were compared.
        learned: test rows left out, since the model in use had learned them; None where nobody knows, since no record
            was kept of what it learned, and then no row is left out.
        reason: why accuracy and F1 were not compared; empty where they were.
        confidence: of the intervals; the two ends of one of 0.9 are one-sided bounds of 0.95.
        accuracy: None where there is a reason.
        f1: the weighted average; None where there is a reason.
        only_old_right: rows that only the model in use gets right.
        only_new_right: rows that only the new model gets right.
        worse: rows that only the model in use gets right; where there are more than 50, any 50 of them.
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
    """The rows that test, and what their metrics stand on.

    Two results with the same fingerprint were measured on the same rows. Rows are the same where their texts are, but
    for case and white space.

    Attributes:
        unit: what is counted.
        count: rows that test.
        fingerprint: 16 hexadecimal digits that stand for exactly these rows.
        seed: of the split; None where a split column names the sides.
        split: what decides on which side a row is: "text", "group column NAME" or "split column NAME".
        duplicates: of all rows, those whose text another row before them has.
        on_both_sides: test rows whose text is learned from too; there are none where the text decides.
        labels_without_test_rows: labels of the model that no test row has, so that there are no metrics of them.
        learned_before: test rows that the model in use, or one that it was tuned from, has learned; None where that is
            not known, since one of them was tuned by an older version, which kept no record.
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
    """What the new model, loaded as it will be served, says about a row of the test rows.

    Attributes:
        inputs: the text.
        label: the label in the table.
        predicted: the label that the model gives.
        score: its probability.
    """

    inputs: str
    label: str
    predicted: str
    score: float


class TrainAnswer(_Answer):
    """How a training went.

    Attributes:
        model_name: the model.
        version: name of the new version, which waits.
        waiting: the folder of the new model.
        labels: the labels that it tells apart, in the order of its outputs.
        old: metrics of the model in use.
        new: metrics of the new model, on the same rows.
        evaluation_intervals: of the metrics of the new model.
        comparison: of both; None where the model in use has not learned to classify, so that there is nothing to
            compare with.
        compared_with: name of the version in use that it was compared with; None where there was no model yet.
        old_head_is_new: the model in use had no head for these labels, so its metrics are those of a random one.
        rows: how many rows.
        test_part: which rows tested.
        batch_sizes: rows of a batch in training and in evaluation.
        seconds: wall time of all.
        message: what to send to take the new model.
        predictions: of test rows; as many as were asked for.
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
    rows: RowCounts
    test_part: RowTestPart
    batch_sizes: dict[str, int]
    seconds: float = 0.0
    message: str
    predictions: list[Prediction] = Field(default_factory=list)


class TakeAnswer(_Answer):
    """Which model is in use now, after an override or a rollback.

    Attributes:
        model_name: the model.
        in_use: the version that is in use now.
        previous: the version that was in use before, which a rollback brings back.
        message: the same in words, and what the training knows of the difference between the two.
    """

    model_name: str
    in_use: str
    previous: str | None
    message: str


class ModelAnswer(_Answer):
    """What there is of a model.

    Attributes:
        model_name: the model.
        in_use: version in use; "as downloaded" for a folder that no override has touched.
        folder: where it is.
        waiting: the version that waits for an override.
        previous: the version that a rollback brings back.
    """

    model_name: str
    in_use: str
    folder: str
    waiting: str | None
    previous: str | None
