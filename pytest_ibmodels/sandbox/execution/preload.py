"""Imported once by the process that training and serving processes are forked from.

It makes the imports, which cost seconds, and nothing else: running a torch operation here would start thread pools
that do not survive a fork. What is missing or broken is left to the code that needs it.
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
    # OpenMP reads this once, when torch is loaded. Threads that wait would spin otherwise, on the very core that the
    # thread they wait for needs if a second job, or a model being served, is at work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Nothing in the working directory is meant to be found, neither here nor by a check for an optional package.
    sys.path[:] = [entry for entry in sys.path if entry]
    for name in _MODULES:
        if os.getppid() != server:
            # The server was killed meanwhile: nobody will ask for a process.
            sys.exit()
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the job that needs the module will say so
            sys.stderr.write(f"preload: {name}: {type(error).__name__}: {error}\n")


_preload()
