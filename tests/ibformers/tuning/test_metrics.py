from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from ibformers.tasks.text_classification.metrics import MACRO, WEIGHTED, classification_metrics

LABELS = ["bad", "so so", "good", "best"]
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@given(PAIRS)
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    actual, predicted = np.array(pairs).T
    metrics = classification_metrics(LABELS, actual, predicted, 0.5)
    seen = sorted(set(actual.tolist()))
    ours: list[dict[str, float]] = [metrics.precision, metrics.recall, metrics.f1, {**metrics.support}]
    theirs = precision_recall_fscore_support(actual, predicted, labels=seen, zero_division=0)
    for own, values in zip(ours, theirs, strict=True):
        assert [own[LABELS[label]] for label in seen] == pytest.approx(values.tolist())
    for name, average in ((MACRO, "macro"), (WEIGHTED, "weighted")):
        averages = precision_recall_fscore_support(actual, predicted, labels=seen, average=average, zero_division=0)
        assert [own[name] for own in ours[:3]] == pytest.approx(averages[:3])
    assert metrics.accuracy == pytest.approx(accuracy_score(actual, predicted))
    assert list(metrics.support) == [LABELS[label] for label in seen]


def test_labels_that_only_the_old_model_knows_are_always_wrong() -> None:
    metrics = classification_metrics(["a", "b"], np.array([0, 0, 1]), np.array([-1, 0, -1]), None)
    assert metrics.accuracy == pytest.approx(1 / 3)
    assert metrics.recall == {"a": 0.5, "b": 0.0, MACRO: 0.25, WEIGHTED: pytest.approx(1 / 3)}
    assert metrics.precision["a"] == 1.0
