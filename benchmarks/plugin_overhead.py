"""What the plugin adds to a pytest run in a project without model tests.

    python benchmarks/plugin_overhead.py [--repeats 20]

One trivial test, with the plugin and without, in turn; processor time of whole processes, medians. Other plugins that
are installed are left out, but for those that this one needs: some take a second, which varies by more than ours takes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def seconds(folder: Path, *options: str) -> float:
    """Processor seconds of one run: what other programs do on the machine matters least to them."""
    needed = ("-p", "xdist.plugin", "-p", "pytest_timeout")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *needed, *options]
    # Byte code is cached, as on any machine where nobody has switched that off.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "test_trivial.py").write_text("def test_trivial(): pass\n")
        plugin = ("-p", "pytest_ibmodels.plugin")
        seconds(folder, *plugin)
        ours, without = [], []
        for _ in range(arguments.repeats):
            ours.append(seconds(folder, *plugin))
            without.append(seconds(folder))
    mine, bare = statistics.median(ours), statistics.median(without)
    print(f"with the plugin: {mine * 1000:.0f} ms, without: {bare * 1000:.0f} ms, ratio {mine / bare:.3f}")
    print(f"added: {(mine - bare) * 1000:.0f} ms (goal: less than 30 ms)")


if __name__ == "__main__":
    main()
