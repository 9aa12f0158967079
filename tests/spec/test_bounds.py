"""Metrics of a model test, and their bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.spec import Minimum, load_model_tests
from tests.spec.yamlfiles import entry, said, written

if TYPE_CHECKING:
    from pathlib import Path

METRICS = "(metrics: exact_match, precision, recall, f1, value_f1, accuracy, ece)"


def test_a_minimum_may_be_written_long_and_above_one(file: Path) -> None:
    text = entry("metrics:", "  f1:", "    Name: {min: 0.9}", "    Total: 1.01", "    Long:", "      min: 1")
    metrics = load_model_tests(written(file, text)).tests["A"].metrics
    assert metrics == {"f1": {"Name": Minimum(0.9), "Total": Minimum(1.01), "Long": Minimum(1.0)}}


def test_bounds_may_be_below_above_or_both(file: Path) -> None:
    text = entry("metrics:", "  f1:", "    Name: {max: 0.9}", "    Total: {min: 0.5, max: 0.5}", "    min: 0.7")
    metrics = load_model_tests(written(file, text)).tests["A"].metrics
    assert metrics == {"f1": {"Name": Minimum(None, 0.9), "Total": Minimum(0.5, 0.5), "min": Minimum(0.7)}}


def test_a_metric_of_one_value_has_its_bounds_below_its_name(file: Path) -> None:
    of_one = ("  eval_loss: {max: 0.4}", "  accuracy: {min: 0.5, max: 0.9}", "  ece: {max: 0.08}")
    text = entry("metrics:", *of_one, "  macro_f1:", "    min: 1")
    assert load_model_tests(written(file, text)).tests["A"].metrics == {
        "eval_loss": {"all": Minimum(None, 0.4)},
        "accuracy": {"all": Minimum(0.5, 0.9)},
        "macro_f1": {"all": Minimum(1.0)},
        "ece": {"all": Minimum(None, 0.08)},
    }


def test_fields_may_be_called_min_and_max_everywhere(file: Path) -> None:
    text = entry("metrics:", "  loss: {min: {max: 0.4}, max: {max: 0.5}}", "  f1: {min: {min: 0.9}, max: 0.8}")
    assert load_model_tests(written(file, text)).tests["A"].metrics == {
        "loss": {"min": Minimum(None, 0.4), "max": Minimum(None, 0.5)},
        "f1": {"min": Minimum(0.9), "max": Minimum(0.8)},
    }


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (
            "loss: {Name: 0.4}",
            '6:18: `metrics.loss.Name` is a minimum, but "loss" should be low: write `{max: 0.4}`, or `{min: 0.4}` i',
        ),
        (
            "bleu: 0.4",
            "6:11: `metrics.bleu` has to be a mapping, but is the number 0.4: write `{min: 0.4}` or `{max: 0.4}`, or",
        ),
        (
            "ece: {all: 0.08}",
            '6:16: `metrics.ece.all` is a minimum, but "ece" should be low: write `{max: 0.08}`, or `{min: 0.08}` i',
        ),
        (
            "ece: 0.08",
            "6:10: `metrics.ece` has to be a mapping, but is the number 0.08: it should be low, so write `{max: 0",
        ),
        (
            "loss: {max: 0.2, min: 0.4}",
            "6:11: `metrics.loss` has a `min` of 0.4 above its `max` of 0.2: no value could pass",
        ),
        ("rmse: {max: -1}", "6:11: `metrics.rmse` has to be a number from 0, but is the number -1"),
    ],
)
def test_the_direction_of_a_bound_is_never_guessed_wrong(file: Path, metric: str, expected: str) -> None:
    (problem,) = said(lambda: load_model_tests(written(file, entry("metrics:", f"  {metric}"))))
    assert problem.startswith(expected)


def test_a_name_that_goes_on_after_that_of_a_metric_is_no_slip(file: Path) -> None:
    text = entry("metrics: {precision_5: {Name: 0.5}, macro.recall: {Name: 0.5}, ce: {max: 0.5}}")
    assert list(load_model_tests(written(file, text)).tests["A"].metrics) == ["precision_5", "macro.recall", "ce"]


def test_other_metrics_may_be_named(file: Path) -> None:
    text = entry("metrics: {accuracy: {Name: 0.5}, splitter_f1: {split: 0.5}, support: {Name: 5}}")
    assert list(load_model_tests(written(file, text)).tests["A"].metrics) == ["accuracy", "splitter_f1", "support"]


def test_field_names_are_any_text(file: Path) -> None:
    text = entry("metrics: {f1: {No: 0.1, 2024: 0.2, Straße & Nr.: 0.3}}")
    assert list(load_model_tests(written(file, text)).tests["A"].metrics["f1"]) == ["No", "2024", "Straße & Nr."]


@pytest.mark.parametrize(
    ("minimum", "expected"),
    [
        ("'0.9'", 'a number, but is the text "0.9": remove the quotes'),
        ("0,9x", 'a number, but is the text "0,9x"'),
        ("high", 'a number, but is the text "high"'),
        ("90%", 'a number, but is the text "90%": write 0.9'),
        ("'0,9'", 'a number, but is the text "0,9": write 0.9'),
        ("true", "a number, but is the truth value true"),
        ("[0.9]", "a number, but is a list"),
        ("-0.1", "a number from 0, but is the number -0.1"),
    ],
)
def test_wrong_minimums(file: Path, minimum: str, expected: str) -> None:
    text = entry("metrics:", "  f1:", f"    DL Number: {minimum}")
    assert said(lambda: load_model_tests(written(file, text))) == [f"7:18: `metrics.f1.DL Number` has to be {expected}"]


@pytest.mark.parametrize(
    ("minimum", "expected"),
    [
        (
            "{}",
            "7:13: `metrics.f1.Name` has no bound: give it a `min`, a `max`, or both",
        ),
        (
            "{min: 0.9, max: 0.5}",
            "7:13: `metrics.f1.Name` has a `min` of 0.9 above its `max` of 0.5: no value could pass",
        ),
        ("{max: -1}", "7:19: `metrics.f1.Name.max` has to be a number from 0, but is the number -1"),
        ("~", "7:13: `metrics.f1.Name` is empty: give it a value, or remove the key"),
        ("{max: ~}", "7:19: `metrics.f1.Name.max` is empty: give it a value, or remove the key"),
        ("{min: '0.9'}", '7:19: `metrics.f1.Name.min` has to be a number, but is the text "0.9": remove the quotes'),
        ("{minimum: 0.9}", "7:14: unknown key `metrics.f1.Name.minimum`: did you mean `min`? (keys: min, max)"),
        (".nan", "7:13: `.nan` is not a finite number: minimums, limits and hyperparameters have to be finite"),
    ],
)
def test_wrong_long_minimums(file: Path, minimum: str, expected: str) -> None:
    text = entry("metrics:", "  f1:", f"    Name: {minimum}")
    assert said(lambda: load_model_tests(written(file, text))) == [expected]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (
            "precison",
            f"unknown metric `precison`: did you mean `precision`? {METRICS}",
        ),
        ("F1", f"unknown metric `F1`: did you mean `f1`? {METRICS}"),
        (
            "exact-match",
            f"unknown metric `exact-match`: did you mean `exact_match`? {METRICS}",
        ),
        ("macro f1", f'invalid metric name "macro f1": it contains " " {METRICS}'),
    ],
)
def test_wrong_metrics(file: Path, metric: str, expected: str) -> None:
    text = entry("metrics:", f"  {metric}: {{Name: 0.5}}")
    assert said(lambda: load_model_tests(written(file, text))) == [f"6:5: {expected}"]
