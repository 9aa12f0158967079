"""JUnit XML: facts of a run as properties of its items; kinds of failures and the job's log in the file.

pytest writes the file. What its hooks cannot set (a failure's ``type``, ``system-out`` regardless of
``junit_logging``) is added to the file afterwards.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import compact, remark
from pytest_ibmodels.reports.placement import resources_text
from pytest_ibmodels.reports.repeats import NOISY
from pytest_ibmodels.reports.tables import plain
from pytest_ibmodels.reports.trends import trend_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_ibmodels.reports.record import BaselineRecord, CheckRecord, RunRecord, TrainingRecord

_NODE_ID = "nodeid"
_INFERENCE = "::test_inference"


def properties(run: RunRecord, nodeid: str) -> Iterator[tuple[str, object]]:
    """Name and value of each property of an item, when its phase has ended.

    pytest makes values fit for XML, but not names; both may hold texts of environments: fields, labels, checks.
    """
    for name, value in _properties(run, nodeid):
        yield plain(name), plain(value)


def _properties(run: RunRecord, nodeid: str) -> Iterator[tuple[str, str]]:
    yield _NODE_ID, nodeid
    yield "environment", run.environment
    for name, value in (("host", run.host), ("route", run.route), ("job_id", run.job_id)):
        if value:
            yield name, value
    if run.reattached:
        yield "reattached", "true"
    yield from _placement_properties(run)
    if run.package is not None:
        yield "package", run.package.name
        yield "package.version", run.package.version
        yield "package.content_hash", run.package.content_hash
    for name, seconds in run.seconds:
        if seconds is not None:
            yield f"seconds.{name}", f"{seconds:.3f}"
    if run.repeats:
        yield "repeats", str(len(run.repeats))
        yield "seeds", " ".join(str(repeat.seed) for repeat in run.repeats)
    yield from (("noisy", note) for note in run.notes if note.startswith(NOISY))
    for check in (*run.training.checks, *run.inference.checks):
        yield from _check_properties(check)
    yield from _training_properties(run.training)
    yield from _history_properties(run.training)
    if run.inference.documents:
        yield "documents_compared", str(len(run.inference.documents))
        yield "fields_compared", str(run.inference.fields)


def _placement_properties(run: RunRecord) -> Iterator[tuple[str, str]]:
    if run.node is not None:
        yield "node", run.node
    if run.attempt is not None:
        yield "attempt", str(run.attempt)
    yield from (("attempt_lost", clause) for clause in run.attempts_lost)
    if run.resources is not None:
        yield "resources", resources_text(run.resources)


def _check_properties(check: CheckRecord) -> Iterator[tuple[str, str]]:
    name = f"{check.metric}.{check.field}"
    if check.observed is not None:
        yield f"observed.{name}", compact(check.observed, check.minimum, check.maximum)
    if check.minimum is not None:
        yield f"minimum.{name}", compact(check.minimum, check.observed)
    if check.maximum is not None:
        yield f"maximum.{name}", compact(check.maximum, check.observed)
    if check.interval is not None:
        yield f"interval.{name}", " ".join(map(compact, check.interval))
    if remark(check):
        yield f"remark.{name}", remark(check)
    if check.spread is not None:
        yield f"spread.{name}", compact(check.spread)
    if check.repeats:
        values = ("-" if value is None else compact(value, check.minimum, check.maximum) for value in check.repeats)
        yield f"repeats.{name}", " ".join(values)


def _training_properties(training: TrainingRecord) -> Iterator[tuple[str, str]]:
    part, comparison = training.test_part, training.comparison
    facts: dict[str, object] = {}
    if part is not None:
        facts = {f"test_part.{name}": value for name, value in part if name != "labels_without_test_rows"}
        facts["test_part.labels_without_test_rows"] = ", ".join(part.labels_without_test_rows)
    if comparison is not None:
        names = ("rows", "learned", "verdict", "rows_to_decide")
        facts |= {f"comparison.{name}": getattr(comparison, name) for name in names}
    if comparison is not None and comparison.f1 is not None:
        facts["comparison.difference"] = compact(comparison.f1.difference)
        facts["comparison.interval"] = f"{compact(comparison.f1.low)} {compact(comparison.f1.high)}"
    yield from ((name, str(value)) for name, value in facts.items() if value is not None and value != "")


def _history_properties(training: TrainingRecord) -> Iterator[tuple[str, str]]:
    if training.baseline is not None:
        yield from _baseline_properties(training.baseline)
    yield from (("trend", trend_sentence(trend)) for trend in training.trends)


def _baseline_properties(baseline: BaselineRecord) -> Iterator[tuple[str, str]]:
    yield "baseline", baseline.name
    yield "baseline.outcome", baseline.outcome
    facts = {"commit": baseline.commit, "version": baseline.version, "problem": baseline.problem}
    yield from ((f"baseline.{name}", value) for name, value in facts.items() if value)
    if baseline.worse_count:
        yield "baseline.documents_worse", str(baseline.worse_count)
    for change in baseline.changes:
        name = f"{change.metric}.{change.field}"
        yield f"baseline.new.{name}", compact(change.new, change.old)
        yield f"baseline.old.{name}", compact(change.old, change.new)
        yield f"baseline.difference.{name}", compact(change.difference)
        if change.low is not None and change.high is not None:
            yield f"baseline.interval.{name}", f"{compact(change.low)} {compact(change.high)}"
        yield f"baseline.verdict.{name}", change.outcome


def complete(text: str, runs: Mapping[str, RunRecord]) -> str:
    """Content of a JUnit file, with the kinds of failures and the logs of the jobs added.

    Args:
        text: the file as pytest wrote it.
        runs: node id of a case → record of its run. Other test cases stay unchanged.

    Raises:
        xml.etree.ElementTree.ParseError: the text is not XML.
    """
    known = {plain(nodeid): run for nodeid, run in runs.items()}
    root = ET.fromstring(text)  # noqa: S314 - pytest has just written it
    for case in root.iter("testcase"):
        nodeid = _node_id(case)
        run = known.get(nodeid.rpartition("::")[0])
        if run is not None:
            _complete(case, run, nodeid)
    return '<?xml version="1.0" encoding="utf-8"?>' + ET.tostring(root, encoding="unicode")


def _node_id(case: ET.Element) -> str:
    found = case.find(f"properties/property[@name='{_NODE_ID}']")
    return "" if found is None else found.get("value", "")


def _complete(case: ET.Element, run: RunRecord, nodeid: str) -> None:
    _separate_names(case, run)
    failure = (run.inference if nodeid.endswith(_INFERENCE) else run.training).failure
    for element in (*case.findall("failure"), *case.findall("error")):
        if failure is not None and failure.kind != "error" and (element.text or "").startswith(failure.kind):
            element.set("type", failure.kind)
            element.set("message", plain(f"{failure.kind}: {failure.reason}"))
    if run.job_log:
        output = case.find("system-out")
        if output is None:
            output = ET.SubElement(case, "system-out")
        output.text = (output.text or "") + plain("\n".join(("log of the training job, its last lines:", *run.job_log)))


def _separate_names(case: ET.Element, run: RunRecord) -> None:
    """Write `MODEL_TEST::ENVIRONMENT` in the class name if either name has a dot.

    pytest joins both by a dot, so that `Invoices` on `eu.prod` and `Invoices.eu` on `prod` would be the same test.
    """
    joined = f".{run.test}.{run.environment}"
    class_name = case.get("classname", "")
    if "." in run.test + run.environment and class_name.endswith(joined):
        case.set("classname", f"{class_name.removesuffix(joined)}.{run.test}::{run.environment}")
