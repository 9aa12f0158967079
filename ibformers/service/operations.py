"""Train, override, roll back: what can be done to a model, from rows of a database. Imports nothing heavy by itself."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from ibformers.errors import ModelIsWorse, RequestRefused
from ibformers.registry.store import ModelStore
from ibformers.tasks.text_classification.answers import (
    ModelAnswer,
    TakeAnswer,
    TrainAnswer,
)
from ibformers.tasks.text_classification.promotion import Known, known_difference
from ibformers.tasks.text_classification.requests import (
    CLASSIFICATION,
    ModelSettings,
    OverrideRequest,
    TrainRequest,
)
from ibformers.trainer.threads import let_waiting_threads_sleep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ibformers.databases.rows import RowSource
    from ibformers.registry.store import Version
    from ibformers.trainer.reporting import StepReport

RECORD = "training.json"
"""The answer of a training, beside the model."""

logger = logging.getLogger("ibformers.tuning")


class Tuning:
    """Tunes one model.

    Args:
        settings: of the model.
        rows: where rows come from.

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
        """Fine-tune a copy of the model in use, measure both on the same rows, and let the new one wait.

        Args:
            request: which rows, and how.
            report: told of steps and the training curve, beside the log.
            predictions: of so many test rows the answer has the text and what the new model says.

        Raises:
            RequestRefused: the request or a setting is wrong, or the training diverged.
            DatabaseUnavailable: the rows cannot be read.
            ModelBusy: another training of this model goes on.
        """
        asked = TrainRequest.of(request)
        if self.settings.task not in CLASSIFICATION:
            raise RequestRefused(
                f"Setting task: {self.settings.task} can be served but not trained; for training it must be "
                f"{' or '.join(CLASSIFICATION)}.",
                "task",
            )
        let_waiting_threads_sleep()
        from ibformers.tasks.text_classification.model import copy_model, source_of
        from ibformers.tasks.text_classification.run import Run

        started = time.monotonic()
        with self.store.training() as work:
            in_use = self.store.in_use()
            source = source_of(self.settings, in_use)
            run = Run(self.settings, asked, source, work)
            trained = run.train(self.rows, report, predictions)
            seconds = round(time.monotonic() - started, 1)
            compared_with = in_use.name if in_use else None
            record = trained.model_copy(update={"seconds": seconds, "compared_with": compared_with})
            kept = record.model_dump(mode="json", exclude={"version", "waiting", "predictions", "message"})
            (run.folder / RECORD).write_text(json.dumps(kept, indent=1), encoding="utf-8")
            if self.store.in_use() is None:
                self.store.install(copy_model(source, work / "base"))
            version = self.store.offer(run.folder)
        logger.info("the new model waits in %s", version.folder)
        return record.model_copy(update={"version": version.name, "waiting": str(version.folder)})

    def override(self, request: OverrideRequest | Mapping[str, Any] | None = None) -> TakeAnswer:
        """Let the model that waits take the place of the one in use, which is kept.

        Raises:
            NoCandidate: none waits: train first.
            ModelIsWorse: it is certainly worse than the one in use, and the request has no `force`.
            RequestRefused: the request has a wrong field.
        """
        asked = OverrideRequest.of({} if request is None else request)
        name, known = self.settings.model_name, Known("")

        def look(version: Version, in_use: Version | None) -> None:
            nonlocal known
            known = known_difference(_record(version), in_use.name if in_use else None)
            if known.certainly_worse and not asked.force:
                raise ModelIsWorse(
                    f"{name} stays as it is: version {version.name}, which waits, is certainly worse. "
                    f'{known.sentence} To take it all the same, send an override request with "force": true '
                    "(--force on the command line).",
                    "force",
                )

        return taken(name, *self.store.override(look), known)

    def rollback(self) -> TakeAnswer:
        """Bring back the model that the one in use took the place of; a second rollback undoes the first.

        Raises:
            NoCandidate: no model was replaced yet.
        """
        return taken(self.settings.model_name, *self.store.rollback())


def taken(model_name: str, version: Version, before: Version | None, known: Known | None = None) -> TakeAnswer:
    """Answer, and tell the log, that a version is in use now, and how it differs from the one before."""
    message = f"{model_name} is now version {version.name}" + (f", before it was {before.name}." if before else ".")
    if known is not None and before is not None:
        message += f" {known.sentence}"
    logger.info("%s", message)
    return TakeAnswer(
        model_name=model_name, in_use=version.name, previous=before.name if before else None, message=message
    )


def _record(version: Version) -> dict[str, Any]:
    """Read how a version was trained; empty where that cannot be read."""
    try:
        found = json.loads((version.folder.parent / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def list_models(path: Path) -> list[ModelAnswer]:
    """List the models of a folder, in the order of their names.

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
        waiting, previous = store.waiting(), store.previous()
        answers.append(
            ModelAnswer(
                model_name=name,
                in_use=current.name,
                folder=str(path / name),
                waiting=waiting.name if waiting else None,
                previous=previous.name if previous else None,
            )
        )
    return answers
