"""Every tenant and every data folder has a database of its own, whatever its path looks like."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from pytest_ibmodels.engine.sandbox_process import EmbeddedSandbox
from pytest_ibmodels.sandbox.errors import DataInUseError, UsageError
from pytest_ibmodels.sandbox.samples import sample_database
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.databases import refuse_shared_databases, sqlite_file
from pytest_ibmodels.sandbox.storage.job_store import PackageRow, Store
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
    with contextlib.closing(Store(settings.database_url)) as store:
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
    with contextlib.closing(Store(url)) as store:
        store.add_package(PackageRow("a", "1.0.0", modules=[], published=1.0))
        (tmp_path / "link.db").symlink_to("x.db")
        for same in (url, f"sqlite:///{tmp_path}/link.db"):
            with pytest.raises(DataInUseError, match="is in use by another sandbox"):
                Store(same)
    with contextlib.closing(Store(url)) as again:
        assert [row.name for row in again.packages()] == ["a"]


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
