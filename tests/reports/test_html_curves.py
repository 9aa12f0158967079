"""Training curves, differences of texts, and numbers of the HTML report."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.reports.html.curves import MOST_LINES, Line, curves
from pytest_ibmodels.reports.html.formats import MINUS, NOTHING, duration, plain, signed
from pytest_ibmodels.reports.html.texts import split_differences
from pytest_ibmodels.reports.record import HistoryRecord
from tests.reports.html_samples import check, history


def metric(value: float, field: str = "Name", **axis: float) -> HistoryRecord:
    return HistoryRecord(metrics={"f1": {field: value}}, **axis)


def test_the_loss_comes_first_then_metrics_that_have_a_minimum() -> None:
    arranged = curves(history(), [check("exact_match", "Name", 0.5, 1.0)])
    assert [panel.title for panel in arranged.panels] == ["loss", "exact_match", "f1", "precision"]
    assert [panel.bounds for panel in arranged.panels] == [(), (0.5,), (), ()]
    assert arranged.fields == ("Name", "DL Number", "Address", "Date of birth")


def test_a_single_point_is_no_curve() -> None:
    assert curves([HistoryRecord(step=1, loss=2.0), metric(0.5, step=1)], []).panels == ()


def test_points_without_an_epoch_are_placed_by_step_and_without_steps_by_progress() -> None:
    by_step = curves([metric(0.1, epoch=1, step=10), metric(0.2, step=20)], []).panels[0]
    assert (by_step.x, by_step.lines) == ("step", (Line("Name", ((10.0, 0.1), (20.0, 0.2))),))
    by_progress = curves([metric(0.1, progress=0.25), metric(0.2, progress=1.0)], []).panels[0]
    assert (by_progress.x, by_progress.lines) == ("progress", (Line("Name", ((25.0, 0.1), (100.0, 0.2))),))


def test_of_two_values_at_one_place_the_later_holds() -> None:
    panel = curves([metric(0.1, epoch=1), metric(0.2, epoch=2), metric(0.3, epoch=2)], []).panels[0]
    assert panel.lines == (Line("Name", ((1.0, 0.1), (2.0, 0.3))),)
    assert panel.description == "f1 by epoch: Name from 0.1000 to 0.3000"


def test_fields_that_come_and_go_leave_gaps_in_the_table() -> None:
    panel = curves([metric(0.1, epoch=1), metric(0.5, "Total", epoch=2), metric(0.2, epoch=3)], []).panels[0]
    assert panel.header == ("epoch", "Name", "Total")
    assert panel.rows == (("1", "0.1000", ""), ("2", "", "0.5000"), ("3", "0.2000", ""))


def test_only_so_many_fields_are_drawn_and_those_with_a_minimum_before_others() -> None:
    fields = tuple(f"field {index}" for index in range(MOST_LINES + 3))
    arranged = curves(history(3, fields), [check("f1", fields[-1], 0.5, 1.0)])
    panel = arranged.panels[1]
    assert [line.name for line in panel.lines] == [fields[-1], *fields[: MOST_LINES - 1]]
    assert arranged.left_out == len(panel.more) == 3
    assert set(panel.header[1:]) == set(fields)


def test_long_curves_have_short_tables_with_both_ends() -> None:
    panel = curves([HistoryRecord(step=step, loss=step) for step in range(1, 1001)], []).panels[0]
    assert len(panel.lines[0].points) == 1000
    assert len(panel.rows) <= 41
    assert (panel.rows[0], panel.rows[-1]) == (("1", "1.0000"), ("1000", "1000.0000"))


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_pieces_of_two_texts_are_these_texts(before: str, after: str) -> None:
    for text, pieces in zip((before, after), split_differences(before, after), strict=True):
        assert "".join(piece.replace("↵\n", "\n") for piece, _ in pieces) == text.replace("↵\n", "\n")


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_what_two_texts_share_is_the_same_on_both_sides(before: str, after: str) -> None:
    first, second = split_differences(before, after)
    shared = ["".join(piece for piece, differs in pieces if not differs) for pieces in (first, second)]
    assert shared[0] == shared[1]
    assert before != after or shared[0] == before


def test_the_letter_that_differs_is_marked_and_so_is_a_line_break() -> None:
    assert split_differences("Ada Lovelace", "Ada Lovelac") == (
        (("Ada Lovelac", False), ("e", True)),
        (("Ada Lovelac", False),),
    )
    assert split_differences("12 Acre\nRoad", "12 Acre Road")[0] == (("12 Acre", False), ("↵\n", True), ("Road", False))


def test_texts_that_have_nothing_in_common_differ_as_a_whole() -> None:
    assert split_differences("12.50", "Grace Hopper") == ((("12.50", True),), (("Grace Hopper", True),))
    assert split_differences("", "x") == ((), (("x", True),))
    assert split_differences("a" * 10_000, "b")[0][0][0] == "a" * 4000 + "…"


def test_numbers_are_short_and_have_a_true_minus() -> None:
    assert [plain(value) for value in (None, 0.0, 0.87125, 1e300, 2.5e-7, -0.5)] == [
        NOTHING, "0.0000", "0.8712", "1e+300", f"2.5e{MINUS}07", f"{MINUS}0.5000",
    ]  # fmt: skip
    assert [signed(value) for value in (None, 0.0, 0.25, -0.25)] == ["", "+0.0000", "+0.2500", f"{MINUS}0.2500"]
    assert [duration(value) for value in (None, 1.25, 312.4, 7260.0)] == [NOTHING, "1.2 s", "5 min 12 s", "2 h 01 min"]
