from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ibformers
from pytest_ibmodels.packaging import (
    DataError,
    PackageError,
    build_marketplace_package,
    build_package,
    installed_library,
    read_data,
    shown,
)
from pytest_ibmodels.packaging import archive as archive_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DESCRIPTION = {"name": "acme", "version": "1.2.3", "model_training": {"function_annotator": "code.train.run"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "sub").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps(DESCRIPTION))
    (folder / "train.py").write_text("x = 1\n")
    (folder / "sub" / "__init__.py").write_text("")
    return folder


def test_holds_package_json_at_the_top_and_the_code_below_its_own_name(folder: Path) -> None:
    package = build_package(folder)
    assert package.files == ("code/sub/__init__.py", "code/train.py", "package.json")
    assert (package.name, package.version, package.module) == ("acme", "1.2.3", "code")
    assert package.train_function == "code.train.run"
    with zipfile.ZipFile(io.BytesIO(package.data)) as archive:
        assert archive.testzip() is None
        assert archive.read("code/train.py") == b"x = 1\n"


def test_same_tree_same_bytes_whatever_the_times_and_permissions(folder: Path) -> None:
    before = build_package(folder)
    os.utime(folder / "train.py", (1, 1))
    (folder / "train.py").chmod(0o700)
    assert build_package(folder) == before


def test_other_content_or_name_gives_another_hash(folder: Path) -> None:
    before = build_package(folder).content_hash
    (folder / "train.py").rename(folder / "trains.py")
    renamed = build_package(folder).content_hash
    (folder / "trains.py").write_text("x = 2\n")
    assert len({before, renamed, build_package(folder).content_hash}) == 3


def test_leaves_out_caches_dot_files_and_what_gitignore_names(folder: Path) -> None:
    (folder.parent / ".git").mkdir()
    (folder.parent / ".gitignore").write_text("*.log\n/code/secrets/\n")
    (folder / "sub" / ".gitignore").write_text("*.tmp\n!keep.log\n")
    for name in (
        "a.log",
        "sub/b.log",
        "sub/keep.log",
        "sub/c.tmp",
        "c.tmp",
        ".env",
        "x.pyc",
        "secrets/key",
        "__pycache__/y",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("?")
    assert build_package(folder).files == (
        "code/c.tmp",
        "code/sub/__init__.py",
        "code/sub/keep.log",
        "code/train.py",
        "package.json",
    )


def test_leaves_out_tokens_and_keys(folder: Path) -> None:
    for name in (".env", "prod.env", "environments.yaml", "server.pem", "sub/Host.KEY", "id_rsa", "sub/id_ed25519"):
        (folder / name).write_text("secret")
    for name in ("keys.py", "environments.py", "id_rsa_names.txt"):
        (folder / name).write_text("x = 1")
    wanted = ("code/environments.py", "code/id_rsa_names.txt", "code/keys.py", "code/sub/__init__.py", "code/train.py")
    assert build_package(folder).files == (*wanted, "package.json")


def test_a_link_that_leads_out_of_the_folder_is_left_out(folder: Path) -> None:
    (folder.parent / "private").write_text("not for others")
    (folder / "link").symlink_to(folder.parent / "private")
    (folder / "loop").symlink_to(folder)
    assert build_package(folder).files == ("code/sub/__init__.py", "code/train.py", "package.json")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "{path}: no such file; it contains the name and version of the package"),
        (
            "{",
            (
                "{path}: cannot be read as JSON: "
                "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
            ),
        ),
        ("[]", "{path}: should be a JSON object, but is a list"),
        ('{"version": "1"}', '{path}: "name" is missing; it should be a text'),
        (
            '{"name": "x ", "version": "1"}',
            (
                '{path}: "name" is "x "; it should be a letter or digit, then letters, digits, dots, - and _, '
                "with spaces only inside"
            ),
        ),
        ('{"name": "x", "version": 1}', '{path}: "version" is 1; it should be a text'),
    ],
)
def test_a_bad_package_json_is_one_sentence(folder: Path, content: str | None, sentence: str) -> None:
    path = folder / "package.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(PackageError) as caught:
        build_package(folder)
    assert str(caught.value) == sentence.format(path=path)


def test_a_byte_order_mark_is_passed_over(folder: Path) -> None:
    path = folder / "package.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert build_package(folder).name == "acme"


def loop(folder: Path) -> Path:
    (folder / "self").symlink_to("self")
    return folder / "self"


def not_utf8(folder: Path) -> Path:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.py"))
    path.write_text("")
    return path


def no_file(folder: Path) -> Path:
    path = folder / "package.json"
    path.unlink()
    os.mkfifo(path)
    return path


def nested(folder: Path) -> Path:
    path = folder / "package.json"
    path.write_text('{"name": ' + "[" * 100_000)
    return path


def half_a_character(folder: Path) -> Path:
    path = folder / "package.json"
    path.write_text(json.dumps({**DESCRIPTION, "model_training": {"function": "\ud800"}}))
    return path


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (loop, "cannot be read: Too many levels of symbolic links"),
        (not_utf8, "the name is not UTF-8"),
        (no_file, "should be a file, but is not"),
        (nested, "cannot be read as JSON: it is nested too deeply"),
        (half_a_character, "cannot be read as JSON: 'utf-8' codec can't encode"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_the_path(
    folder: Path, spoil: Callable[[Path], Path], reason: str
) -> None:
    path = spoil(folder)
    with pytest.raises(PackageError) as caught:
        build_package(folder)
    assert str(caught.value).startswith(f"{shown(path)}: {reason}")
    assert str(caught.value).isascii() or "é" in str(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["train.py", "sub", "sub/.gitignore", "package.json", "."])
def test_what_may_not_be_read_is_one_sentence_with_the_path(name: str) -> None:
    with tempfile.TemporaryDirectory() as place, as_nobody(Path(place)):
        folder = Path(place) / "code"
        (folder / "sub").mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps(DESCRIPTION))
        for file in ("train.py", "sub/.gitignore"):
            (folder / file).write_text("")
        (folder / name).chmod(0)
        try:
            with pytest.raises(PackageError, match="Permission denied") as caught:
                build_package(folder)
        finally:
            (folder / name).chmod(0o700)
        assert str(caught.value).startswith(str(folder / name))


@contextlib.contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Drop the rights of root, which can read every file; files can still be created in ``folder``."""
    if os.geteuid() != 0:
        yield
        return
    folder.chmod(0o777)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_pipes_and_what_links_to_something_left_out_are_left_out(folder: Path) -> None:
    (folder / ".gitignore").write_text("customers.csv\n")
    (folder / "customers.csv").write_text("a customer")
    (folder / ".env").write_text("a token")
    os.mkfifo(folder / "pipe")
    for name, target in {"a.csv": "customers.csv", "b": ".env", "c": "gone", "d": "pipe", "e.py": "train.py"}.items():
        (folder / name).symlink_to(target)
    assert build_package(folder).files == ("code/e.py", "code/sub/__init__.py", "code/train.py", "package.json")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"name": "my tiny package"}, '"name" is "my tiny package"; it should be without spaces, to be published'),
        ({"name": "x" * 190}, '"name" and "version" are too long to be published: together at most'),
        ({"version": "1.0"}, "a semantic version"),
        ({"solution_type": ""}, '"solution_type" is ""'),
    ],
)
def test_what_no_marketplace_takes_is_refused_before_anything_is_sent(
    folder: Path, more: dict[str, str], reason: str
) -> None:
    description = {**DESCRIPTION, "solution_type": "pypkg", **more}
    (folder / "package.json").write_text(json.dumps(description))
    with pytest.raises(PackageError, match=re.escape(reason)):
        build_marketplace_package(folder)


@pytest.mark.parametrize(
    ("place", "rule"), [(".gitignore", "*.json"), (".gitignore", "*.py"), ("code/.gitignore", "*")]
)
def test_a_gitignore_that_leaves_out_what_is_needed_is_said(folder: Path, place: str, rule: str) -> None:
    (folder.parent / ".git").mkdir()
    (folder.parent / place).write_bytes(f"# caf\xe9\n{rule}\n".encode("latin-1"))
    with pytest.raises(PackageError, match="a .gitignore leaves out its package.json, or all of its Python files"):
        build_package(folder)


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no such folder; it should contain the training code and its package.json"):
        build_package(tmp_path / "ibformers")


names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", categories=("L", "N", "P", "S", "Zs")),
    min_size=1,
    max_size=8,
)


def is_plain(name: str) -> bool:
    """Return whether a file of this name is neither a cache nor a secret."""
    secret = (".env", ".pem", ".key", ".p12", ".pfx", ".jks", ".kdbx")
    made = name.endswith((".pyc", ".pyo")) or name in {"__pycache__", "node_modules"}
    return not (made or name.lower().endswith(secret) or name.lower() in {"id_rsa", "id_dsa", "id_ecdsa"})


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(names.filter(lambda name: not name.startswith(".")), st.binary(max_size=40), max_size=5))
def test_every_plain_file_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("tree") / "code"
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps(DESCRIPTION))
    files = {"code.py": b"", **files}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(io.BytesIO(build_package(folder).data)) as archive:
        found = {name.removeprefix("code/"): archive.read(name) for name in archive.namelist()}
    found.pop("package.json")
    assert found == {name: data for name, data in files.items() if is_plain(name)}


def test_package_json_may_be_missing_where_that_is_allowed(folder: Path) -> None:
    (folder / "package.json").unlink()
    package = build_package(folder, described=False)
    assert (package.name, package.version) == ("code", "0.0.0")
    project = folder.parent / "pyproject.toml"
    project.write_text('[project]\nname = "my-project"\nversion = "2.1"\n')
    package = build_package(folder, described=False)
    assert (package.name, package.version) == ("my-project", "2.1")
    with zipfile.ZipFile(io.BytesIO(package.data)) as archive:
        assert json.loads(archive.read("package.json")) == {"name": "my-project", "version": "2.1"}
    for text in ('[project]\nname = "my-project"\ndynamic = ["version"]\n', "[tool.x]\n", "no toml"):
        project.write_text(text)
        assert build_package(folder, described=False).version == "0.0.0"
    with pytest.raises(PackageError, match="no such folder; it should contain the training code$"):
        build_package(folder / "nowhere", described=False)


@pytest.mark.parametrize(
    ("code", "is_pushed"),
    [
        ("from ibformers.sdk import trainer", True),
        ("def f():\n    import ibformers.sdk.testing as t", True),
        ("from ibformers import sdk", True),
        ("from ibformers.sdkx import y", False),
        ("from .sdk import x", False),
        ("# ibformers.sdk\nimport ibformers", False),
        ("from ibformers.sdk import (", False),
    ],
)
def test_code_that_imports_the_sdk_gets_it_pushed_along(folder: Path, code: str, is_pushed: bool) -> None:
    (folder / "sub" / "__init__.py").write_text(code)
    package = build_package(folder)
    assert package.libraries == ("ibformers",) * is_pushed
    assert ("ibformers/sdk/__init__.py" in package.files) is is_pushed
    assert not any("__pycache__" in name for name in package.files)
    # ibformers itself needs no second one.
    assert build_package(folder.rename(folder.with_name("ibformers"))).libraries == ()


def test_an_installed_package_is_packed_whatever_git_ignores(folder: Path) -> None:
    (folder / "__init__.py").write_text("")
    site = folder.parent / ".venv" / "site-packages"
    site.mkdir(parents=True)
    (folder.parent / ".git").mkdir()
    (folder.parent / ".gitignore").write_text(".venv\n")
    (folder / "build.sh").write_text("")
    package = build_package(folder.rename(site / "installed"))
    assert (package.name, package.module) == (DESCRIPTION["name"], "installed")
    assert {"package.json", "installed/__init__.py"} < set(package.files)
    assert not any("build.sh" in name or "__pycache__" in name for name in package.files)
    assert installed_library() == Path(ibformers.__file__).parent


def test_an_sdk_that_is_not_installed_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "train.py").write_text("import ibformers.sdk")
    monkeypatch.setattr(archive_module, "library_files", dict)
    with pytest.raises(PackageError, match="its code imports ibformers.sdk, which is not installed here: install ib"):
        build_package(folder)


def test_data_is_identified_by_its_content(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.png").write_bytes(b"1")
    (folder / ".gitignore").write_text("*")  # data may be ignored, code may not
    (folder / ".env").write_text("SECRET")
    (folder / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    (tmp_path / "elsewhere.csv").write_text("x")
    data = read_data(folder)
    assert (data.name, data.is_folder, list(data.files)) == ("images", True, ["a/1.png", "link.csv"])
    with zipfile.ZipFile(io.BytesIO(data.zipped())) as archive:
        assert archive.namelist() == ["images/a/1.png", "images/link.csv"]
    assert read_data(folder) == data
    (folder / "a" / "1.png").write_bytes(b"2")
    assert read_data(folder).content_hash != data.content_hash
    one = read_data(tmp_path / "elsewhere.csv")
    assert (one.name, one.is_folder, one.content()) == ("elsewhere.csv", False, b"x")
    (tmp_path / "empty").mkdir()
    for name, told in (("nowhere", "no such file or folder: correct the path"), ("empty", "this folder has no file")):
        with pytest.raises(DataError, match=f"{name}: {told}"):
            read_data(tmp_path / name)
