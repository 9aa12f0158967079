"""What an environment's values have to be, apart from their types: rules over several keys, and over texts once variables are filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from pytest_ibmodels.spec.drive_paths import drive_path
from pytest_ibmodels.spec.wording import closest, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SANDBOX = "sandbox"
"""The host that means the embedded environment, and the name of the environment that exists without being written down."""

SANDBOX_PATH = "sandbox/ci/fs/Instabase Drive/model-tests"
SANDBOX_MOUNTS = {"sandbox/ci/fs/Instabase Drive/samples/drivers-licenses": "sample:drivers-licenses"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of one environment. Those whose key is in `unknown` still have variables in them."""

    host: str
    path: str | None
    token: str | None
    mounts: Mapping[str, str] | None
    max_parallel: str | int | None
    data: str | None
    unknown: frozenset[str] = frozenset()


class Broken(NamedTuple):
    """A rule that does not hold: at which key (none: the environment as such), and the message."""

    key: str | None
    message: str


def broken_rules(name: str, values: Values) -> Iterator[Broken]:
    """Every rule that the values of environment `name` break, as far as they are known."""
    if "host" not in values.unknown:
        if values.host == SANDBOX:
            yield from _sandbox_rules(values)
        else:
            yield from _remote_rules(name, values)
    if values.path is not None and "path" not in values.unknown:
        yield from _drive_path_rule("path", values.path, "`path`")
    if values.token is not None and "token" not in values.unknown:
        yield from _token_rules(values.token)
    yield from _max_parallel_rule(values)


def _sandbox_rules(values: Values) -> Iterator[Broken]:
    if values.data == "":
        yield Broken("data", "`data` has to be a folder, but is empty")
    if values.mounts is None or "mounts" in values.unknown:
        return
    for folder, source in values.mounts.items():
        yield from _drive_path_rule("mounts", folder, f"the key `{folder}` of `mounts`")
        if source in {"", "sample:"}:
            yield Broken(
                "mounts",
                f"`mounts.{folder}` has to be a local folder or a sample such as sample:drivers-licenses, but is {quoted(source)}",
            )


def _remote_rules(name: str, values: Values) -> Iterator[Broken]:
    yield from _host_rules(values.host)
    if values.path is None:
        yield Broken(
            None, f"environment `{name}` has no `path`: the drive folder for test files, OWNER/REPO/fs/DRIVE/…"
        )
    if values.token is None:
        yield Broken(None, f"environment `{name}` has no `token`: write `token: ${{VARIABLE}}` and set the variable")
    for key in ("mounts", "data"):
        if getattr(values, key) is not None:
            yield Broken(key, f"`{key}` is for the embedded sandbox only, `host: sandbox`: remove it")


def _host_rules(host: str) -> Iterator[Broken]:
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
        yield Broken(
            "host", f"`host` has to be an address, http(s)://…, or sandbox, but is {quoted(host)}{_host_hint(host)}"
        )
    elif address.username is not None or address.password is not None:
        yield Broken("host", "`host` has a user or password in it: remove them, the `token` is all that is sent")
    elif address.query or address.fragment:
        yield Broken("host", f"`host` has to end before any `?` or `#`, but is {quoted(host)}")


def _host_hint(host: str) -> str:
    if closest(host, [SANDBOX], 0.8) is not None:
        return ": did you mean `sandbox`?"
    return f": write https://{host}" if "." in host and "/" not in host and " " not in host else ""


def _token_rules(token: str) -> Iterator[Broken]:
    if not token:
        yield Broken("token", "`token` is empty")
    elif not token.isascii() or not token.isprintable() or " " in token:
        # Neither the token nor the character is shown.
        yield Broken(
            "token",
            "`token` has a character in it that no HTTP header can carry: a space, a line break, or a letter beyond ASCII",
        )


def _max_parallel_rule(values: Values) -> Iterator[Broken]:
    text = values.max_parallel
    if (
        isinstance(text, str)
        and "max_parallel" not in values.unknown
        and not (text.isascii() and text.isdigit() and int(text) >= 1)
    ):
        yield Broken("max_parallel", f"`max_parallel` has to be a whole number from 1, but is {quoted(text)}")


def _drive_path_rule(key: str, text: str, label: str) -> Iterator[Broken]:
    try:
        drive_path(text)
    except ValueError as error:
        yield Broken(key, f"{label} {error}")
