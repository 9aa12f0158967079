"""Threads of prediction: several items at once, each with one thread of torch."""

from __future__ import annotations

import threading

import pytest

from ibformers.trainer import hardware
from ibformers.trainer.hardware import map_in_threads, prediction_threads

torch = pytest.importorskip("torch")


def test_items_are_predicted_at_once_and_results_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 4)
    both = threading.Barrier(2, timeout=30)

    def work(number: int) -> tuple[int, int]:
        if number < 2:
            both.wait()
        with prediction_threads():
            return number, torch.get_num_threads()

    before = torch.get_num_threads()
    with prediction_threads():
        assert torch.get_num_threads() == 2
        assert list(map_in_threads(work, range(5))) == [(number, 1) for number in range(5)]
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before


def test_an_error_comes_after_the_results_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 2)
    results = map_in_threads(lambda number: 6 // number, [3, 0, 2])
    assert next(results) == 2
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_one_core_has_no_further_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 1)
    assert list(map_in_threads(lambda _: threading.current_thread(), [1, 2])) == [threading.current_thread()] * 2
