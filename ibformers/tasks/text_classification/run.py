"""A training: load the model, read rows, evaluate, fine-tune, and evaluate the new model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from transformers import set_seed

from ibformers.registry.store import Version
from ibformers.tasks.text_classification.answers import Prediction, RowCounts, RowTestPart, TrainAnswer
from ibformers.tasks.text_classification.arguments import TrainingSize, check_arguments, training_arguments
from ibformers.tasks.text_classification.batch_size import automatic_batch_sizes
from ibformers.tasks.text_classification.calibration import calibrate
from ibformers.tasks.text_classification.comparison import Evaluation, compare, label_numbers, metric_intervals
from ibformers.tasks.text_classification.dataset import (
    Examples,
    TextFile,
    TokenisedRows,
    read_rows,
)
from ibformers.tasks.text_classification.labels import choose_labels, is_consecutive
from ibformers.tasks.text_classification.learned import LearnedRows
from ibformers.tasks.text_classification.metrics import (
    WEIGHTED,
    classification_metrics,
    expected_calibration_error,
    top_scores,
)
from ibformers.tasks.text_classification.model import (
    TextClassifier,
    check_settings,
    load_classifier,
    load_config,
    load_tokenizer,
    rename_outputs,
)
from ibformers.tasks.text_classification.prediction import check_pipeline, load_pipeline
from ibformers.tasks.text_classification.split import describe_split, hold_out_rows, split_rows, split_rule
from ibformers.tasks.text_classification.texts import check_longest, text_reader
from ibformers.tasks.text_classification.training import (
    Collator,
    check_trainer_arguments,
    cross_entropy,
    fine_tune,
    predict_logits,
)
from ibformers.trainer.hardware import use_all_cores

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray
    from transformers import TrainingArguments

    from ibformers.databases.rows import RowSource
    from ibformers.tasks.text_classification.answers import Comparison
    from ibformers.tasks.text_classification.keys import Keys
    from ibformers.tasks.text_classification.requests import ModelSettings, TrainRequest
    from ibformers.trainer.reporting import Averages, StepReport

SEED = 42
"""Default seed of the split, of new heads and of the order of the rows."""

CANDIDATE_MESSAGE = (
    "The new model waits. Send an override request, {}, to put it in use; without one, the model in use stays."
)

logger = logging.getLogger("ibformers.tuning")


class TrainingRun:
    """A training of one model. The constructor loads the model and checks all arguments before rows are read.

    Args:
        settings: settings of the model.
        request: the rows, and arguments of the training.
        source: folder or hub name of the model to tune.
        work: an empty folder.

    Attributes:
        folder: folder that contains the new model as `model`.

    Raises:
        RequestRefused: an argument is wrong, or the model cannot be loaded.
    """

    def __init__(self, settings: ModelSettings, request: TrainRequest, source: str, work: Path) -> None:
        self._settings = settings
        self._request = request
        self._source = source
        self._checkpoints = str(work / "checkpoints")
        self.folder = work / "version"
        self._checked = check_arguments(request.further)
        check_trainer_arguments(
            training_arguments(self._checked, TrainingSize(1, 1, 1), self._checkpoints), list(self._checked)
        )
        self._seed = int(self._checked.get("seed", SEED))
        self._split_seed = self._seed if request.split_seed is None else request.split_seed
        use_all_cores()
        self._tokenizer = load_tokenizer(source, settings)
        check_settings(settings, load_config(source, settings), trains=True)
        set_seed(self._seed)
        self._old = load_classifier(source, settings, self._tokenizer)
        reader = text_reader(self._old.model, self._tokenizer, source)
        check_longest(self._old.model, reader, source)
        check_pipeline(settings, self._old.model, reader)
        self._learned = LearnedRows.of(source)
        self._max_tokens = reader.max_tokens
        self._collator = Collator(reader)

    def train(self, rows: RowSource, report: StepReport | None, predictions: int) -> TrainAnswer:
        """Train and write the new model, and evaluate both models.

        Args:
            rows: source of the rows.
            report: receives steps and the training curve; None reports to the log only.
            predictions: number of test rows with predictions in the answer.

        Returns:
            The answer, without `version`, `waiting`, `compared_with` and `seconds`.
        """
        logger.info("training %s, which is in %s", self._settings.model_name, self._source)
        with TextFile() as texts:
            data = TokenisedRows(
                self._tokenizer, self._max_tokens, self._request.columns, texts, split_rule(self._request)
            )
            read_rows(rows, self._request, data)
            old, new = self._models(data.names)
            parts = self._split(data, new.labels)
            arguments = self._arguments(parts)
            # The training changes the old model too if the new one starts from the same object.
            in_use = self._evaluate("model in use", old, parts, arguments)
            old_head_is_new, labels = old.head_is_new, new.labels
            temperature = self._tune(new, parts, arguments, report)
            # Trainer leaves its model wrapped in autocast, so the written one is evaluated; only one is in memory.
            del old, new, self._old
            trained = self._evaluate("new model", self._load_trained(labels), parts, arguments)
            answers = trained.numbers(labels)
            return TrainAnswer(
                model_name=self._settings.model_name,
                labels=labels,
                old=in_use.metrics,
                new=trained.metrics,
                evaluation_intervals=metric_intervals(
                    labels, parts.test.labels(), answers, trained.metrics, self._seed
                ),
                comparison=None if old_head_is_new else self._compare(parts, in_use, trained, texts),
                old_head_is_new=old_head_is_new,
                temperature=temperature,
                rows=parts.counts,
                test_part=parts.test_part,
                batch_sizes={
                    "train": arguments.per_device_train_batch_size,
                    "test": arguments.per_device_eval_batch_size,
                },
                message=CANDIDATE_MESSAGE,
                predictions=self._predictions(parts, texts, predictions),
            )

    def _tune(
        self, new: TextClassifier, parts: _Parts, arguments: TrainingArguments, report: StepReport | None
    ) -> float | None:
        """Train and write the new model, and return its temperature."""
        fine_tune(
            new.model,
            arguments,
            parts.train,
            parts.test,
            new.labels,
            self._collator,
            LoggedReport(report),
            ordered=self._has_order(new.labels),
        )
        temperature = calibrate(new.model, parts.held_out, self._collator, arguments.per_device_eval_batch_size)
        new.model.save_pretrained(self.folder / "model")
        self._tokenizer.save_pretrained(str(self.folder / "model"))
        self._learned.with_rows(parts.train_keys).write(self.folder / "model")
        return temperature

    def _load_trained(self, labels: list[str]) -> TextClassifier:
        written = load_classifier(str(self.folder / "model"), self._settings, self._tokenizer)
        return TextClassifier(written.model, labels, head_is_new=False)

    def _compare(self, parts: _Parts, old: Evaluation, new: Evaluation, texts: TextFile) -> Comparison:
        def row(index: int) -> tuple[int, str]:
            number = int(parts.test_rows[index])
            return number + 1, texts[number]

        return compare(parts.labels, parts.test.labels(), old, new, parts.learned, self._seed, row)

    def _models(self, found: list[str]) -> tuple[TextClassifier, TextClassifier]:
        """Return the model in use and the model to train: the same, or one with a head for other labels."""
        known = self._old.known_labels(found)
        old = TextClassifier(self._old.model, known, self._old.head_is_new)
        labels = choose_labels(found, known, self._settings.num_labels)
        unnamed = not old.head_is_new and not known and old.model.config.num_labels == len(labels)
        if known == labels or unnamed:
            # Outputs without names become the labels, in order.
            rename_outputs(old.model.config, labels)
            old = TextClassifier(old.model, labels, head_is_new=False)
            return old, old
        set_seed(self._seed)
        new = load_classifier(self._source, self._settings, self._tokenizer, labels)
        logger.info("the model gets a new head, for the labels %s", ", ".join(labels))
        return (old if known else new), new

    def _split(self, data: TokenisedRows, labels: list[str]) -> _Parts:
        numbers = np.array([labels.index(name) for name in data.names])
        keys, codes = data.keys, numbers[np.array(data.codes)]
        rows = split_rows(keys, data.rule, self._request.p_of_train, self._split_seed)
        rows = hold_out_rows(rows, keys, codes, data.rule, self._learned)
        return _Parts(
            labels=labels,
            train=Examples(data, rows.train, numbers),
            held_out=Examples(data, rows.held_out, numbers),
            test=Examples(data, rows.test, numbers),
            train_keys=keys[rows.train],
            test_rows=rows.test,
            learned=self._learned.among(keys[rows.test]),
            counts=RowCounts(
                read=data.read,
                train=len(rows.train),
                held_out=len(rows.held_out),
                test=len(rows.test),
                skipped=data.skipped,
                truncated=data.truncated,
            ),
            test_part=describe_split(keys, codes, labels, rows, data.rule, self._split_seed, self._learned),
        )

    def _arguments(self, parts: _Parts) -> TrainingArguments:
        train, test = len(parts.train), len(parts.test)
        batch = automatic_batch_sizes(train, test)
        size = TrainingSize(train, batch["train"], batch["test"])
        arguments = training_arguments(self._checked, size, self._checkpoints)
        logger.info(
            "%d rows to learn from in batches of %d, %d rows to test in batches of %d, %g epochs",
            train,
            arguments.per_device_train_batch_size,
            test,
            arguments.per_device_eval_batch_size,
            arguments.num_train_epochs,
        )
        return arguments

    def _has_order(self, labels: list[str]) -> bool:
        if self._request.ordered_labels is None:
            return is_consecutive(labels)
        return self._request.ordered_labels

    def _evaluate(self, title: str, model: TextClassifier, parts: _Parts, arguments: TrainingArguments) -> Evaluation:
        on_device: torch.nn.Module = model.model
        on_device.to(arguments.device)
        logits = predict_logits(model.model, parts.test, self._collator, arguments.per_device_eval_batch_size)
        actual = parts.test.labels()
        loss = cross_entropy(logits, actual) if model.labels == parts.labels else None
        outputs = logits.argmax(axis=1)
        answers = label_numbers(model.labels, parts.labels)[outputs]
        ece = expected_calibration_error(top_scores(logits), answers == actual)
        metrics = classification_metrics(parts.labels, actual, answers, loss, ece)
        logger.info(
            "%s: accuracy %.4f, weighted F1 %.4f, calibration error %.4f on %d test rows",
            title,
            metrics.accuracy,
            metrics.f1[WEIGHTED],
            ece,
            len(parts.test),
        )
        return Evaluation(metrics, model.labels, outputs)

    def _predictions(self, parts: _Parts, texts: TextFile, count: int) -> list[Prediction]:
        """Return predictions of the written model for `count` test rows, one text at a time as in serving."""
        if not count:
            return []
        serving = load_pipeline(self._settings, Version("new", self.folder / "model"))
        found = []
        for row, number in zip(parts.test_rows[:count].tolist(), parts.test.labels()[:count].tolist(), strict=True):
            text = texts[row]
            (best,) = serving(text, top_k=1, truncation=True)
            found.append(
                Prediction(inputs=text, label=parts.labels[number], predicted=best["label"], score=best["score"])
            )
        return found


@dataclass(frozen=True, slots=True)
class _Parts:
    """Both parts of the rows.

    Attributes:
        labels: names of the labels.
        train: examples to train on.
        held_out: examples that the temperature is fitted to; none if there is no temperature.
        test: test examples.
        train_keys: keys of the rows to train on.
        test_rows: indices of the test rows.
        learned: whether the model in use was trained on each test row; None if that is not known.
        counts: numbers of rows.
        test_part: description of the test part.
    """

    labels: list[str]
    train: Examples
    held_out: Examples
    test: Examples
    train_keys: Keys
    test_rows: NDArray[np.int64]
    learned: NDArray[np.bool_] | None
    counts: RowCounts
    test_part: RowTestPart


class LoggedReport:
    """Report that logs the training curve and forwards to another report."""

    def __init__(self, report: StepReport | None) -> None:
        self._report = report
        self._total = 0

    def steps(self, done: int, total: int, epoch: float) -> None:
        self._total = total
        if self._report is not None:
            self._report.steps(done, total, epoch)

    def learning(self, point: dict[str, float]) -> None:
        logger.info(
            "step %d of %d, epoch %.2f: loss %.4f, learning rate %.2g",
            point["step"],
            self._total,
            point["epoch"],
            point["loss"],
            point["learning_rate"],
        )
        if self._report is not None:
            self._report.learning(point)

    def evaluated(self, metrics: Averages) -> None:
        if self._report is not None:
            self._report.evaluated(metrics)
