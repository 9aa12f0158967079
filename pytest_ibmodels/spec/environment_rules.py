"""Rules for the values of an environment beyond their types. Values with variables are checked once resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from pytest_ibmodels.spec.databases import has_stray_at, is_database
from pytest_ibmodels.spec.drive_paths import drive_path
from pytest_ibmodels.spec.messages import closest, quoted
from pytest_ibmodels.spec.variables import has_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_ibmodels.spec.environment_entries import EnvironmentEntry

SANDBOX = "sandbox"
"""Host of every embedded environment, and name of the environment that exists in no file."""

SAMPLE_PREFIX = "sample:"
SANDBOX_PATH = "sandbox/ci/fs/Instabase Drive/model-tests"
SANDBOX_DATABASE = f"{SAMPLE_PREFIX}reviews"
SANDBOX_MOUNTS = {"sandbox/ci/fs/Instabase Drive/samples/drivers-licenses": f"{SAMPLE_PREFIX}drivers-licenses"}


def map_texts(entry: EnvironmentEntry, change: Callable[[str, str], str]) -> EnvironmentEntry:
    """Copy the entry with `change(key, text)` for every text; keys and values of a mapping are texts of its key."""

    def changed(key: str, value: Any) -> Any:
        if isinstance(value, str):
            return change(key, value)
        if isinstance(value, SecretStr):
            return SecretStr(change(key, value.get_secret_value()))
        if isinstance(value, Mapping):
            return {changed(key, name): changed(key, item) for name, item in value.items()}
        return value

    return entry.model_copy(update={key: changed(key, value) for key, value in entry})


def keys_with_variables(entry: EnvironmentEntry) -> frozenset[str]:
    """Keys whose values depend on the process environment."""
    keys = set()

    def note(key: str, text: str) -> str:
        if has_variables(text):
            keys.add(key)
        return text

    map_texts(entry, note)
    return frozenset(keys)


class Violation(NamedTuple):
    """A broken rule: its key (None for the environment as a whole) and the message."""

    key: str | None
    message: str


def violations(name: str, entry: EnvironmentEntry, hidden: frozenset[str] = frozenset()) -> Iterator[Violation]:
    """Yield the rules that environment `name` breaks, except those about the keys in `hidden`."""
    for violation in _violations(name, entry, is_host_known="host" not in hidden):
        if violation.key not in hidden:
            yield violation


def _violations(name: str, entry: EnvironmentEntry, *, is_host_known: bool) -> Iterator[Violation]:
    if is_host_known and entry.host != SANDBOX:
        yield from _remote_rules(name, entry)
    yield from _certificate_rules(entry, is_host_known=is_host_known)
    if entry.path is not None:
        yield from _drive_path_rule("path", entry.path, "`path`")
    if entry.token is not None:
        yield from _token_rules(entry.token.get_secret_value())
    if entry.mounts is not None:
        yield from _mounts_rules(entry.mounts)
    if entry.database is not None:
        yield from _database_rules(entry.database.get_secret_value())
    if entry.data == "":
        yield Violation("data", "`data` has to be a folder, but is empty")
    if isinstance(entry.max_parallel, str):
        yield from _max_parallel_rule(entry.max_parallel)


def _database_rules(database: str) -> Iterator[Violation]:
    # The value is not shown, because it may contain a password.
    if not is_database(database):
        yield Violation(
            "database", "`database` has to be an SQLAlchemy URL, DIALECT://…, or a built-in sample, sample:NAME"
        )
    elif has_stray_at(database):
        advice = "write `%40` for an `@` in a user, password or name; the value of a variable is quoted automatically"
        yield Violation("database", f"`database` has a misplaced `@`: {advice}")


def _certificate_rules(entry: EnvironmentEntry, *, is_host_known: bool) -> Iterator[Violation]:
    if entry.ca_bundle is not None and not entry.verify:
        yield Violation("ca_bundle", "`ca_bundle` has no effect with `verify: false`: remove one of them")
    elif is_host_known and not entry.host.startswith("https://"):
        for key, is_given in (("ca_bundle", entry.ca_bundle is not None), ("verify", not entry.verify)):
            if is_given:
                yield Violation(key, f"`{key}` needs a `host` with https://: remove it")


def _mounts_rules(mounts: Mapping[str, str]) -> Iterator[Violation]:
    for folder, source in mounts.items():
        yield from _drive_path_rule("mounts", folder, f"the key {quoted(folder)} of `mounts`")
        if source in {"", SAMPLE_PREFIX}:
            wanted = f"a local folder, or a built-in sample, {SAMPLE_PREFIX}NAME"
            yield Violation("mounts", f"`mounts.{folder}` has to be {wanted}, but is {quoted(source)}")


def _remote_rules(name: str, entry: EnvironmentEntry) -> Iterator[Violation]:
    yield from _host_rules(entry.host)
    if entry.path is None:
        yield Violation(
            None, f"environment `{name}` has no `path`: the drive folder for test files, OWNER/REPO/fs/DRIVE/…"
        )
    if entry.token is None:
        yield Violation(None, f"environment `{name}` has no `token`: write `token: ${{VARIABLE}}` and set the variable")
    for key in ("mounts", "data"):
        if getattr(entry, key) is not None:
            yield Violation(key, f"`{key}` needs the embedded sandbox, `host: sandbox`: remove it")


def _host_rules(host: str) -> Iterator[Violation]:
    try:
        address = urlsplit(host)
        valid = (
            address.scheme in {"http", "https"}
            and bool(address.hostname)
            and not any(map(str.isspace, host))
            and address.port != 0
        )
    except ValueError:
        address, valid = urlsplit(""), False
    if not valid:
        # The text before an `@` may be a password.
        found = "is something else" if "@" in host else f"is {quoted(host)}{_host_hint(host)}"
        yield Violation("host", f"`host` has to be an address, http(s)://…, or sandbox, but {found}")
    elif address.username is not None or address.password is not None:
        yield Violation("host", "`host` contains a user or password: remove them, only the `token` is sent")
    elif address.query or address.fragment:
        yield Violation("host", "`host` has to end before its `?` or `#`")


def _host_hint(host: str) -> str:
    if closest(host, [SANDBOX], 0.8) is not None:
        return ": did you mean `sandbox`?"
    return f": write https://{host}" if "." in host and "/" not in host and " " not in host else ""


def _token_rules(token: str) -> Iterator[Violation]:
    if not token:
        yield Violation("token", "`token` is empty")
    elif not token.isascii() or not token.isprintable() or " " in token:
        # The character is not shown either: it is part of a secret.
        yield Violation("token", "`token` contains a space, a line break or a non-ASCII character: copy it again")


def _max_parallel_rule(text: str) -> Iterator[Violation]:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        yield Violation("max_parallel", f"`max_parallel` has to be a whole number from 1, but is {quoted(text)}")


def _drive_path_rule(key: str, text: str, label: str) -> Iterator[Violation]:
    try:
        drive_path(text)
    except ValueError as error:
        yield Violation(key, f"{label} {error}")
