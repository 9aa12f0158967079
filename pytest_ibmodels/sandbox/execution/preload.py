"""Slow imports of training and serving, made once in the fork server.

Nothing else runs here: a torch operation would start thread pools that do not survive a fork. A package that is not
installed is left out, and a module that is broken fails again in the code that needs it.
"""

import importlib
import os
import sys

_MODULES = (
    "psutil",
    "numpy",
    "scipy.stats",
    "torch",
    "tokenizers",
    "safetensors.torch",
    "transformers",
    "transformers.models.bert.modeling_bert",
    "transformers.models.layoutlm.modeling_layoutlm",
    "accelerate",
    "transformers.trainer",
    "transformers.training_args",
    "pytest_ibmodels.sandbox.execution.training_worker",
    "pytest_ibmodels.sandbox.execution.model_worker",
)


def _preload() -> None:
    server = os.getppid()
    # OpenMP reads this when torch is loaded; by default, waiting threads spin and take the processor from other jobs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Modules in the working directory must not be found, not even by a check for an optional package.
    sys.path[:] = [entry for entry in sys.path if entry]
    for name in _MODULES:
        if os.getppid() != server:
            # The server was killed meanwhile.
            sys.exit()
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name.partition(".")[0]:
                sys.stderr.write(f"preload: {name}: {error}\n")
        except Exception as error:  # noqa: BLE001 - the job that needs the module reports it
            sys.stderr.write(f"preload: {name}: {type(error).__name__}: {error}\n")


_preload()
