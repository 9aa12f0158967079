"""Serves the model in use through the transformers pipeline, and notices when another takes its place."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

from ibformers.errors import RequestRefused, did_you_mean, first_line
from ibformers.registry.store import ModelStore, Version
from ibformers.tasks.text_classification.requests import (
    CLASSIFICATION,
    MLRequest,
    ModelSettings,
)
from ibformers.trainer.threads import let_waiting_threads_sleep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import Pipeline, PreTrainedModel

    from ibformers.tasks.text_classification.texts import TextReader

BATCH = 32
"""Texts of a list that are read at once, unless the request says `batch_size`."""

logger = logging.getLogger("ibformers.tuning")


class Predictor:
    """Answers requests with one model; as many as memory allows can be there at once. May be used by many threads.

    The model is loaded by the first request, and again when an override or a rollback put another in its place.

    Args:
        settings: of the model.

    Raises:
        RequestRefused: a setting is wrong.
    """

    def __init__(self, settings: ModelSettings | Mapping[str, Any]) -> None:
        self.settings = ModelSettings.of(settings)
        self._store = ModelStore(self.settings.path, self.settings.model_name)
        # A fast tokenizer cannot be used by two threads at once, since a call changes its padding.
        self._lock = threading.Lock()
        self._pipeline: Pipeline | None = None
        self._loaded: Version | None = None

    def predict(self, request: MLRequest | Mapping[str, Any]) -> Any:
        """Answer a request with what the pipeline says.

        Returns:
            For a text `[{"label": "1", "score": 0.87}]`, for a list of texts a list with one such object for each; with
            `top_k`, and for other tasks, what the pipeline's documentation says.

        Raises:
            RequestRefused: the request, or a setting, cannot be used.
        """
        asked = MLRequest.of(request)
        with self._lock:
            loaded = self._current()
            self._check(asked)
            from ibformers.trainer.hardware import prediction_threads

            try:
                with prediction_threads():
                    return _ask(loaded, asked.inputs, asked.further)
            except RequestRefused:
                raise
            except Exception as error:
                raise _refused(asked, self.settings.task, error) from error

    @property
    def version(self) -> str | None:
        """Name of the version that answered last, or None before the first request."""
        return self._loaded.name if self._loaded else None

    def _current(self) -> Pipeline:
        version = self._store.in_use()
        if self._pipeline is None or version != self._loaded:
            try:
                self._pipeline = load_pipeline(self.settings, version)
            except (OSError, RequestRefused):
                # Two overrides while it was being loaded: the folder is gone, and there is a newer one.
                if version == self._store.in_use():
                    raise
                version = self._store.in_use()
                self._pipeline = load_pipeline(self.settings, version)
            self._loaded = version
        return self._pipeline

    def _check(self, asked: MLRequest) -> None:
        if self.settings.task not in CLASSIFICATION:
            return
        from ibformers.tasks.text_classification.model import CALL_ARGUMENTS

        listed = asked.inputs if isinstance(asked.inputs, list) else []
        for index, value in enumerate(listed):
            if not isinstance(value, str | dict | list):
                raise RequestRefused(f"ML request: inputs[{index}] is {value!r}, which is no text.", "inputs")
        for name in asked.further:
            if name not in CALL_ARGUMENTS:
                raise RequestRefused(
                    f"ML request: {name} is neither a field of it nor an argument of the pipeline"
                    f"{did_you_mean(name, CALL_ARGUMENTS)}.",
                    name,
                )


def as_json(answer: Any) -> Any:
    """Return a pipeline's answer with the types of JSON; numbers of NumPy become plain numbers."""
    return json.loads(
        json.dumps(answer, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value))
    )


def load_pipeline(settings: ModelSettings, version: Version | None) -> Pipeline:
    """Load a model into the pipeline of its task.

    Args:
        settings: of the model; those that are none of its config are handed to the pipeline.
        version: the version to load; None is what the model starts from.

    Raises:
        RequestRefused: it cannot be loaded, or has no head yet for classification.
    """
    let_waiting_threads_sleep()
    from ibformers.tasks.text_classification.model import (
        check_settings,
        config_settings,
        load_classifier,
        load_config,
        load_tokenizer,
        model_source,
    )
    from ibformers.tasks.text_classification.texts import text_reader

    source = model_source(settings, version)
    config = load_config(source, settings)
    name = version.name if version else "what it starts from"
    logger.info("loading %s (%s)", settings.model_name, name)
    if settings.task not in CLASSIFICATION:
        own = config_settings(settings, config)
        further = {name: value for name, value in settings.further.items() if name not in own}
        return _make(settings, further, model=source, config=config)
    tokenizer = load_tokenizer(source, settings)
    check_settings(settings, config)
    classifier = load_classifier(source, settings, tokenizer)
    if classifier.head_is_new:
        raise RequestRefused(
            f"{settings.model_name} has not learned to classify texts yet, so its answers would be random: "
            "send a train request, then an override request.",
            "model_name",
        )
    return classifier_pipeline(
        settings, classifier.model, text_reader(classifier.model, tokenizer, settings.model_name)
    )


def classifier_pipeline(settings: ModelSettings, model: PreTrainedModel, reader: TextReader) -> Pipeline:
    """Make the pipeline of a text classifier.

    Args:
        settings: of the model; those that are none of its config are handed to the pipeline.
        model: the classifier.
        reader: how it reads texts.

    Raises:
        RequestRefused: the pipeline does not take a setting.
    """
    from ibformers.tasks.text_classification.model import config_settings
    from ibformers.tasks.text_classification.pipeline import ClassifierPipeline

    own = config_settings(settings, model.config)
    further = {name: value for name, value in settings.further.items() if name not in own}
    made = _make(settings, further, model=model, tokenizer=reader.tokenizer, pipeline_class=ClassifierPipeline)
    assert isinstance(made, ClassifierPipeline)  # noqa: S101 - it is of the class that was asked for
    made.reader = reader
    return made


def check_pipeline(settings: ModelSettings, model: PreTrainedModel, reader: TextReader) -> None:
    """Ask a pipeline with these settings for an answer, whatever it is: what it refuses is refused before a training.

    Raises:
        RequestRefused: the pipeline does not take a setting.
    """
    pipeline = classifier_pipeline(settings, model, reader)
    try:
        pipeline("a text")
    except RequestRefused:
        raise
    except Exception as error:  # noqa: BLE001 - a pipeline raises whatever its tokenizer and model raise
        raise _unmade(settings, settings.further, error) from None
    finally:
        # The pipeline takes the model to a GPU where there is one; it is measured where it is loaded.
        model.cpu()


def _make(settings: ModelSettings, further: dict[str, Any], **parts: Any) -> Pipeline:
    import transformers

    # Its overloads name every task; a task is known only at run time here.
    make: Any = transformers.pipeline
    try:
        made: Pipeline = make(settings.task, **parts, **further)
    except Exception as error:  # noqa: BLE001 - pipelines of all tasks fail in any way
        raise _unmade(settings, further, error) from None
    return made


def _unmade(settings: ModelSettings, further: Mapping[str, Any], error: Exception) -> RequestRefused:
    names = ", ".join(sorted({"task", *further}))
    return RequestRefused(
        f"The pipeline of {settings.model_name} cannot be made with the settings {names}: {first_line(error)}", "task"
    )


def _ask(loaded: Pipeline, inputs: Any, further: dict[str, Any]) -> Any:
    if inputs == []:
        return []
    if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
        return loaded(inputs, **further)
    further = {"batch_size": BATCH} | further
    # Texts of similar length side by side need little padding.
    order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
    answers = loaded([inputs[index] for index in order], **further)
    placed: list[Any] = [None] * len(inputs)
    for index, answer in zip(order, answers, strict=True):
        placed[index] = answer
    return placed


def _refused(asked: MLRequest, task: str, error: Exception) -> RequestRefused:
    names = ", ".join(["inputs", *sorted(asked.further)])
    return RequestRefused(
        f"ML request: the pipeline of {task} cannot answer it with its fields {names}: {first_line(error)}", "inputs"
    )
