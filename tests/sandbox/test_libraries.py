"""Which pushed code is said to need torch and the like."""

import os
import time
from pathlib import Path

import pytest

from pytest_ibmodels.sandbox.execution.libraries import imports_libraries


@pytest.mark.parametrize(
    "code",
    [
        "import torch",
        "x = 1\nimport json, torch.nn as nn",
        "import numpy as np, torch",
        "def train():\n    from transformers import (\n        Trainer,\n    )",
        "try:\n\tfrom safetensors.torch import load_file\nexcept ImportError: pass",
        "import os; import accelerate",
        "if os: import torch",
    ],
)
def test_code_that_needs_them(tmp_path: Path, code: str) -> None:
    folder = tmp_path / "code" / "deeper"
    folder.mkdir(parents=True)
    (folder / "module.py").write_text(code)
    assert imports_libraries([tmp_path / "code"])


@pytest.mark.parametrize(
    "code",
    ["import json", "import torchbearer", "from . import torch", "from my.torch import x", "text = 'import torch'", ""],
)
def test_code_that_does_not(tmp_path: Path, code: str) -> None:
    (tmp_path / "module.py").write_text(code)
    (tmp_path / "notes.txt").write_text("import torch")
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "nowhere.py").symlink_to("none.py")
    assert not imports_libraries([tmp_path, tmp_path / "none"])


def test_ibformers_counts_only_without_code_that_uses_its_sdk(tmp_path: Path) -> None:
    for name, code in {"ibformers": "import torch", "mails": "from ibformers.sdk import Job", "other": ""}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(code)
    packages = {name: tmp_path / name for name in ("ibformers", "mails", "other")}
    assert imports_libraries([packages["ibformers"], packages["other"]])
    assert not imports_libraries([packages["ibformers"], packages["mails"]])
    assert not imports_libraries([tmp_path])
    (packages["mails"] / "network.py").write_text("import torch")
    assert imports_libraries([tmp_path])


@pytest.mark.parametrize("text", ["import a, ", "import " + "a" * 99, "from \t ", ";  :", "import a as b,", "\n \t"])
def test_code_of_any_form_is_read_in_no_time(tmp_path: Path, text: str) -> None:
    (tmp_path / "module.py").write_text(text * (2**20 // len(text)))
    begun = time.process_time()
    assert not imports_libraries([tmp_path])
    assert time.process_time() - begun < 1


def test_more_code_than_is_read_counts_as_code_that_needs_them(tmp_path: Path) -> None:
    with (tmp_path / "module.py").open("wb") as file:
        file.truncate(17 * 2**20)
    assert imports_libraries([tmp_path])
