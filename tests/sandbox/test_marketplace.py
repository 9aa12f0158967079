"""The marketplace: what is published stays, in order, and is what jobs without pushed code run."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.running import RunningSandbox, zipped
from tests.sandbox.shop import APPLICATIONS, package


def listed(sandbox: RunningSandbox, name: str) -> dict[str, Any] | None:
    listing = sandbox.http.get("/api/v1/marketplace/list").json()
    assert listing["status"] == "OK"
    apps = [app for app in listing["apps"] if app["name"] == name]
    assert len(apps) <= 1
    return apps[0] if apps else None


def ask(sandbox: RunningSandbox, call: str, *, by_job: bool, **body: str) -> dict[str, Any]:
    """The outcome of a call that has two forms, which is asked for in one of them."""
    answer = sandbox.api(call, {**body, "async": "true"} if by_job else body)
    if not by_job:
        assert "job_id" not in answer
        return answer
    assert answer["status"] == "OK"
    status = sandbox.wait(answer["job_id"])
    result: dict[str, Any] = status["results"][0]
    assert status["status"] == result["status"]
    return result


# --- over HTTP ---


@pytest.mark.parametrize("by_job", [False, True])
def test_a_version_is_published_once_and_taken_back(sandbox: RunningSandbox, root: str, by_job: bool) -> None:
    name, path = f"code_{by_job}", f"{root}/0f3a.ibsolution"
    assert sandbox.drive("DELETE", path, {"force": False})["status"] == "ERROR"
    first = zipped(package(name, "0.9.0", name))
    sandbox.write(path, first)
    assert ask(sandbox, "marketplace/publish", by_job=by_job, ibsolution_path=f"/{path}")["status"] == "OK"
    stored = f"{APPLICATIONS}/Marketplace/All/{name}/0.9.0/{name}-0.9.0.ibsolution"
    app = listed(sandbox, name)
    assert app == {
        "name": name,
        "available_versions": ["0.9.0"],
        "installed_versions": [],
        "open_urls": {},
        "src_paths": {"0.9.0": stored},
    }

    sandbox.write(path, zipped({**package(name, "0.9.0", name), "other": "content"}))
    again = ask(sandbox, "marketplace/publish", by_job=by_job, ibsolution_path=path)
    assert again["status"] == "ERROR"
    assert again["msg"].startswith(f"publish: {name} 0.9.0 is published already, nothing was changed; ")
    assert listed(sandbox, name) == app
    sandbox.drive("DELETE", path, {"force": False})
    assert sandbox.read(stored) == first

    sandbox.write(path, zipped(package(name, "0.10.0", name)))
    assert ask(sandbox, "marketplace/publish", by_job=by_job, ibsolution_path=path)["status"] == "OK"
    app = listed(sandbox, name)
    assert app is not None
    assert app["available_versions"] == ["0.9.0", "0.10.0"]
    for version in ("0.9.0", "0.10.0"):
        assert sandbox.api("marketplace/unpublish", {"name": name, "version": version}) == {"status": "OK"}
    assert listed(sandbox, name) is None
    assert not sandbox.exists(f"{APPLICATIONS}/Marketplace/All/{name}")
    absent = sandbox.api("marketplace/unpublish", {"name": name, "version": "0.9.0"})
    assert absent == {"status": "ERROR", "msg": f"unpublish: '{name}' '0.9.0' is not published"}


def test_install_unpacks(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/x.ibsolution", zipped(package("fitted", "1.0.0", "fitted")))
    sandbox.api("marketplace/publish", {"ibsolution_path": f"{root}/x.ibsolution"})
    unknown = sandbox.api("marketplace/install", {"name": "fitted", "version": "2.0.0"})
    assert unknown == {
        "status": "ERROR",
        "msg": "install: 'fitted' '2.0.0' is not published; versions: 1.0.0",
    }
    for _twice in range(2):
        assert sandbox.api("marketplace/install", {"name": "fitted", "version": "1.0.0"}) == {"status": "OK"}
    app = listed(sandbox, "fitted")
    assert app is not None
    assert app["installed_versions"] == ["1.0.0"]
    folder = f"{APPLICATIONS}/Installed/fitted/1.0.0"
    assert sandbox.names(f"{folder}/fitted") == ["__init__.py", "helper.py", "training.py"]
    assert "mounted read-only" in sandbox.write(f"{folder}/fitted/helper.py", "WHERE = 'elsewhere'")["msg"]
    sandbox.api("marketplace/unpublish", {"name": "fitted", "version": "1.0.0"})
    assert not sandbox.exists(folder)


@pytest.mark.parametrize("by_job", [False, True])
def test_a_folder_becomes_a_package(sandbox: RunningSandbox, root: str, by_job: bool) -> None:
    name = f"made_{by_job}"
    files = package(name, "0.0.1", "made")
    sandbox.push(f"{root}/artifact", files)
    create = {"content_folder": f"/{root}/artifact/", "output_folder": f"{root}/out"}
    done = ask(sandbox, "solution/create", by_job=by_job, **create)
    assert done == {"status": "OK", "solution_path": f"{root}/out/{name}-0.0.1.ibsolution"}
    packed = sandbox.read(done["solution_path"])
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert {entry: archive.read(entry).decode() for entry in archive.namelist()} == files
        assert archive.namelist() == sorted(files)
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert ask(sandbox, "solution/create", by_job=by_job, **create)["status"] == "OK"
    assert sandbox.read(done["solution_path"]) == packed

    assert sandbox.api("marketplace/publish", {"ibsolution_path": done["solution_path"]}) == {"status": "OK"}
    assert listed(sandbox, name) is not None
    sandbox.api("marketplace/unpublish", {"name": name, "version": "0.0.1"})

    sandbox.drive("DELETE", f"{root}/artifact/package.json", {})
    refused = ask(sandbox, "solution/create", by_job=by_job, **create)
    missing = f"the file '{root}/artifact/package.json' does not exist"
    assert refused["msg"] == f"solution/create: '{root}/artifact' is not a package: {missing}"


def run_published(sandbox: RunningSandbox, function: str, **arguments: str) -> dict[str, Any]:
    return sandbox.api("model-service/run_train", {"function": function, "arguments": arguments, "device_type": "cpu"})


def test_a_job_without_pushed_code_runs_the_newest_version(sandbox: RunningSandbox, root: str) -> None:
    for version in ("0.9.0", "0.10.0", "0.10.0-rc.1"):
        sandbox.write(f"{root}/x.ibsolution", zipped(package("shop", version)))
        assert sandbox.api("marketplace/publish", {"ibsolution_path": f"{root}/x.ibsolution"}) == {"status": "OK"}
    sandbox.api("marketplace/install", {"name": "shop", "version": "0.9.0"})

    going_on = run_published(sandbox, "shop.training.where", path=f"{root}/go on")["job_id"]
    assert sandbox.wait_for_report(going_on, "started")
    assert sandbox.log(going_on)[0]["log"] == "sandbox: INFO: this job runs the published package shop 0.10.0"
    for version in ("0.10.0", "0.10.0-rc.1"):
        assert sandbox.api("marketplace/unpublish", {"name": "shop", "version": version}) == {"status": "OK"}
    older = run_published(sandbox, "shop.training.where")["job_id"]
    assert sandbox.wait(older)["results"][0]["result"] == "shop 0.9.0"
    # What was unpublished meanwhile is not taken away from a job that runs.
    sandbox.write(f"{root}/go on", "")
    assert sandbox.wait(going_on)["results"][0]["result"] == "shop 0.10.0"
    assert not list(sandbox.data.glob("tmp/*/shop"))

    # Pushed code is preferred to what is published.
    sandbox.push(f"{root}/code", package("shop", "pushed"))
    pushed = sandbox.train(f"{root}/code/shop", "shop.training.where")
    assert sandbox.wait(pushed)["results"][0]["result"] == "shop pushed"

    sandbox.api("marketplace/unpublish", {"name": "shop", "version": "0.9.0"})
    refused = run_published(sandbox, "shop.training.where")
    assert refused["status"] == "ERROR"
    assert "no 'script_packages' given, and no published package has a module 'shop'" in refused["msg"]
    assert not list(sandbox.data.glob("tmp/*/shop"))


def test_what_is_published_survives_the_death_of_the_server(start: Callable[..., RunningSandbox]) -> None:
    sandbox = start()
    sandbox.write("a/b/fs/c/x.ibsolution", zipped(package("shop", "1.0.0")))
    sandbox.api("marketplace/publish", {"ibsolution_path": "a/b/fs/c/x.ibsolution"})
    sandbox.api("marketplace/install", {"name": "shop", "version": "1.0.0"})
    before = listed(sandbox, "shop")
    assert before is not None
    sandbox.process.kill()
    sandbox.process.wait(5)
    again = start()
    assert listed(again, "shop") == before
    job = run_published(again, "shop.training.where")["job_id"]
    assert again.wait(job)["results"][0]["result"] == "shop 1.0.0"


def test_its_place_in_the_drive(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/x.ibsolution", zipped(package("kept", "1.0.0", "kept")))
    sandbox.api("marketplace/publish", {"ibsolution_path": f"{root}/x.ibsolution"})
    archive = f"{APPLICATIONS}/Marketplace/All/kept/1.0.0/kept-1.0.0.ibsolution"
    copied = sandbox.drive("POST", f"{archive}/copy", {"new_full_path": f"{root}/copy"})
    assert sandbox.wait(copied["job_id"])["results"][0]["status"] == "OK"
    assert sandbox.read(f"{root}/copy") == sandbox.read(f"{root}/x.ibsolution")
    assert "mounted read-only" in sandbox.drive("DELETE", archive, {"force": True})["msg"]
    sandbox.api("marketplace/unpublish", {"name": "kept", "version": "1.0.0"})


def test_requests_that_do_not_fit(sandbox: RunningSandbox) -> None:
    said = [
        sandbox.api("marketplace/publish", {})["msg"],
        sandbox.api("marketplace/publish", {"ibsolution_path": "a/b/fs/c/d", "async": "yes"})["msg"],
        sandbox.api("marketplace/publish", {"ibsolution_path": "a/b/fs/c/../d"})["msg"],
        sandbox.api("marketplace/unpublish", {"name": "../..", "version": "1.0.0"})["msg"],
        sandbox.api("solution/create", {"content_folder": "a/b/fs/c"})["msg"],
    ]
    assert [sentence[:44] for sentence in said] == [
        "publish: ibsolution_path: Field required",
        "publish: async: Input should be 'true'",
        "the path 'a/b/fs/c/../d' is refused: the par",
        "unpublish: '../..' '1.0.0' is not published",
        "create: output_folder: Field required",
    ]


# --- in this process ---
