"""Span decoding beside the decoding without spans, on the same probabilities of a trained model.

    python benchmarks/decoding.py [receipts] [companies] [licences] [forms] [--data FOLDER] [--seeds 1] [--epochs N]

Trains a model on each project named (all by default), and prints for its test documents: macro F1 over words, exact
match in the mean and per field, and how many values are right with spans only (won) or without only (lost).

Projects: `receipts` as given, and with no company in both parts (`companies`, see receipts.py); `licences`, the
generated driver's licences of the sandbox; and `forms`, generated with several fields in each line. `--data` names the
folder of the receipts. Trains for minutes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import forms
import numpy as np
from receipts import receipts_folder, with_split

from ibformers.documents.annotator import read_project
from ibformers.endpoints import run_train_annotator
from ibformers.tasks.extraction.job import predict
from ibformers.tasks.extraction.metrics import count, evaluate, macro_average
from ibformers.tasks.extraction.model import ExtractionModel
from pytest_ibmodels.sandbox.samples import drivers_licenses
from tests.ibformers.trainable import FolderDrive, JobRecorder

if TYPE_CHECKING:
    from ibformers.documents.annotator import AnnotatorProject
    from ibformers.tasks.extraction.results import DocumentResult

EPOCHS = {"receipts": 4, "companies": 4, "licences": 3, "forms": 3}


@dataclass
class CopyingDrive(FolderDrive):
    """Drive that reads the files of a project from one folder and writes into another."""

    source: Path
    root: Path

    def __post_init__(self) -> None:
        super().__init__(self.root)

    def read_file(self, path: str) -> bytes:
        return (self.source / path).read_bytes()


def project_folder(name: str, data: Path | None, folder: Path) -> tuple[Path, str]:
    """Make a project; return its folder and the name of its file."""
    if name == "receipts":
        return receipts_folder(data), "Receipts.ibannotator"
    if name == "companies":
        return with_split(receipts_folder(data), folder, "companies"), "Receipts.ibannotator"
    folder.mkdir()
    if name == "licences":
        drivers_licenses.write(folder)
        return folder, f"{drivers_licenses.PROJECT}.ibannotator"
    forms.write(folder)
    return folder, forms.PROJECT


def predict_all(model: ExtractionModel, project: AnnotatorProject) -> tuple[list[DocumentResult], float]:
    """Predict the test documents; return the results and the seconds per document."""
    began = time.perf_counter()
    results = [predict(model.predictor, item) for item in project.validation]
    return results, (time.perf_counter() - began) / len(results)


def compare(model: ExtractionModel, project: AnnotatorProject) -> None:
    constraints = model.predictor.constraints
    shown = [name for name, one in zip(project.fields, constraints, strict=True) if one.span is not None]
    print(f"  {len(project.validation)} test documents; fields with a span: {', '.join(shown) or 'none'}")
    for name, one in zip(project.fields, constraints, strict=True):
        if one.span is not None:
            print(f"    {name}: {one.span}")
    model.predictor.constraints = tuple(replace(one, span=None) for one in constraints)
    before, seconds_before = predict_all(model, project)
    model.predictor.constraints = constraints
    after, seconds_after = predict_all(model, project)
    for title, results, seconds in (("without", before, seconds_before), ("with", after, seconds_after)):
        metrics = evaluate(project.fields, results)
        exact = ", ".join(f"{field} {value:.3f}" for field, value in metrics["exact_match"].items())
        print(
            f"  {title + ' spans':14} f1 {macro_average(metrics, 'f1'):.3f}, exact match "
            f"{macro_average(metrics, 'exact_match'):.3f} ({exact}), {1000 * seconds:.1f} ms a document"
        )
    matches = [
        np.concatenate([one.matches for one in count(project.fields, results).values()]) for results in (before, after)
    ]
    won, lost = ((matches[1] > matches[0]).sum(), (matches[1] < matches[0]).sum())
    print(f"  exact match of {len(matches[0])} values: {won} won, {lost} lost", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="*", metavar="PROJECT", help=", ".join(EPOCHS))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    if unknown := set(arguments.projects) - set(EPOCHS):
        parser.error(f"unknown project {min(unknown)!r} (projects: {', '.join(EPOCHS)})")
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.projects or EPOCHS:
            source, file = project_folder(name, arguments.data, Path(temporary, name))
            for seed in arguments.seeds:
                drive = CopyingDrive(source, Path(temporary, f"{name}-{seed}"))
                hyperparameters = {"epochs": arguments.epochs or EPOCHS[name], "batch_size": 8, "seed": seed}
                run_train_annotator(hyperparameters, file, "out", drive, "benchmark", JobRecorder(), model_name="M")
                print(f"{name}, seed {seed}")
                model = ExtractionModel.load(next(drive.root.rglob("model_data")))
                compare(model, read_project(file, drive))


if __name__ == "__main__":
    main()
