"""The result of a trainer: metrics and model, guessed from the names of a script's variables."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING

from pytest_ibmodels.cli.from_script.script import own_statements, stored_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.cli.from_script.script import Script

_METRIC = re.compile(
    r"(?P<judged>(test|val|valid|eval|dev|best|final)_)?(?P<metric>accuracy|acc|f1|f1_score|auc|precision|recall|rmse|mae|r2)"
    r"|(?P<loss>(test|val|valid|eval|dev)_loss)"
    r"|(?!train_)\w+_(accuracy|acc|f1|auc|precision|recall|rmse|mae)"
)
_METRIC_NAMES = {"acc": "accuracy", "f1_score": "f1"}
_SUMMARIES = ("metrics", "scores", "results")
"""Names of variables that hold a dict of metrics, in scripts."""
_SAVED_BY_JOBLIB = {"sklearn", "xgboost", "lightgbm"}
_MODELS = ("model", "clf", "classifier", "pipeline", "pipe", "estimator", "regressor")


def return_result(script: Script, body: Sequence[ast.stmt]) -> None:
    """Return a result at the end of a body, and mark returns before it."""
    last = body[-1]
    indent = script.indent(last)
    lines = [f"{indent}{line}" for line in _result_lines(script, body)]
    if isinstance(last, ast.Return):
        script.replace(last, lines)
    else:
        script.insert((last.end_lineno or last.lineno) + 1, lines)
    for node in own_statements(body):
        if isinstance(node, ast.Return) and node is not last:
            script.insert(node.lineno, [f"{script.indent(node)}# TODO: return a Result here, too"])


def _result_lines(script: Script, body: Sequence[ast.stmt]) -> list[str]:
    stored = stored_names(body)
    metrics = {found: name for name in stored if (found := _metric(name))}
    summary = next((name for name in _SUMMARIES if name in stored), "")
    remarks = []
    if metrics:
        given = f"{{{', '.join(f'{json.dumps(metric)}: {name}' for metric, name in metrics.items())}}}"
    elif summary:
        given = summary
        remarks.append("# TODO: a metric is a number, or label -> number: leave out everything else")
    else:
        given = "{}"
        remarks.append("# TODO: name the metrics that are printed: the job fails without one")
    model = _model(script, stored)
    if not model:
        remarks.append("# TODO: add model=: an object that joblib saves, a folder, or a function that saves into one")
    return [*remarks, f"return Result(metrics={given}{f', model={model}' if model else ''})"]


def _metric(name: str) -> str:
    """Return the metric that a variable holds by its name; empty if it is none."""
    found = _METRIC.fullmatch(name)
    if found is None:
        return ""
    metric = "loss" if found["loss"] else found["metric"] or name
    return _METRIC_NAMES.get(metric, metric)


def _model(script: Script, stored: Sequence[str]) -> str:
    outputs = [one.name for one in script.parser.arguments if one.is_output]
    statements = [node for node in ast.walk(script.tree) if isinstance(node, ast.stmt)]
    parsed = [names[0] for node in statements if (names := script.parsed_names(node))]
    if outputs and parsed:
        return f"{parsed[-1]}.{outputs[0]}"
    if {name.partition(".")[0] for node in script.tree.body for name in _imported(node)} & _SAVED_BY_JOBLIB:
        return next((name for name in _MODELS if name in stored), "")
    return ""


def _imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
