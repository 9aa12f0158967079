"""Text-classification pipeline of transformers that reads texts as training does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TextClassificationPipeline

from ibformers.errors import RequestRefused
from ibformers.trainer.hardware import prediction_threads, threads_for
from ibformers.unicode import clean

if TYPE_CHECKING:
    import torch

    from ibformers.tasks.text_classification.texts import TextReader

_CUT = (None, True, "longest_first", "only_first", "only_second")
_UNCUT = (False, "do_not_truncate")

_SHOWN = 40
"""Maximum number of a text's characters in a message."""


class ClassifierPipeline(TextClassificationPipeline):
    """Text-classification pipeline that reads texts by a `TextReader`.

    Attributes:
        reader: reader of the model; set it before the first call.
    """

    reader: TextReader

    def __call__(self, inputs: Any, **arguments: Any) -> Any:  # type: ignore[override]
        """Return the predictions for texts, as `transformers.TextClassificationPipeline` does.

        Raises:
            RequestRefused: a text is too long and `truncation` is off, or an argument is invalid.
        """
        if self.reader.padding_side is None:
            arguments["batch_size"] = 1
        return super().__call__(inputs, **arguments)

    def _sanitize_parameters(self, **given: Any) -> tuple[dict[str, Any], ...]:  # type: ignore[override]
        # Padding has no effect on an answer.
        given.pop("padding", None)
        reading = {name: given.pop(name) for name in ("truncation", "max_length") if name in given}
        further, forward, answering = super()._sanitize_parameters(**given)  # type: ignore[no-untyped-call]
        return further | reading, forward, answering

    def preprocess(  # type: ignore[override]
        self, inputs: Any, truncation: bool | str | None = True, max_length: int | None = None, **further: Any
    ) -> dict[str, torch.Tensor]:
        """Tokenise a text, or a pair of texts `{"text": ..., "text_pair": ...}`, which trainings do not have."""
        self._check(truncation, max_length)
        if not isinstance(inputs, str):
            if isinstance(inputs, dict):
                inputs = {name: clean(text) if isinstance(text, str) else text for name, text in inputs.items()}
            limit = min(max_length or self.reader.max_tokens, self.reader.max_tokens)
            further |= {"truncation": truncation, "max_length": limit, "split_special_tokens": True}
            read: dict[str, Any] = super().preprocess(inputs, **further)
            return read
        found = self.reader.read([inputs], max_length if truncation in _CUT else None)
        if truncation in _UNCUT and found.cut.any():
            raise RequestRefused(
                f"ML request: truncation: the text {_preview(inputs)} has more than the "
                f"{self.reader.max_tokens} tokens that the model reads: leave truncation out, and it is cut.",
                "truncation",
            )
        return self.reader.pad(found.rows(), len(found.tokens))

    def _check(self, truncation: Any, max_length: Any) -> None:
        if not any(truncation is value or truncation == value for value in (*_CUT, *_UNCUT)):
            raise RequestRefused(f"ML request: truncation must be true or false, not {truncation!r}.", "truncation")
        fewest = self.reader.min_tokens
        if max_length is not None and (type(max_length) is not int or max_length < fewest):
            raise RequestRefused(
                f"ML request: max_length must be a whole number of at least {fewest}, not {max_length!r}.", "max_length"
            )

    def _forward(self, model_inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:  # type: ignore[override]
        # Other outputs, such as hidden states, cannot always be split by texts.
        with prediction_threads(threads_for(model_inputs["input_ids"].numel())):
            return {"logits": super()._forward(model_inputs)["logits"]}  # type: ignore[no-untyped-call]


def _preview(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
