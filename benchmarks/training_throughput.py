"""How fast the training code trains, beside Trainer as it comes and beside a bare PyTorch loop.

Trains the packaged MiniLM on receipts, batch size 8, one epoch at a time, in turn:

- defaults: Trainer's own: random order, padding to the longest of the batch, dropout 0.1, fp32;
- ours: what `ibformers` does: length buckets, no dropout, words' embeddings not trained, bf16 where the processor
  has it;
- bare: a PyTorch loop with the settings of ours.

Prints documents per second (medians over the repeats) and the ratios. Needs the receipts data set (an Annotator
project); without it, it says so and ends with 2.

    python benchmarks/training_throughput.py [--documents 96] [--repeats 3] [--project PATH/Receipts.ibannotator]
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainingArguments, get_scheduler, set_seed
from transformers.trainer_callback import PrinterCallback

from ibformers.documents.annotator import OUTSIDE, read_project
from ibformers.models.base import DEFAULT_BASE_MODEL, BaseModel, load_base_model
from ibformers.tasks.extraction.batches import (
    IGNORED,
    Collator,
    training_examples,
)
from ibformers.tasks.extraction.features import Encoder, EncodingSettings, on_grid
from ibformers.tasks.extraction.job import BOX_GRID
from ibformers.tasks.extraction.loss import extraction_loss
from ibformers.trainer.bucketing import BucketedExamples, Example
from ibformers.trainer.hardware import choose_precision, use_all_cores
from ibformers.trainer.hyperparameters import Hyperparameters
from ibformers.trainer.reporting import JobReport
from ibformers.trainer.run import train

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BATCH_SIZE = 8
GOALS = {"ours / defaults": 4.2, "ours / bare": 0.85}
"""Goals of the ratios; the first one supposes a processor with bf16."""


class _LocalFiles:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read_file(self, path: str) -> bytes:
        return (self._folder / path).read_bytes()

    def write_file(self, path: str, data: bytes) -> None:
        (self._folder / path).write_bytes(data)


class _NoJob:
    def update_metadata(self, metadata: dict[str, Any]) -> None:
        pass

    def update_message(self, message: str) -> None:
        pass


@dataclass(frozen=True)
class Workload:
    """The examples of one epoch, and what makes a fresh model for it."""

    fields: tuple[str, ...]
    examples: list[Example]
    encoder: Encoder

    def fresh_model(self, dropout: float = 0.0) -> BaseModel:
        set_seed(1)
        base = load_base_model(DEFAULT_BASE_MODEL, (OUTSIDE, *self.fields))
        for module in base.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = dropout  # type: ignore[assignment]  # a plain number of LayoutLM's attention
        return base

    def our_model(self) -> BaseModel:
        """As a training job has it: the embeddings of words stay as they are."""
        base = self.fresh_model()
        base.model.get_input_embeddings().weight.requires_grad_(False)
        return base


def read_workload(project_file: Path, documents: int) -> Workload:
    project = read_project(project_file.name, _LocalFiles(project_file.parent))
    base = load_base_model(DEFAULT_BASE_MODEL, (OUTSIDE, *project.fields))
    encoder = Encoder(base.tokenizer, EncodingSettings(512, 128, BOX_GRID))
    return Workload(project.fields, training_examples(project.training[:documents], encoder), encoder)


def run_defaults(work: Workload) -> float:
    """Seconds of an epoch of Trainer as it comes."""

    def collate(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        def padded(key: str, value: int) -> torch.Tensor:
            rows = [torch.from_numpy(example[key]) for example in examples]
            return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)

        tokens = padded("input_ids", 0)
        mask = (tokens != 0).long()
        return {
            "input_ids": tokens,
            "attention_mask": mask,
            "labels": padded("labels", IGNORED),
            "bbox": padded("bbox", 0),
        }

    examples = [{**example, "bbox": on_grid(example["boxes"], BOX_GRID)} for example in work.examples]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=work.fresh_model(dropout=0.1).model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=BATCH_SIZE,
                use_cpu=True,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
                remove_unused_columns=False,
                dataloader_pin_memory=False,
            ),
            train_dataset=examples,
            data_collator=collate,
        )
        trainer.remove_callback(PrinterCallback)
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started


def run_ours(work: Workload) -> float:
    """Seconds of an epoch as a training job runs it."""
    hyperparameters = Hyperparameters(batch_size=BATCH_SIZE, epochs=1, use_gpu=False)
    report = JobReport(_NoJob())
    base = work.our_model()
    collator = Collator(work.encoder, pad_id=base.pad_id, uses_boxes=base.uses_boxes, seed=hyperparameters.seed)
    summary = train(base.model, work.examples, collator, hyperparameters, report, lambda _epoch: None, extraction_loss)
    return summary.seconds


def run_bare(work: Workload) -> float:
    """Seconds of an epoch of a PyTorch loop with our settings."""
    base = work.our_model()
    settings = Hyperparameters()
    examples = BucketedExamples(work.examples, BATCH_SIZE, settings.seed)
    collator = Collator(work.encoder, pad_id=base.pad_id, uses_boxes=True, seed=settings.seed)
    optimizer = torch.optim.AdamW(
        base.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    steps = -(-len(examples) // BATCH_SIZE)
    schedule = get_scheduler("linear", optimizer, num_warmup_steps=steps // 10, num_training_steps=steps)
    mixed = choose_precision("cpu", mixed=None) == "bf16"
    base.model.train()
    started = time.perf_counter()
    for first in range(0, len(examples), BATCH_SIZE):
        batch = collator([examples[index] for index in range(first, min(first + BATCH_SIZE, len(examples)))])
        with torch.autocast("cpu", torch.bfloat16) if mixed else contextlib.nullcontext():
            labels = batch.pop("labels")
            loss = extraction_loss(base.model(**batch).logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(base.model.parameters(), settings.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return time.perf_counter() - started


def find_receipts() -> Path | None:
    for folder in Path(__file__).resolve().parents:
        project = folder / "shared" / "datasets" / "sroie" / "Receipts.ibannotator"
        if project.is_file():
            return project
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--project", type=Path, default=find_receipts(), help="an .ibannotator file")
    options = parser.parse_args()
    if options.project is None or not options.project.is_file():
        print("The receipts are not here: name an Annotator project with --project.")
        return 2
    use_all_cores()
    work = read_workload(options.project, options.documents)
    runs: dict[str, Callable[[Workload], float]] = {"defaults": run_defaults, "ours": run_ours, "bare": run_bare}
    print(f"{options.documents} documents, batch size {BATCH_SIZE}, {torch.get_num_threads()} threads", flush=True)
    # The first steps of a process pay for thread pools and kernels: they are not counted.
    run_bare(Workload(work.fields, work.examples[: 2 * BATCH_SIZE], work.encoder))
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(options.repeats):
        for name, run in runs.items():
            rates[name].append(options.documents / run(work))
        print(f"repeat {repeat + 1}: " + ", ".join(f"{name} {rates[name][-1]:.2f}" for name in runs), flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"{name:>8}: {rate:6.2f} documents/s (median of {options.repeats})")
    for ratio, goal in GOALS.items():
        above, below = ratio.split(" / ")
        value = medians[above] / medians[below]
        print(f"{ratio}: {value:.2f} (goal {goal}: {'reached' if value >= goal else 'missed'})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
