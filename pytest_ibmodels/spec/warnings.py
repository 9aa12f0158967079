"""Warnings about the entry of an environment that works but is insecure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_ibmodels.redaction import SHORTEST
from pytest_ibmodels.spec.databases import has_plain_password, passwords
from pytest_ibmodels.spec.environment_rules import SANDBOX, Violation
from pytest_ibmodels.spec.errors import SpecError
from pytest_ibmodels.spec.variables import has_variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_ibmodels.spec.environments import Environment, ResolvedEnvironment
    from pytest_ibmodels.spec.errors import Problem


class EnvironmentWarning(UserWarning):
    """Warning about an environment that works but is insecure."""


def environment_warnings(environment: Environment, environ: Mapping[str, str]) -> list[Problem]:
    """Warnings to show on every run with this environment; empty if the environment cannot be resolved."""
    try:
        resolved = environment.resolve(environ)
    except SpecError:
        return []
    violations = [*_warnings(environment, resolved.host), *_short_secrets(resolved)]
    return [environment.problem(violation) for violation in violations]


def _warnings(environment: Environment, host: str) -> Iterator[Violation]:
    name, token = environment.name, environment.token
    if not environment.verify:
        risk = f"environment `{name}` does not verify its host's certificate: anybody in between can read the token"
        yield Violation("verify", f"{risk}; name the certificates to trust in `ca_bundle` instead of `verify: false`")
    if host.startswith("http://") and not is_loopback(urlsplit(host).hostname or ""):
        risk = f"environment `{name}` sends its token over plain http: anybody in between can read it"
        yield Violation("host", f"{risk}; write https://")
    if token is not None and host != SANDBOX and not has_variables(token.get_secret_value()):
        risk = f"environment `{name}` has its token in the file"
        yield Violation("token", f"{risk}; write `token: ${{VARIABLE}}`, set the variable, and revoke this token")
    if has_plain_password(_written_database(environment)):
        risk = f"environment `{name}` has the password of its database in the file"
        yield Violation("database", f"{risk}; write `${{VARIABLE}}` instead, set it, and change this password")


def _short_secrets(environment: ResolvedEnvironment) -> Iterator[Violation]:
    secrets = [("token", "token", environment.token.get_secret_value())] if environment.token is not None else []
    if environment.database is not None:
        shown = passwords(environment.database.get_secret_value())
        secrets += [("database", "password of its database", secret) for secret in shown[-1:]]
    for key, what, secret in secrets:
        if len(secret) < SHORTEST:
            risk = f"environment `{environment.name}`: the {what} has fewer than {SHORTEST} characters"
            yield Violation(key, f"{risk}, too few to be redacted from output; use a longer one")


def _written_database(environment: Environment) -> str:
    return "" if environment.database is None else environment.database.get_secret_value()


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is that of this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
