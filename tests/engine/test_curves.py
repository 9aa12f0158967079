"""Training curves: history that a job reports, and points that polls see."""

from __future__ import annotations

import math

from pytest_ibmodels.engine.curves import (
    History,
    HistoryPoint,
    reported_history,
)


def test_losses_and_metrics_become_one_curve_in_the_order_of_steps() -> None:
    points = reported_history(
        {
            "history": [{"step": 1, "epoch": 0.5, "loss": 2.0, "learning_rate": 1e-3}, {"step": 2, "loss": 1}],
            "evaluations": [{"step": 1, "epoch": 0.5, "metrics": {"f1": {"Name": 0.5}}}],
        }
    )
    assert points == (
        HistoryPoint(step=1, epoch=0.5, loss=2.0, learning_rate=1e-3),
        HistoryPoint(step=1, epoch=0.5, metrics={"f1": {"Name": 0.5}}),
        HistoryPoint(step=2, loss=1),
    )


def test_what_has_not_the_form_is_passed_over() -> None:
    odd = {
        "step": "1",
        "loss": math.nan,
        "epoch": True,
        "metrics": {"f1": {"Name": "NAN", "Total": 1}, "accuracy": 0.5},
    }
    assert reported_history({"history": [1, "x", None], "evaluations": 7}) == ()
    assert reported_history({"history": [odd]}) == (HistoryPoint(metrics={"f1": {"Total": 1.0}}),)


def test_a_long_curve_is_thinned() -> None:
    points = reported_history({"history": [{"step": step} for step in range(100_000)]})
    assert 500 <= len(points) <= 1000
    assert points[0].step == 0


def test_without_a_history_of_the_jobs_own_there_is_what_looks_saw() -> None:
    history = History()
    history.record(0.1, None, ())
    for progress, value in ((0.2, 0.5), (0.3, 0.5), (0.4, 0.75)):
        history.record(progress, {"f1": {"Name": value}}, ())
    assert [(point.progress, point.metrics["f1"]["Name"]) for point in history.points] == [(0.2, 0.5), (0.4, 0.75)]


def test_the_jobs_own_history_comes_before_what_looks_saw() -> None:
    history = History()
    history.record(0.2, {"f1": {"Name": 0.5}}, (HistoryPoint(step=1, loss=1.0),))
    history.record(0.3, {"f1": {"Name": 0.6}}, ())
    assert history.points == (HistoryPoint(step=1, loss=1.0),)
