"""A model test on real receipts, run through pytest as a user runs it: 300 receipts to train, 100 to test, three seeds.

    python benchmarks/receipts.py [--data FOLDER] [--split given|random] [--seeds 1 2 3] [--epochs 4]

FOLDER holds `Receipts.ibannotator`; without `--data` it is looked for beside the clone. Prints, for
each seed: f1 and exact match per field and their means, seconds of training, peak memory of the training process,
and whether all 100 documents were served with the texts of training time.

The given split tests on receipts of which 70 are of companies that training does not have, 45 of them of a single one;
`--split random` draws 100 test documents of all companies (always the same ones).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
DRIVE_FOLDER = "sandbox/ci/fs/Instabase Drive/receipts"
FIELDS = ("Company", "Date", "Address", "Total")
GOALS = "goals: f1 >= 0.90, exact match >= 0.80, training <= 300 s, memory < 4 GB"


def receipts_folder(given: Path | None) -> Path:
    """The folder with the receipts; exits with a sentence where there is none."""
    folder = given or ROOT.parent / "shared" / "datasets" / "sroie"
    if not (folder / "Receipts.ibannotator").is_file():
        sys.exit(f"{folder}: no Receipts.ibannotator there; name its folder with --data")
    return folder


def with_random_split(receipts: Path, folder: Path) -> Path:
    """A copy of the project in `folder` with 100 test documents drawn at random."""
    shutil.copytree(receipts, folder)
    file = folder / "Receipts.ibannotator"
    project = json.loads(file.read_text())
    documents = [document["id"] for document in project["files"]]
    project["testFiles"] = random.Random(0).sample(documents, 100)  # noqa: S311 - a split, no secret
    file.chmod(0o644)
    file.write_text(json.dumps(project))
    return folder


def write_project(folder: Path, receipts: Path, seeds: list[int], epochs: int) -> None:
    environment = {"host": "sandbox", "data": str(folder / "data"), "mounts": {DRIVE_FOLDER: str(receipts)}}
    (folder / "environments.yaml").write_text(yaml.safe_dump({"sandbox": environment}))
    minimums = {metric: dict.fromkeys(FIELDS, 0.0) for metric in ("f1", "exact_match")}
    tests = {
        f"Receipts{seed}": {
            "env": "sandbox",
            "ibannotator": f"{DRIVE_FOLDER}/Receipts.ibannotator",
            "time_limit": 1200,
            "config": {"batch_size": 8, "epochs": epochs, "learning_rate": 3e-4, "seed": seed},
            "metrics": minimums,
            "inference": {"documents": "all"},
        }
        for seed in seeds
    }
    (folder / "model_tests.yaml").write_text(yaml.safe_dump(tests, sort_keys=False))
    (folder / "pytest.ini").write_text(f"[pytest]\nibmodels_package = {ROOT / 'ibformers'}\n")


def print_figures(data: Path) -> None:
    query = "select id, started, finished, peak_memory, task_data from jobs where kind = 'train' order by created"
    with contextlib.closing(sqlite3.connect(data / "sandbox.sqlite")) as store:
        jobs = store.execute(query).fetchall()
    for job_id, started, finished, peak_memory, task_data in jobs:
        results = json.loads(task_data)["evaluation_results"]
        print(f"job {job_id}: {finished - started:.0f} s in all, peak memory {peak_memory / 2**30:.2f} GB")
        for metric in ("f1", "exact_match"):
            values = [results[metric][field] for field in FIELDS]
            fields = ", ".join(f"{field} {value:.3f}" for field, value in zip(FIELDS, values, strict=True))
            print(f"  {metric}: mean {sum(values) / len(values):.3f} ({fields})")
    print(GOALS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", choices=["given", "random"], default="given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    receipts = receipts_folder(arguments.data)
    with tempfile.TemporaryDirectory() as name:
        if arguments.split == "random":
            receipts = with_random_split(receipts, Path(name, "receipts"))
        write_project(Path(name), receipts.resolve(), arguments.seeds, arguments.epochs)
        code = subprocess.run([sys.executable, "-m", "pytest"], cwd=name, check=False).returncode
        print_figures(Path(name, "data"))
    sys.exit(code)


if __name__ == "__main__":
    main()
