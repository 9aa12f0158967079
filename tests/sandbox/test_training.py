"""Training jobs: real processes that run pushed code."""

import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.sandbox.pushed import PACKAGE, training_package
from tests.sandbox.running import TOKEN, RunningSandbox, all_gone, zipped


@pytest.fixture(scope="session")
def package(sandbox: RunningSandbox) -> str:
    folder = "acme/repo/fs/Instabase Drive/pushed for training"
    sandbox.push(folder, training_package())
    return f"{folder}/{PACKAGE}"


def test_a_training_that_goes_well(sandbox: RunningSandbox, package: str, root: str) -> None:
    job = sandbox.train(package, "trainable.training.well", save_path=root, model_name="T", hyperparams={"epochs": 3})
    status = sandbox.wait(job)
    assert (status["status"], status["state"], status["msg"]) == ("OK", "DONE", "Model training in progress.")
    assert json.loads(status["cur_status"]) == {
        "task_state": "DONE",
        "task_data": {"progress": 1.0, "evaluation_results": {"f1": {"Name": 1.0, "Age": "NAN"}}},
    }
    assert status["results"] == [{"status": "OK", "result": {"model": "T", "job": job}}]
    assert json.loads(sandbox.read(f"{root}/evaluation.json")) == ["hyperparams"]
    assert status["peak_memory"] > 2**20


def test_requests_with_one_key_start_one_job(sandbox: RunningSandbox, package: str) -> None:
    body = {"script_packages": [package], "function": "trainable.training.fail", "arguments": {}}
    body["resources"] = {"cpus": 0.5}

    def start(key: str) -> dict[str, Any]:
        headers = {"Idempotency-Key": key}
        answer: dict[str, Any] = sandbox.http.post("/api/v1/model-service/run_train", json=body, headers=headers).json()
        return answer

    with ThreadPoolExecutor() as pool:
        jobs = {answer["job_id"] for answer in pool.map(start, ["one"] * 4)}
    (job,) = jobs
    assert start("another")["job_id"] != job
    status = sandbox.wait(job)
    assert start("one")["job_id"] == job
    assert (status["node"], status["attempt"], status["attempts_lost"]) == (None, 1, [])
    assert status["resources"] == {"cpus": 0.5, "gpus": 0, "memory": None}
    assert start("k" * 65)["msg"] == "run_train: Idempotency-Key: String should have at most 64 characters"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("resources", {"cpus": 0}, "resources.cpus: Input should be greater than 0"),
        ("resources", {"gpus": -1}, "resources.gpus: Input should be greater than or equal to 0"),
        ("resources", {"memory": "8 GiB"}, "resources.memory: Input should be a valid integer"),
        ("retries", 11, "retries: Input should be less than or equal to 10"),
    ],
)
def test_resources_that_are_none(sandbox: RunningSandbox, package: str, key: str, value: object, said: str) -> None:
    body = {"script_packages": [package], "function": "trainable.training.fail", "arguments": {}, key: value}
    assert said in sandbox.api("model-service/run_train", body)["msg"]


def test_its_output_is_its_log(sandbox: RunningSandbox, package: str, root: str) -> None:
    job = sandbox.train(package, "trainable.training.well", save_path=root)
    sandbox.wait(job)
    (entry,) = sandbox.log(job)
    assert (entry["level"], entry["log"], entry["user"]) == ("WARNING", "WARNING: a line of the job sandbox", True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry["ts"])
    assert sandbox.http.get("/classifier/logs/none").json()["status"] == "ERROR"


def test_what_a_job_sees(sandbox: RunningSandbox, package: str) -> None:
    folder = package.rpartition("/")[0]
    found = sandbox.wait(sandbox.train(package, "trainable.training.look_around", path=folder))["results"][0]["result"]
    assert "SOME_SECRET" not in found["environ"]
    assert TOKEN not in json.dumps([found["environ"], found["argv"], found["cwd"]])
    assert (found["helper"], found["group"], found["torch"]) == ("pushed", True, False)
    assert found["niceness"] > os.nice(0)
    assert found["exists"] == [True, False, False]
    assert found["names"] == ["package.json", PACKAGE]
    assert "docs/out/s2/none.ibocr" in found["missing"]
    assert sandbox.names(package) == ["__init__.py", "broken.py", "helper.py", "importing.py", "training.py"]


def test_the_file_client(sandbox: RunningSandbox, package: str, root: str) -> None:
    sandbox.write(f"{root}/some.zip", zipped({"a": "1"}))
    found = sandbox.wait(sandbox.train(package, "trainable.training.files", path=root))["results"][0]["result"]
    assert found["text"] == "zwölf\n"
    assert found["bytes"] == 7
    assert found["names"] == ["bytes", "text.txt", "unzipped"]
    assert "mounted read-only" in found["refused"]
    assert sandbox.read(f"{root}/unzipped/a") == b"1"


def test_another_upload_is_other_code(sandbox: RunningSandbox, package: str, root: str) -> None:
    sandbox.push(f"{root}/code", training_package(where="another upload"))
    other = f"{root}/code/{PACKAGE}"
    jobs = [sandbox.train(which, "trainable.training.look_around", path=root) for which in (other, package)]
    helpers = [sandbox.wait(job)["results"][0]["result"]["helper"] for job in jobs]
    assert helpers == ["another upload", "pushed"]


def test_an_installed_package_of_the_same_name_is_not_used(sandbox: RunningSandbox, root: str) -> None:
    # psutil is installed, and even imported already where the job is forked from.
    sandbox.push(f"{root}/code", {"psutil/__init__.py": "def train(**others): return 'pushed'"})
    job = sandbox.train(f"{root}/code/psutil", "psutil.train")
    assert sandbox.wait(job)["results"][0]["result"] == "pushed"


def test_code_that_raises(sandbox: RunningSandbox, package: str) -> None:
    job = sandbox.train(package, "trainable.training.fail")
    status = sandbox.wait(job)
    assert (status["status"], status["state"]) == ("ERROR", "DONE")
    assert status["msg"] == "the pushed code failed: RuntimeError: boom"
    assert json.loads(status["cur_status"])["task_state"] == "ERROR"
    (result,) = status["results"]
    assert (result["status"], result["error"]) == ("ERROR", "RuntimeError: boom")
    frames = re.findall(r'File "([^"]+)", line \d+, in (\w+)', result["strace"])
    assert [(file.rpartition("/")[2], name) for file, name in frames] == [
        ("training.py", "fail"),
        ("training.py", "_deeper"),
    ]
    assert "RuntimeError: boom" in [entry["log"] for entry in sandbox.log(job)]


def test_code_that_raises_for_the_user(sandbox: RunningSandbox, package: str) -> None:
    status = sandbox.wait(sandbox.train(package, "trainable.training.fail_for_the_user"))
    assert status["msg"] == status["results"][0]["error"] == "Document 'a.ibocr' is not JSON."
    assert status["results"][0]["strace"] == ""
    assert [entry["log"] for entry in sandbox.log(status["job_id"])][-1] == "Document 'a.ibocr' is not JSON."


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("training.leave", "the pushed code failed: SystemExit: 3"),
        ("training.drop_dead", "ended by itself with exit code 4"),
        ("training.segfault", "was killed by SIGSEGV"),
        ("training.report_what_is_not_json", "metadata['evaluation_results']['f1']['Name'] is of the type 'object'"),
        ("training.none", "has no attribute 'none'"),
        ("broken.train", "SyntaxError"),
        ("importing.train", "No module named 'a_module_that_nobody_has'"),
        ("nothing.train", "No module named 'trainable.nothing'"),
    ],
)
def test_code_that_ends_otherwise(sandbox: RunningSandbox, package: str, function: str, said: str) -> None:
    status = sandbox.wait(sandbox.train(package, f"trainable.{function}"))
    assert (status["status"], status["results"][0]["status"]) == ("ERROR", "ERROR")
    assert said in status["msg"]
    assert "pytest_ibmodels" not in status["results"][0]["strace"]


def test_text_that_is_no_text(sandbox: RunningSandbox, package: str) -> None:
    status = sandbox.wait(sandbox.train(package, "trainable.training.report_odd_text"))
    assert status["results"][0]["error"] == r"ValueError: \ud800"
    assert json.loads(status["cur_status"])["task_data"] == {r"text \ud800": r"\ud800"}


@pytest.mark.parametrize(
    ("packages", "function", "said"),
    [
        (["acme/repo/fs/D/none"], "none.train", "'acme/repo/fs/D/none' does not exist"),
        (["acme/repo/fs/D/../x"], "x.train", "is refused"),
        (None, "other.train", "belongs to none of the script packages (trainable)"),
        (None, "trainable", "not a dotted path"),
        (None, "trainable.training.fail()", "not a dotted path"),
        ([], "trainable.training.fail", "script_packages"),
    ],
)
def test_what_is_refused_at_once(
    sandbox: RunningSandbox, package: str, packages: list[str] | None, function: str, said: str
) -> None:
    body = {"script_packages": [package] if packages is None else packages, "function": function, "arguments": {}}
    answer = sandbox.api("model-service/run_train", body)
    assert answer["status"] == "ERROR"
    assert said in answer["msg"]


def test_a_process_that_does_not_end_by_itself(sandbox: RunningSandbox, package: str) -> None:
    status = sandbox.wait(sandbox.train(package, "trainable.training.linger"))
    assert (status["status"], status["results"]) == ("OK", [{"status": "OK", "result": None}])
    assert status["seconds"] < 10


def test_only_jobs_whose_code_needs_torch_wait_for_it_and_find_it_imported(
    start: Callable[..., RunningSandbox],
) -> None:
    sandbox = start("--job-threads", "1", preload=True)
    network = (
        "import gc\nimport torch\n\n\n"
        "def look(**others):\n    return [torch.get_num_threads(), gc.get_freeze_count() > 100_000, gc.isenabled()]\n"
    )
    large = training_package() | {f"{PACKAGE}/network.py": network}
    for folder, files in (("small", training_package()), ("large", large)):
        sandbox.push(f"a/b/fs/c/{folder}", files)

    def begin(folder: str) -> str:
        return sandbox.train(f"a/b/fs/c/{folder}/{PACKAGE}", "trainable.training.look_around", path="a/b/fs/c")

    def found(job: str) -> tuple[bool, bool]:
        result = sandbox.wait(job)["results"][0]["result"]
        return result["torch"], result["ibformers"]

    first = begin("small")
    assert found(first) == (False, False)
    assert sandbox.status(first)["seconds"] < 1.5
    assert not any("torch" in Path(f"/proc/{process.pid}/maps").read_text() for process in sandbox.family())
    waiting = begin("large")
    assert found(begin("small")) == (False, False)
    assert sandbox.status(waiting)["state"] == "PENDING"
    assert found(waiting) == (True, False)
    job = sandbox.train(f"a/b/fs/c/large/{PACKAGE}", "trainable.network.look")
    # One thread, and no garbage collection of what is imported, but of all else.
    assert sandbox.wait(job)["results"][0]["result"] == [1, True, True]


def test_a_job_over_its_memory(sandbox: RunningSandbox, package: str) -> None:
    job = sandbox.train(package, "trainable.training.allocate")
    status = sandbox.wait(job)
    assert re.search(r"used 0\.\d+ GiB of memory, more than its limit of 0\.3 GiB", status["msg"])
    assert "sandbox: ERROR: the training process used" in sandbox.log(job)[-1]["log"]
    assert status["peak_memory"] > 0.3 * 2**30


def test_a_job_over_its_time(start: Callable[..., RunningSandbox]) -> None:
    sandbox = start("--job-time", "1")
    sandbox.push("a/b/fs/c/code", training_package())
    job = sandbox.train(f"a/b/fs/c/code/{PACKAGE}", "trainable.training.sleep")
    pids = sandbox.wait_for_report(job, "pids")
    assert "longer than its limit of 1 s" in sandbox.wait(job)["msg"]
    assert all_gone(pids)


def test_cancelling_ends_everything_the_job_started(sandbox: RunningSandbox, package: str) -> None:
    job = sandbox.train(package, "trainable.training.sleep")
    pids = sandbox.wait_for_report(job, "pids")
    assert all(psutil.pid_exists(pid) for pid in pids)
    assert sandbox.api("jobs/cancel", {"job_id": job})["status"] == "OK"
    status = sandbox.status(job)
    assert (status["state"], status["status"], status["msg"]) == ("DONE", "ERROR", "cancelled")
    assert status["results"][0]["error"] == "cancelled"
    assert all_gone(pids, seconds=1)
    assert not (sandbox.data / "jobs" / job / "scratch").exists()
    again = sandbox.api("jobs/cancel", {"job_id": job})
    assert again == {"status": "ERROR", "msg": f"job {job} has ended already"}
    assert sandbox.status(job) == status


def test_a_job_that_went_well_cannot_be_cancelled_afterwards(sandbox: RunningSandbox, package: str) -> None:
    job = sandbox.train(package, "trainable.training.quick")
    before = sandbox.wait(job)
    assert sandbox.api("jobs/cancel", {"job_id": job}) == {"status": "ERROR", "msg": f"job {job} has ended already"}
    assert sandbox.status(job) == before


def test_jobs_wait_in_order_and_can_be_cancelled_while_they_do(sandbox: RunningSandbox, package: str) -> None:
    running = [sandbox.train(package, "trainable.training.sleep") for _ in range(2)]
    waiting = [sandbox.train(package, "trainable.training.quick", number=number) for number in range(3)]
    for job in running:
        sandbox.wait_for_report(job, "pids")
    assert [sandbox.status(job)["queue_position"] for job in waiting] == [1, 2, 3]
    assert json.loads(sandbox.status(waiting[0])["cur_status"])["task_state"] == "PENDING"
    sandbox.api("jobs/cancel", {"job_id": waiting[1]})
    assert sandbox.status(waiting[1])["msg"] == "cancelled"
    assert sandbox.status(waiting[2])["queue_position"] == 2
    sandbox.api("jobs/cancel", {"job_id": running[0]})
    ended = [sandbox.wait(job)["results"][0]["result"] for job in (waiting[0], waiting[2])]
    assert [result["number"] for result in ended] == [0, 2]
    # The other sleeper holds one of the two places, so these ran one after the other.
    assert sandbox.task_data(waiting[2])["began"] >= ended[0]["ended"]
    sandbox.api("jobs/cancel", {"job_id": running[1]})


def test_many_jobs_at_once_all_end(sandbox: RunningSandbox, package: str) -> None:
    jobs = [sandbox.train(package, "trainable.training.quick", number=number) for number in range(8)]
    assert [sandbox.wait(job)["results"][0]["result"]["number"] for job in jobs] == list(range(8))
    assert all_gone([sandbox.task_data(job)["pid"] for job in jobs])


def test_jobs_that_are_not_there_or_not_to_be_cancelled(sandbox: RunningSandbox, root: str) -> None:
    unknown = sandbox.status("none")
    assert (unknown["status"], unknown["state"], unknown["results"][0]["status"]) == ("ERROR", "DONE", "ERROR")
    assert sandbox.api("jobs/cancel", {"job_id": "none"}) == {"status": "ERROR", "msg": "there is no job 'none'"}
    sandbox.write(f"{root}/z.zip", zipped({"a": ""}))
    job = sandbox.drive("POST", f"{root}/unzip", {"zip_file": "z.zip", "destination": root})["job_id"]
    assert "only training jobs" in sandbox.api("jobs/cancel", {"job_id": job})["msg"]
    assert sandbox.http.get("/api/v1/jobs/status").json()["status"] == "ERROR"
