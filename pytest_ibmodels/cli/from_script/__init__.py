"""Turn a training script with argparse into a trainer, as a unified diff: `ibmodels init --from-script`.

The script is read and never run. What cannot be decided from its text is a comment `TODO` in the diff.
"""

from pytest_ibmodels.cli.from_script.conversion import trainer_patch
from pytest_ibmodels.cli.from_script.script import ScriptError

__all__ = ["ScriptError", "trainer_patch"]
