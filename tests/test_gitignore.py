"""Compare the packed files with those that git would track, on random trees and patterns."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ibmodels.packaging.archive import _package_files, is_left_out
from pytest_ibmodels.packaging.gitignore import patterns_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

Tree = dict[str, bytes]
"""Path below the checkout -> content."""


class Checkout:
    """An empty checkout, with a home folder of its own for git's settings."""

    def __init__(self, folder: Path) -> None:
        self.top = folder / "checkout"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.variables = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home), "GIT_CONFIG_NOSYSTEM": "1"}
        self.top.mkdir()
        self.git("init", "-q")

    def git(self, *arguments: str) -> bytes:
        variables = {**os.environ, **self.variables}
        command = ["git", "-c", "core.quotePath=false", *arguments]
        return subprocess.run(command, cwd=self.top, env=variables, check=True, capture_output=True).stdout

    def empty(self) -> None:
        for path in self.top.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def write(self, tree: Tree) -> None:
        """Write the files, without those whose path is already a folder or lies below a file."""
        for name, content in tree.items():
            path = self.top / name
            if path.is_dir() or any(parent.is_file() for parent in path.parents):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def by_git(self, folder: str) -> set[str]:
        """Files that git would add below a folder, without those that are never packed."""
        names = self.git("ls-files", "-o", "--exclude-standard", "-z", "--", folder).decode().split("\0")[:-1]
        below = [Path(name).relative_to(folder) for name in names]
        return {path.as_posix() for path in below if not any(is_left_out(Path(part)) for part in path.parts)}

    def packed(self, folder: str) -> set[str]:
        return set(_package_files(self.top / folder))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path_factory.mktemp("git"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in checkout.variables.items():
            patch.setenv(name, value)
        yield checkout


@pytest.fixture
def empty(checkout: Checkout) -> Checkout:
    checkout.empty()
    return checkout


NAMED = ("alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit")
CHARACTERS = [chr(code) for code in range(1, 128) if code != ord("/")]

parts = st.sampled_from([*"ab-]\\1A#!", *("ab", "data", "x.csv", "a.csv", "é", "[a]"), "c d", "e "])
paths = st.lists(parts, min_size=1, max_size=4).map("/".join)
pieces = st.sampled_from(
    [
        *"abx*?//!\\ \t\f\r\v\x1cé#-.",
        *("ab", "data", ".csv", "**", "/", "**/", "/**", "/**/", "*.csv", "a/", "data/", "!data/", "!*/"),
        *("[a-c]", "[!a]", "[^b]", "[]]", "[a", "[]", "[[:alpha:]]", "[[:foo:]]", "[[:digit:]a]", "[a-]", "[/]"),
        *("[\\]]", "[a\\-c]", "[z-a]", "\\#", "\\!", "\\ "),
    ]
)
lines = st.one_of(
    st.lists(pieces, min_size=1, max_size=4).map("".join),
    st.sampled_from(
        ["", "!", "/", "!/", "#a", "*", "!*/", "!data/", "*.csv", "!*.csv", "a/**", "!a/b", "**/b", "data/", "\\"]
    ),
    paths.map(lambda path: f"!{path}"),
    paths.map(lambda path: f"/{path}/"),
)
ignore_files = st.builds(
    lambda mark, content, end, last: mark + end.join(content).encode() + last,
    st.sampled_from([b"", b"", b"\xef\xbb\xbf"]),
    st.lists(lines, max_size=5),
    st.sampled_from(["\n", "\n", "\r\n"]),
    st.sampled_from([b"", b"\n", b"\r\n", b"\xff\n", b"  ", b"\0a\n"]),
)
folders = st.sampled_from(["", "code/", "code/a/", "code/data/", "code/ab/b/", "code/b/", "code/a/b/"])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(paths, min_size=1, max_size=12, unique=True),
    st.dictionaries(folders, ignore_files, min_size=1, max_size=4),
)
def test_what_git_ignores_is_not_packed_and_the_rest_is(
    checkout: Checkout, files: list[str], ignores: dict[str, bytes]
) -> None:
    checkout.empty()
    checkout.write({f"code/{name}": b"" for name in ("a.py", *files)})
    checkout.write({f"{folder}.gitignore": content for folder, content in ignores.items()})
    assert checkout.packed("code") == checkout.by_git("code")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*CHARACTERS, "/", "[:", ":]", "[[:", "alpha", "punct", "space"]), max_size=6))
def test_a_class_has_the_members_that_it_has_for_git(checkout: Checkout, pieces: list[str]) -> None:
    checkout.empty()
    pattern = f"x[{''.join(pieces)}]".replace("\n", "")
    checkout.write({"code/.gitignore": f"{pattern}\n".encode(), **{f"code/x{one}": b"" for one in CHARACTERS}})
    assert checkout.packed("code") == checkout.by_git("code"), pattern


@pytest.mark.parametrize("name", NAMED)
def test_each_named_class_is_that_of_git(empty: Checkout, name: str) -> None:
    empty.write({"code/.gitignore": f"x[[:{name}:]]\n".encode(), **{f"code/x{one}": b"" for one in CHARACTERS}})
    assert empty.packed("code") == empty.by_git("code")


def test_a_folder_that_is_taken_back_leaves_its_ignored_files_ignored(empty: Checkout) -> None:
    empty.write(
        {
            ".gitignore": b"*.csv\n",
            "code/.gitignore": b"\xef\xbb\xbfcustomers.txt\n!data/\n!*/\n",
            **dict.fromkeys(("code/a.py", "code/customers.txt", "code/data/x.csv", "code/data/y.txt"), b""),
        }
    )
    assert empty.packed("code") == {"a.py", "data/y.txt"} == empty.by_git("code")


def test_a_form_feed_ends_no_line(empty: Checkout) -> None:
    empty.write(
        {"code/.gitignore": "a\fb\nc\x85d\n".encode(), "code/a\fb": b"", "code/a": b"", "code/b": b"", "code/c": b""}
    )
    assert empty.packed("code") == {"a", "b", "c"} == empty.by_git("code")


def test_a_folder_inside_an_ignored_one_has_nothing_to_pack(empty: Checkout) -> None:
    empty.write({".gitignore": b"build/\n", "build/code/a.py": b"", "build/code/.gitignore": b"!*\n"})
    assert empty.packed("build/code") == set() == empty.by_git("build/code")


def test_the_checkouts_own_excludes_count_and_the_users(empty: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = dict.fromkeys(("code/a.py", "code/local.txt", "code/mine.txt", "code/kept.txt"), b"")
    empty.write({**tree, "code/.gitignore": b"!kept.txt\n"})
    exclude, users = empty.top / ".git" / "info" / "exclude", empty.home / "git" / "ignore"
    before = exclude.read_bytes()
    users.parent.mkdir(exist_ok=True)
    try:
        exclude.write_bytes(b"local.txt\nkept.txt\n")
        users.write_bytes(b"mine.txt\n")
        assert empty.packed("code") == {"a.py", "kept.txt"} == empty.by_git("code")
        (empty.home / "other").write_bytes(b"local.txt\n*.py\n")
        (empty.home / ".gitconfig").write_text("[core]\nexcludesFile = ~/other\n")
        assert empty.packed("code") == {"kept.txt", "mine.txt"} == empty.by_git("code")
        monkeypatch.setenv("PATH", "/nowhere")  # without git, the default file applies
        assert empty.packed("code") == {"a.py", "kept.txt"}
    finally:
        exclude.write_bytes(before)
        shutil.rmtree(users.parent)
        (empty.home / ".gitconfig").unlink(missing_ok=True)


def test_a_worktree_has_the_excludes_of_its_repository(empty: Checkout) -> None:
    empty.write({"a.py": b""})
    empty.git("add", ".")
    empty.git("-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "x")
    empty.git("worktree", "add", "-q", "../tree")
    tree, exclude = empty.top.parent / "tree", empty.top / ".git" / "info" / "exclude"
    (tree / "local.txt").write_text("")
    exclude.write_bytes(b"local.txt\n")
    try:
        assert set(_package_files(tree)) == {"a.py"}
    finally:
        exclude.write_bytes(b"")
        empty.git("rm", "-q", "-f", "a.py")


def test_a_gitignore_that_is_a_link_or_a_folder_says_nothing(empty: Checkout) -> None:
    empty.write(
        {"code/a.py": b"", "code/b.txt": b"", "code/b/.gitignore/x": b"", "code/b/b.txt": b"", "rules": b"b.txt\n"}
    )
    (empty.top / "code" / ".gitignore").symlink_to("../rules")
    assert empty.packed("code") == {"a.py", "b.txt", "b/b.txt"} == empty.by_git("code")


def test_without_a_checkout_the_folders_own_rules_count(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*\n")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / ".gitignore").write_text("b.py\n")
    for name in ("a.py", "b.py"):
        (tmp_path / "code" / name).write_text("")
    assert set(_package_files(tmp_path / "code")) == {"a.py"}


@pytest.mark.parametrize("line", [b"!", b"/", b"!/", b"\r", b"   ", b"#a", b"a\\", b"[a", b"[[:no:]]"])
def test_lines_that_git_passes_over_are_passed_over(line: bytes) -> None:
    assert patterns_of(line) == ()
