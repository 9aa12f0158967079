"""What works in an environment's entry, and is better not left so."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_ibmodels.redaction import SHORTEST
from pytest_ibmodels.spec.databases import has_plain_password, passwords
from pytest_ibmodels.spec.environment_rules import SANDBOX
from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.variables import has_variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_ibmodels.spec.environments import Environment, ResolvedEnvironment


class EnvironmentWarning(UserWarning):
    """Something in an environment's entry works, and is better not left so."""


def environment_warnings(environment: Environment, environ: Mapping[str, str]) -> list[Problem]:
    """What to warn of on every run with this environment, each at its place; nothing if it cannot be used at all."""
    try:
        resolved = environment.resolve(environ)
    except SpecError:
        return []
    file = environment.file or Path("environments.yaml")
    return [
        Problem(file, *(environment.places.get(key) or environment.places.get(None, (1, 1))), message)
        for key, message in [*_warnings(environment, resolved.host), *_short_secrets(resolved)]
    ]


def _warnings(environment: Environment, host: str) -> Iterator[tuple[str, str]]:
    name, token = environment.name, environment.token
    if not environment.verify:
        told = f"environment `{name}` does not verify its host's certificate: whoever is in between reads the token"
        yield "verify", f"{told}; name the certificates to trust in `ca_bundle`, in place of `verify: false`"
    if host.startswith("http://") and not is_loopback(urlsplit(host).hostname or ""):
        told = f"environment `{name}` sends its token over plain http: whoever is in between reads it"
        yield "host", f"{told}; write https://"
    if token is not None and host != SANDBOX and not has_variables(token.get_secret_value()):
        told = f"environment `{name}` has its token in the file"
        yield "token", f"{told}; write `token: ${{VARIABLE}}`, set the variable, and revoke this token"
    if has_plain_password(_written_database(environment)):
        told = f"environment `{name}` has the password of its database in the file"
        yield "database", f"{told}; write `${{VARIABLE}}` in its place, set the variable, and change this password"


def _short_secrets(environment: ResolvedEnvironment) -> Iterator[tuple[str, str]]:
    secrets = [("token", "token", environment.token.get_secret_value())] if environment.token is not None else []
    if environment.database is not None:
        shown = passwords(environment.database.get_secret_value())
        secrets += [("database", "password of its database", secret) for secret in shown[-1:]]
    for key, what, secret in secrets:
        if len(secret) < SHORTEST:
            told = f"environment `{environment.name}`: the {what} has fewer than {SHORTEST} characters"
            yield key, f"{told}, too few to be hidden in what is written; take a longer one"


def _written_database(environment: Environment) -> str:
    return "" if environment.database is None else environment.database.get_secret_value()


def is_loopback(host: str) -> bool:
    """Whether a host's name or address means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
