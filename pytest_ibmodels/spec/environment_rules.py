"""What an environment's values have to be beyond their types, as far as no variable hides them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pytest_ibmodels.spec.databases import has_stray_at, is_database
from pytest_ibmodels.spec.drive_paths import drive_path
from pytest_ibmodels.spec.messages import closest, quoted
from pytest_ibmodels.spec.variables import has_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SANDBOX = "sandbox"
"""The host that means the embedded environment, and the name of the one that exists without being written down."""

SAMPLE_PREFIX = "sample:"
SANDBOX_PATH = "sandbox/ci/fs/Instabase Drive/model-tests"
SANDBOX_DATABASE = f"{SAMPLE_PREFIX}reviews"
SANDBOX_MOUNTS = {"sandbox/ci/fs/Instabase Drive/samples/drivers-licenses": f"{SAMPLE_PREFIX}drivers-licenses"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of one environment."""

    host: str
    path: str | None
    token: str | None = field(repr=False)
    mounts: Mapping[str, str] | None
    max_parallel: str | int | None
    data: str | None
    database: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    verify: bool = True

    def with_texts(self, change: Callable[[str, str], str]) -> Values:
        """The same with `change(key, text)` for every text; those of `mounts` are its keys and its values."""

        def changed(key: str) -> str | None:
            text = getattr(self, key)
            return change(key, text) if isinstance(text, str) else text

        mounts = self.mounts
        if mounts is not None:
            mounts = {change("mounts", folder): change("mounts", source) for folder, source in mounts.items()}
        texts: dict[str, Any] = {
            key: changed(key) for key in ("path", "token", "max_parallel", "data", "database", "ca_bundle")
        }
        return replace(self, host=change("host", self.host), mounts=mounts, **texts)

    def keys_with_variables(self) -> frozenset[str]:
        """The keys whose values only the process environment knows."""
        keys = set()

        def note(key: str, text: str) -> str:
            if has_variables(text):
                keys.add(key)
            return text

        self.with_texts(note)
        return frozenset(keys)


class Violation(NamedTuple):
    """A rule that does not hold: at which key (none: the environment as such), and the message."""

    key: str | None
    message: str


def violations(name: str, values: Values, hidden: frozenset[str] = frozenset()) -> Iterator[Violation]:
    """Every rule that the values of environment `name` break; the values of keys in `hidden` are not known."""
    for broken in _rules(name, values, known_host="host" not in hidden):
        if broken.key not in hidden:
            yield broken


def _rules(name: str, values: Values, *, known_host: bool) -> Iterator[Violation]:
    if known_host and values.host != SANDBOX:
        yield from _remote_rules(name, values)
    yield from _certificate_rules(values, known_host=known_host)
    if values.path is not None:
        yield from _drive_path_rule("path", values.path, "`path`")
    if values.token is not None:
        yield from _token_rules(values.token)
    if values.mounts is not None:
        yield from _mounts_rules(values.mounts)
    if values.database is not None and not is_database(values.database):
        # What is written there may hold a password.
        wanted = "DIALECT://…, or a built-in sample, as sample:NAME"
        yield Violation("database", f"`database` has to be a URL of SQLAlchemy, {wanted}, but is something else")
    elif values.database is not None and has_stray_at(values.database):
        written = "in a user, password or name it is written `%40`; a variable for a password is quoted by itself"
        yield Violation("database", f"`database` has an `@` where none belongs: {written}")
    if values.data == "":
        yield Violation("data", "`data` has to be a folder, but is empty")
    if isinstance(values.max_parallel, str):
        yield from _max_parallel_rule(values.max_parallel)


def _certificate_rules(values: Values, *, known_host: bool) -> Iterator[Violation]:
    if values.ca_bundle is not None and not values.verify:
        yield Violation(
            "ca_bundle", "`ca_bundle` names whom to trust, `verify: false` means anybody: remove one of them"
        )
    elif known_host and not values.host.startswith("https://"):
        for key, is_given in (("ca_bundle", values.ca_bundle is not None), ("verify", not values.verify)):
            if is_given:
                yield Violation(key, f"`{key}` is for a `host` with https:// only: remove it")


def _mounts_rules(mounts: Mapping[str, str]) -> Iterator[Violation]:
    for folder, source in mounts.items():
        yield from _drive_path_rule("mounts", folder, f"the key {quoted(folder)} of `mounts`")
        if source in {"", SAMPLE_PREFIX}:
            wanted = f"a local folder, or a sample as {SAMPLE_PREFIX}NAME"
            yield Violation("mounts", f"`mounts.{folder}` has to be {wanted}, but is {quoted(source)}")


def _remote_rules(name: str, values: Values) -> Iterator[Violation]:
    yield from _host_rules(values.host)
    if values.path is None:
        yield Violation(
            None, f"environment `{name}` has no `path`: the drive folder for test files, OWNER/REPO/fs/DRIVE/…"
        )
    if values.token is None:
        yield Violation(None, f"environment `{name}` has no `token`: write `token: ${{VARIABLE}}` and set the variable")
    for key in ("mounts", "data"):
        if getattr(values, key) is not None:
            yield Violation(key, f"`{key}` is for the embedded sandbox only, `host: sandbox`: remove it")


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
        # What stands before an `@` may be a password.
        found = "is something else" if "@" in host else f"is {quoted(host)}{_host_hint(host)}"
        yield Violation("host", f"`host` has to be an address, http(s)://…, or sandbox, but {found}")
    elif address.username is not None or address.password is not None:
        yield Violation("host", "`host` has a user or password in it: remove them, the `token` is all that is sent")
    elif address.query or address.fragment:
        yield Violation("host", "`host` has to end before the `?` or `#` in it")


def _host_hint(host: str) -> str:
    if closest(host, [SANDBOX], 0.8) is not None:
        return ": did you mean `sandbox`?"
    return f": write https://{host}" if "." in host and "/" not in host and " " not in host else ""


def _token_rules(token: str) -> Iterator[Violation]:
    if not token:
        yield Violation("token", "`token` is empty")
    elif not token.isascii() or not token.isprintable() or " " in token:
        # Neither the token nor the character is shown.
        yield Violation(
            "token",
            "`token` has a space, a line break or a letter beyond ASCII in it, which no token has",
        )


def _max_parallel_rule(text: str) -> Iterator[Violation]:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        yield Violation("max_parallel", f"`max_parallel` has to be a whole number from 1, but is {quoted(text)}")


def _drive_path_rule(key: str, text: str, label: str) -> Iterator[Violation]:
    try:
        drive_path(text)
    except ValueError as error:
        yield Violation(key, f"{label} {error}")
