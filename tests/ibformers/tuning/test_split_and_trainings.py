"""Rows that trainings learn and test, one after the other, while their table changes."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from ibformers.tuning import DatabaseRows, RequestRefused, TrainAnswer, Tuning
from tests.ibformers.tuning.sides import SEED, TABLE, Texts, divided

if TYPE_CHECKING:
    from pathlib import Path


def coin(file: Path, count: int = 100) -> str:
    """Table with random labels, for which every model has an accuracy of 0.5."""
    chance = random.Random(8)  # noqa: S311 - the same every time
    words = ("apple", "river", "stone", "cloud", "chair", "horse", "paper", "light", "green", "seven", "north", "music")
    rows = [(chance.choice(["no", "yes"]), " ".join(chance.sample(words, 6))) for _ in range(count)]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE Review (Label TEXT, Body TEXT, Author TEXT, Part TEXT)")
        connection.executemany(
            "INSERT INTO Review VALUES (?, ?, ?, ?)",
            [(label, text, f"author {number % 25}", "train" if number % 5 else "test")
             for number, (label, text) in enumerate(rows)],
        )  # fmt: skip
    return f"sqlite:///{file}"


class Coin:
    """Model that is tuned repeatedly on the table of `coin`."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder
        self.database = coin(folder / "coin.db")
        self.base = str(base)
        self.tuning = self.model("m")

    def model(self, name: str, **further: Any) -> Tuning:
        chosen = {"path": self.folder / "models", "model_name": name, "base_model": self.base, **further}
        return Tuning(chosen, DatabaseRows(self.database))

    def train(self, tuning: Tuning | None = None, **request: Any) -> TrainAnswer:
        """Train with a learning rate of 0, and put the new model in use."""
        tuning = tuning or self.tuning
        answer = tuning.train({**TABLE, "num_train_epochs": 1, "learning_rate": 1e-6, **request})
        tuning.override()
        return answer

    def change(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.folder / "coin.db")) as connection, connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture
def table(tmp_path: Path, tiny_bert: Path) -> Coin:
    return Coin(tmp_path, tiny_bert)


def test_after_any_change_of_the_table_no_test_row_was_learned_before(table: Coin) -> None:
    first = table.train()
    assert (first.test_part.count, first.test_part.learned_before) == (first.rows.test, 0)
    assert 10 <= first.rows.test <= 30
    assert table.train().test_part == first.test_part
    table.change("DELETE FROM Review WHERE rowid = 1", "UPDATE Review SET Label = 'yes' WHERE rowid % 3 = 0")
    table.change("INSERT INTO Review SELECT Label, 'once more ' || Body, Author, Part FROM Review WHERE rowid % 4 = 0")
    table.change(
        "CREATE TABLE Keyed (Id TEXT PRIMARY KEY, Label TEXT, Body TEXT)",
        "INSERT INTO Keyed SELECT hex(randomblob(16)), Label, Body FROM Review ORDER BY random()",
    )
    for request in ({"limit": 60}, {"limit": 110}, {"table": "Keyed"}, {"p_of_train": 0.9}):
        answer = table.train(**request)
        assert answer.test_part.learned_before == 0, request
    assert answer.test_part.fingerprint != first.test_part.fingerprint


def test_rows_that_the_model_in_use_has_learned_are_counted(table: Coin, caplog: pytest.LogCaptureFixture) -> None:
    first = table.train()
    learned = set(divided(texts_of(table))[0])
    other = table.train(seed=7)
    tested = divided(texts_of(table), seed=7)[1]
    assert other.test_part.learned_before == len(learned.intersection(tested)) > len(tested) / 2
    assert f"{other.test_part.learned_before} of {len(tested)} test rows were learned by the model" in caplog.text
    assert (other.test_part.seed, first.test_part.seed) == (7, SEED)
    # By now it has learned what either training learned, so all of the first test part that the second one learned.
    again = table.train()
    assert again.test_part.fingerprint == first.test_part.fingerprint
    assert again.test_part.learned_before == first.rows.test - len(set(tested) - learned)
    assert table.tuning.rollback().in_use == other.version
    assert table.train().test_part.learned_before == again.test_part.learned_before

    # A model that starts from the folder of this one has learned what this one has; a new one nothing.
    heir = table.model("heir", base_model=str(table.folder / "models" / "m"))
    assert table.train(heir).test_part.learned_before == again.test_part.learned_before
    assert table.train(table.model("other")).test_part.learned_before == 0


def test_a_seed_of_the_split_keeps_the_test_part_whatever_the_other_seed(table: Coin) -> None:
    first = table.train()
    other = table.train(seed=7, split_seed=SEED)
    assert other.test_part == first.test_part
    assert other.test_part.learned_before == 0
    with pytest.raises(RequestRefused, match="split_seed"):
        table.train(split_seed=-1)


def test_what_an_older_version_has_learned_is_not_known(table: Coin) -> None:
    table.train()
    (table.folder / "models" / "m" / "learned_rows.npz").unlink()
    heir = table.model("heir", base_model=str(table.folder / "models" / "m"))
    for tuning in (table.tuning, table.tuning, heir, heir):
        assert table.train(tuning).test_part.learned_before is None


def test_groups_and_sides_from_columns(table: Coin, caplog: pytest.LogCaptureFixture) -> None:
    table.change("INSERT INTO Review SELECT Label, upper(Body), 'another', 'train' FROM Review WHERE rowid <= 40")
    grouped = table.train(group_column="author")
    assert grouped.test_part.split == "group column author"
    assert grouped.test_part.duplicates == 40
    assert 0 < grouped.test_part.on_both_sides <= 40
    assert f"{grouped.test_part.on_both_sides} test rows have the text of a row that is learned from" in caplog.text
    said = table.train(table.model("other"), split_column="Part")
    assert (said.rows.train, said.rows.test, said.test_part.on_both_sides) == (120, 20, 8)
    assert (said.test_part.split, said.test_part.seed) == ("split column Part", None)
    table.change("UPDATE Review SET Part = NULL WHERE rowid = 50")
    with pytest.raises(RequestRefused, match="Column Part holds NULL: as the split_column, each row"):
        table.train(split_column="Part")


def test_a_label_that_no_test_row_has_is_named(table: Coin, caplog: pytest.LogCaptureFixture) -> None:
    table.change("INSERT INTO Review (Label, Body) VALUES ('odd one', 'a rare film'), ('odd two', 'a strange film')")
    answer = table.train()
    (odd,) = answer.test_part.labels_without_test_rows
    assert odd.startswith("odd")
    assert odd not in answer.new.support
    assert f"no test row has the labels {odd}: there are no metrics of them" in caplog.text


def texts_of(table: Coin) -> Texts:
    with closing(sqlite3.connect(table.folder / "coin.db")) as connection:
        return [text for (text,) in connection.execute("SELECT Body FROM Review")]
