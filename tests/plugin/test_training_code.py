"""This repository's own training code in the sandbox, broken on purpose in the ways in which code breaks."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = {
    "env": "sandbox",
    "ibannotator": "sandbox/ci/fs/Instabase Drive/samples/drivers-licenses/NYDriversLicenses.ibannotator",
    "time_limit": 300,
    "config": {"batch_size": 4, "epochs": 1, "learning_rate": 3e-4},
    "metrics": {"recall": {"Address": 0.0}},
}


@pytest.fixture
def code(pytester: pytest.Pytester) -> Path:
    """A copy of the training code, which the project beside it pushes."""
    shutil.copytree(ROOT / "ibformers", pytester.path / "ibformers", ignore=shutil.ignore_patterns("__pycache__"))
    (pytester.path / "model_tests.yaml").write_text(yaml.safe_dump({"Licenses": ENTRY}))
    pytester.makeini("[pytest]\n")
    return pytester.path / "ibformers"


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} no longer holds {old!r} once"
    file.write_text(text.replace(old, new))


def test_code_that_raises_in_training_fails_with_its_own_frames(pytester: pytest.Pytester, code: Path) -> None:
    replace(code / "trainer" / "run.py", "        trainer.train()\n", '        raise RuntimeError("boom")\n')
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "training failed: RuntimeError: boom",
            "traceback of the job, its last frames (the pushed code, in the environment):",
            '  job |     raise RuntimeError("boom")',
            "  job | RuntimeError: boom",
            "log of the training job, its last lines:",
            "  log | *",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_ibmodels/*")


SPOIL = """
def _spoil(folder):
    from safetensors.torch import load_file, save_file

    (weights,) = folder.rglob("*.safetensors")
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith("classifier.bias"))
    tensors[name] = tensors[name].flip(0) + 100 * tensors[name].new_tensor(range(tensors[name].numel()))
    save_file(tensors, weights, metadata={"format": "pt"})
"""


def test_a_weight_that_is_spoiled_before_inference_is_found(pytester: pytest.Pytester, code: Path) -> None:
    job = code / "tasks" / "extraction" / "job.py"
    replace(
        job,
        "        write_model_package(files,",
        "        _spoil(model_data)\n        write_model_package(files,",
    )
    job.write_text(job.read_text() + SPOIL)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "predictions differ: * of 3 fields differ from training",
            "  document sandbox/ci/fs/Instabase Drive/samples/drivers-licenses/*.ibocr",
            "    field * at training * at inference",
            "environment: sandbox (http://127.0.0.1:*)",
            "training job: *",
        ]
    )


def test_a_config_that_training_refuses_is_one_sentence(
    pytester: pytest.Pytester, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else the hub is asked for the model again and again, for half a minute where there is no network.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    configs = {"Batches": {"batch_size": -1}, "Base": {"model_name": "no-such-model"}}
    tests = {name: {**ENTRY, "config": config} for name, config in configs.items()}
    (code.parent / "model_tests.yaml").write_text(yaml.safe_dump(tests))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=2, skipped=2)
    result.stdout.fnmatch_lines_random(["training failed: *batch_size*-1*", "training failed: *no-such-model*"])
    result.stdout.no_fnmatch_line("*Traceback*")
