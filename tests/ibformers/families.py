"""Tiny models with random weights, one of each family, with tokenizers of a few words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

WORDS = "film number 0 1 2 3 4 5 6 7 8 9 was awful dull poor great lovely superb and so good"
POSITIONS = 64
"""Tokens that the models with a limit read."""

_SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
_BERT = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
_ROBERTA = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


def write_family(name: str, folder: Path) -> Path:
    """Write the model of a family into a folder."""
    from ibformers.trainer.threads import let_waiting_threads_sleep

    let_waiting_threads_sleep()
    import torch

    torch.manual_seed(1)
    FAMILIES[name](folder)
    return folder


def _save(folder: Path, model: PreTrainedModel, tokenizer: Tokenizer, **config: Any) -> None:
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _word_pieces(special: list[str], unknown: str) -> Tokenizer:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([WORDS] * 20, trainer)
    return tokenizer


def _byte_pairs(special: list[str]) -> Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=350, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([WORDS] * 20, trainer)
    return tokenizer


def _pieces(special: list[str]) -> list[tuple[str, float]]:
    """Return the vocabulary of a Unigram tokenizer, in which special tokens are pieces like any other."""
    words = [(f"▁{word}", -3.0) for word in WORDS.split()]
    letters = [(letter, -6.0) for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    return [(token, 0.0) for token in special] + words + [("▁", -4.0)] + letters


def _bert_words() -> Tokenizer:
    from tokenizers import processors

    tokenizer = _word_pieces(list(_BERT.values()), "[UNK]")
    template = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=template)
    return tokenizer


def _bert(folder: Path, **settings: Any) -> None:
    from transformers import BertConfig, BertModel

    tokenizer = _bert_words()
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=POSITIONS, **_SMALL)
    _save(folder, BertModel(config), tokenizer, **_BERT, **settings)


def _roberta_bytes() -> Tokenizer:
    from tokenizers import processors

    tokenizer = _byte_pairs(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def _roberta(folder: Path) -> None:
    from transformers import RobertaConfig, RobertaModel

    tokenizer = _roberta_bytes()
    config = RobertaConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=POSITIONS + 2, **_SMALL)
    _save(folder, RobertaModel(config), tokenizer, **_ROBERTA)


def _mpnet(folder: Path) -> None:
    from tokenizers import processors
    from transformers import MPNetConfig, MPNetModel

    tokenizer = _word_pieces(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<unk>")
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    config = MPNetConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=POSITIONS + 2, **_SMALL)
    _save(folder, MPNetModel(config), tokenizer, **_ROBERTA)


def _gpt2(folder: Path) -> None:
    from transformers import GPT2Config, GPT2Model

    tokenizer, end = _byte_pairs(["<|endoftext|>"]), "<|endoftext|>"
    size = tokenizer.get_vocab_size()
    config = GPT2Config(
        vocab_size=size, n_embd=32, n_layer=1, n_head=2, n_positions=POSITIONS, bos_token_id=0, eos_token_id=0
    )
    _save(folder, GPT2Model(config), tokenizer, eos_token=end, unk_token=end, padding_side="left")


def _bloom(folder: Path) -> None:
    from transformers import BloomConfig, BloomModel

    tokenizer = _byte_pairs(["<unk>", "<s>", "</s>", "<pad>"])
    config = BloomConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=32, n_layer=1, n_head=2)
    _save(folder, BloomModel(config), tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


def _xlnet(folder: Path) -> None:
    from transformers import XLNetConfig, XLNetModel, XLNetTokenizer

    special = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eop>", "<eod>"]
    tokenizer = XLNetTokenizer(vocab=_pieces(special))
    config = XLNetConfig(vocab_size=len(tokenizer), d_model=32, n_layer=1, n_head=2, d_inner=64)
    XLNetModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _t5(folder: Path) -> None:
    from transformers import T5Config, T5Model, T5Tokenizer

    tokenizer = T5Tokenizer(vocab=_pieces(["<pad>", "</s>", "<unk>"]), extra_ids=2)
    config = T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2)
    T5Model(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _bart(folder: Path) -> None:
    from transformers import BartConfig, BartModel

    tokenizer = _roberta_bytes()
    config = BartConfig(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=POSITIONS,
    )
    _save(folder, BartModel(config), tokenizer, **_ROBERTA)


def _deberta(folder: Path) -> None:
    from transformers import DebertaV2Config, DebertaV2Model

    tokenizer = _bert_words()
    config = DebertaV2Config(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=POSITIONS,
        relative_attention=True,
        position_biased_input=False,
        pos_att_type=["p2c", "c2p"],
        **_SMALL,
    )
    _save(folder, DebertaV2Model(config), tokenizer, **_BERT)


def _modernbert(folder: Path) -> None:
    from transformers import ModernBertConfig, ModernBertModel

    tokenizer = _bert_words()
    config = ModernBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=POSITIONS,
        pad_token_id=0,
        cls_token_id=2,
        sep_token_id=3,
        bos_token_id=2,
        eos_token_id=3,
        **_SMALL,
    )
    _save(folder, ModernBertModel(config), tokenizer, **_BERT)


def _fnet(folder: Path) -> None:
    """FNet has no mask: padding changes every answer."""
    from transformers import FNetConfig, FNetModel

    tokenizer = _bert_words()
    small = {name: value for name, value in _SMALL.items() if name != "num_attention_heads"}
    config = FNetConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=POSITIONS, **small)
    _save(folder, FNetModel(config), tokenizer, **_BERT)


FAMILIES: dict[str, Callable[[Path], None]] = {
    "BERT": _bert,
    "RoBERTa": _roberta,
    "MPNet": _mpnet,
    "GPT-2": _gpt2,
    "BLOOM": _bloom,
    "XLNet": _xlnet,
    "T5": _t5,
    "BART": _bart,
    "DeBERTa-v2": _deberta,
    "ModernBERT": _modernbert,
    "FNet": _fnet,
}
"""Writers of the families, by name."""
