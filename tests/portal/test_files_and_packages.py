"""The portal's pages of the drive, the marketplace, settings and the audit."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from pytest_ibmodels.sandbox.portal.formats import NOTHING
from pytest_ibmodels.sandbox.storage.usage import used_below
from tests.portal.client import Person, hidden_fields, text_of
from tests.portal.conftest import Portal
from tests.portal.pushed import HOSTILE_NAMES
from tests.sandbox.running import zipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from playwright.sync_api import Page

FILES = "acme/portal/fs/Files"


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A sandbox with two tokens, a folder mounted read-only, and a limit of 1 MiB for each request."""
    folder = tmp_path_factory.mktemp("portal")
    (folder / "shown").mkdir()
    (folder / "shown" / "inside.txt").write_text("read-only")
    tokens = "ada made-up-token\nbob other-token\n"
    mount = f"acme/portal/fs/Files/mounted={folder / 'shown'}"
    running = Portal(folder / "data", "--max-body", "1", "--mount", mount, tokens=tokens)
    yield running
    running.close()


@pytest.fixture
def drive(portal: Portal) -> Path:
    """The local folder of a drive of ada's."""
    folder = portal.data / "holders" / "ada" / "drive" / FILES
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def url(path: str, page: str = "") -> str:
    return f"/portal/drive{page}?path={quote(path, safe='')}"


def upload(person: Person, folder: str, *files: tuple[str, bytes], **fields: str) -> httpx.Response:
    """Send the form of a folder's page with files, as a browser does."""
    action = f"/portal/drive?path={quote(folder)}"
    hidden = hidden_fields(person.get(action).text, action)
    parts = [("files", (name, content)) for name, content in files]
    return person.http.post(action, data={**hidden, **fields}, files=parts, headers={"Origin": person.url})


def audit_of(person: Person) -> str:
    return text_of(person.get("/portal/audit"))


@contextmanager
def someone_else(portal: Portal) -> Iterator[Person]:
    with Person(portal.url) as bob:
        assert bob.sign_in("other-token").status_code == 303
        yield bob


def publish(portal: Portal, name: str, version: str) -> None:
    path = f"{FILES}/{name}.ibsolution"
    content = zipped({"package.json": json.dumps({"name": name, "version": version}), f"{name}/__init__.py": ""})
    portal.write(path, content)
    assert portal.api("marketplace/publish", {"ibsolution_path": path}) == {"status": "OK"}


def test_a_folder_has_pages_and_a_filter(person: Person, drive: Path) -> None:
    many = drive / "many"
    many.mkdir()
    for number in range(250):
        (many / f"page-{number:03}.json").touch()
    first = person.get(url(f"{FILES}/many"))
    assert "1 to 100 of 250" in text_of(first)
    assert ("page-099.json" in first.text, "page-100.json" in first.text) == (True, False)
    last = person.get(url(f"{FILES}/many") + "&after=page-199.json")
    assert ("201 to 250 of 250" in text_of(last), "Next" in text_of(last)) == (True, False)
    assert 'after=page-099.json">Previous' in last.text
    assert "No name in this folder has" in text_of(person.get(url(f"{FILES}/many") + "&find=nothing"))
    found = text_of(person.get(url(f"{FILES}/many") + "&find=PAGE-24"))
    assert ("page-249.json" in found, "page-239.json" in found) == (True, False)


def test_a_drive_is_found_from_the_root_in_one_step(person: Person, drive: Path) -> None:
    root = person.get("/portal/drive")
    assert f'href="/portal/drive?path={FILES}"><bdi>{FILES}</bdi>/</a>' in root.text
    assert str(drive) not in root.text


def test_hostile_names_are_shown_downloaded_and_deleted(person: Person, drive: Path) -> None:
    folder = drive / "hostile"
    folder.mkdir()
    for name in HOSTILE_NAMES:
        (folder / name).write_text(name)
    page = person.get(url(f"{FILES}/hostile")).text
    assert "<script>document" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    for name in HOSTILE_NAMES:
        link = url(f"{FILES}/hostile/{name}", "/download")
        sent = person.get(link)
        assert sent.text == name
        assert sent.headers["content-disposition"] == f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        assert (sent.headers["content-type"], sent.headers["x-content-type-options"]) == (
            "application/octet-stream",
            "nosniff",
        )
        asked = url(f"{FILES}/hostile/{name}", "/delete")
        text = person.get(asked).text
        form = text.partition('<form method="post" action="/portal/drive/delete')[2].partition('"')[0]
        action = f"/portal/drive/delete{form}"
        assert person.post(action, hidden_fields(text, action)).status_code == 303
    assert list(folder.iterdir()) == []
    assert "This folder is empty" in text_of(person.get(url(f"{FILES}/hostile")))


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("acme/../../etc/passwd", 400, "the parts '.' and '..' are not allowed"),
        ("acme/portal/fs/Files/\ud800", 400, "it is not valid UTF-8"),
        ("x" * 10_000, 400, "is longer than 3500 bytes|more than 255 bytes"),
        ("acme/portal/fs/Files/gone.txt", 404, "is not in the drive"),
        ("acme/portal/fs/Files/%2e%2e/secret", 404, "is not in the drive"),
        ("acme/portal/fs/Files/nul\x00", 400, "control character"),
    ],
)
def test_a_wrong_path_is_a_page_that_says_why(
    person: Person, drive: Path, path: str, status: int, problem: str
) -> None:
    for page in ("", "/download", "/delete"):
        text = f"/portal/drive{page}?path={quote(path.encode(errors='surrogatepass'), safe='')}"
        answer = person.get(text)
        assert answer.status_code == status
        assert any(part in text_of(answer) for part in problem.split("|"))


def test_files_are_uploaded_and_replaced_if_that_is_chosen(portal: Portal, person: Person, drive: Path) -> None:
    (drive / "in").mkdir()
    folder = f"{FILES}/in"
    sent = upload(person, folder, ("a.txt", b"one"), ("say %22hi%22.txt", b"\r\n--two\x00"), ("", b""))
    assert "2 files are stored." in text_of(person.get(sent.headers["location"]))
    assert (drive / "in" / 'say "hi".txt').read_bytes() == b"\r\n--two\x00"
    taken = upload(person, folder, ("b.txt", b"new"), ("a.txt", b"new"))
    assert (taken.status_code, "“a.txt” is in this folder already" in text_of(taken)) == (409, True)
    assert sorted(file.name for file in (drive / "in").iterdir()) == ["a.txt", 'say "hi".txt']
    replaced = upload(person, folder, ("a.txt", b"new"), replace="yes")
    assert "“a.txt” is stored." in text_of(person.get(replaced.headers["location"]))
    assert (drive / "in" / "a.txt").read_bytes() == b"new"
    for name in ("..", "x/y", "back\\slash", "x" * 256):
        assert upload(person, folder, (name, b"")).status_code == 409
    assert "no file was chosen" in text_of(upload(person, folder, ("", b"")))
    assert f"file {folder}/a.txt" in audit_of(person)
    assert list((portal.data / "holders" / "ada" / "tmp").iterdir()) == []


def test_an_upload_that_is_refused_leaves_nothing(portal: Portal, person: Person, drive: Path) -> None:
    (drive / "not").mkdir()
    folder, action = f"{FILES}/not", f"/portal/drive?path={quote(FILES)}/not"
    for size in (2**20, 3 * 2**20):
        large = upload(person, folder, ("large.bin", b"x" * size))
        assert (large.status_code, "larger than 1 MiB together" in text_of(large)) == (413, True)
    hidden = hidden_fields(person.get(action).text, action)
    files = [("files", ("a.txt", b"x"))]
    origin = {"Origin": person.url}
    forged = person.http.post(action, data={**hidden, "csrf": "made up"}, files=files, headers=origin)
    foreign = person.http.post(action, data=hidden, files=files, headers={"Origin": "https://elsewhere.example"})
    late = person.http.post(
        action, files=[*files, *((name, (None, value)) for name, value in hidden.items())], headers=origin
    )
    assert [answer.status_code for answer in (forged, foreign, late)] == [403, 403, 403]
    kind = {**origin, "Content-Type": "multipart/form-data; boundary=x"}
    fields = "".join(f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in hidden.items())
    file = '--x\r\nContent-Disposition: form-data; name="files"; filename="cut.txt"\r\n\r\nhalf'
    cut = person.http.post(action, content=(fields + file).encode(), headers=kind)
    assert (cut.status_code, "ends in its midst" in text_of(cut)) == (400, True)
    broken = person.http.post(action, content=b"no form", headers=kind)
    assert (broken.status_code, "cannot be read" in text_of(broken)) == (400, True)
    with Person(portal.url) as stranger:
        out = stranger.http.post(action, data=hidden, files=files, headers=origin)
        assert (out.status_code, "so no file was stored" in text_of(out)) == (401, True)
    assert list((drive / "not").iterdir()) == []
    assert list((portal.data / "holders" / "ada" / "tmp").iterdir()) == []


def test_a_second_press_deletes_nothing_twice(person: Person, drive: Path) -> None:
    (drive / "twice").mkdir()
    asked = url(f"{FILES}/twice", "/delete")
    action = f"/portal/drive/delete?path={quote(FILES)}/twice"
    fields = hidden_fields(person.get(asked).text, action)
    first = person.post(action, fields)
    (drive / "twice").mkdir()
    assert person.post(action, fields).headers["location"] == first.headers["location"]
    assert (drive / "twice").is_dir()
    again = person.send(asked, action)
    assert "The folder “twice” is deleted." in text_of(person.get(again.headers["location"]))
    gone = person.get(asked)
    assert (gone.status_code, "Go to Drive" in text_of(gone)) == (404, True)
    assert audit_of(person).count(f"delete folder {FILES}/twice") == 2


def test_mounted_folders_are_read_only(person: Person, drive: Path) -> None:
    page = person.get(url(f"{FILES}/mounted"))
    assert "Read-only: this folder is mounted." in text_of(page)
    assert "/portal/drive/delete" not in page.text
    assert "multipart" not in page.text
    assert "inside.txt" in page.text
    # A folder that holds a mounted one, and a drive, cannot be deleted either.
    for path in (FILES, f"{FILES}/mounted", "system/global/fs/Instabase Drive/Applications"):
        refused = person.get(url(path, "/delete"))
        assert (refused.status_code, "cannot be deleted here" in text_of(refused)) == (400, True)
    action = f"/portal/drive?path={quote(FILES)}"
    fields = hidden_fields(person.get(action).text, action)
    answer = person.http.post(
        f"{action}/mounted", data=fields, files=[("files", ("a.txt", b"x"))], headers={"Origin": person.url}
    )
    assert (answer.status_code, "mounted read-only" in text_of(answer)) == (409, True)


def test_folders_are_made(person: Person, drive: Path) -> None:
    made = person.send("/portal/drive", "/portal/drive/folder", name="new/repo/fs/Drive")
    assert made.headers["location"].startswith("/portal/drive?path=new%2Frepo%2Ffs%2FDrive&done=")
    assert "It is empty." in text_of(person.get(made.headers["location"]))
    for name, problem in (("new/repo/fs/Drive", "there already"), ("new/repo", "there already"), ("a/b/c", "'fs'")):
        refused = person.send("/portal/drive", "/portal/drive/folder", name=name)
        assert (refused.status_code, problem in text_of(refused)) == (409, True)
        assert f'value="{name}"' in refused.text


def test_packages_are_installed_and_unpublished_once(portal: Portal, person: Person, drive: Path) -> None:
    assert "pytest --publish-only" in text_of(person.get("/portal/marketplace"))
    for version in ("1.9.0", "1.10.0+build.1"):
        publish(portal, "shop", version)
    page = text_of(person.get("/portal/marketplace"))
    assert page.index("1.10.0+build.1") < page.index("1.9.0")
    one = "/portal/marketplace/shop/1.10.0%2Bbuild.1"
    done = person.send("/portal/marketplace", f"{one}/install")
    assert "shop 1.10.0+build.1 is installed." in text_of(person.get(done.headers["location"]))
    fields = hidden_fields(person.get(f"{one}/unpublish").text, f"{one}/unpublish")
    other = hidden_fields(person.get(f"{one}/unpublish").text, f"{one}/unpublish")
    first, second = (person.post(f"{one}/unpublish", fields) for _ in range(2))
    assert first.headers["location"] == second.headers["location"]
    assert "is unpublished." in text_of(person.get(first.headers["location"]))
    # Another tab had asked, too.
    assert person.post(f"{one}/unpublish", other).status_code == 404
    assert person.send("/portal/marketplace", "/portal/marketplace/shop/1.9.0/install").status_code == 303
    found = audit_of(person)
    for entry in (
        f"publish package shop {NOTHING} 1.9.0 ada (API)",
        "publish package shop 1.9.0 1.10.0+build.1 ada (API)",
        f"install package shop {NOTHING} 1.10.0+build.1 ada (portal)",
        "unpublish package shop 1.10.0+build.1 1.9.0 ada (portal)",
    ):
        assert found.count(entry) == 1
    only = text_of(person.get("/portal/audit?action=unpublish"))
    assert (only.count("package shop"), "ada (API)" in only) == (1, False)


def test_a_tenant_sees_nothing_of_another(portal: Portal, person: Person, drive: Path) -> None:
    (drive / "mine.txt").write_text("ada's")
    publish(portal, "hers", "1.0.0")
    with someone_else(portal) as bob:
        for path in ("", "/download", "/delete"):
            answer = bob.get(url(f"{FILES}/mine.txt", path))
            assert answer.status_code == 404
        assert bob.get("/portal/marketplace/hers/1.0.0/unpublish").status_code == 404
        pages = [bob.get(f"/portal/{page}").text for page in ("drive", "marketplace", "settings", "audit")]
        assert not any(word in page for page in pages for word in ("ada", "hers", "mine.txt"))
        assert "Nothing has been changed yet" in pages[3]
        # A form of one session is no form of another.
        action = f"/portal/drive/delete?path={quote(FILES)}/mine.txt"
        stolen = hidden_fields(person.get(url(f"{FILES}/mine.txt", "/delete")).text, action)
        assert bob.post(action, stolen).status_code == 403
    assert (drive / "mine.txt").exists()


def test_the_settings_show_limits_and_no_token(portal: Portal, person: Person) -> None:
    page = person.get("/portal/settings")
    text = text_of(page)
    for fact in ("Request body at most 1 MiB", "Memory of each at most 8 GiB", "In the queue 0", "name ada", "SQLite"):
        assert fact in text
    assert "made-up-token" not in page.text
    assert str(portal.data) not in page.text


def test_counting_files_ends_in_time(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"12345")
    (tmp_path / "a" / "link").symlink_to(tmp_path)
    size = (tmp_path / "a" / "link").lstat().st_size
    found = used_below({"there": tmp_path / "a", "gone": tmp_path / "c"}, 5.0)
    assert [(used.bytes, used.is_complete) for used in found.values()] == [(5 + size, True), (0, True)]
    assert not used_below({"there": tmp_path / "a"}, -1.0)["there"].is_complete


@pytest.mark.browser
def test_files_are_dropped_and_kept_out_if_too_large(signed_in: Page, drive: Path) -> None:
    (drive / "dropped").mkdir()
    signed_in.goto(url(f"{FILES}/dropped"))
    drop = """size => {
        const data = new DataTransfer();
        data.items.add(new File(["x".repeat(size)], "dropped.txt"));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }"""
    signed_in.evaluate(drop, 2**21)
    signed_in.get_by_role("alert").get_by_text("Nothing was sent").wait_for()
    signed_in.evaluate(drop, 1000)
    signed_in.get_by_text("“dropped.txt” is stored.").wait_for()
    assert (drive / "dropped" / "dropped.txt").stat().st_size == 1000
    with signed_in.expect_download() as waiting:
        signed_in.get_by_role("link", name="dropped.txt", exact=True).click()
    assert waiting.value.suggested_filename == "dropped.txt"
    signed_in.get_by_role("link", name="Delete dropped.txt…").press("Enter")
    signed_in.get_by_role("button", name="Delete").dblclick()
    signed_in.get_by_text("The file “dropped.txt” is deleted.").wait_for()
