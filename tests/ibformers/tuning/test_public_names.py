"""Public names of `ibformers` and `ibformers.tuning`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ibformers
from ibformers import tuning


def test_ibformers_has_the_names_of_tuning_and_imports_them_on_first_use() -> None:
    assert ibformers.__all__ == tuning.__all__
    assert ibformers.Tuning is tuning.Tuning
    assert set(tuning.__all__) <= set(dir(ibformers))
    with pytest.raises(AttributeError, match="'ibformers' has no attribute 'Tunings'"):
        ibformers.Tunings  # noqa: B018 - the access is what is tested
    code = "import ibformers, sys; print([name for name in sys.modules if name.startswith('ibformers.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_old_name_of_no_candidate_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="use NoCandidate"):
        assert tuning.NothingToTake is tuning.NoCandidate
    with pytest.raises(AttributeError, match="has no attribute 'Tunings'"):
        tuning.Tunings  # noqa: B018 - the access is what is tested
