"""Several tokens: who may come in, and that nobody meets another."""

import hmac
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.http.tokens import (
    ONLY,
    Tokens,
    read_tokens,
)
from pytest_ibmodels.sandbox.settings import Settings
from tests.sandbox.pushed import PACKAGE, training_package
from tests.sandbox.running import RunningSandbox
from tests.sandbox.test_server import main_of

ADA, BOB = "made-up-token-of-ada", "made-up-token-of-bob"
DRIVE = "a/b/fs/c"
MIB = 2**20


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """A server for two, with room for two trainings."""
    tokens = f"# who may come in\nada {ADA}\n\nbob\t{BOB}\n"
    running = RunningSandbox(tmp_path_factory.mktemp("team") / "data", "--max-jobs", "2", tokens=tokens)
    yield running
    running.close()


@pytest.fixture(scope="module")
def both(team: RunningSandbox) -> Iterator[list[RunningSandbox]]:
    """The server as each of the two sees it, with code to train."""
    seen = [team.seen_by(token) for token in (ADA, BOB)]
    for one in seen:
        one.push(f"{DRIVE}/code", training_package())
    yield seen
    for one in seen:
        one.http.close()


def train(sandbox: RunningSandbox, function: str, **arguments: Any) -> str:
    return sandbox.train(f"{DRIVE}/code/{PACKAGE}", f"trainable.training.{function}", **arguments)


def test_each_token_has_a_root_of_its_own(both: list[RunningSandbox]) -> None:
    ada, bob = both
    ada.write(f"{DRIVE}/file", b"of ada")
    assert not bob.exists(f"{DRIVE}/file")
    bob.write(f"{DRIVE}/file", b"of bob")
    assert (ada.read(f"{DRIVE}/file"), bob.read(f"{DRIVE}/file")) == (b"of ada", b"of bob")
    assert bob.drive("DELETE", f"{DRIVE}/file", {"force": True})["status"] == "OK"
    assert ada.read(f"{DRIVE}/file") == b"of ada"


def test_the_job_of_another_does_not_exist(both: list[RunningSandbox]) -> None:
    ada, bob = both
    job = train(ada, "sleep", model_name="of ada")
    ada.wait_for_report(job, "pids")
    assert bob.status(job)["msg"] == bob.api("jobs/cancel", {"job_id": job})["msg"] == f"there is no job '{job}'"
    assert bob.http.get(f"/classifier/logs/{job}").json()["status"] == "ERROR"
    listed = [one.http.get("/api/v1/jobs/list", params={"model_name": "of ada"}).json()["jobs"] for one in both]
    assert [len(jobs) for jobs in listed] == [1, 0]
    assert ada.status(job)["state"] == "PENDING"
    assert ada.api("jobs/cancel", {"job_id": job})["status"] == "OK"


def test_a_package_of_another_is_not_published(both: list[RunningSandbox]) -> None:
    ada, _bob = both
    ada.push(f"{DRIVE}/package", {"package.json": '{"name": "mine", "version": "1.0.0"}'})
    made = ada.api("solution/create", {"content_folder": f"{DRIVE}/package", "output_folder": DRIVE})
    assert ada.api("marketplace/publish", {"ibsolution_path": made["solution_path"]})["status"] == "OK"
    apps = [one.http.get("/api/v1/marketplace/list").json()["apps"] for one in both]
    assert [[app["name"] for app in found] for found in apps] == [["mine"], []]


def test_all_wait_in_one_queue(both: list[RunningSandbox]) -> None:
    ada, bob = both
    running = [(one, train(one, "sleep")) for one in both]
    for one, job in running:
        one.wait_for_report(job, "pids")
    waiting = [(one, train(one, "quick")) for one in (ada, bob, bob, ada)]
    assert [one.status(job)["msg"] for one, job in waiting] == [
        f"queued, {nth}" for nth in ("1st", "2nd", "3rd", "4th")
    ]
    assert [one.status(job)["queue_position"] for one, job in waiting] == [1, 2, 3, 4]
    status, seen_by_bob = (one.http.get("/api/v1/sandbox/status").json() for one in both)
    assert status == seen_by_bob
    (node,) = status.pop("nodes")
    assert status == {
        "status": "OK",
        "version": importlib.metadata.version("pytest-ibmodels"),
        "executor": "local",
        "queue": 4,
        "max_jobs": 2,
    }
    assert node.pop("memory") > 2**20
    assert node.pop("gpus") >= 0
    assert node == {
        "name": platform.node(),
        "state": "alive",
        "cpus": os.cpu_count(),
        "running": 2,
        "slots": 2,
        "free": 0,
    }
    for one, job in running:
        one.api("jobs/cancel", {"job_id": job})
    for one, job in waiting:
        one.wait(job)
    began = [one.task_data(job)["began"] for one, job in waiting]
    # Two may begin at once, and their processes then take turns; who waited for one of them comes behind it.
    assert began[0] < began[2]
    assert began[1] < began[3]


def test_uploads_polls_and_jobs_of_several_clients_at_once(both: list[RunningSandbox]) -> None:
    def work(number: int) -> tuple[bytes, int]:
        one = both[number % 2]
        content = bytes([number]) * MIB
        one.write(f"{DRIVE}/{number}", content)
        status = one.wait(train(one, "quick", number=number))
        assert one.read(f"{DRIVE}/{number}") == content
        return content[:1], status["results"][0]["result"]["number"]

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [(bytes([number]), number) for number in range(6)]


def test_bodies_are_not_held_in_memory(team: RunningSandbox, both: list[RunningSandbox]) -> None:
    size, ada = 96, both[0]
    ada.write(f"{DRIVE}/warm", b"x" * MIB)
    ada.read(f"{DRIVE}/warm")
    before = peak_of(team, reset=True)

    def content() -> Iterator[bytes]:
        yield from [b"x" * MIB] * size

    headers = {"Instabase-API-Args": json.dumps({"type": "file"})}
    answer = ada.http.post(f"/api/v1/drives/{DRIVE}/large", content=content(), headers=headers)
    assert answer.json()["status"] == "OK"
    headers = {"Instabase-API-Args": json.dumps({"type": "file", "get_content": True})}
    with ada.http.stream("GET", f"/api/v1/drives/{DRIVE}/large", headers=headers) as response:
        assert sum(len(chunk) for chunk in response.iter_raw()) == size * MIB
    assert peak_of(team) - before < 16 * MIB


def peak_of(sandbox: RunningSandbox, *, reset: bool = False) -> int:
    """The most memory that the server had at once, in bytes; counted from now on if ``reset``."""
    process = Path(f"/proc/{sandbox.process.pid}")
    if reset:
        (process / "clear_refs").write_text("5")
    (line,) = [line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("given", [b"", b"Bearer", b"Bearer wrong", b"Bearer ada", f"Bearer {ADA}".encode()])
def test_the_time_tells_nothing(given: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens({"ada": ADA, "bob": BOB, "short": "x"})
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    assert tokens.tenant(given) == ("ada" if ADA.encode() in given else None)
    # Whatever came: each token once, and as much of each.
    assert compared == [(32, 32)] * 3


def test_the_tokens_are_not_kept() -> None:
    assert ADA not in repr(vars(Tokens({"ada": ADA})))


def test_one_token_alone_has_the_data_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"\n{ADA}\n")
    assert read_tokens(tmp_path / "token").names == (ONLY,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no token"),
        ("# only this\n", "holds no token"),
        (f"ada {ADA}\n{BOB}\n", "token:2: this line has 1 word; expected one token alone, or lines 'NAME TOKEN'"),
        (f"ada {ADA} {BOB}\n", "token:1: this line has 3 words"),
        (f"../ada {ADA}\n", "token:1: the name is not of letters"),
        (f"{BOB}/ {ADA}\n", "token:1: the name is not of letters"),
        (f"ada {ADA}\nada {BOB}\n", "token:2: the name stands in the file twice"),
        (f"ada {ADA}\nbob {ADA}\n", "token:2: the token stands in the file twice"),
        (f"ada {ADA}ä\n", "token:1: the token holds characters other than printable ASCII"),
        (b"\xff", "cannot be read: it is not UTF-8"),
    ],
)
def test_token_files_that_are_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    (tmp_path / "token").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StartError) as refused:
        read_tokens(tmp_path / "token")
    assert said in str(refused.value)
    assert ADA not in str(refused.value)
    assert BOB not in str(refused.value)


def test_each_of_several_has_folder_and_database_of_its_own(tmp_path: Path) -> None:
    settings = Settings(tmp_path, database="postgresql://host/sandbox_{name}")
    assert settings.for_tenant("ada").database_url == "postgresql://host/sandbox_ada"
    assert settings.for_tenant("ada").drive_root == tmp_path / "holders" / "ada" / "drive"
    assert settings.for_tenant(ONLY) == settings


def test_a_database_for_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text(f"ada {ADA}\nbob {BOB}\n")
    where = ["--data", str(tmp_path / "data"), "--token-file", str(tmp_path / "token")]
    assert main_of(*where, "--database", f"sqlite:///{tmp_path}/all.sqlite") == 2
    assert "write {name} in the part that names the database" in capsys.readouterr().err
