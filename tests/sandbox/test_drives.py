"""Files and folders, as the protocol's clients ask for them."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath
from tests.sandbox.conftest import MAX_BODY_MIB
from tests.sandbox.running import TOKEN, RunningSandbox, zipped

FILE = {"type": "file", "if_exists": "overwrite"}
LIST = {"type": "folder", "get_content": True, "start_page_token": ""}
METADATA = {"get_content": False, "get_metadata": True}


def test_what_is_written_is_read(sandbox: RunningSandbox, root: str) -> None:
    content = bytes(range(256)) * 1000
    assert sandbox.write(f"{root}/deep/er/a b+c%25.bin", content) == {"status": "OK", "cursor": -1}
    assert sandbox.read(f"{root}/deep/er/a b+c%25.bin") == content
    assert sandbox.names(f"{root}/deep/er") == ["a b+c%.bin"]


def test_a_body_of_json_is_a_file_like_any_other(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/copy", '{"some": "json"}')
    assert sandbox.read(f"{root}/copy") == b'{"some": "json"}'


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("bytes=0-3", b"0123"), ("bytes=8-99", b"89"), ("bytes=4-4", b"4"), ("bytes=20-30", b""), ("bytes=7-", b"789")],
)
def test_a_range_of_a_file(sandbox: RunningSandbox, root: str, wanted: str, expected: bytes) -> None:
    sandbox.write(f"{root}/ten", b"0123456789")
    assert sandbox.read(f"{root}/ten", range=wanted) == expected


def test_a_misformed_range(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/ten", b"0123456789")
    answer = sandbox.drive("GET", f"{root}/ten", args={"type": "file", "get_content": True, "range": "bytes=-4"})
    assert answer["status"] == "ERROR"
    assert "bytes=FIRST-LAST" in answer["msg"]


def test_writing_at_a_cursor(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/file", b"aaaa")
    assert sandbox.drive("POST", f"{root}/file", b"bb", {"type": "file", "cursor": 4})["status"] == "OK"
    assert sandbox.drive("POST", f"{root}/file", b"c", {"type": "file", "cursor": 1})["status"] == "OK"
    assert sandbox.read(f"{root}/file") == b"acaabb"
    refused = sandbox.drive("POST", f"{root}/file", b"c", {"type": "file", "cursor": 7})
    assert refused["status"] == "ERROR"
    assert "has 6 bytes" in refused["msg"]


def at_cursor(sandbox: RunningSandbox, path: str, content: bytes, cursor: int) -> dict[str, Any]:
    return sandbox.drive("POST", path, content, {"type": "file", "cursor": cursor})


def test_bytes_of_a_new_file_may_be_counted_from_one(sandbox: RunningSandbox, root: str) -> None:
    assert at_cursor(sandbox, f"{root}/new", b"abc", 1) == {"status": "OK", "cursor": -1}
    assert sandbox.read(f"{root}/new") == b"abc"
    # In a file that is there they are counted from zero.
    assert at_cursor(sandbox, f"{root}/new", b"X", 1)["status"] == "OK"
    assert sandbox.read(f"{root}/new") == b"aXc"
    assert "the file has 0 bytes" in at_cursor(sandbox, f"{root}/another", b"abc", 2)["msg"]
    assert "is a folder" in at_cursor(sandbox, root, b"abc", 0)["msg"]


def test_writes_at_the_same_time_are_all_there(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/sub/file", bytes(MAX_BODY_MIB * 2**20))
    paths = [f"{root}/sub/file", f"{root}//sub/file", f"{root}/sub//file/"]

    def write(number: int) -> dict[str, Any]:
        return at_cursor(sandbox, paths[number % 3], bytes([number]) * 1000, number * 1000)

    with ThreadPoolExecutor(12) as pool:
        assert [answer["status"] for answer in pool.map(write, range(1, 31))] == ["OK"] * 30
    content = sandbox.read(f"{root}/sub/file")
    assert [content.count(bytes([number])) for number in range(1, 31)] == [1000] * 30


def test_slashes_in_a_row_count_as_one(sandbox: RunningSandbox, root: str) -> None:
    assert sandbox.write(f"{root}//deep///er//file", b"x")["status"] == "OK"
    assert sandbox.read(f"{root}/deep/er/file") == b"x"
    sandbox.write(f"{root}/z.zip", zipped({"a": "1"}))
    job = sandbox.drive("POST", f"{root}//unzip", {"zip_file": "z.zip", "destination": f"/{root}//deep//out"})
    assert sandbox.wait(job["job_id"])["status"] == "OK"
    assert sandbox.read(f"{root}/deep/out/a") == b"1"
    copied = sandbox.drive("POST", f"{root}/z.zip/copy", {"new_full_path": f"{root}//copied"})
    assert sandbox.wait(copied["job_id"])["status"] == "OK"
    assert sandbox.names(root) == ["copied", "deep", "z.zip"]


def test_an_existing_file_is_replaced_only_if_asked(sandbox: RunningSandbox, root: str) -> None:
    assert sandbox.drive("POST", f"{root}/file", b"one", {"type": "file"})["status"] == "OK"
    assert "exists already" in sandbox.drive("POST", f"{root}/file", b"two", {"type": "file"})["msg"]
    assert sandbox.read(f"{root}/file") == b"one"
    sandbox.write(f"{root}/file", b"")
    assert sandbox.read(f"{root}/file") == b""


def test_folders_are_listed_in_pages_by_name(sandbox: RunningSandbox, root: str) -> None:
    sandbox.push(f"{root}/many", {f"{number:04}": "" for number in range(2100)})
    found, token, pages = [], "", 0
    while True:
        page = sandbox.drive("GET", f"{root}/many", args={**LIST, "start_page_token": token})
        found += [node["name"] for node in page["nodes"]]
        token, pages = page["next_page_token"], pages + 1
        if not page["has_more"]:
            break
    assert found == [f"{number:04}" for number in range(2100)]
    assert (pages, token) == (3, "")


def test_nodes_tell_what_they_are(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/file", b"123")
    sandbox.drive("POST", f"{root}/folder", args={"type": "folder"})
    nodes = sandbox.drive("GET", root, args={**LIST, "get_metadata": True})["nodes"]
    assert [(node["name"], node["type"], node["full_path"]) for node in nodes] == [
        ("file", "file", f"{root}/file"),
        ("folder", "folder", f"{root}/folder"),
    ]
    assert nodes[0]["metadata"]["size"] == 3
    assert sandbox.drive("GET", f"{root}/file", args=METADATA)["metadata"]["type"] == "file"
    assert sandbox.drive("GET", f"{root}/folder", args=METADATA)["metadata"]["type"] == "folder"


@pytest.mark.parametrize("args", [{"type": "file", "get_content": True}, LIST, METADATA])
def test_what_is_not_there_is_an_error_envelope(sandbox: RunningSandbox, root: str, args: dict[str, Any]) -> None:
    response = sandbox.call("GET", f"/api/v1/drives/{root}/none", args=args)
    assert response.status_code == 200
    assert response.json()["status"] == "ERROR"
    assert f"{root}/none' does not exist" in response.json()["msg"]


def test_deleting(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/folder/file", b"x")
    refused = sandbox.drive("DELETE", f"{root}/folder", {"force": False})
    assert "is not empty" in refused["msg"]
    assert sandbox.exists(f"{root}/folder/file")
    assert sandbox.drive("DELETE", f"{root}/folder/file", {"force": False}) == {"status": "OK"}
    assert sandbox.drive("DELETE", root, args={"force": True}) == {"status": "OK"}
    missing = sandbox.call("DELETE", f"/api/v1/drives/{root}", {"force": True})
    assert (missing.status_code, missing.json()["status"]) == (200, "ERROR")


def test_deleting_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    drive = Drive(tmp_path / "drive", tmp_path / "tmp")
    drive.write(DrivePath.parse("a/b/fs/c/folder/file"), b"x")
    for name, force in (("one", False), ("two", True)):
        (tmp_path / "drive/a/b/fs/c" / name).symlink_to(tmp_path / "drive/a/b/fs/c/folder")
        drive.delete(DrivePath.parse(f"a/b/fs/c/{name}"), force=force)
    assert drive.names(DrivePath.parse("a/b/fs/c")) == ["folder"]
    assert drive.read(DrivePath.parse("a/b/fs/c/folder/file")) == b"x"


def test_copying_moving_and_renaming(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/from/file", b"x")
    copied = sandbox.drive("POST", f"{root}/from/copy", {"new_full_path": f"/{root}/copied"})
    assert sandbox.wait(copied["job_id"])["results"] == [{"status": "OK"}]
    moved = sandbox.drive("POST", f"{root}/from/move", {"new_full_path": f"{root}/moved/to"})
    assert sandbox.wait(moved["job_id"])["status"] == "OK"
    renamed = sandbox.drive("PATCH", f"{root}/moved/to", {"new_name": "there"})
    assert sandbox.wait(renamed["job_id"])["status"] == "OK"
    assert sandbox.read(f"{root}/copied/file") == sandbox.read(f"{root}/moved/there/file") == b"x"
    assert sandbox.names(root) == ["copied", "moved"]


@pytest.mark.parametrize("target", ["from/inside", "from"])
def test_a_folder_is_not_moved_into_itself(sandbox: RunningSandbox, root: str, target: str) -> None:
    sandbox.write(f"{root}/from/file", b"x")
    job = sandbox.drive("POST", f"{root}/from/move", {"new_full_path": f"{root}/{target}"})
    status = sandbox.wait(job["job_id"])
    assert (status["status"], status["results"][0]["status"]) == ("ERROR", "ERROR")
    assert sandbox.read(f"{root}/from/file") == b"x"


def test_drives_are_listed_with_mounts(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/x", b"")
    assert sandbox.drive("GET", "acme/repo/fs")["drives"] == [
        {"full_path": "acme/repo/fs/Instabase Drive", "mount_details": None}
    ]
    assert sandbox.drive("GET", "acme/mounts/fs")["drives"][0]["full_path"] == "acme/mounts/fs/Mounted"
    assert sandbox.drive("GET", "nobody/nothing/fs")["drives"] == []


def test_mounts_are_seen_and_not_changed(sandbox: RunningSandbox, mounted: Path) -> None:
    drive = "acme/mounts/fs/Mounted"
    assert sandbox.names(drive) == ["deeper", "local"]
    assert sandbox.names(f"{drive}/deeper") == ["licenses"]
    assert sandbox.read(f"{drive}/local/sub/a.txt") == b"mounted"
    for answer in (
        sandbox.write(f"{drive}/local/new", b"x"),
        sandbox.write(f"{drive}/local/sub/a.txt", b"x"),
        sandbox.drive("POST", f"{drive}/local/folder", args={"type": "folder"}),
        sandbox.drive("DELETE", f"{drive}/local/sub", {"force": True}),
        sandbox.drive("DELETE", f"{drive}/deeper", {"force": True}),
    ):
        assert answer["status"] == "ERROR"
        assert "mounted read-only" in answer["msg"]
    assert (mounted / "sub" / "a.txt").read_text() == "mounted"
    assert sorted(item.name for item in mounted.iterdir()) == ["outside", "sub"]


def test_a_link_does_not_lead_out_of_the_drive(sandbox: RunningSandbox) -> None:
    answer = sandbox.drive("GET", "acme/mounts/fs/Mounted/local/outside/passwd", args={"type": "file"})
    assert answer["status"] == "ERROR"
    assert "symbolic link" in answer["msg"]


@pytest.mark.parametrize(
    "path",
    [
        "acme/repo/fs/D/../../../../x", "acme/repo/fs/D/./x", "acme/repo/fs/D/%2e%2e/x",
        "acme/repo/fs/D/..%2f..%2fx", "acme/repo/fs/D/a%5c..%5cx", "acme/repo/fs/D/a%00b", "acme/repo/fs/D/%ff",
        "acme/repo/other/D/x", "acme/repo/fs/D", "acme/repo/fs", "acme", "acme/repo/fs/D/" + "x" * 300,
    ],
)  # fmt: skip
def test_paths_that_are_refused(sandbox: RunningSandbox, path: str) -> None:
    status, content = sandbox.raw("POST", f"/api/v1/drives/{path}", FILE, b"x")
    answer = json.loads(content)
    assert (status, answer["status"]) == (200, "ERROR")
    assert "refused" in answer["msg"] or "OWNER/REPO/fs/DRIVE/PATH" in answer["msg"]
    assert not (sandbox.data / "drive" / "acme" / "repo" / "fs" / "D").exists()


def test_paths_as_the_clients_write_them(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/file", b"x")
    for url in (f"//api/v1/drives/{root}/file", f"/api/v1/drives//{root}/file", f"/api/v1/drives/{root}/file/"):
        status, content = sandbox.raw("GET", url.replace(" ", "%20"), {"type": "file", "get_content": True})
        assert (status, content) == (200, b"x"), url


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer"])
def test_without_the_token_nothing_happens(sandbox: RunningSandbox, root: str, authorization: str | None) -> None:
    headers = {"Instabase-API-Args": json.dumps(FILE)}
    if authorization is not None:
        headers["Authorization"] = authorization
    request = sandbox.http.build_request("POST", f"/api/v1/drives/{root}/file", content=b"x", headers=headers)
    if authorization is None:
        del request.headers["Authorization"]
    response = sandbox.http.send(request)
    assert (response.status_code, response.json()["status"]) == (401, "ERROR")
    assert TOKEN not in response.text
    assert not sandbox.exists(root)


@pytest.mark.parametrize("counted", [True, False], ids=["with its length", "in chunks"])
def test_a_body_over_the_limit(sandbox: RunningSandbox, root: str, counted: bool) -> None:
    body = b"x" * (MAX_BODY_MIB * 2**20 + 1)
    before = set((sandbox.data / "tmp").iterdir())
    content: Any = body if counted else iter([body[: 2**20], body[2**20 :]])
    response = sandbox.http.post(
        f"/api/v1/drives/{root}/big", content=content, headers={"Instabase-API-Args": json.dumps(FILE)}
    )
    assert (response.status_code, response.json()["status"]) == (413, "ERROR")
    assert "--max-body" in response.json()["msg"]
    assert not sandbox.exists(f"{root}/big")
    assert set((sandbox.data / "tmp").iterdir()) <= before
    assert sandbox.write(f"{root}/big", body[1:])["status"] == "OK"


def test_a_call_that_does_not_exist(sandbox: RunningSandbox) -> None:
    response = sandbox.call("POST", "/api/v1/nothing", {})
    assert (response.status_code, response.json()["status"]) == (404, "ERROR")


def test_a_body_that_does_not_fit_names_what_is_wrong(sandbox: RunningSandbox) -> None:
    answer = sandbox.api("annotator/export_model", {"model_path": 3, "model_name": "x"})
    assert answer["status"] == "ERROR"
    for key in ("model_path", "dev_input_folder", "refiner_path", "annotator_dir"):
        assert key in answer["msg"]
    assert "Invalid JSON" in sandbox.call("POST", "/api/v1/jobs/cancel", b"{no json").json()["msg"]
