"""Parts of the portal that need neither a server nor a browser: the list's pages, plots, reports and texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, insert

from pytest_ibmodels.sandbox.plaintext import visible
from pytest_ibmodels.sandbox.portal.formats import NOTHING, ago, cut, duration, size
from pytest_ibmodels.sandbox.portal.plots import plot
from pytest_ibmodels.sandbox.portal.rendering import environment, html_response
from pytest_ibmodels.sandbox.portal.reported import Curve, Panel, reported
from pytest_ibmodels.sandbox.storage.audit import Audit
from pytest_ibmodels.sandbox.storage.job_listing import JobListing
from pytest_ibmodels.sandbox.storage.portal_tables import FormRow, PortalTables, SessionRow
from pytest_ibmodels.sandbox.storage.stores import open_store
from pytest_ibmodels.sandbox.storage.tables import Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ibmodels.sandbox.storage.job_store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    yield store
    store.close()


@pytest.fixture
def shared_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store in a PostgreSQL, without any table before and after."""
    store = open_store(request.getfixturevalue("postgresql"))
    yield store
    for table in ("jobs", "models", "packages", "servers", "audit", "portal_sessions", "portal_forms"):
        with store.database.engine.begin() as connection:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    store.close()


def job(number: int, **columns: Any) -> dict[str, Any]:
    plain = {"kind": "train", "state": "DONE", "task_state": "DONE", "message": "", "task_data": {}, "results": []}
    return {"id": f"{number:04}", "created": float(number // 3), **plain, "peak_memory": 0, **columns}


@pytest.mark.parametrize("kind", ["store", "shared_store"])
def test_pages_of_jobs_have_each_job_once(request: pytest.FixtureRequest, kind: str) -> None:
    store: Store = request.getfixturevalue(kind)
    with store.database.engine.begin() as connection:
        connection.execute(insert(Job), [job(number) for number in range(100)])
    listing = JobListing(store.database)
    ids, page, keys = [], listing.page(9), []
    assert (page.newer, listing.models(9)) == (False, [])
    while True:
        ids += [row.id for row in page.rows]
        keys.append(page.rows[0].key)
        if not page.older:
            break
        page = listing.page(9, before=page.rows[-1].key)
    assert ids == [f"{number:04}" for number in reversed(range(100))]
    back = listing.page(9, after=keys[2])
    assert [row.id for row in back.rows] == ids[9:18]
    assert (back.older, back.newer) == (True, True)
    first = listing.page(9, after=keys[1])
    assert ([row.id for row in first.rows], first.newer) == (ids[:9], False)
    assert listing.page(9, before="nonsense_").rows == listing.page(9, before="x").rows == listing.page(9).rows


def test_a_page_is_read_through_the_index(store: Store) -> None:
    JobListing(store.database)
    listing = JobListing(store.database)  # the index is there already
    statements: list[tuple[str, Any]] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda *call: statements.append((call[2], call[3])))
    listing.page(50, before="5.0_x")
    statement, parameters = statements[0]
    with store.database.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert ["USING INDEX jobs_newest_first" in str(step) for step in plan] == [True]
    assert "results" not in statement


def test_jobs_are_filtered(store: Store) -> None:
    states = [("PENDING", ""), ("STARTED", ""), ("DONE", "cancelled"), ("ERROR", "boom"), ("ERROR", "cancelled")]
    with store.database.engine.begin() as connection:
        rows = [job(number, task_state=state, message=msg) for number, (state, msg) in enumerate(states)]
        connection.execute(insert(Job), rows)
    listing = JobListing(store.database)
    for number, state in enumerate(("queued", "running", "done", "failed", "cancelled")):
        rows_found = listing.page(9, state=state).rows  # type: ignore[arg-type]
        assert [(row.id, row.shown_state) for row in rows_found] == [(f"{number:04}", state)]


def test_models_and_nodes_are_listed(store: Store) -> None:
    rows = [job(n, model_name=name, node="gpu-1") for n, name in enumerate(("b", "a", "b", ""))]
    with store.database.engine.begin() as connection:
        connection.execute(insert(Job), rows)
    listing = JobListing(store.database)
    assert listing.models(9) == ["a", "b"]
    assert [(row.id, row.node) for row in listing.page(9, model="b").rows] == [("0002", "gpu-1"), ("0000", "gpu-1")]


@pytest.mark.parametrize("kind", ["store", "shared_store"])
def test_the_audit_is_read_in_pages(request: pytest.FixtureRequest, kind: str) -> None:
    store: Store = request.getfixturevalue(kind)
    audit = Audit(store.database)
    for number in range(5):
        audit.record("ada (API)", "publish" if number % 2 else "cancel", f"job {number}")
    first = audit.page(2)
    second = audit.page(2, before=first.entries[-1].key)
    back = audit.page(2, after=second.entries[0].key)
    last = audit.page(2, before=second.entries[-1].key)
    pages = [
        ([entry.subject for entry in page.entries], page.older, page.newer) for page in (first, second, back, last)
    ]
    newest, then, oldest = (["job 4", "job 3"], True), (["job 2", "job 1"], True, True), (["job 0"], False, True)
    assert pages == [(*newest, False), then, (*newest, False), oldest]
    assert audit.actions() == ["cancel", "publish"]
    assert [entry.subject for entry in audit.page(9, action="publish").entries] == ["job 3", "job 1"]
    audit.forget_before(first.entries[0].at)
    assert [entry.subject for entry in audit.page(9, before="no key").entries] == ["job 4"]


@pytest.mark.parametrize("kind", ["store", "shared_store"])
def test_sessions_and_forms_are_kept_in_any_database(request: pytest.FixtureRequest, kind: str) -> None:
    store: Store = request.getfixturevalue(kind)
    tables, others = PortalTables(store.database), PortalTables(store.database)
    tables.add_session(SessionRow("one", "proof", 1.5, 2.5))
    assert others.session("one") == SessionRow("one", "proof", 1.5, 2.5)
    others.mark_used("one", 3.5)
    assert tables.begin_form("one", "form", 4.5)
    assert not others.begin_form("one", "form", 5.5)
    assert others.begin_form("two", "form", 5.5)
    assert others.form("one", "form") == FormRow(None, "", "")
    tables.end_form("one", "form", FormRow(succeeded=True, message="done \u202e", location="/portal/jobs"))
    assert others.form("one", "form") == FormRow(True, "done \u202e", "/portal/jobs")
    tables.end_sessions_created_before(5.0)
    assert (others.session("one"), others.form("one", "form")) == (None, None)
    assert others.form("two", "form") is not None


@pytest.mark.parametrize(
    "points",
    [
        [(0.0, 1.0), (1.0, 1.0)], [(0.0, 0.0), (1e-9, 1e-12)], [(1.0, -1e300), (2.0, 1e300)], [(5.0, 2.0), (6.0, 3.0)],
        [(0.0, 1e15), (1e15, 1e15 + 1)], [(3.0, 0.1), (3.0, 0.2)],
    ],
)  # fmt: skip
def test_any_curve_is_drawn_inside_its_plot(points: list[tuple[float, float]]) -> None:
    svg = plot(Panel("<loss>", "step", (Curve('a"b', tuple(points)),)))
    assert "<loss>" not in svg
    assert "a&#34;b from" in svg
    drawn = svg.split('points="')[1].split('"')[0].split()
    for x, y in (map(float, point.split(",")) for point in drawn):
        assert 48 <= x <= 350
        assert 10 <= y <= 174
    assert svg.count('class="grid"') >= 2


@pytest.mark.parametrize(
    "data",
    [
        {}, {"history": None, "evaluations": 3}, {"history": ["x", {"step": "1"}]}, {"progress": "NAN"},
        {"history": [{"step": math.nan, "loss": 1}] * 2}, {"evaluation_results": [1]},
        {"evaluation_results": {"f1": None}},
        {"history": [{"step": 10**400, "loss": 10**400}] * 2}, {"history": [{"step": True, "loss": True}] * 2},
        {"evaluation_results": {"f1": {"a": {"b": 1}}}, "evaluation_intervals": {"f1": 3}},
    ],
)  # fmt: skip
def test_malformed_reports_are_left_out(data: dict[str, Any]) -> None:
    found = reported(Job("x", "train", 0.0, task_data=data, results=[{"result": 5}]))
    assert (found.panels, found.metrics, found.progress) == ((), (), None)


def test_many_curves_and_points_are_limited() -> None:
    history = [{"step": n, "metrics": {"f1": {f"field {k}": n * k for k in range(9)}}} for n in range(5000)]
    (panel,) = reported(Job("x", "train", 0.0, task_data={"history": history, "progress": 7})).panels
    assert (len(panel.curves), panel.left_out) == (6, 3)
    assert all(len(curve.points) <= 401 and curve.points[-1][0] == 4999 for curve in panel.curves)
    assert len(plot(panel)) < 40_000


def test_texts_neither_reorder_nor_hide_others() -> None:
    assert (
        visible("a\u202eb\u2066c\x00\x1b[31mred\x1b[0m\x9b\t\u05e9\u05d5")
        == "a\\u202eb\\u2066c\\x00red\\x9b\t\u05e9\u05d5"
    )
    shown = environment().from_string("{{ text }}").render(text="<b>\u202e")
    assert shown == "&lt;b&gt;\\u202e"
    assert html_response("a\ud800b").body == b"a?b"


def test_numbers_are_as_a_person_reads_them() -> None:
    assert [size(count) for count in (None, 0, 1, 900, 2048, 150 * 2**20, 3 * 2**40)] == [
        NOTHING, NOTHING, "1 byte", "900 bytes", "2.0 KiB", "150 MiB", "3.0 TiB",
    ]  # fmt: skip
    assert [duration(seconds) for seconds in (None, 0.05, 59, 61, 3600, 200_000)] == [
        NOTHING, "0.1 s", "59 s", "1 min 01 s", "1 h 00 min", "2 d 7 h",
    ]  # fmt: skip
    assert [ago(seconds) for seconds in (-5, 59, 61, 3599, 7200, 90_000, 10**6)] == [
        "just now", "just now", "1 min ago", "60 min ago", "2 h ago", "25 h ago", "12 d ago",
    ]  # fmt: skip
    assert (cut("abc", 3), cut("abcd", 3)) == ("abc", "ab…")
