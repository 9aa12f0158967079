"""Order and content of the versions in the marketplace."""

import io
import json
import re
import shutil
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from pytest_ibmodels.sandbox.errors import SandboxError, UsageError
from pytest_ibmodels.sandbox.services.marketplace import Marketplace, applications_mount
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.audit import Audit
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.mounts import parse_mounts
from pytest_ibmodels.sandbox.storage.paths import DrivePath
from pytest_ibmodels.sandbox.storage.stores import open_store
from tests.sandbox.running import zipped
from tests.sandbox.shop import APPLICATIONS, package


class Shop:
    """A marketplace in this process."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(folder, max_body=2**20)
        for needed in (self.settings.scratch, self.settings.drive_root):
            needed.mkdir(parents=True, exist_ok=True)
        self.open()

    def open(self) -> None:
        self.store = open_store(self.settings.database_url)
        self.drive = Drive(self.settings.drive_root, self.settings.scratch, [applications_mount(self.settings)])
        self.audit = Audit(self.store.database)
        self.market = Marketplace(self.settings, self.drive, self.store, self.audit)

    def restart(self) -> None:
        self.store.close()
        self.open()

    def publish(self, files: dict[str, str] | bytes, path: str = "a/b/fs/c/x.ibsolution") -> None:
        place = DrivePath.parse(path)
        self.drive.write(place, files if isinstance(files, bytes) else zipped(files))
        self.market.publish(place, "ada (API)")

    def versions(self) -> dict[str, list[str]]:
        return {app.name: app.available_versions for app in self.market.apps()}

    def leftovers(self) -> list[Path]:
        return list(self.settings.scratch.iterdir())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "data")
    yield shop
    shop.store.close()


def test_versions_stand_in_semantic_order(shop: Shop) -> None:
    in_order = [
        "0.9.0",
        "0.10.0",
        "1.0.0-alpha.2",
        "1.0.0-alpha.10",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.0+b",
        "1.0.1",
        "10.0.0",
    ]
    for version in sorted(in_order):
        shop.publish(package("shop", version))
    shop.publish(package("apple", "1.0.0", "apple"))
    assert shop.versions() == {"apple": ["1.0.0"], "shop": in_order}
    newest, folder = shop.market.unpack_newest("shop")
    assert newest.version == "10.0.0"
    assert (folder / "shop" / "helper.py").read_text() == "WHERE = 'shop 10.0.0'"


def with_entry(name: str, *, content: str = "x", **attributes: Any) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("package.json", json.dumps({"name": "shop", "version": "1.0.0"}))
        entry = zipfile.ZipInfo(name)
        for attribute, value in attributes.items():
            setattr(entry, attribute, value)
        archive.writestr(entry, content)
    return target.getvalue()


def described(**changes: Any) -> dict[str, str]:
    return {"package.json": json.dumps({"name": "shop", "version": "1.0.0", **changes})}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK, but no zip", "could not be unpacked, nothing was written: File is not a zip file"),
        (zipped(described())[:-30], "could not be unpacked, nothing was written: File is not a zip file"),
        (with_entry("../outside"), "its entry '../outside' would not land inside the destination"),
        (with_entry("/etc/passwd"), "its entry '/etc/passwd' has an absolute name"),
        (with_entry("link", content="/etc", external_attr=0o120777 << 16), "its entry 'link' is a link"),
        (with_entry("package.json/x"), "could not be unpacked: "),
        (zipped({"zeros": "0" * 5 * 2**20}), "would unpack to 1 entries of 5 MiB; the limits are"),
        ({}, "is not a package: it has no package.json at its top level"),
        ({"shop/package.json": "{}"}, "there is one in 'shop': zip its content, not the folder"),
        ({"package.json": "{"}, "its package.json is not JSON: "),
        ({"package.json": "[]"}, "its package.json is not a JSON object"),
        ({"package.json": "{}"}, "'name' in its package.json is missing; expected"),
        (described(name="../shop"), """'name' in its package.json is "../shop"; expected letters"""),
        (described(name=7), "'name' in its package.json is 7; expected letters"),
        (described(version=None), "'version' in its package.json is missing; expected a semantic version such as 1.4"),
        (described(version="1.0"), """'version' in its package.json is "1.0"; expected a semantic version"""),
        (described(version="1.0.0/.."), """'version' in its package.json is "1.0.0/.."; expected a semantic version"""),
        (described(name="n" * 300), "name and version in its package.json are too long"),
    ],
)  # fmt: skip
def test_what_is_no_package_is_refused(shop: Shop, content: bytes | dict[str, str], said: str) -> None:
    with pytest.raises(SandboxError, match=re.escape(said)) as refusal:
        shop.publish(content)
    assert "'a/b/fs/c/x.ibsolution'" in str(refusal.value)
    assert str(shop.settings.data) not in str(refusal.value)
    assert (shop.market.apps(), shop.leftovers()) == ([], [])
    assert not list(shop.settings.applications_root.glob("*/*/*/*"))


def test_damaged_content_is_refused(shop: Shop) -> None:
    whole = zipped({**described(), "shop/__init__.py": "some content"})
    with pytest.raises(SandboxError, match="could not be unpacked, nothing was written: Bad CRC-32"):
        shop.publish(whole.replace(b"some content", b"some c0ntent"))
    assert shop.market.apps() == []


def test_one_of_many_that_publish_a_version_at_once_does(shop: Shop) -> None:
    together = threading.Barrier(6)

    def publish(number: int) -> str:
        files = {**package("shop", "1.0.0"), "number": str(number)}
        together.wait()
        try:
            shop.publish(files, f"a/b/fs/c/{number}")
        except SandboxError as error:
            return str(error)
        return f"published {number}"

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(publish, range(6)))
    (winner,) = [outcome for outcome in outcomes if outcome.startswith("published")]
    assert sum("1.0.0 is published already" in outcome for outcome in outcomes) == 5
    _row, folder = shop.market.unpack_newest("shop")
    assert winner == f"published {(folder / 'number').read_text()}"


def test_the_package_that_is_called_like_the_module_is_meant(shop: Shop) -> None:
    shop.publish(package("all_tasks", "2.0.0"))
    assert shop.market.unpack_newest("shop")[0].name == "all_tasks"
    shop.publish(package("classification", "3.0.0"))
    with pytest.raises(SandboxError, match=r"several .* a module 'shop' \(all_tasks, classification\), none of which"):
        shop.market.unpack_newest("shop")
    shop.publish(package("shop", "1.0.0"))
    assert shop.market.unpack_newest("shop")[0].name == "shop"
    with pytest.raises(SandboxError, match="no published package has a module 'readme'"):
        shop.market.unpack_newest("readme")


def test_a_start_brings_files_and_store_together_again(shop: Shop) -> None:
    for version in ("1.0.0", "2.0.0"):
        shop.publish(package("shop", version))
    shop.market.install("shop", "1.0.0", "ada (API)")
    root = shop.settings.applications_root
    # As the death of a server leaves it between two steps: of a publish, of an install, and of the loss of a file.
    stored = root / "Marketplace" / "All" / "shop"
    (stored / "3.0.0").mkdir()
    (stored / "3.0.0" / "shop-3.0.0.ibsolution").write_bytes(b"stored, but not listed yet")
    (root / "Installed" / "shop" / "2.0.0").mkdir()
    (root / "Installed" / "apple" / "1.0.0").mkdir(parents=True)
    (stored / "2.0.0" / "shop-2.0.0.ibsolution").unlink()

    shop.restart()
    assert shop.versions() == {"shop": ["1.0.0"]}
    assert [item.name for item in stored.iterdir()] == ["1.0.0"]
    assert [item.relative_to(root).as_posix() for item in root.glob("Installed/**/1.0.0")] == ["Installed/shop/1.0.0"]
    assert [item.name for item in root.glob("Installed/*")] == ["shop"]
    shop.publish(package("shop", "3.0.0"))
    assert shop.versions() == {"shop": ["1.0.0", "3.0.0"]}


def test_a_data_folder_from_before_there_was_a_marketplace(shop: Shop) -> None:
    job, _is_new = shop.store.new_job("train")
    engine = create_engine(shop.settings.database_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE packages"))
        assert inspect(connection).get_table_names() == ["audit", "jobs", "models", "servers"]
    engine.dispose()
    shop.restart()
    shop.publish(package("shop", "1.0.0"))
    assert shop.versions() == {"shop": ["1.0.0"]}
    assert shop.store.job(job) is not None


BUILDS = ["1.0.0+build.9", "1.0.0+build.10", "1.0.0+a", "1.0.0"]


def test_of_equal_versions_the_one_published_last_is_the_newest(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that stands still, and is set back.
    for version, seconds in zip(BUILDS, (2e9, 2e9, 1e9, 1.5e9), strict=True):
        with monkeypatch.context() as patched:
            patched.setattr("pytest_ibmodels.sandbox.services.marketplace.time.time", lambda seconds=seconds: seconds)
            shop.publish(package("shop", version))
        newest, folder = shop.market.unpack_newest("shop")
        shutil.rmtree(folder)
        assert newest.version == version
    shop.publish(package("shop", "0.9.0"))
    assert shop.versions() == {"shop": ["0.9.0", *BUILDS]}
    shop.restart()
    assert shop.versions() == {"shop": ["0.9.0", *BUILDS]}


def test_a_name_with_spaces_as_the_docs_have_it(shop: Shop) -> None:
    shop.publish(package("my tiny package", "1.0.0", "tiny"))
    shop.market.install("my tiny package", "1.0.0", "ada (API)")
    assert shop.versions() == {"my tiny package": ["1.0.0"]}
    with pytest.raises(SandboxError, match="expected letters, digits, and after the first of them spaces"):
        shop.publish(package("ends with a space ", "1.0.0", "tiny"))


def test_packing_leaves_links_out_and_does_not_pack_what_it_makes(shop: Shop) -> None:
    content, output = DrivePath.parse("a/b/fs/c/artifact"), DrivePath.parse("a/b/fs/c/artifact/out")
    for name, text_ in package("shop", "1.0.0").items():
        shop.drive.write(content.joined(*name.split("/")), text_.encode())
    shop.drive.local_folder(content).joinpath("link").symlink_to("/etc")
    with pytest.raises(SandboxError, match="output_folder '.*/artifact/out' lies in content_folder '.*/artifact'"):
        shop.market.create_solution(content, output)
    made = shop.market.create_solution(content, content.parent)
    with zipfile.ZipFile(io.BytesIO(shop.drive.read(made))) as archive:
        assert archive.namelist() == sorted(package("shop", "1.0.0"))
    assert shop.leftovers() == []


@pytest.mark.parametrize("at", [APPLICATIONS, f"{APPLICATIONS}/Marketplace/mine", "system/global/fs/Instabase Drive"])
def test_a_mount_cannot_hide_it(at: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shows the marketplace; give the mount a folder elsewhere"):
        parse_mounts([f"{at}={tmp_path}"], tmp_path)


def test_each_change_is_in_the_audit_once(shop: Shop) -> None:
    for version in ("1.0.0", "2.0.0"):
        shop.publish(package("shop", version))
    for _ in range(2):
        shop.market.install("shop", "1.0.0", "ada (portal)")
    shop.market.unpublish("shop", "2.0.0", "ada (portal)")
    for refused in (shop.market.unpublish, shop.market.install):
        with pytest.raises(SandboxError, match="not published"):
            refused("shop", "2.0.0", "ada (API)")
    found = [(e.who, e.action, e.subject, e.before, e.after) for e in reversed(shop.audit.page(9).entries)]
    assert found == [
        ("ada (API)", "publish", "package shop", None, "1.0.0"),
        ("ada (API)", "publish", "package shop", "1.0.0", "2.0.0"),
        ("ada (portal)", "install", "package shop", None, "1.0.0"),
        ("ada (portal)", "unpublish", "package shop", "2.0.0", "1.0.0"),
    ]
