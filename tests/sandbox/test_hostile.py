"""Input that is wrong in its bytes: refused in a sentence, under HTTP 200, and nothing is left of it."""

import base64
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.jsontext import loads
from pytest_ibmodels.sandbox.storage.archives import pack, unzip
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath
from tests.sandbox.pushed import document
from tests.sandbox.running import RunningSandbox, zipped

DRIVE = DrivePath.parse("a/b/fs/c")
DEEP = b"[" * 100_000
MIB = 2**20


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    (tmp_path / "tmp").mkdir()
    return Drive(tmp_path / "drive", tmp_path / "tmp")


# --- zips ---


def with_entry(name: str | zipfile.ZipInfo, content: bytes = b"x") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("good", "good")
        archive.writestr(zipfile.ZipInfo(name) if isinstance(name, str) else name, content)
    return target.getvalue()


def encrypted() -> bytes:
    content = bytearray(zipped({"a": "x" * 50}))
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + offset] |= 1
    return bytes(content)


def of_method(number: int) -> bytes:
    content = bytearray(zipped({"a": "x" * 50}))
    for mark, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        struct.pack_into("<H", content, content.index(mark) + offset, number)
    return bytes(content)


def of_size(size: int) -> bytes:
    """An entry that tells another size than it has, in both places."""
    content = bytearray(zipped({"a": "x" * 50}))
    for mark, offset in ((b"PK\3\4", 18), (b"PK\1\2", 20)):
        at = content.index(mark) + offset
        struct.pack_into("<II", content, at, size, size)
    return bytes(content)


def at_offset(offset: int) -> bytes:
    content = bytearray(zipped({"a": "x" * 50}))
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 42, offset)
    return bytes(content)


def special(mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("special")
    entry.external_attr = mode << 16
    return entry


HOSTILE_ZIPS: dict[str, bytes] = {
    "empty file": b"",
    "no zip": b"no zip at all",
    "empty name": with_entry(""),
    "only a slash": with_entry("/"),
    "parent": with_entry("../x"),
    "absolute": with_entry("/etc/x"),
    "backslash": with_entry("a\\..\\x"),
    "many parts": with_entry("d/" * 1100 + "f"),
    "long name": with_entry("x" * 300),
    "link": with_entry(special(0o120777)),
    "pipe": with_entry(special(0o010644)),
    "device": with_entry(special(0o020644)),
    "encrypted": encrypted(),
    "unknown method": of_method(97),
    "LZMA that is none": of_method(14),
    "bzip2 that is none": of_method(12),
    "deflated that is none": of_method(8),
    "larger than it is": of_size(10_000),
    "smaller than it is": of_size(3),
    "of no size": of_size(0xFFFFFFFF),
    "entry beyond the end": at_offset(0x7FFFFFFF),
    "entry at another place": at_offset(20),
    "truncated": zipped({"a": "x" * 1000, "b": "y"})[:-30],
    "a file that is a folder": with_entry("good/inside"),
}


@pytest.mark.parametrize("content", HOSTILE_ZIPS.values(), ids=HOSTILE_ZIPS)
def test_a_hostile_zip_is_refused_whole(drive: Drive, content: bytes) -> None:
    drive.write(DRIVE.joined("z.zip"), content)
    with pytest.raises(SandboxError, match="a/b/fs/c/z.zip"):
        unzip(drive, DRIVE.joined("z.zip"), DRIVE.joined("out"), max_bytes=MIB)
    assert drive.names(DRIVE) == ["z.zip"]
    assert list(drive.scratch.iterdir()) == []


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["stored", "deflated"]))
@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_changed_in_a_zip(drive: Drive, seed: int, kind: str) -> None:
    chance, target = random.Random(seed), io.BytesIO()  # noqa: S311 - no secret
    method = zipfile.ZIP_DEFLATED if kind == "deflated" else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", method) as archive:
        for name in ("a", "b/c", "b/d/"):
            archive.writestr(name, b"" if name.endswith("/") else b"text " * 30)
    content = bytearray(target.getvalue())
    for _ in range(chance.choice([1, 2, 8])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    drive.write(DRIVE.joined("z.zip"), bytes(content[: chance.choice([len(content), chance.randrange(len(content))])]))
    before = sorted(item.name for item in drive.root.parent.iterdir())
    try:
        unzip(drive, DRIVE.joined("z.zip"), DRIVE.joined("out"), max_bytes=MIB)
        drive.delete(DRIVE.joined("out"), force=True)
    except SandboxError:
        assert drive.info(DRIVE.joined("out")) is None
    assert list(drive.scratch.iterdir()) == []
    assert sorted(item.name for item in drive.root.parent.iterdir()) == before


# --- JSON ---


NO_JSON = {
    "lists without end": DEEP,
    "objects without end": b'{"a":' * 50_000,
    "deep and complete": b"[" * 300 + b"]" * 300,
    "cut off": b"{",
    "nothing": b"",
    "half a character": b'"\\ud800"',
    "a long number": b"9" * 5000,
    "no text": b"\xff\xfe\xff",
}


@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_that_can_be_read(content: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        loads(content)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_in_the_encodings_that_python_reads(encoding: str) -> None:
    assert loads('{"ä": [1, 2.5, null, "€"]}'.encode(encoding)) == {"ä": [1, 2.5, None, "€"]}
    assert loads('{"ä": 1}') == {"ä": 1}


def calls_on(root: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Calls that read JSON files of the drive."""
    raw = {"type": "ibdoc", "data": base64.b64encode(document("Total 12").encode()).decode()}
    run = {"model_name": "m", "input_path": f"{root}/x", "model_fs_path": f"{root}/m"}
    export = {"model_path": f"{root}/m", "dev_input_folder": root, "model_name": "M", "annotator_dir": root}
    return {
        "run": ("model-service/run", {**run, "input_raw_data": raw}),
        "run of a document": ("model-service/run", run),
        "export": ("annotator/export_model", {**export, "refiner_path": "x.ibrefiner"}),
        "create": ("solution/create", {"content_folder": f"{root}/m", "output_folder": root}),
        "refine": ("refiner-v5/run", {"program": DEEP.decode(), "program_path": f"{root}/p", "input_record_keys": []}),
    }


@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
def test_json_files_that_cannot_be_read(sandbox: RunningSandbox, root: str, content: bytes) -> None:
    for name in ("m/package.json", "predictions.json", "x"):
        sandbox.write(f"{root}/{name}", content)
    sandbox.write(f"{root}/z.zip", with_entry("package.json", content))
    publish = {"publish": ("marketplace/publish", {"ibsolution_path": f"{root}/z.zip"})}
    for name, (call, body) in {**calls_on(root), **publish}.items():
        answer = sandbox.call("POST", f"/api/v1/{call}", body)
        assert (answer.status_code, answer.json()["status"]) == (200, "ERROR"), (name, answer.text[:300])
    # Predictions are read where the package itself is good.
    sandbox.write(f"{root}/m/package.json", '{"classpath": "a.b.C"}')
    sandbox.write(f"{root}/m/src/py/a/b.py", "")
    answer = sandbox.call("POST", "/api/v1/annotator/export_model", calls_on(root)["export"][1])
    assert (answer.status_code, answer.json()["status"]) == (200, "ERROR")
    assert "predictions.json" in answer.json()["msg"]


# --- paths and numbers ---


def hostile_requests(root: str) -> list[tuple[str, str, dict[str, Any] | str, Any]]:
    deep, digits = "d/" * 1100 + "f", "9" * 5000
    file, unpacked = f"{root}/file", {"zip_file": "z.zip", "destination": f"{root}/{deep}"}
    return [
        ("POST", f"{root}/{deep}", {"type": "file"}, b"x"),
        ("POST", f"{root}/{deep}", {"type": "folder"}, b""),
        ("POST", f"{root}/unzip", {"type": "folder"}, unpacked),
        ("POST", f"{root}/unzip", {"type": "folder"}, {"zip_file": deep, "destination": root}),
        ("POST", f"{file}/copy", {}, {"new_full_path": f"{root}/{deep}"}),
        ("PATCH", file, {}, {"new_name": deep}),
        ("PATCH", file, {}, {"new_name": ""}),
        ("GET", f"{root}/{deep}", {"type": "folder"}, None),
        ("DELETE", f"{root}/{deep}", {"force": True}, None),
        ("GET", file, {"type": "file", "range": f"bytes={digits}x-"}, None),
        ("GET", file, {"type": "file", "range": "bytes=\u0663-"}, None),
        ("GET", file, {"type": "file", "range": "bytes=--1"}, None),
        ("POST", file, f'{{"type":"file","cursor":{digits}}}', b"x"),
        ("POST", file, {"type": "file", "cursor": 10**400}, b"x"),
        ("POST", file, {"type": "file", "cursor": -1}, b"x"),
        ("GET", file, "[" * 10_000, None),
        ("GET", file, '{"type":"file","range":"\\ud800"}', None),
        ("GET", f"{root}/line%0Afeed", {"type": "file"}, None),
        ("POST", f"{root}/%0A", {"type": "file"}, b"x"),
    ]


@pytest.mark.parametrize("number", range(19))
def test_requests_that_are_refused_in_a_sentence(sandbox: RunningSandbox, root: str, number: int) -> None:
    sandbox.write(f"{root}/file", b"0123456789")
    method, path, args, body = hostile_requests(root)[number]
    headers = {"Instabase-API-Args": args if isinstance(args, str) else json.dumps(args)}
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    answer = sandbox.http.request(method, f"/api/v1/drives/{path}", content=content, headers=headers)
    assert answer.status_code == 200, answer.text[:300]
    said = answer.json()
    if "job_id" in said:
        said = sandbox.wait(said["job_id"])
    assert said["status"] == "ERROR", said
    assert "sandbox failed" not in said["msg"]
    assert sandbox.read(f"{root}/file") == b"0123456789"
    assert sandbox.names(root) == ["file"]


@pytest.mark.parametrize(
    ("wanted", "content"),
    [
        ("", b"0123456789"),
        (" ", b"0123456789"),
        ("bytes=0--1", b"0123456789"),
        ("bytes=4--1", b"456789"),
        (f"bytes=0-{'9' * 5000}", b"0123456789"),
        (f"bytes={'9' * 5000}-", b""),
        (f"bytes={'0' * 5000}3-4", b"34"),
    ],
)
def test_ranges_as_clients_write_them(sandbox: RunningSandbox, root: str, wanted: str, content: bytes) -> None:
    sandbox.write(f"{root}/ten", b"0123456789")
    headers = {"Instabase-API-Args": json.dumps({"type": "file", "get_content": True, "range": wanted})}
    answer = sandbox.http.get(f"/api/v1/drives/{root}/ten", headers=headers)
    assert (answer.status_code, answer.content) == (200, content)


def test_a_tree_that_is_deeper_than_any_request_names(drive: Drive, tmp_path: Path) -> None:
    folder = drive.root / "a/b/fs/c/deep"
    for depth in range(160):
        folder = folder / str(depth % 10)
    folder.mkdir(parents=True)
    (folder / "f").touch()
    pack(drive, DRIVE.joined("deep"), tmp_path / "packed.zip")
    with zipfile.ZipFile(tmp_path / "packed.zip") as archive:
        assert archive.namelist() == []
    drive.copy(DRIVE.joined("deep"), DRIVE.joined("copied"))
    for name in ("deep", "copied"):
        drive.delete(DRIVE.joined(name), force=True)
    assert drive.names(DRIVE) == []


def returns(value: str) -> str:
    return f"def go(**others):\n    return {value}\n"


@pytest.mark.parametrize(
    "value",
    ["float('nan')", "'\\ud800'", "{'a': [float('inf')]}", "eval('[' * 90 + ']' * 90)", "10 ** 4000", "nested()"],
)
def test_whatever_a_job_returns_can_be_asked_for(start: Callable[..., RunningSandbox], root: str, value: str) -> None:
    sandbox = start()
    nested = "\ndef nested():\n    value = []\n    for _ in range(400): value = [value]\n    return value\n"
    sandbox.push("a/b/fs/c/code", {"mine/__init__.py": "", "mine/work.py": returns(value) + nested})
    job = sandbox.train("a/b/fs/c/code/mine", "mine.work.go")
    sandbox.wait(job)
    answer = sandbox.http.get("/api/v1/jobs/status", params={"job_id": job})
    assert answer.status_code == 200
    assert answer.json()["state"] == "DONE"
