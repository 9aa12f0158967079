from __future__ import annotations

import json
from textwrap import indent
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pytest_ibmodels.spec import Environment, ResolvedEnvironment, load_environments
from pytest_ibmodels.spec.variables import expand
from tests.spec.yamlfiles import said, written

if TYPE_CHECKING:
    from pathlib import Path

REMOTE = """\
host: https://dogfood.instabase.com/
path: /me/my-repo/fs/Instabase Drive/tests/
token: ${DOGFOOD_TOKEN}
"""
SANDBOX_PATH = "sandbox/ci/fs/Instabase Drive/model-tests"
SANDBOX_MOUNTS = {"sandbox/ci/fs/Instabase Drive/samples/drivers-licenses": "sample:drivers-licenses"}

HOST = "`host` has to be an address, http(s)://…, or sandbox, but is"
KEYS = "(keys: host, path, token, mounts, max_parallel, data, database, ca_bundle, verify, limits)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "environments.yaml"


def one(file: Path, entry: str, name: str = "e") -> Environment:
    return load_environments(written(file, f"{name}:\n{indent(entry, '  ')}")).environments[name]


def problems_of(file: Path, *lines: str) -> list[str]:
    return said(lambda: one(file, "\n".join(lines) + "\n"))


def secret(resolved: ResolvedEnvironment) -> str | None:
    return resolved.token.get_secret_value() if resolved.token is not None else None


def test_a_remote_environment(file: Path) -> None:
    environment = one(file, REMOTE + "max_parallel: 3\n", "dogfood")
    assert (environment.name, environment.line, environment.host) == ("dogfood", 1, "https://dogfood.instabase.com/")
    resolved = environment.resolve({"DOGFOOD_TOKEN": "t0ken"})
    assert (resolved.host, resolved.path) == ("https://dogfood.instabase.com", "me/my-repo/fs/Instabase Drive/tests")
    assert (secret(resolved), resolved.max_parallel, resolved.is_embedded) == ("t0ken", 3, False)
    assert (resolved.mounts, resolved.data) == ({}, None)


@pytest.mark.parametrize("missing", [True, False])
def test_without_a_file_there_is_the_sandbox(file: Path, *, missing: bool) -> None:
    read = load_environments(file if missing else None)
    assert read.path is None
    assert list(read.environments) == ["sandbox"]
    sandbox = read.environments["sandbox"]
    assert sandbox.line == 0
    assert sandbox.resolve({}) == ResolvedEnvironment(
        name="sandbox",
        host="sandbox",
        path=SANDBOX_PATH,
        token=None,
        mounts=SANDBOX_MOUNTS,
        max_parallel=None,
        data=None,
        database=SecretStr("sample:reviews"),
    )


def test_the_sandbox_exists_beside_those_of_the_file(file: Path) -> None:
    assert list(load_environments(written(file, "b:\n  host: sandbox\n")).environments) == ["b", "sandbox"]
    assert list(load_environments(written(file, "")).environments) == ["sandbox"]


def test_a_file_may_say_what_sandbox_is(file: Path) -> None:
    environment = one(file, "host: https://x.org\npath: a/b/fs/c\ntoken: t\n", "sandbox")
    assert not environment.resolve({}).is_embedded


def test_an_embedded_environment_of_any_name_has_the_defaults(file: Path) -> None:
    resolved = one(file, "host: sandbox\n").resolve({})
    assert resolved.is_embedded
    assert (resolved.path, resolved.mounts, resolved.token) == (SANDBOX_PATH, SANDBOX_MOUNTS, None)


def test_what_an_embedded_environment_may_have(file: Path, tmp_path: Path) -> None:
    (tmp_path / "receipts").mkdir()
    entry = """\
        host: sandbox
        path: a/b/fs/c
        token: t
        mounts: {/a/b/fs/c/receipts/: receipts, a/b/fs/c/l: "sample:drivers-licenses"}
        data: kept
    """
    resolved = one(file, "\n".join(line.strip() for line in entry.splitlines())).resolve({})
    assert resolved.mounts == {"a/b/fs/c/receipts": str(tmp_path / "receipts"), "a/b/fs/c/l": "sample:drivers-licenses"}
    assert (resolved.path, secret(resolved), resolved.data) == ("a/b/fs/c", "t", tmp_path / "kept")


def test_no_mounts_may_be_said_too(file: Path) -> None:
    assert one(file, "host: sandbox\nmounts: {}\n").resolve({}).mounts == {}


def test_a_mounted_folder_that_is_not_there(file: Path, tmp_path: Path) -> None:
    environment = one(file, "host: sandbox\nmounts:\n  a/b/fs/c: nowhere\n")
    assert said(lambda: environment.resolve({})) == [
        f"3:3: environment `e` mounts the local folder {tmp_path / 'nowhere'}, which does not exist"
    ]


def test_variables_anywhere(file: Path, tmp_path: Path) -> None:
    entry = """\
host: ${HOST:-sandbox}
path: ${OWNER}/repo/fs/${DRIVE:-My Drive}/x
token: ${A}-${B:-b}
mounts: {"${OWNER}/repo/fs/D": "${FOLDER}"}
max_parallel: ${N:-2}
data: ${FOLDER}/data
"""
    resolved = one(file, entry).resolve({"OWNER": "me", "A": "a", "FOLDER": str(tmp_path), "DRIVE": "D"})
    assert resolved.is_embedded
    assert (resolved.path, secret(resolved), resolved.max_parallel) == ("me/repo/fs/D/x", "a-b", 2)
    assert (resolved.mounts, resolved.data) == ({"me/repo/fs/D": str(tmp_path)}, tmp_path / "data")


def test_unset_and_empty_variables_are_errors_of_an_environment_that_is_used(file: Path) -> None:
    environment = one(file, REMOTE.replace("/me/", "/${OWNER}/"))
    needs = "environment `e` needs the variable"
    assert said(lambda: environment.resolve({"DOGFOOD_TOKEN": ""})) == [
        f"3:9: {needs} `OWNER`, which is not set or is empty: set it, or write `${{OWNER:-default}}`",
        f"4:10: {needs} `DOGFOOD_TOKEN`, which is not set or is empty: set it, or write `${{DOGFOOD_TOKEN:-default}}`",
    ]


@pytest.mark.parametrize(
    ("text", "expanded", "missing"),
    [
        ("${A}", "1", ()),
        ("x${A}y${B}z${B}", "x1yz", ("B",)),
        ("${B:-d}", "d", ()),
        ("${B:-}", "", ()),
        ("${A:-d}", "1", ()),
        ("${EMPTY:-d}", "d", ()),
        ("${EMPTY}", "", ("EMPTY",)),
        ("$${A}", "${A}", ()),
        ("$A $", "$A $", ()),
        ("${TRAP}", "${A}", ()),
    ],
)
def test_expansion(text: str, expanded: str, missing: tuple[str, ...]) -> None:
    result = expand(text, {"A": "1", "EMPTY": "", "TRAP": "${A}"})
    assert (result.text, result.missing) == (expanded, missing)


@given(st.text(alphabet=st.characters(exclude_characters="$")))
def test_text_without_dollars_is_never_changed(text: str) -> None:
    assert expand(text, {}).text == text


@pytest.mark.parametrize("text", ["${}", "${1A}", "${A", "${A-b}", "${A B}"])
def test_what_starts_no_variable_is_an_error_that_shows_nothing(file: Path, text: str) -> None:
    assert problems_of(file, "host: sandbox", f"token: '{text}'") == [
        "3:10: this `${` starts no variable: write `${NAME}` or `${NAME:-default}`, or `$${` for `${` itself"
    ]


def test_values_are_checked_again_when_variables_are_filled_in(file: Path) -> None:
    environment = one(file, "host: ${H}\npath: ${P}\ntoken: ${T}\nmax_parallel: ${N}\n")
    environ = {"H": "dogfood.instabase.com", "P": "me/x", "T": "a b", "N": "0"}
    assert said(lambda: environment.resolve(environ)) == [
        f'2:9: {HOST} "dogfood.instabase.com": write https://dogfood.instabase.com',
        '3:9: `path` has to be a drive path, OWNER/REPO/fs/DRIVE/…, but is "me/x"',
        "4:10: `token` contains a space, a line break or a non-ASCII character: copy it again",
        '5:17: `max_parallel` has to be a whole number from 1, but is "0"',
    ]


def test_an_escaped_variable_does_not_hide_a_wrong_value(file: Path) -> None:
    environment = one(file, "host: https://x.org\npath: $${HOME}\ntoken: t$${x}\n")
    assert said(lambda: environment.resolve({})) == [
        '3:9: `path` has to be a drive path, OWNER/REPO/fs/DRIVE/…, but is "${HOME}"'
    ]
    fine = one(file, "host: https://x.org\npath: a/b/fs/c\ntoken: t$${x}\n")
    assert secret(fine.resolve({})) == "t${x}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("host: 5", "2:9: `host` has to be text, but is the number 5: put it in quotes"),
        ("host: ''", f'2:9: {HOST} ""'),
        ("host: sandboks", f'2:9: {HOST} "sandboks": did you mean `sandbox`?'),
        ("host: Sandbox", f'2:9: {HOST} "Sandbox": did you mean `sandbox`?'),
        ("host: x.org", f'2:9: {HOST} "x.org": write https://x.org'),
        ("host: ftp://x.org", f'2:9: {HOST} "ftp://x.org"'),
        ("host: 'https://'", f'2:9: {HOST} "https://"'),
        ("host: https://x y", f'2:9: {HOST} "https://x y"'),
        ("host: https://x:99999", f'2:9: {HOST} "https://x:99999"'),
        (
            "host: https://me:pw@x.org",
            "2:9: `host` contains a user or password: remove them, only the `token` is sent",
        ),
        ("host: https://x.org/?a=1", "2:9: `host` has to end before its `?` or `#`"),
        ("host: ftp://me:pw@x.org", f"2:9: {HOST.removesuffix(' is')} is something else"),
        ("path: x", '2:9: `path` has to be a drive path, OWNER/REPO/fs/DRIVE/…, but is "x"'),
        ("path: a/b/fs/../c", '2:9: `path` has to be a full drive path, but "a/b/fs/../c" contains `..`'),
        ("path: ", "2:8: `path` is empty: give it a value, or remove the key"),
        ("path: 5", "2:9: `path` has to be text, but is the number 5: put it in quotes"),
        ("token: 12345", "2:10: `token` has to be text, but is something else: put it in quotes"),
        ("token: ''", "2:10: `token` is empty"),
        ("token: pa ss", "2:10: `token` contains a space, a line break or a non-ASCII character: copy it again"),
        ("mounts: {}", "2:11: `mounts` needs the embedded sandbox, `host: sandbox`: remove it"),
        ("data: x", "2:9: `data` needs the embedded sandbox, `host: sandbox`: remove it"),
        ("max_parallel: 0", "2:17: `max_parallel` has to be a whole number from 1, but is the number 0"),
        ("max_parallel: 1.5", "2:17: `max_parallel` has to be a whole number from 1, but is the number 1.5"),
        ("max_parallel: true", "2:17: `max_parallel` has to be a whole number from 1, but is the truth value true"),
        ("max_parallel: '2'", '2:17: `max_parallel` has to be a whole number from 1, but is the text "2"'),
        (
            "tokn: x",
            f"2:3: unknown key `tokn`: did you mean `token`? {KEYS}",
        ),
        ("name: x", f"2:3: unknown key `name` {KEYS}"),
    ],
)
def test_wrong_entries_of_a_remote_environment(file: Path, line: str, expected: str) -> None:
    key = line.partition(":")[0]
    others = [right for right in REMOTE.splitlines() if not right.startswith(f"{key}:")]
    assert problems_of(file, line, *others) == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mounts: [a]", "3:11: `mounts` has to be a mapping, but is a list"),
        ("mounts:", "3:10: `mounts` is empty: give it a value, or remove the key"),
        ("mounts: {a/b/fs/c: 5}", "3:22: `mounts.a/b/fs/c` has to be text, but is the number 5: put it in quotes"),
        (
            "mounts: {a/b: x}",
            '3:11: the key "a/b" of `mounts` has to be a drive path, OWNER/REPO/fs/DRIVE/…, but is "a/b"',
        ),
        (
            "mounts: {a/b/fs/c: ''}",
            '3:11: `mounts.a/b/fs/c` has to be a local folder, or a built-in sample, sample:NAME, but is ""',
        ),
        (
            "mounts: {a/b/fs/c: 'sample:'}",
            '3:11: `mounts.a/b/fs/c` has to be a local folder, or a built-in sample, sample:NAME, but is "sample:"',
        ),
        ("data: ''", "3:9: `data` has to be a folder, but is empty"),
    ],
)
def test_wrong_entries_of_an_embedded_environment(file: Path, line: str, expected: str) -> None:
    assert problems_of(file, "host: sandbox", line) == [expected]


def test_what_a_remote_environment_has_to_have(file: Path) -> None:
    assert problems_of(file, "host: https://x.org") == [
        "1:1: environment `e` has no `path`: the drive folder for test files, OWNER/REPO/fs/DRIVE/…",
        "1:1: environment `e` has no `token`: write `token: ${VARIABLE}` and set the variable",
    ]
    assert problems_of(file, "path: a/b/fs/c") == [
        "1:1: environment `e` has no `host`: address of the Instabase, http(s)://…, or `sandbox` for the embedded one"
    ]


def test_wrong_names_and_entries(file: Path) -> None:
    text = "my env:\n  host: sandbox\nb: https://x.org\n"
    assert said(lambda: load_environments(written(file, text))) == [
        '1:1: names of environments consist of letters, digits, `_`, `-` and `.`, but "my env" contains " "',
        '3:1: environment `b` has to be a mapping, but is the text "https://x.org"',
    ]


def test_shared_values_by_anchors(file: Path) -> None:
    text = """
        .cloud: &cloud {path: a/b/fs/c, token: "${T}"}
        one: {<<: *cloud, host: "https://one.org"}
        two: {<<: *cloud, host: "https://two.org"}
    """
    read = load_environments(written(file, text))
    assert list(read.environments) == ["one", "two", "sandbox"]
    assert secret(read.environments["two"].resolve({"T": "t"})) == "t"


def test_nothing_shows_a_token(file: Path) -> None:
    environment = one(file, "host: sandbox\ntoken: s3cret-${X:-y}\n")
    resolved = environment.resolve({})
    assert secret(resolved) == "s3cret-y"
    for shown in (repr(environment), str(environment), repr(resolved), str(resolved), json.dumps(resolved.mounts)):
        assert "s3cret" not in shown


@pytest.mark.parametrize(
    "token", ["[s3cret]", "{s3cret: 1}", "'s3cret \\n'", "'s3cret é'", "'${s3cret é'", "'s3cret${'"]
)
def test_no_message_shows_a_token(file: Path, token: str) -> None:
    for problem in problems_of(file, "host: https://x.org", "path: a/b/fs/c", f"token: {token}"):
        assert "s3cret" not in problem


HTTPS = "host: https://h.example.com\npath: a/b/fs/D/x\ntoken: ${T}\n"


def test_limits_and_certificates_are_read(file: Path) -> None:
    (file.parent / "company.pem").write_text("")
    environment = one(file, HTTPS + "limits: {upload: 9, queue: 1.5}\nca_bundle: company.pem\n", "e")
    assert (environment.limits, environment.ca_bundle, environment.verify) == (
        {"upload": 9.0, "queue": 1.5},
        "company.pem",
        True,
    )
    assert one(file, HTTPS + "verify: no\n", "e").resolve({"T": "t"}).verify is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HTTPS + "limits: {training: 9}", "unknown key `limits.training` (keys: upload, queue, inference)"),
        (HTTPS + "limits: {queue: 0}", "`limits.queue` has to be a number above 0, but is the number 0"),
        (HTTPS + "limits: 60", "`limits` has to be a mapping, but is the number 60"),
        (HTTPS + "verify: 'false'", '`verify` has to be true or false, but is the text "false"'),
        (
            HTTPS + "verify: false\nca_bundle: x.pem",
            "`ca_bundle` has no effect with `verify: false`: remove one of them",
        ),
        ("host: sandbox\nverify: false", "`verify` needs a `host` with https://: remove it"),
        (
            HTTPS.replace("https", "http") + "ca_bundle: x.pem",
            "`ca_bundle` needs a `host` with https://: remove it",
        ),
    ],
)
def test_limits_and_certificates_that_cannot_be_meant(file: Path, text: str, said: str) -> None:
    (problem,) = problems_of(file, text)
    assert problem.endswith(f": {said}")
