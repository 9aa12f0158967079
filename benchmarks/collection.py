"""Collecting 10,000 model tests against pytest collecting 20,000 trivial parametrized tests, in one run.

    python benchmarks/collection.py [--entries 10000] [--repeats 3]

Each command is a whole process (`pytest --collect-only -qq`), the two in turn; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENTRY = """\
Model{index}:
  env: sandbox
  ibannotator: acme/data/fs/Drive/datasets/Something{index}.ibannotator
  time_limit: 1200
  config:
    batch_size: 2
    learning_rate: 5e-5
  metrics:
    exact_match:
      DL Number: 0.9
      Name: 0.3
    f1:
      Address: 0.9
"""

TRIVIAL = """\
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_trivial(number):
    pass
"""


def seconds(folder: Path) -> float:
    begun = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider"]
    # Byte code is cached, as on any machine where nobody has switched that off.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        models, trivial = Path(name, "models"), Path(name, "trivial")
        for folder in (models, trivial):
            folder.mkdir()
            (folder / "pytest.ini").write_text("[pytest]\n")
        (models / "model_tests.yaml").write_text("".join(ENTRY.format(index=i) for i in range(arguments.entries)))
        (trivial / "test_trivial.py").write_text(TRIVIAL.format(count=2 * arguments.entries))
        ours, theirs = [], []
        for _ in range(arguments.repeats):
            ours.append(seconds(models))
            theirs.append(seconds(trivial))
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"{arguments.entries} model tests: {statistics.median(ours):.2f} s")
    print(f"{2 * arguments.entries} trivial tests: {statistics.median(theirs):.2f} s")
    print(f"ratio: {ratio:.2f} (goal: at most 2)")


if __name__ == "__main__":
    main()
