"""Sessions that are killed: what the next one goes on with, what is swept, and what xdist's controller removes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpcore  # noqa: F401 - what httpx imports inside of a test, pytester makes forgotten at its end
import httpx
import pytest

from pytest_ibmodels import cli
from pytest_ibmodels.engine.polling import Limits
from pytest_ibmodels.engine.session import EnvironmentSession
from pytest_ibmodels.engine.sweep import SweepStatus, sweep
from pytest_ibmodels.instabase.clock import SystemClock
from pytest_ibmodels.instabase.retrying import Retrier
from pytest_ibmodels.journal.store import Journal, TrainingJob
from pytest_ibmodels.spec import load_environments
from tests.plugin.conftest import PROJECT, ROOT, TOKEN, Project, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_ibmodels.journal.store import Entry

QUICK = ("-o", "ibmodels_progress_interval=0.5", "-o", "ibmodels_longest_poll=0.5")


@contextmanager
def running(project: Project, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """pytest in a process of its own, killed at the end if it has not ended."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *QUICK, *arguments]
    environ = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=project.pytester.path, stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def journal_file(project: Project) -> Path:
    return project.pytester.path / ".pytest_cache" / "ibmodels" / "journal.sqlite"


def wait_for(project: Project, enough: Callable[[list[Entry]], bool]) -> dict[str, Entry]:
    """The jobs of a living session by the names of their model tests, once the journal has enough of them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        journal = Journal(journal_file(project))
        jobs = [entry for entry in journal.in_use() if entry.kind == "job"]
        journal.close()
        if enough(jobs):
            return {entry.job.test: entry for entry in jobs if entry.job is not None}
        time.sleep(0.1)
    raise AssertionError(jobs)


def accepted(number: int) -> Callable[[list[Entry]], bool]:
    return lambda jobs: sum(bool(entry.name) for entry in jobs) == number


def left(project: Project) -> list[Entry]:
    journal = Journal(journal_file(project))
    try:
        return journal.left()
    finally:
        journal.close()


def trainings(server: Server) -> int:
    """How many training jobs the sandbox ever had."""
    with contextlib.closing(sqlite3.connect(server.data / "sandbox.sqlite")) as store:
        count: int = store.execute("select count(*) from jobs where kind = 'train'").fetchone()[0]
    return count


def swept(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and output of `ibmodels sweep`, in this process."""
    capsys.readouterr()
    code = cli.main(["sweep", *arguments])  # pytester has made the project the current folder
    return code, capsys.readouterr().out


def write_folder(server: Server, name: str) -> str:
    """Make a folder on the sandbox, as a session does."""
    path = f"{ROOT}/ci-test-temp/{name}"
    headers = {"Authorization": f"Bearer {TOKEN}", "Instabase-API-Args": json.dumps({"type": "file"})}
    httpx.post(f"{server.url}/api/v1/drives/{path}/file", headers=headers, content=b"x").raise_for_status()
    return path


def made_by_the_dead(project: Project, *things: tuple[Any, ...]) -> None:
    """Enter things into the journal for a process that is no longer alive."""
    dead = Journal(journal_file(project))
    asyncio.run(dead.write(*(dead.new_entry(*thing) for thing in things)))
    dead.close()


def test_after_a_kill_reattach_goes_on_and_after_another_one_sweep_leaves_nothing(
    served: Project, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    served.write_tests(Slow={"config": {"sleep": 9}, "metrics": {"f1": {"Name": 0.9}}}, Quick={}, Third={})
    before = trainings(server)
    with running(served, "-k", "Slow or Quick", "-m", "training") as process:
        jobs = wait_for(
            served, lambda jobs: accepted(2)(jobs) and any(entry.job is not None and entry.job.ended for entry in jobs)
        )
        process.kill()
    assert trainings(server) == before + 2

    result = served.run("--reattach", *QUICK, "-k", "not Third")
    result.assert_outcomes(passed=4, deselected=2)
    result.stdout.fnmatch_lines(
        [
            f"Slow on dogfood: trained in * s (re-attached to job {jobs['Slow'].name})",
            "  f1      Name     1.0000   0.9000  +0.1000",
            "Slow on dogfood: served; *",
            f"Quick on dogfood: trained in * s (re-attached to job {jobs['Quick'].name})",
            "Quick on dogfood: served; *",
        ]
    )
    result.stdout.no_fnmatch_line("found *")
    assert trainings(server) == before + 2
    assert server.left_over() == []
    assert left(served) == []

    served.write_tests(Slow={"config": {"sleep": 120}})
    with running(served) as process:
        job_id = wait_for(served, accepted(1))["Slow"].name
        process.kill()
    with running(served, "--reattach") as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "re-attached" in line)
        process.kill()
    assert line.startswith(f"  Slow on dogfood: training (re-attached to job {job_id}), ")
    assert len(server.training_processes()) == 1
    code, table = swept(capsys, "--dry-run")
    assert code == 0
    assert table.count("would be removed") == 2
    assert len(server.training_processes()) == 1
    code, table = swept(capsys)
    assert code == 0
    assert [line.split()[1] for line in table.splitlines()] == ["kind", "job", "folder"]
    assert table.count("  removed\n") == 2
    assert server.left_over() == []
    assert server.training_processes() == []
    assert left(served) == []
    assert TOKEN not in journal_file(served).read_bytes().decode(errors="replace")


def test_a_job_of_which_nothing_can_come_is_trained_anew_and_swept_later(
    served: Project, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("Cancelled", "Changed", "Late")
    served.write_tests(**{name: {"config": {"sleep": 60}} for name in names})
    with running(served, "-m", "training") as process:
        jobs = wait_for(served, accepted(3))
        process.kill()
    lines = served.run("--collect-only", "-k", "Late or Changed").stdout
    lines.fnmatch_lines(["found 2 running jobs; --reattach to continue"])
    cancelled = jobs["Cancelled"].name
    headers = {"Authorization": f"Bearer {TOKEN}"}
    httpx.post(f"{server.url}/api/v1/jobs/cancel", headers=headers, json={"job_id": cancelled}).raise_for_status()
    same = {"config": {"sleep": 60}, "time_limit": 1}
    served.write_tests(Cancelled=same, Changed={}, Late=same)
    result = served.run("--reattach", *QUICK, "-m", "training")
    result.assert_outcomes(passed=1, failed=2, deselected=3)
    result.stdout.fnmatch_lines(
        [
            f"job {cancelled} is not continued: it ended with an error (*",
            "time limit: the job did not end within the time_limit of 1 s; *",  # which began with the job, not now
            f"re-attached to job: {jobs['Late'].name}",
            "Changed on dogfood: trained in * s (job *)",
            f"  job {jobs['Changed'].name} is not continued: its config has changed",
        ]
    )
    result.stdout.fnmatch_lines([f"*left behind: {jobs['Late'].folder} stays for its other jobs*"])
    # What nobody went on with is left as it was, and swept.
    assert [entry.name for entry in left(served) if entry.kind == "job"] == [jobs["Changed"].name]
    assert len(server.training_processes()) == 1
    assert swept(capsys)[0] == 0
    assert server.left_over() == []
    assert server.training_processes() == []


def test_the_controller_removes_what_killed_workers_left_and_takes_sigterm_as_ctrl_c(
    served: Project, server: Server
) -> None:
    served.write_tests(Slow={"env": ["dogfood", "staging"], "config": {"sleep": 60}})
    job = TrainingJob("Slow", "another package", PROJECT, "", "config", "annotator")
    earlier = Journal(journal_file(served))
    asyncio.run(earlier.write(earlier.new_entry("dogfood", server.url, "job", "0123456789abcdef", job=job)))
    earlier.close()
    with running(served, "-n", "2") as process:
        jobs = wait_for(served, accepted(2))
        os.kill(jobs["Slow"].pid, signal.SIGKILL)
        process.terminate()
        assert process.stdout is not None
        output = process.stdout.read()
        assert process.wait(60) == pytest.ExitCode.INTERRUPTED
    assert "found 1 running job; --reattach to continue" in output
    assert "removed what workers left behind when they crashed: " in output
    assert server.left_over() == []
    assert server.training_processes() == []
    assert [entry.name for entry in left(served)] == ["0123456789abcdef"]  # of another session


def test_sweep_touches_only_what_the_journal_holds_and_what_is_gone_is_removed(
    served: Project, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    other, mine = write_folder(server, "tiny_of_another_person"), write_folder(server, "tiny_of_mine")
    place = server.url
    made_by_the_dead(
        served,
        ("dogfood", place, "folder", mine),
        ("dogfood", place, "folder", f"{ROOT}/ci-test-temp/tiny_never_made"),
        ("dogfood", place, "job", "0123456789abcdef"),
        ("dogfood", "https://elsewhere.example", "folder", other),
        ("unnamed", place, "folder", other),
    )
    code, table = swept(capsys)
    assert code == 1
    outcomes = {tuple(line.split()[:3]): line.split(None, 4)[4] for line in table.splitlines()[1:]}
    assert outcomes["dogfood", "folder", mine] == "removed"
    assert outcomes["dogfood", "job", "0123456789abcdef"] == "removed"
    assert outcomes["unnamed", "folder", other] == "left: environments.yaml no longer names this environment"
    assert (
        outcomes["dogfood", "folder", other] == f"left: it is on https://elsewhere.example; this name now means {place}"
    )
    assert server.left_over() == ["ci-test-temp"]  # with the folder of another person
    assert len(left(served)) == 2
    assert swept(capsys, "--env", "nowhere")[0] == pytest.ExitCode.USAGE_ERROR
    # Now the rest, in the name of the person to whom it belongs.
    made_by_the_dead(served, ("dogfood", place, "folder", other))
    swept(capsys, "--env", "dogfood")
    assert server.left_over() == []


def test_a_folder_in_which_others_have_jobs_stays_until_the_last_is_done(served: Project, server: Server) -> None:
    folder = write_folder(server, "tiny_shared")
    environment = load_environments(served.pytester.path / "environments.yaml").environments["dogfood"]
    job = TrainingJob(
        "T", "package", PROJECT, "", "config", "annotator", accepted="2026-01-01T00:00:00+00:00", ended=True
    )
    dead = Journal(journal_file(served))
    jobs = [dead.new_entry("dogfood", server.url, "job", name, folder=folder, job=job) for name in ("j1", "j2")]
    asyncio.run(dead.write(dead.new_entry("dogfood", server.url, "folder", folder), *jobs))
    dead.close()

    async def go_on_with(name: str) -> list[str]:
        journal = Journal(journal_file(served))
        session = EnvironmentSession(environment, Limits(), SystemClock(), journal, reattach=True)
        (entry,) = [entry for entry in await session.orphaned_jobs() if entry.name == name]
        assert session.journal.take_over(entry) is not None
        session.adopt(folder)
        await session.client()
        await session.close()
        journal.close()
        return session.left_behind

    (sentence,) = asyncio.run(go_on_with("j1"))
    assert sentence.startswith(f"{folder} stays for its other jobs, which were not continued (j2); `ibmodels sweep`")
    assert [entry.name for entry in left(served)] == [folder, "j2"]
    assert asyncio.run(go_on_with("j2")) == []
    assert left(served) == []
    assert server.left_over() == []


def test_an_environment_that_is_down_keeps_its_entries(project: Project) -> None:
    class Clock:
        """Pauses pass at once."""

        def now(self) -> float:
            return 0.0

        async def sleep(self, seconds: float) -> None:
            pass

    project.write_environments(down={"host": "http://127.0.0.1:9", "path": ROOT, "token": "x"})
    folders = [("down", "http://127.0.0.1:9", "folder", f"{ROOT}/ci-test-temp/{name}") for name in ("a", "b")]
    made_by_the_dead(project, *folders)
    environment = load_environments(project.pytester.path / "environments.yaml").environments["down"]
    journal = Journal(journal_file(project))
    outcomes = asyncio.run(sweep(environment, journal.left(), journal, retrier=Retrier(Clock())))
    assert [one.status for one in outcomes] == [SweepStatus.LEFT, SweepStatus.LEFT]
    assert "no answer from http://127.0.0.1:9" in outcomes[0].reason
    assert len(journal.left()) == 2
    journal.close()
