"""Sides of rows, decided by their texts, a group column or a split column."""

from __future__ import annotations

import datetime as dt
import decimal
import logging
import random
import unicodedata
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibformers.tasks.text_classification.keys import (
    fingerprint,
    group_key,
    is_among,
    normalise,
    text_key,
    training_mask,
)
from ibformers.tasks.text_classification.learned import LearnedRows
from ibformers.tasks.text_classification.split import Split, describe_split, hold_out_rows, split_rows, split_rule
from ibformers.tuning import RequestRefused, TrainRequest
from tests.ibformers.tuning.sides import SEED, SHARE, TABLE, Texts, divided, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def film(number: int) -> str:
    return f"film number {number}"


@given(st.text(), st.sampled_from(["NFC", "NFD"]), st.sampled_from([" ", "\t", "\n ", "\u00a0"]))
def test_texts_that_people_take_for_the_same_have_one_key(text: str, form: Any, blank: str) -> None:
    other = blank + unicodedata.normalize(form, text).replace(" ", blank * 2) + blank
    assert text_key(text) == text_key(other)
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Great Film", "GREAT  film\n", True),
        ("Caf\u00e9", "cafe\u0301", True),
        ("STRASSE", "stra\u00dfe", True),
        ("great film", "great film!", False),
        ("greatfilm", "great film", False),
        ("caf\u00e9", "cafe", False),
        ("an \ud83d end", "an \ud83e end", False),
    ],
)
def test_what_makes_a_text_another_one(one: str, other: str, same: bool) -> None:
    assert (text_key(one) == text_key(other)) is same


@given(st.lists(st.text(max_size=20), min_size=1, max_size=40), st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_a_side_depends_on_the_text_and_the_seed_alone(texts: Texts, share: float, seed: int) -> None:
    together = training_mask(keys_of(texts), share, seed)
    alone = [bool(training_mask(keys_of([text]), share, seed)[0]) for text in texts]
    assert together.tolist() == alone
    smaller = training_mask(keys_of(texts), share / 2, seed)
    assert not (smaller & ~together).any(), "a bigger share moves no row out of the training part"


def test_the_share_holds_in_the_mean() -> None:
    keys = keys_of([film(number) for number in range(20_000)])
    for share in (0.1, 0.5, 0.8):
        for seed in (0, 1, SEED):
            assert training_mask(keys, share, seed).mean() == pytest.approx(share, abs=0.02)
    agreeing = (training_mask(keys, 0.8, 1) == training_mask(keys, 0.8, 2)).mean()
    assert agreeing == pytest.approx(0.8**2 + 0.2**2, abs=0.02), "seeds have nothing in common"


def as_it_is(texts: Texts, chance: random.Random) -> Texts:
    return texts


def one_deleted(texts: Texts, chance: random.Random) -> Texts:
    return [text for text in texts if text != chance.choice(texts)]


def a_tenth_deleted(texts: Texts, chance: random.Random) -> Texts:
    return [text for text in texts if chance.random() > 0.1]


def as_many_again(texts: Texts, chance: random.Random) -> Texts:
    return texts + [film(1000 + number) for number in range(len(texts))]


def some_in_front(texts: Texts, chance: random.Random) -> Texts:
    return [film(1000 + number) for number in range(7)] + texts


def shuffled(texts: Texts, chance: random.Random) -> Texts:
    return chance.sample(texts, len(texts))


def by_key_of_chance(texts: Texts, chance: random.Random) -> Texts:
    """Rows with UUIDs as primary key, so that new rows are among the old ones."""
    return sorted(
        as_many_again(texts, chance)[: len(texts) + 20], key=lambda _: str(uuid.UUID(int=chance.getrandbits(128)))
    )


def written_otherwise(texts: Texts, chance: random.Random) -> Texts:
    return [text.upper().replace(" ", "  ") for text in texts]


CHANGES = (
    as_it_is,
    one_deleted,
    a_tenth_deleted,
    as_many_again,
    some_in_front,
    shuffled,
    by_key_of_chance,
    written_otherwise,
)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(50, 200), st.sampled_from(CHANGES))
def test_no_row_that_was_learned_tests_after_a_change_of_the_table(
    seed: int, count: int, change: Callable[[Texts, random.Random], Texts]
) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same every time
    before = [film(number) for number in range(count)]
    learned, tested = divided(before, seed=seed)
    after = change(before, chance)
    learned_after, tested_after = divided(after, seed=seed)
    assert not is_among(keys_of(tested_after), np.sort(keys_of(learned))).any()
    assert not is_among(keys_of(learned_after), np.sort(keys_of(tested))).any()
    # The order of the sides does not depend on that of the table either.
    old = [text for text in map(normalise, tested_after) if text in set(tested)]
    assert old == [text for text in tested if text in set(old)]


@given(st.lists(st.tuples(st.text(max_size=9), st.none() | st.integers(0, 5)), min_size=60, max_size=60))
def test_rows_of_a_group_are_on_one_side(rows: list[tuple[str, int | None]]) -> None:
    rule = split_rule(TrainRequest.of(TABLE | {"group_column": "Author"}))
    for _text, group in rows:
        rule.add([group])
    keys = keys_of([text for text, _ in rows])
    training = rule.training_mask(keys, 0.5, SEED).tolist()
    for group in range(6):
        assert len({side for side, (_, author) in zip(training, rows, strict=True) if author == group}) <= 1
    own = training_mask(keys, 0.5, SEED).tolist()
    without = [place for place, (_, author) in enumerate(rows) if author is None]
    assert [training[place] for place in without] == [own[place] for place in without]


def test_a_group_is_the_same_in_whatever_type_it_comes() -> None:
    assert len({group_key(value) for value in (7, 7.0, decimal.Decimal(7), "7", " 7 ", "7\n")}) == 1
    assert group_key("Ann Lee") == group_key("ann  LEE")
    assert group_key(uuid.UUID(int=5)) == group_key(str(uuid.UUID(int=5)))
    assert len({group_key(value) for value in (1.5, 2, dt.date(2024, 1, 1), b"a", "a", True, float("nan"))}) == 7
    assert group_key(None) is group_key("") is group_key(" \t") is None


def test_a_column_says_the_sides() -> None:
    texts, values = [film(number) for number in range(4)], ["train", "TEST", " Train ", "test\n"]
    learned, tested = divided(texts, values, split_column="Part")
    assert (sorted(learned), sorted(tested)) == ([texts[0], texts[2]], [texts[1], texts[3]])


@pytest.mark.parametrize(
    ("value", "shown"), [("valid", "'valid'"), (None, "NULL"), (1, "1"), ("", "''"), ("x" * 99, "'" + "x" * 56 + "...")]
)
def test_a_column_that_says_something_else_is_refused(value: Any, shown: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        divided(["a", "b"], ["train", value], split_column="Part")
    assert str(caught.value) == (
        f"Column Part holds {shown}: as the split_column, each row with a label and a text must have train or test "
        "there."
    )
    assert caught.value.field == "split_column"


@pytest.mark.parametrize(
    ("request_", "values", "share", "said", "field"),
    [
        ({}, [], 0.999, r"Of 3 rows there is none to test: a hash of each text decides, with p_of_train 0\.999", "p_"),
        ({}, [], 0.001, "Of 3 rows there is none to learn from: .* or name the sides in a split_column", "p_"),
        ({"group_column": "Author"}, "aaa", 0.5, "none to .*: a hash of Author decides, which has 1 values", "p_"),
        ({"split_column": "Part"}, ["test"] * 3, 0.5, "none to learn from: Part has train in none of the rows", "s"),
        ({"split_column": "Part"}, ["train"] * 3, 0.5, "none to test: Part has test in none of the rows that w", "s"),
    ],
)
def test_a_side_without_rows_is_refused(
    request_: dict[str, Any], values: Sequence[Any], share: float, said: str, field: str
) -> None:
    with pytest.raises(RequestRefused, match=said) as caught:
        divided([film(number) for number in range(3)], values, share, **request_)
    assert caught.value.field.startswith(field)


@pytest.mark.parametrize(
    ("further", "said", "field"),
    [
        ({"group_column": "A", "split_column": "B"}, "group_column and split_column both decide", "split_column"),
        ({"split_column": "B", "p_of_train": 0.5}, "p_of_train has no effect beside split_column", "p_of_train"),
        ({"group_column": "LABEL"}, "group_column is LABEL, which columns name already", "group_column"),
        ({"split_column": "Body"}, "split_column is Body, which columns name already", "split_column"),
        ({"group_column": ""}, "group_column must have at least 1 character", "group_column"),
        ({"split_column": 5}, "split_column must be a valid string", "split_column"),
    ],
)
def test_fields_that_do_not_go_together(further: dict[str, Any], said: str, field: str) -> None:
    with pytest.raises(RequestRefused, match=said) as caught:
        TrainRequest.of(TABLE | further)
    assert caught.value.field == field


def test_what_the_answer_says_of_the_test_part(caplog: pytest.LogCaptureFixture) -> None:
    texts = ["a", "A", "b", "c", "d", "e "]
    keys, codes, labels = keys_of(texts), np.array([0, 1, 0, 0, 1, 2]), ["good", "bad", "odd", "never"]
    rule = split_rule(TrainRequest.of(TABLE | {"group_column": "Author"}))
    learned = LearnedRows(np.sort(keys_of(["e", "x"])), complete=True)
    parts = Split(np.array([0, 2, 3]), np.array([5, 4, 1]))
    part = describe_split(keys, codes, labels, parts, rule, SEED, learned)
    assert part.model_dump() == {
        "unit": "rows",
        "count": 3,
        "fingerprint": fingerprint(keys_of(["D", "E", "A"])),
        "seed": SEED,
        "split": "group column Author",
        "duplicates": 1,
        "on_both_sides": 1,
        "labels_without_test_rows": ["good", "never"],
        "learned_before": 1,
    }
    # Which of them there are does not depend on the level that other tests have left.
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    starts = [
        "1 texts occur with different labels",
        "1 test rows have the text of a row that is learned from, since group column Author decides",
        "no test row has the labels good: there are no metrics of them",
        "no row to learn from has the labels bad, odd: the model cannot learn them",
        "1 of 3 test rows were learned by the model in use, which was trained with another split",
    ]
    assert [line.startswith(start) for line, start in zip(said, starts, strict=True)] == [True] * 5


NOTHING_LEARNED = LearnedRows(np.array([], dtype=np.uint64), complete=True)


def held(
    texts: Sequence[str],
    labels: Sequence[int] = (),
    groups: Sequence[Any] = (),
    learned: LearnedRows = NOTHING_LEARNED,
    seed: int = SEED,
    share: float = SHARE,
) -> tuple[set[int], set[int], set[int]]:
    """Return the indices of the rows that are learned, that are held out, and that test."""
    rule = split_rule(TrainRequest.of(TABLE | ({"group_column": "Author"} if groups else {})))
    for value in groups or texts:
        rule.add([value])
    keys, codes = keys_of(texts), np.array(labels or [number % 3 for number in range(len(texts))])
    parts = hold_out_rows(split_rows(keys, rule, share, seed), keys, codes, rule, learned)
    train, held_out, test = (set(rows.tolist()) for rows in (parts.train, parts.held_out, parts.test))
    assert sorted([*train, *held_out, *test]) == list(range(len(texts)))
    return train, held_out, test


def test_a_tenth_of_the_training_part_is_held_out_from_every_training() -> None:
    texts = [film(number) for number in range(2000)]
    train, held_out, test = held(texts)
    assert 0.08 < len(held_out) / len(train | held_out) < 0.12
    others = [held(texts, seed=seed) for seed in (1, 2)]
    others += [held(texts, share=0.9), held([*texts[::-1], "another film"])]
    learned = [other[0] for other in others[:3]] + [{1999 - index for index in others[3][0]}]
    assert [rows & held_out for rows in learned] == [set()] * 4
    assert test == held(texts)[2] == {texts.index(text) for text in divided(texts)[1]}


def test_rows_that_tell_nothing_of_new_rows_are_learned() -> None:
    texts = [film(number) for number in range(1000)]
    train, held_out, test = held(texts)
    one, two, three, *_ = sorted(held_out)
    # A model before has learned it; it is the only row of its label; its text is learned, or tests, in another group.
    assert one in held(texts, learned=LearnedRows(keys_of([texts[one]]), complete=True))[0]
    assert two in held(texts, [int(number == two) for number in range(1000)])[0]
    groups = [str(number) for number in range(1000)]
    by_group = held(texts, groups=groups)
    three = min(by_group[1])
    for other in (min(by_group[0]), min(by_group[2])):
        assert three in held([texts[three] if number == other else text for number, text in enumerate(texts)],
                             groups=groups)[0]  # fmt: skip
    # What an older version has learned is not known.
    assert held(texts, learned=LearnedRows(np.array([], dtype=np.uint64), complete=False))[1] == held_out
    assert train.isdisjoint(test)


def test_a_group_is_held_out_as_a_whole() -> None:
    groups = [f"author {number % 100}" for number in range(1000)]
    parts = held([film(number) for number in range(1000)], groups=groups)
    authors = [{groups[index] for index in rows} for rows in parts]
    assert sum(map(len, authors)) == 100
    assert all(authors)


def test_few_rows_are_all_learned(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ibformers")
    assert held([film(number) for number in range(100)])[1] == set()
    assert "rows could be held out, and a temperature needs 30: all rows are learned" in caplog.text


def test_a_fingerprint_stands_for_the_rows_in_any_order() -> None:
    keys = keys_of(["a", "b", "c"])
    assert fingerprint(keys) == fingerprint(keys[::-1])
    assert len({fingerprint(keys), fingerprint(keys[:2]), fingerprint(keys_of(["a", "a", "b", "c"]))}) == 3
    assert len(fingerprint(keys)) == 16
    assert int(fingerprint(keys), 16) >= 0


def test_a_record_of_learned_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = LearnedRows.of(str(tmp_path)).with_rows(keys_of(["b", "a", "B"])).with_rows(keys_of(["c", "a"]))
    record.write(tmp_path)
    kept = LearnedRows.of(str(tmp_path))
    found = kept.among(keys_of(["C", "d", "a"]))
    assert found is not None
    assert found.tolist() == [True, False, True]
    assert len(kept.keys) == 3
    assert LearnedRows.of("some/model-of-the-hub").among(keys_of(["a"])) is not None
    for damaged in (b"", b"PK\x03\x04 and no more", (tmp_path / "learned_rows.npz").read_bytes()[:-40]):
        (tmp_path / "learned_rows.npz").write_bytes(damaged)
        assert LearnedRows.of(str(tmp_path)).among(keys_of(["a"])) is None
    assert "cannot be read: which rows the model has learned is not known" in caplog.text
