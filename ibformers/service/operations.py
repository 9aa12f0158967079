"""Operations on one model: train, override, roll back. Importing this module imports nothing heavy."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from ibformers.errors import ModelChanged, RequestRefused
from ibformers.registry.store import TRAINING_RECORD, ModelStore
from ibformers.tasks.text_classification.answers import (
    DifferenceAnswer,
    DiscardAnswer,
    ModelAnswer,
    ModelDetails,
    TakeAnswer,
    TrainAnswer,
    VersionAnswer,
)
from ibformers.tasks.text_classification.promotion import KnownDifference, check_not_worse, known_difference
from ibformers.tasks.text_classification.requests import (
    CLASSIFICATION,
    DiscardRequest,
    ModelSettings,
    OverrideRequest,
    RollbackRequest,
    TrainRequest,
)
from ibformers.trainer.threads import let_waiting_threads_sleep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ibformers.databases.rows import RowSource
    from ibformers.registry.store import Version
    from ibformers.trainer.reporting import StepReport

logger = logging.getLogger("ibformers.tuning")


class Tuning:
    """Train, override and roll back one model.

    Args:
        settings: settings of the model.
        rows: source of the rows to train on.

    Raises:
        RequestRefused: a setting is wrong.
    """

    def __init__(self, settings: ModelSettings | Mapping[str, Any], rows: RowSource) -> None:
        self.settings = ModelSettings.of(settings)
        self.rows = rows
        self.store = ModelStore(self.settings.path, self.settings.model_name)

    def train(
        self,
        request: TrainRequest | Mapping[str, Any],
        *,
        report: StepReport | None = None,
        predictions: int = 0,
    ) -> TrainAnswer:
        """Fine-tune a copy of the model in use, measure both on the same rows, and make the new model the candidate.

        Args:
            request: the rows, and arguments of the training.
            report: receives steps and the training curve, in addition to the log. None reports to the log only.
            predictions: number of test rows that the answer has the text and the new model's prediction of.

        Raises:
            RequestRefused: the request or a setting is wrong, or the training diverged.
            DatabaseUnavailable: the rows cannot be read.
            ModelBusy: another training of this model is running.
        """
        asked = self._train_request(request)
        let_waiting_threads_sleep()
        from ibformers.tasks.text_classification.model import copy_model, model_source
        from ibformers.tasks.text_classification.run import TrainingRun

        started = time.monotonic()
        with self.store.training() as work:
            in_use = self.store.in_use()
            source = model_source(self.settings, in_use)
            run = TrainingRun(self.settings, asked, source, work)
            trained = run.train(self.rows, report, predictions)
            seconds = round(time.monotonic() - started, 1)
            compared_with = in_use.name if in_use else None
            record = trained.model_copy(update={"seconds": seconds, "compared_with": compared_with})
            kept = record.model_dump(mode="json", exclude={"version", "waiting", "predictions", "message"})
            (run.folder / TRAINING_RECORD).write_text(json.dumps(kept, indent=1), encoding="utf-8")
            if self.store.in_use() is None:
                self.store.install(copy_model(source, work / "base"))
            version = self.store.stage(run.folder)
        logger.info("the new model waits in %s", version.folder)
        return record.model_copy(update={"version": version.name, "waiting": str(version.folder)})

    def check(self, request: TrainRequest | Mapping[str, Any]) -> None:
        """Check a train request, its arguments, and that there is a model to tune; load and read nothing.

        Raises:
            RequestRefused: the request is one that :meth:`train` would refuse.
        """
        asked = self._train_request(request)
        from ibformers.tasks.text_classification.arguments import check_arguments
        from ibformers.tasks.text_classification.model import model_source

        check_arguments(asked.further)
        model_source(self.settings, self.store.in_use())

    def override(self, request: OverrideRequest | Mapping[str, Any] | None = None) -> TakeAnswer:
        """Put the candidate in use; the model that it replaces is kept for a rollback.

        Raises:
            NoCandidate: there is no candidate: train first.
            ModelChanged: another version is in use, or is the candidate, than the request expects.
            ModelIsWorse: the candidate is certainly worse than the model in use, and the request has no `force`.
            RequestRefused: the request has a wrong field.
        """
        asked = OverrideRequest.of({} if request is None else request)
        name, known = self.settings.model_name, KnownDifference("")

        def check(candidate: Version, in_use: Version | None) -> None:
            nonlocal known
            _check_expected(name, "expected_in_use", asked.expected_in_use, in_use)
            _check_expected(name, "expected_candidate", asked.expected_candidate, candidate)
            known = check_not_worse(
                name,
                f"version {candidate.name}, which waits,",
                _training_record(candidate),
                in_use,
                'To put it in use all the same, send an override request with "force": true (command line: --force).',
                force=asked.force,
            )

        version, before = self.store.promote(check)
        return promotion_answer(name, version, before, known)

    def rollback(self, request: RollbackRequest | Mapping[str, Any] | None = None) -> TakeAnswer:
        """Put the previous version in use; a second rollback undoes the first.

        Raises:
            NoCandidate: there is no previous version.
            ModelChanged: another version is in use than the request expects.
            RequestRefused: the request has a wrong field.
        """
        asked = RollbackRequest.of({} if request is None else request)
        name = self.settings.model_name

        def check(_previous: Version, in_use: Version | None) -> None:
            _check_expected(name, "expected_in_use", asked.expected_in_use, in_use)

        return promotion_answer(name, *self.store.rollback(check))

    def discard(self, request: DiscardRequest | Mapping[str, Any] | None = None) -> DiscardAnswer:
        """Delete the candidate; the model in use stays as it is.

        Raises:
            NoCandidate: there is no candidate.
            ModelChanged: another version is the candidate than the request expects.
            RequestRefused: the request has a wrong field.
        """
        asked = DiscardRequest.of({} if request is None else request)
        name = self.settings.model_name

        def check(candidate: Version, _in_use: Version | None) -> None:
            _check_expected(name, "expected_candidate", asked.expected_candidate, candidate)

        discarded, in_use = self.store.discard(check), self.store.in_use()
        message = f"Version {discarded.name} of {name}, which waited, is deleted."
        logger.info("%s", message)
        return DiscardAnswer(
            model_name=name, discarded=discarded.name, in_use=in_use.name if in_use else None, message=message
        )

    def _train_request(self, request: TrainRequest | Mapping[str, Any]) -> TrainRequest:
        asked = TrainRequest.of(request)
        if self.settings.task not in CLASSIFICATION:
            raise RequestRefused(
                f"Setting task: {self.settings.task} can be served but not trained; for training it must be "
                f"{' or '.join(CLASSIFICATION)}.",
                "task",
            )
        return asked

    def show(self) -> ModelDetails:
        """Return the versions of the model, with the records of their trainings.

        Raises:
            RequestRefused: there is no such model.
        """
        name, in_use = self.settings.model_name, self.store.in_use()
        if in_use is None:
            raise RequestRefused(
                f"Setting model_name: there is no model {name}: send a train request first.", "model_name"
            )
        candidate, previous = self.store.candidate(), self.store.previous()
        difference = None
        if candidate is not None:
            known = known_difference(_training_record(candidate), in_use.name)
            difference = DifferenceAnswer(verdict=known.verdict, sentence=known.sentence)
        return ModelDetails(
            model_name=name,
            in_use=_version_answer(in_use),
            waiting=_version_answer(candidate) if candidate else None,
            previous=_version_answer(previous) if previous else None,
            difference=difference,
        )


def promotion_answer(
    model_name: str, version: Version, before: Version | None, known: KnownDifference | None = None
) -> TakeAnswer:
    """Log and return which version is in use now.

    Args:
        model_name: name of the model.
        version: the version in use now.
        before: the version in use before; None if there was none.
        known: the known difference between the two; None leaves it out of the message.
    """
    message = f"{model_name} is now version {version.name}" + (f", before it was {before.name}." if before else ".")
    if known is not None and before is not None:
        message += f" {known.sentence}"
    logger.info("%s", message)
    return TakeAnswer(
        model_name=model_name, in_use=version.name, previous=before.name if before else None, message=message
    )


def _check_expected(model_name: str, field: str, expected: str | None, found: Version | None) -> None:
    """Raise ModelChanged if a request expects another version than `found`."""
    name = found.name if found else None
    if expected is not None and expected != name:
        what = "to be in use" if field == "expected_in_use" else "to wait"
        raise ModelChanged(
            f"{model_name} stays as it is: version {expected} was expected {what}, but it is {name or 'no version'} by "
            "now: look at the versions again, then decide.",
            field,
        )


def _version_answer(version: Version) -> VersionAnswer:
    return VersionAnswer(name=version.name, training=_training_record(version) or None)


def _training_record(version: Version) -> dict[str, Any]:
    """Return the training record of a version; empty if it cannot be read."""
    try:
        found = json.loads((version.folder.parent / TRAINING_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def settings_with_path(models: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's settings, with an environment's folder of models as `path`.

    Raises:
        RequestRefused: the settings have a `path` already.
    """
    if "path" in settings:
        raise RequestRefused("Setting path: the environment has its own folder of models: leave it out.", "path")
    return {**settings, "path": str(models)}


def list_models(path: Path) -> list[ModelAnswer]:
    """Return the models of a folder, sorted by name.

    Raises:
        RequestRefused: there is no such folder.
    """
    if not path.is_dir():
        raise RequestRefused(f"Setting path: there is no folder {path}.", "path")
    answers = []
    for name in sorted(entry.name for entry in path.iterdir() if not entry.name.startswith(".")):
        store = ModelStore(path, name)
        if (current := store.in_use()) is None:
            continue
        candidate, previous = store.candidate(), store.previous()
        answers.append(
            ModelAnswer(
                model_name=name,
                in_use=current.name,
                folder=str(path / name),
                waiting=candidate.name if candidate else None,
                previous=previous.name if previous else None,
            )
        )
    return answers
