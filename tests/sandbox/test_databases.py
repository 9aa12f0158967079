"""Every tenant and every data folder has a database of its own, whatever its path looks like."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from pytest_ibmodels.engine.sandbox_process import EmbeddedSandbox
from pytest_ibmodels.sandbox.errors import DataInUseError, UsageError
from pytest_ibmodels.sandbox.samples import sample_database
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.databases import refuse_shared_databases, sqlite_file
from pytest_ibmodels.sandbox.storage.job_store import RESTARTED
from pytest_ibmodels.sandbox.storage.stores import open_store
from pytest_ibmodels.sandbox.storage.tables import PackageRow
from pytest_ibmodels.spec.databases import resolve_sqlite_file
from tests.sandbox.running import RunningSandbox, zipped
from tests.sandbox.test_server import main_of

ADA, BOB = "made-up-token-of-ada", "made-up-token-of-bob"
TWO = f"ada {ADA}\nbob {BOB}\n"
ODD_NAMES = [
    "team?1",
    "a%2Flogin",
    "x%402",
    "a@b",
    "a#b",
    "my data",
    "my%20data",
    "a;b=c",
    "50%",
    "a?b=c&d",
    "ä",
    "a:b",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_database_lies_in_the_data_folder(tmp_path: Path, name: str) -> None:
    settings = Settings(tmp_path / name).for_tenant("ada")
    settings.data.mkdir(parents=True)
    with contextlib.closing(open_store(settings.database_url)) as store:
        store.new_job("train")
    assert [item.name for item in tmp_path.iterdir()] == [name]
    assert (settings.data / "sandbox.sqlite").stat().st_size > 0


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_url_of_a_path_leads_to_that_path(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    url = make_url(resolve_sqlite_file("sqlite:///data/reviews.db?timeout=5", folder))
    assert (url.database, dict(url.query)) == (str(folder / "data/reviews.db"), {"timeout": "5"})
    sample = make_url(sample_database("reviews", folder)).database
    assert sample is not None
    assert Path(sample).is_file()
    assert Path(sample).is_relative_to(folder)


def test_which_urls_count_from_a_folder() -> None:
    here = Path("/a b/c%20?")
    assert make_url(resolve_sqlite_file("sqlite+pysqlite:///x%20y.db", here)).database == "/a b/c%20?/x y.db"
    for as_it_is in (
        "sqlite://",
        "sqlite:////x.db",
        "sqlite:///:memory:",
        "sqlite:///%2Fx.db",
        "sqlite:///?x=y",
        "iris://h/x",
    ):
        assert resolve_sqlite_file(as_it_is, here) == as_it_is


def test_tenants_in_an_odd_folder_do_not_meet(start: Callable[..., RunningSandbox], tmp_path: Path) -> None:
    ada = start(data=tmp_path / "team?1", tokens=TWO).seen_by(ADA)
    bob = ada.seen_by(BOB)
    ada.write("a/b/fs/c/x.ibsolution", zipped({"package.json": '{"name": "adas", "version": "1.0.0"}'}))
    assert ada.api("marketplace/publish", {"ibsolution_path": "a/b/fs/c/x.ibsolution"})["status"] == "OK"
    found = [one.http.get("/api/v1/marketplace/list").json()["apps"] for one in (ada, bob)]
    assert [[app["name"] for app in apps] for apps in found] == [["adas"], []]
    assert not [item for item in tmp_path.iterdir() if item.name.partition(".")[0] == "team"]
    # Another sandbox, whose folder differs in what a URL reads as a query, knows nothing of it.
    other = start(data=tmp_path / "team?2", tokens=TWO).seen_by(ADA)
    assert other.http.get("/api/v1/marketplace/list").json()["apps"] == []
    for one in (ada, bob, other):
        one.http.close()


@pytest.mark.parametrize(
    "database",
    [
        "sqlite:////x.db?y={name}",
        "sqlite:////x/../x.db?y={name}",
        "sqlite:////x.db?{name}=1",
        "sqlite:///file:/x.db?uri=true&name={name}",
        "postgresql+psycopg://h/db?application_name={name}",
        "postgresql+psycopg://{name}:x@h/db",
        "iris://u:p@h:1972/SPACE?{name}=1",
    ],
)
def test_a_name_that_does_not_decide_the_database_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], database: str
) -> None:
    (tmp_path / "token").write_text(TWO)
    where = ["--data", str(tmp_path / "data"), "--token-file", str(tmp_path / "token")]
    assert main_of(*where, "--database", database) == 2
    assert "'ada' and 'bob' name the same database" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sqlite:///a/x.db", "sqlite:///a//./x.db"),
        ("sqlite:////tmp/a b.db", "sqlite:////tmp/a%20b.db"),
        ("postgresql://H/db", "postgresql+psycopg://h/db"),
        (f"postgresql://h/{'x' * 63}ada", f"postgresql://h/{'x' * 63}bob"),
        ("iris://h/ada", "iris://h/ADA"),
    ],
)
def test_equal_databases_under_different_urls(one: str, other: str) -> None:
    with pytest.raises(UsageError, match="the same database"):
        refuse_shared_databases({"ada": one, "bob": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sqlite:///a.db", "sqlite:///b.db"),
        ("postgresql://h/ada", "postgresql://h/Ada"),
        ("postgresql://h/db?options=-csearch_path%3Dada", "postgresql://h/db?options=-csearch_path%3Dbob"),
        ("postgresql://h:1/db", "postgresql://h:2/db"),
    ],
)
def test_different_databases(one: str, other: str) -> None:
    refuse_shared_databases({"ada": one, "bob": other})


def test_links_to_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    (tmp_path / "y.db").symlink_to("x.db")
    with pytest.raises(UsageError):
        refuse_shared_databases({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("x", "y")})
    assert sqlite_file(f"sqlite:///file:{tmp_path}/x%20y.db?uri=true") == tmp_path / "x y.db"
    assert sqlite_file("sqlite://") is None


def test_a_database_has_one_sandbox(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with contextlib.closing(open_store(url)) as store:
        store.packages.add(PackageRow("a", "1.0.0", modules=[], published=1.0))
        (tmp_path / "link.db").symlink_to("x.db")
        for same in (url, f"sqlite:///{tmp_path}/link.db"):
            with pytest.raises(DataInUseError, match="is in use by another sandbox"):
                open_store(same)
    with contextlib.closing(open_store(url)) as again:
        assert [row.name for row in again.packages.all()] == ["a"]


# Made by the version before several servers could share a database.
OLD_TABLES = """
CREATE TABLE jobs (
    id VARCHAR(64) NOT NULL, kind VARCHAR(16) NOT NULL, created FLOAT NOT NULL, state VARCHAR(16) NOT NULL,
    task_state VARCHAR(16) NOT NULL, message TEXT NOT NULL, task_data JSON NOT NULL, results JSON NOT NULL,
    started FLOAT, finished FLOAT, peak_memory INTEGER NOT NULL, PRIMARY KEY (id)
);
CREATE TABLE models (
    name VARCHAR(512) NOT NULL, model_path TEXT NOT NULL, program_folder TEXT NOT NULL, registered FLOAT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE packages (
    name VARCHAR(255) NOT NULL, version VARCHAR(255) NOT NULL, modules JSON NOT NULL, published FLOAT NOT NULL,
    installed BOOLEAN NOT NULL, PRIMARY KEY (name, version)
);
INSERT INTO jobs VALUES ('old', 'train', 1.0, 'DONE', 'DONE', '', '{}', '[{"status": "OK"}]', 1.0, 2.0, 7);
INSERT INTO jobs VALUES ('cut', 'train', 1.0, 'PENDING', 'STARTED', '', '{}', '[]', 1.0, NULL, 7);
INSERT INTO models VALUES ('m', 'a/b', 'a', 1.0);
"""


def test_trainings_of_other_machines_go_on_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with contextlib.closing(open_store(url, "before")) as store:
        running, waiting = (store.new_job("train", spec={"job_id": name})[0] for name in ("running", "waiting"))
        task, _is_new = store.new_job("refiner")
        assert store.claim(running, "before") is not None
        assert store.confirm(running, 1, "before", "node-1")
        store.flush()
    with contextlib.closing(open_store(url, "after")) as store:
        store.fail_unfinished(with_trainings=False)
        assert [(job.id, job.owner, job.node) for job in store.running("after")] == [(running, "after", "node-1")]
        oldest, ended = store.oldest_waiting(), store.job(task)
        assert oldest is not None
        assert ended is not None
        assert (oldest.id, ended.state) == (waiting, "DONE")
        assert store.succeed(running, 1, "after", {"result": 1})


def test_a_database_of_an_older_version_gets_what_it_lacks(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.executescript(OLD_TABLES)
    for _start in range(2):
        with contextlib.closing(open_store(f"sqlite:///{tmp_path}/x.db")) as store:
            store.fail_unfinished()
            old, cut = store.job("old"), store.job("cut")
            assert old is not None
            assert (old.peak_memory, old.attempt, old.owner, old.retries, old.lost, old.spec) == (
                7,
                1,
                None,
                1,
                [],
                None,
            )
            assert cut is not None
            assert (cut.state, cut.message) == ("DONE", RESTARTED)
            assert getattr(store.models.get("m"), "model_path", "") == "a/b"
            keyed = store.new_job("train", key="key", spec={"function": "f"}, model_name="m")
            assert store.jobs_of_model("m") == [keyed[0]]
            assert store.job(keyed[0]) is not None
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        indexes = {row[1] for row in connection.execute("PRAGMA index_list(jobs)")}
    assert {"jobs_by_state", "jobs_by_owner", "jobs_by_model", "jobs_by_key"} <= indexes


@pytest.mark.parametrize("name", ["repo_feature%2Flogin", "why?", "a b#c"])
def test_the_embedded_sandbox_starts_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = tmp_path / name
    (folder / "tmp").mkdir(parents=True)
    (folder / "year=2024").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)

    async def start_twice() -> None:
        mounts = {"a/r/fs/D/year=2024": str(folder / "year=2024")}
        for data in (None, folder / "kept"):
            sandbox = await EmbeddedSandbox.start(mounts=mounts, data=data)
            await sandbox.stop()

    asyncio.run(start_twice())
    assert (folder / "kept" / "sandbox.sqlite").is_file()
    assert sorted(os.listdir(tmp_path)) == [name]  # noqa: PTH208
    assert not list((folder / "tmp").iterdir())
