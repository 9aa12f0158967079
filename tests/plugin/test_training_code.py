"""This repository's own training code in the sandbox, broken on purpose in the ways in which code breaks."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ENTRY: dict[str, object] = {
    "env": "sandbox",
    "ibannotator": "sandbox/ci/fs/Instabase Drive/samples/drivers-licenses/NYDriversLicenses.ibannotator",
    "time_limit": 300,
    "config": {"batch_size": 4, "epochs": 1, "learning_rate": 3e-4},
    "metrics": {"recall": {"Address": 0.0}},
}


SPOIL = """
def _spoil(folder):
    from safetensors.torch import load_file, save_file

    (weights,) = folder.rglob("*.safetensors")
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith("classifier.bias"))
    tensors[name] = tensors[name].flip(0) + 100 * tensors[name].new_tensor(range(tensors[name].numel()))
    save_file(tensors, weights, metadata={"format": "pt"})
"""


def copy_code(folder: Path) -> Path:
    """Copy the training code to a folder of its own."""
    return shutil.copytree(ROOT / "ibformers", folder / "ibformers", ignore=shutil.ignore_patterns("__pycache__"))


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} no longer holds {old!r} once"
    file.write_text(text.replace(old, new))


def failure(result: pytest.RunResult, item: str) -> pytest.LineMatcher:
    """Lines of the report of an item's failure."""
    headings = [number for number, line in enumerate(result.outlines) if line.startswith(("____", "===="))]
    (begin,) = [number for number in headings if item in result.outlines[number]]
    return pytest.LineMatcher(result.outlines[begin : min(number for number in headings if number > begin)])


def test_code_and_configs_that_break_are_told_apart(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """All in one run: each sandbox imports torch anew."""
    # Else the hub is asked for the model again and again, for half a minute where there is no network.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    raising, spoiled, _ = (copy_code(pytester.path / name) for name in ("raising", "spoiled", "."))
    replace(raising / "trainer" / "run.py", "        trainer.train()\n", '        raise RuntimeError("boom")\n')
    job = spoiled / "tasks" / "extraction" / "job.py"
    replace(
        job,
        "        write_model_package(files,",
        "        _spoil(model_data)\n        write_model_package(files,",
    )
    job.write_text(job.read_text() + SPOIL)
    tests: dict[str, dict[str, object]] = {
        "Raises": {"package": "raising/ibformers"},
        "Spoiled": {"package": "spoiled/ibformers"},
        "Batches": {"config": {"batch_size": -1}},
        "Base": {"config": {"model_name": "no-such-model"}},
    }
    (pytester.path / "model_tests.yaml").write_text(
        yaml.safe_dump({name: ENTRY | test for name, test in tests.items()})
    )
    pytester.makeini("[pytest]\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=4, skipped=3)

    raised = failure(result, "Raises on sandbox: training")
    raised.fnmatch_lines(
        [
            "training failed: RuntimeError: boom",
            "traceback of the job, its last frames (the pushed code, in the environment):",
            '  job |     raise RuntimeError("boom")',
            "  job | RuntimeError: boom",
            "log of the training job, its last lines:",
            "  log | *",
        ]
    )
    raised.no_fnmatch_line("*pytest_ibmodels/*")
    failure(result, "Spoiled on sandbox: inference").fnmatch_lines(
        [
            "predictions differ: * of 3 fields differ from training",
            "  document sandbox/ci/fs/Instabase Drive/samples/drivers-licenses/*.ibocr",
            "    field * at training * at inference",
            "environment: sandbox (http://127.0.0.1:*)",
            "training job: *",
        ]
    )
    for name, said in (("Batches", "*batch_size*-1*"), ("Base", "*no-such-model*")):
        refused = failure(result, f"{name} on sandbox: training")
        refused.fnmatch_lines([f"training failed: {said}"])
        refused.no_fnmatch_line("*Traceback*")
