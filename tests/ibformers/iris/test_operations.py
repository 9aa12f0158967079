"""Messages to the operations and their responses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ibformers.iris.messages import (
    MLRequest,
    MLResponse,
    OverrideResponse,
    RollbackResponse,
    TrainRequest,
    TrainResponse,
)
from ibformers.iris.operations import MLOperation, TuningOperation
from ibformers.iris.rows import IrisRows
from ibformers.iris.sample import make_table, reviews
from ibformers.tasks.text_classification.prediction import as_json
from ibformers.tuning import DatabaseUnavailable, RequestRefused
from tests.ibformers.iris.conftest import SqliteSql, message, started

if TYPE_CHECKING:
    from pathlib import Path

    from ibformers.tuning import RowSource

REQUEST = """{
    "columns":"ReviewLabel,ReviewText",
    "table":"iris.Review",
    "limit":20,
    "p_of_train":0.8,

    "output_dir":"%s/checkpoints",
    "evaluation_strategy":"steps",
    "learning_rate":0.01,
    "num_train_epochs":1
}"""
"""Train request of the documentation."""


class InsideIris(TuningOperation):
    """Operation with a fake of `iris.sql`."""

    _sql = SqliteSql("iris")

    def _rows(self) -> RowSource:
        return IrisRows(lambda: self._sql)


@pytest.fixture
def settings(models: Path) -> str:
    return f"path = {models}\nmodel_name=tiny\n\nnum_labels=5\n"


@pytest.mark.usefixtures("short_names")
def test_train_override_predict_rollback(settings: str, database: str, tmp_path: Path) -> None:
    tuning, log = started(TuningOperation, f"{settings}database={database}")
    serving, _ = started(MLOperation, settings)
    bad = message("msg.MLRequest", '{"inputs":"This was a really bad experience"}')
    assert "tiny has not learned to classify texts yet" in str(serving.on_message(bad).error)

    trained = tuning.on_message(message("msg.TrainRequest", REQUEST % tmp_path))
    assert isinstance(trained, TrainResponse)
    assert trained.error is None
    answer = json.loads(trained.model_dump_json())
    assert answer["rows"] == {"read": 20, "train": 16, "held_out": 0, "test": 4, "skipped": 0, "truncated": 0}
    assert {"accuracy", "precision", "recall", "f1", "loss", "ece"} <= answer["old"].keys() & answer["new"].keys()
    assert answer["labels"] == ["1", "2", "3", "4", "5"]
    assert (answer["test_part"]["count"], answer["test_part"]["split"]) == (4, "text")
    assert "error" not in answer
    said = [line for level, line in log.lines if level == "INFO"]
    for part in ("20 rows read from iris.Review", "step 3 of 4", "evaluation at step 3", "new model: acc", "waits in"):
        assert any(part in line for line in said), part
    assert said[-1] == answer["message"]
    assert not (tmp_path / "models" / "tiny").is_symlink(), "nothing is replaced without an override"

    taken = tuning.on_message(message("msg.OverrideRequest", "{}"))
    assert isinstance(taken, OverrideResponse)
    assert taken.model_dump()["in_use"] == answer["version"]
    found = serving.on_message(bad)
    assert isinstance(found, MLResponse)
    served = json.loads(found.model_dump_json())
    assert served["version"] == answer["version"]
    assert served["outputs"][0]["label"] in answer["labels"]

    back = tuning.on_message(message("msg.RollbackRequest", "{}"))
    assert isinstance(back, RollbackResponse)
    assert back.model_dump()["previous"] == answer["version"]
    assert "has not learned" in str(serving.on_message(bad).error)


def test_rows_by_iris_sql(settings: str, tmp_path: Path) -> None:
    make_table(InsideIris._sql, 60)
    tuning, log = started(InsideIris, settings)
    InsideIris._sql.log.clear()
    request: dict[str, Any] = json.loads(REQUEST % tmp_path)
    answer = tuning.on_message(TrainRequest(**request)).model_dump()
    assert answer["rows"]["read"] == 20
    statement, parameters = InsideIris._sql.log[-1]
    assert " ".join(statement.split()) == (
        'SELECT TOP ? iris."Review"."ReviewLabel", iris."Review"."ReviewText" FROM iris."Review"'
    )
    assert parameters == (20,)
    refused = tuning.on_message(TrainRequest(**request | {"group_column": "1 UNION SELECT 2"}))
    assert (refused.field, "not a plain name" in str(refused.error)) == ("group_column", True)

    for change in ({"table": "iris.Review; DROP TABLE iris.Review"}, {"columns": ["ReviewLabel", "1 UNION SELECT 2"]}):
        InsideIris._sql.log.clear()
        refused = tuning.on_message(TrainRequest(**request | change))
        assert "not a plain name" in str(refused.error)
        assert refused.field == next(iter(change))
        assert InsideIris._sql.log == []
    refused = tuning.on_message(TrainRequest(**request | {"limit": "20; DROP TABLE iris.Review"}))
    assert (refused.field, InsideIris._sql.log) == ("limit", [])
    refused = tuning.on_message(TrainRequest(**request | {"table": "iris.Reviews"}))
    assert refused.error == "Train request: table: there is no table Reviews in iris. Did you mean Review?"
    assert log.lines[-1] == ("ERROR", refused.error)


def test_tables_as_iris_has_them() -> None:
    sql = SqliteSql("iris", "SQLUser")
    sql.exec("CREATE TABLE SQLUser.Keyed (Label VARCHAR(9), Words VARCHAR(99), Number INTEGER PRIMARY KEY)")
    for row in (("b", "two", 2), (None, "one", 1), ("c", "", 3)):
        sql.exec("INSERT INTO SQLUser.Keyed VALUES (?, ?, ?)", *row)
    rows = IrisRows(lambda: sql)
    with rows.read("keyed", ("label", "words"), None) as found:
        assert list(found) == [("", "one"), ("b", "two"), ("c", "")]
    assert 'ORDER BY "SQLUser"."Keyed"."Number"' in sql.log[-1][0]
    with rows.read("keyed", ("label", "words"), None, {"group_column": "number"}) as found:
        assert list(found) == [("", "one", 1), ("b", "two", 2), ("c", "", 3)]

    sql.exec("CREATE TABLE iris.Streams (Label INTEGER, Words LONGVARCHAR)")
    with (
        pytest.raises(RequestRefused, match=r"columns: Words of iris.Streams is a stream \(LONGVARCHAR\)"),
        rows.read("iris.Streams", ("Label", "Words"), None),
    ):
        pass
    with (
        pytest.raises(RequestRefused, match=r"group_column: Words of iris.Streams is a stream") as caught,
        rows.read("iris.Streams", ("Label", "Label"), None, {"group_column": "Words"}),
    ):
        pass
    assert caught.value.field == "group_column"
    sql.exec("DROP TABLE INFORMATION_SCHEMA.VIEWS")
    with (
        pytest.raises(DatabaseUnavailable, match="The tables of IRIS cannot be read: no such table: .*VIEWS"),
        rows.read("keyed", ("Label", "Words"), None),
    ):
        pass


def test_settings_that_cannot_be_used_are_said_at_once_and_to_each_request(settings: str) -> None:
    tuning, log = started(TuningOperation, settings.replace("=5", "=five").replace("model_name=tiny", "model_name="))
    [(level, sentence)] = log.lines
    assert level == "ERROR"
    assert sentence.startswith("Settings of the model: model_name is missing; num_labels must be a valid integer")
    answer = tuning.on_message(message("ibformers.iris.messages.OverrideRequest", "{}"))
    assert answer.model_dump() == {"error": sentence, "field": "model_name"}


def test_requests_that_cannot_be_answered(settings: str) -> None:
    tuning, log = started(TuningOperation, settings)
    request = message("ibformers.iris.messages.TrainRequest", '{"table":"iris.Review","columns":"A,B"}')
    assert str(tuning.on_message(request).error).startswith("Setting database: this does not run inside IRIS")
    request = message("ibformers.iris.messages.TrainRequest", '{"table":"iris.Review","columns":"A,B","epochs":3}')
    assert "epochs is neither a field" in str(tuning.on_message(request).error)
    request = message("ibformers.iris.messages.OverrideRequest", '{"version":"1"}')
    assert tuning.on_message(request).error == "Override request: version is not a field of it (send {})."
    request = message("ibformers.iris.messages.RollbackRequest", '{"version":"1"}')
    assert tuning.on_message(request).error == "Rollback request: version is not a field of it (send {})."
    request = message("ibformers.iris.messages.OverrideRequest", "{}")
    assert tuning.on_message(request).error == "No new model of tiny waits: send a train request first."
    answer = tuning.on_message(MLRequest(inputs="good"))
    assert answer.error == (
        "A message of class MLRequest is not for this operation: send ibformers.iris.messages.TrainRequest or "
        "ibformers.iris.messages.OverrideRequest or ibformers.iris.messages.RollbackRequest."
    )
    assert [level for level, _ in log.lines].count("ERROR") == 6
    serving, _ = started(MLOperation, settings)
    assert "send ibformers.iris.messages.MLRequest." in str(serving.on_message("hello").error)
    assert "inputs is missing" in str(serving.on_message(MLRequest()).error)


def test_the_password_of_a_database_is_in_no_answer_and_no_log(settings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEWS", "postgresql+psycopg://me:s3cret@127.0.0.1:1/x")
    tuning, log = started(TuningOperation, f"{settings}database=${{REVIEWS}}")
    answer = tuning.on_message(TrainRequest(table="Review", columns="ReviewLabel,ReviewText"))
    assert "postgresql+psycopg://me:***@127.0.0.1:1/x cannot be read" in str(answer.error)
    assert "s3cret" not in answer.model_dump_json() + str(log.lines)


def test_sample_and_json() -> None:
    rows = list(reviews(500))
    assert sorted({stars for stars, _ in rows}) == [1, 2, 3, 4, 5]
    assert rows == list(reviews(500))
    assert len({text for _, text in rows}) > 250
    numpy = pytest.importorskip("numpy")
    assert as_json([{"score": numpy.float32(0.5), "word": "a", "span": numpy.array([1, 2])}]) == [
        {"score": 0.5, "word": "a", "span": [1, 2]}
    ]
