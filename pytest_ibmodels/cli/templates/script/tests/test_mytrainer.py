"""Tests of the training code, in seconds and without an environment."""

from pathlib import Path

import pytest
from ibformers.sdk.testing import check_trainer
from mytrainer import train

DATA = Path(__file__).parents[1] / "reviews.csv"


def test_the_loaded_model_predicts_what_training_predicted():
    checked = check_trainer(train, data=DATA, config={"regularization": 0.1})
    assert checked.metrics["accuracy"] > 0.8
    assert checked.served == len(checked.predictions)


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="did you mean regularization"):
        check_trainer(train, data=DATA, config={"regularisation": 0.1})
