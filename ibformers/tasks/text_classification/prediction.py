"""Serve the model in use through a transformers pipeline."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

from ibformers.errors import RequestRefused, did_you_mean, first_line
from ibformers.registry.store import ModelStore, Version
from ibformers.tasks.text_classification.requests import CLASSIFICATION, MLRequest, ModelSettings
from ibformers.trainer.threads import let_waiting_threads_sleep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import Pipeline, PretrainedConfig, PreTrainedModel

    from ibformers.tasks.text_classification.texts import TextReader

BATCH = 32
"""Default batch size for a list of texts."""

logger = logging.getLogger("ibformers.tuning")


class Predictor:
    """Answer requests with the model in use. Thread-safe.

    The first request loads the model, and so does the first request after an override or a rollback.

    Args:
        settings: settings of the model.

    Raises:
        RequestRefused: a setting is wrong.
    """

    def __init__(self, settings: ModelSettings | Mapping[str, Any]) -> None:
        self.settings = ModelSettings.of(settings)
        self._store = ModelStore(self.settings.path, self.settings.model_name)
        # Two threads cannot use a fast tokenizer at once, because a call changes its padding.
        self._lock = threading.Lock()
        self._pipeline: Pipeline | None = None
        self._loaded: Version | None = None

    def predict(self, request: MLRequest | Mapping[str, Any]) -> Any:
        """Return the pipeline's answer to a request.

        Returns:
            For a text `[{"label": "1", "score": 0.87}]`, for a list of texts a list with one such object for each. With
            `top_k`, and for other tasks, see the pipeline's documentation.

        Raises:
            RequestRefused: the request or a setting cannot be used.
        """
        asked = MLRequest.of(request)
        with self._lock:
            loaded = self._current()
            self._check(asked)
            from ibformers.trainer.hardware import prediction_threads

            try:
                # Pipelines of other tasks than classification do not choose their threads.
                with prediction_threads():
                    return _run_pipeline(loaded, asked.inputs, asked.further)
            except RequestRefused:
                raise
            except Exception as error:
                raise _request_error(asked, self.settings.task, error) from error

    @property
    def version(self) -> str | None:
        """Name of the loaded version; None before the first request."""
        return self._loaded.name if self._loaded else None

    def _current(self) -> Pipeline:
        version = self._store.in_use()
        if self._pipeline is None or version != self._loaded:
            try:
                self._pipeline = load_pipeline(self.settings, version)
            except (OSError, RequestRefused):
                # Two overrides during the load have removed the folder, and there is a newer version.
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
                raise RequestRefused(f"ML request: inputs[{index}] is {value!r}, which is not a text.", "inputs")
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
        settings: settings of the model; settings that are not in its config are passed to the pipeline.
        version: the version to load; None loads the base model.

    Raises:
        RequestRefused: the model cannot be loaded, or cannot classify texts yet.
    """
    let_waiting_threads_sleep()
    from ibformers.tasks.text_classification.model import (
        check_settings,
        load_classifier,
        load_config,
        load_tokenizer,
        model_source,
    )
    from ibformers.tasks.text_classification.texts import text_reader

    source = model_source(settings, version)
    config = load_config(source, settings)
    name = version.name if version else "its base model"
    logger.info("loading %s (%s)", settings.model_name, name)
    if settings.task not in CLASSIFICATION:
        return _create_pipeline(settings, config, model=source, config=config)
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
    """Return the pipeline of a text classifier.

    Args:
        settings: settings of the model; settings that are not in its config are passed to the pipeline.
        model: the classifier.
        reader: reader of the model.

    Raises:
        RequestRefused: the pipeline rejects a setting.
    """
    from ibformers.tasks.text_classification.pipeline import ClassifierPipeline

    parts = {"model": model, "tokenizer": reader.tokenizer, "pipeline_class": ClassifierPipeline}
    made = _create_pipeline(settings, model.config, **parts)
    assert isinstance(made, ClassifierPipeline)  # noqa: S101 - pipeline_class is its class
    made.reader = reader
    return made


def check_pipeline(settings: ModelSettings, model: PreTrainedModel, reader: TextReader) -> None:
    """Try the pipeline with these settings, so that a wrong setting is refused before a training.

    Raises:
        RequestRefused: the pipeline rejects a setting.
    """
    pipeline = classifier_pipeline(settings, model, reader)
    try:
        pipeline("a text")
    except RequestRefused:
        raise
    except Exception as error:  # noqa: BLE001 - tokenizers and models of others raise any class
        raise _pipeline_error(settings, settings.further, error) from None
    finally:
        # The pipeline has moved the model to a GPU, if there is one.
        model.cpu()


def _create_pipeline(settings: ModelSettings, model_config: PretrainedConfig, **parts: Any) -> Pipeline:
    import transformers

    from ibformers.tasks.text_classification.model import config_settings

    own = config_settings(settings, model_config)
    further = {name: value for name, value in settings.further.items() if name not in own}
    # The overloads of `pipeline` need a task that is known to the type checker.
    create: Any = transformers.pipeline
    try:
        pipeline: Pipeline = create(settings.task, **parts, **further)
    except Exception as error:  # noqa: BLE001 - pipelines of other tasks raise any class
        raise _pipeline_error(settings, further, error) from None
    return pipeline


def _pipeline_error(settings: ModelSettings, further: Mapping[str, Any], error: Exception) -> RequestRefused:
    names = ", ".join(sorted({"task", *further}))
    return RequestRefused(
        f"The pipeline of {settings.model_name} cannot be created with the settings {names}: {first_line(error)}",
        "task",
    )


def _run_pipeline(loaded: Pipeline, inputs: Any, further: dict[str, Any]) -> Any:
    if inputs == []:
        return []
    if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
        return loaded(inputs, **further)
    further = {"batch_size": BATCH} | further
    # Batches of texts of similar length need little padding.
    order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
    answers = loaded([inputs[index] for index in order], **further)
    placed: list[Any] = [None] * len(inputs)
    for index, answer in zip(order, answers, strict=True):
        placed[index] = answer
    return placed


def _request_error(asked: MLRequest, task: str, error: Exception) -> RequestRefused:
    names = ", ".join(["inputs", *sorted(asked.further)])
    return RequestRefused(
        f"ML request: the pipeline of {task} cannot answer it with its fields {names}: {first_line(error)}", "inputs"
    )
