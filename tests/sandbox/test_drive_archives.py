"""Zip files that the drive unpacks."""

import io
import stat
import zipfile

import pytest

from tests.sandbox.conftest import MAX_BODY_MIB
from tests.sandbox.running import RunningSandbox, zipped


def test_unzipping_writes_over_what_is_there(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/code/package.json", b"old")
    sandbox.write(f"{root}/code/kept", b"kept")
    sandbox.push(f"{root}/code", {"package.json": "new", "ibformers/__init__.py": "pass"})
    assert sandbox.read(f"{root}/code/package.json") == b"new"
    assert sandbox.read(f"{root}/code/ibformers/__init__.py") == b"pass"
    assert sandbox.read(f"{root}/code/kept") == b"kept"


def a_link() -> zipfile.ZipInfo:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return link


@pytest.mark.parametrize(
    "entry",
    ["../evil", "a/../../evil", "/srv/evil", "C:/evil", "a\\..\\evil", "a//evil", a_link()],
    ids=lambda entry: "link" if isinstance(entry, zipfile.ZipInfo) else entry,
)
def test_a_zip_that_reaches_out_is_refused_whole(
    sandbox: RunningSandbox, root: str, entry: str | zipfile.ZipInfo
) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("good", "good")
        archive.writestr(entry, "/etc")
    sandbox.write(f"{root}/z.zip", target.getvalue())
    job = sandbox.drive("POST", f"{root}/unzip", {"zip_file": "z.zip", "destination": f"{root}/out"})
    status = sandbox.wait(job["job_id"])
    assert status["results"][0]["status"] == "ERROR"
    assert "nothing was written" in status["results"][0]["msg"]
    assert sandbox.names(root) == ["z.zip"]


def test_a_zip_that_unpacks_to_too_much(sandbox: RunningSandbox, root: str) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * (5 * MAX_BODY_MIB * 2**20))
    sandbox.write(f"{root}/bomb.zip", target.getvalue())
    job = sandbox.drive("POST", f"{root}/unzip", {"zip_file": "bomb.zip", "destination": f"{root}/out"})
    assert "the limits are" in sandbox.wait(job["job_id"])["msg"]
    assert sandbox.names(root) == ["bomb.zip"]


def test_a_damaged_zip(sandbox: RunningSandbox, root: str) -> None:
    content = bytearray(zipped({"a": "x" * 100, "b": "y" * 100}))
    content[60] ^= 0xFF
    for name, data in {"damaged": bytes(content), "none": b"no zip at all"}.items():
        sandbox.write(f"{root}/{name}.zip", data)
        job = sandbox.drive("POST", f"{root}/unzip", {"zip_file": f"{name}.zip", "destination": f"{root}/out"})
        assert "could not be unpacked, nothing was written" in sandbox.wait(job["job_id"])["msg"]
    assert not sandbox.exists(f"{root}/out")
