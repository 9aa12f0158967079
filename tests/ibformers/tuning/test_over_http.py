"""Train, override, predict and roll back by requests to a sandbox, on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ibformers
from tests.databases import WORDS
from tests.ibformers.tuning.conftest import REQUEST
from tests.sandbox.running import RunningSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE = "acme/code/fs/Drive/ibformers"
PASSWORD = "hun/ter@2"
IN_URL = "hun%2Fter%402"
QUESTION = {"inputs": "This was a really bad experience"}


class Client:
    """Client for one model and pushed code."""

    def __init__(self, sandbox: RunningSandbox, model: str, base: Path) -> None:
        self._sandbox = sandbox
        self.settings: dict[str, Any] = {"model_name": model, "num_labels": 5, "base_model": str(base)}

    def ask(self, operation: str, request: dict[str, Any], **further: Any) -> dict[str, Any]:
        body = {"settings": self.settings, "request": request, "script_packages": [CODE], **further}
        return self._sandbox.api(f"tuning/{operation}", body)

    def train(self, request: dict[str, Any], database: str) -> dict[str, Any]:
        answer = self.ask("train", request, database=database)
        assert answer["status"] == "OK", answer
        return self._sandbox.wait(answer["job_id"])

    def there_is(self) -> dict[str, Any] | None:
        answer = self._sandbox.http.get("/api/v1/tuning/models", params={"script_packages": CODE}).json()
        named = {model["model_name"]: model for model in answer["models"]}
        return named.get(self.settings["model_name"])


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    folder = tmp_path_factory.mktemp("tuning")
    running = RunningSandbox(folder / "data", "--mount", f"{CODE}={Path(ibformers.__file__).parent}", preload=True)
    # The server imports the libraries first, in the background.
    running.http.get("/api/v1/tuning/models", params={"script_packages": CODE}, timeout=120)
    yield running
    running.close()


def check_the_lists(sandbox: RunningSandbox, url: str) -> None:
    """Check what a form needs: tables, columns, arguments, batch sizes."""
    listed = sandbox.api("tuning/tables", {"script_packages": [CODE], "database": url})
    assert [name.rpartition(".")[2] for name in listed["tables"]] == ["Review"]
    table = sandbox.api("tuning/tables", {"script_packages": [CODE], "database": url, "table": "iris.Review"})
    assert ([column["name"] for column in table["columns"]], table["rows"]) == (["ReviewLabel", "ReviewText"], 120)
    sizes = sandbox.api("tuning/batch_sizes", {"script_packages": [CODE], "request": {"rows": 20}})
    assert (sizes["train"], sizes["test"]) == (4, 2)
    sizes = sandbox.api("tuning/batch_sizes", {"script_packages": [CODE], "request": {"rows": 10_000}})
    assert (sizes["train"], sizes["test"]) == (16, 32)
    arguments = sandbox.api("tuning/arguments", {"script_packages": [CODE]})["arguments"]
    assert {"name": "learning_rate", "default": "0.00015"} in [
        {key: one[key] for key in ("name", "default")} for one in arguments
    ]


def test_the_example_people_start_from(
    sandbox: RunningSandbox, database: str, tiny_bert: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    client = Client(sandbox, f"reviews-{request.node.callspec.id}", tiny_bert)
    url = database.replace("tester@", f"tester:{IN_URL}@")
    assert client.there_is() is None
    assert "send a train request first" in client.ask("override", {})["msg"]

    job = client.train({**REQUEST, "output_dir": f"{tmp_path}/checkpoints"}, url)
    answer = job["results"][0]["result"]
    assert answer["rows"] == {"read": 20, "train": 16, "held_out": 0, "test": 4, "skipped": 0, "truncated": 0}
    assert answer["old"]["support"] == answer["new"]["support"]
    assert {"accuracy", "precision", "recall", "f1", "loss", "ece"} < set(answer["new"])
    assert (answer["test_part"]["count"], answer["test_part"]["learned_before"]) == (4, 0)
    assert len(answer["test_part"]["fingerprint"]) == 16
    first = client.there_is()
    assert first is not None
    assert (first["in_use"], first["waiting"], first["previous"]) == ("as downloaded", answer["version"], None)
    assert "has not learned to classify texts yet" in client.ask("predict", QUESTION)["msg"]

    taken = client.ask("override", {"force": False})
    assert taken["in_use"] == answer["version"]
    told = client.ask("predict", QUESTION)["answer"]
    assert told[0]["label"] in set("12345")
    both = client.ask("predict", {"inputs": list(WORDS[:2]), "top_k": 2})["answer"]
    assert [len(scores) for scores in both] == [2, 2]
    second = client.there_is()
    assert second is not None
    assert (second["in_use"], second["waiting"]) == (answer["version"], None)

    shown = client.ask("show", {})
    assert (shown["in_use"]["training"]["new"], shown["waiting"], shown["difference"]) == (answer["new"], None, None)
    assert "there is none to discard" in client.ask("discard", {})["msg"]
    moved = client.ask("override", {"expected_in_use": "another"})
    assert "No new model" in moved["msg"]
    check_the_lists(sandbox, url)
    assert "expected to be in use" in client.ask("rollback", {"expected_in_use": "another"})["msg"]
    back = client.ask("rollback", {})
    assert back["in_use"] == taken["previous"]
    assert "has not learned" in client.ask("predict", QUESTION)["msg"]
    assert client.ask("rollback", {})["in_use"] == answer["version"]
    assert client.ask("predict", QUESTION)["answer"] == told
    with contextlib.closing(sqlite3.connect(sandbox.data / "sandbox.sqlite")) as audit:
        model = f"model {client.settings['model_name']}"
        query = 'SELECT who, action, "before", "after" FROM audit WHERE subject = ? ORDER BY at'
        changes = audit.execute(query, (model,)).fetchall()
    downloaded, learned, who = taken["previous"], answer["version"], "the only token (API)"
    assert changes == [
        (who, "override", downloaded, learned),
        (who, "roll back", learned, downloaded),
        (who, "roll back", downloaded, learned),
    ]
    assert "hunter" not in str(job) + str(sandbox.log(job["job_id"]))
    written = b"".join(
        file.read_bytes() for file in sandbox.data.rglob("*") if file.is_file() and "models" not in file.parts
    )
    assert IN_URL.encode() not in written
    assert PASSWORD.encode() not in written


def test_what_cannot_be_done_is_one_sentence(sandbox: RunningSandbox, sqlite: str, tiny_bert: Path) -> None:
    client = Client(sandbox, "wrong", tiny_bert)
    refused = client.train({**REQUEST, "group_column": "Author"}, sqlite)
    assert refused["msg"].startswith("Train request: group_column: there is no column Author in table Review")
    refused = client.train({**REQUEST, "table": "Review; DROP TABLE Review"}, sqlite)
    assert refused["status"] == "ERROR"
    assert "not a plain name" in refused["msg"]
    assert not refused["results"][0]["strace"]
    assert "Override request: force must be a valid boolean" in client.ask("override", {"force": "yes"})["msg"]
    assert "Rollback request: force is not a field of it" in client.ask("rollback", {"force": True})["msg"]
    assert "Override request: x is not a field of it" in client.ask("override", {"x": 1})["msg"]
    client.settings["path"] = "elsewhere"
    assert "the environment has its own folder of models" in client.train(REQUEST, sqlite)["msg"]
    assert "the environment has its own folder of models" in client.ask("predict", QUESTION)["msg"]
    missing = sandbox.api("tuning/predict", {"settings": {"model_name": "x"}, "request": QUESTION})
    assert missing["msg"].startswith("tuning: no 'script_packages' given, and no published package has a module 'ibf")
    body = {"settings": {"model_name": "x"}, "request": REQUEST, "script_packages": [CODE], "database": "sample:cats"}
    assert "sample databases: reviews" in sandbox.api("tuning/train", body)["msg"]
    unreachable = {"script_packages": [CODE], "database": f"postgresql+psycopg://me:{IN_URL}@127.0.0.1:1/x"}
    unread = sandbox.api("tuning/tables", unreachable)["msg"]
    assert "cannot be read" in unread
    assert IN_URL not in unread
    assert PASSWORD not in unread
    assert "request.inputs: Field required" in client.ask("predict", {})["msg"]


def test_the_calls_are_described(sandbox: RunningSandbox) -> None:
    described = sandbox.http.get("/openapi.json").json()
    calls = {path.removeprefix("/api/v1/tuning/") for path in described["paths"] if "/tuning/" in path}
    assert calls == {
        "train",
        "override",
        "rollback",
        "discard",
        "show",
        "predict",
        "models",
        "tables",
        "arguments",
        "batch_sizes",
    }
    body = described["paths"]["/api/v1/tuning/train"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body = described["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert {"settings", "request", "database"} <= set(body["properties"])
    assert {"table", "columns", "limit", "p_of_train", "group_column", "split_column", "split_seed"} <= set(
        described["components"]["schemas"]["TableRequest"]["properties"]
    )
