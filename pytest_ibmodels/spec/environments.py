"""`environments.yaml`: where model tests run."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import SecretStr

from pytest_ibmodels.spec.databases import fill_in, from_folder, passwords
from pytest_ibmodels.spec.drive_paths import drive_path
from pytest_ibmodels.spec.entries import EnvironmentEntry
from pytest_ibmodels.spec.environment_rules import (
    SAMPLE_PREFIX,
    SANDBOX,
    SANDBOX_DATABASE,
    SANDBOX_MOUNTS,
    SANDBOX_PATH,
    Values,
    Violation,
    violations,
)
from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.reader import Document, LocatedDict, read_yaml
from pytest_ibmodels.spec.validation import entries, entry_names, validated, value_place
from pytest_ibmodels.spec.variables import broken_reference, expand, has_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yaml.error import Mark

Place = tuple[int, int]
"""Line and column, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedEnvironment:
    """An environment ready for use, its variables filled in.

    `host` has no trailing slash; it is `sandbox` for the embedded one. `path` and the keys of `mounts` are drive paths
    without outer slashes. A value of `mounts` is an absolute local folder, or `sample:NAME`. `data` is an absolute
    local folder; None: a temporary one. `token` is None for an embedded environment that names none. `max_parallel` is
    at least 1; None: half the processor's cores (at least 1) for an embedded environment, no bound for any other.
    `database` is a URL, or `sample:NAME`; its SQLite file is absolute for an embedded environment. `ca_bundle` is an
    absolute local file. `limits` are seconds by name: upload, queue, inference, as far as given.
    """

    name: str
    host: str
    path: str
    token: SecretStr | None = None
    mounts: dict[str, str] = field(default_factory=dict)
    max_parallel: int | None = None
    data: Path | None = None
    database: SecretStr | None = None
    ca_bundle: Path | None = None
    verify: bool = True
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_embedded(self) -> bool:
        return self.host == SANDBOX

    @property
    def verification(self) -> ssl.SSLContext | bool:
        """How the host's certificate is verified: against `ca_bundle`, the public certificates, or (False) not at all.

        Raises:
            OSError: `ca_bundle` cannot be read, or (ssl.SSLError) holds no certificate.
        """
        return self.verify if self.ca_bundle is None else ssl.create_default_context(cafile=self.ca_bundle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One entry of `environments.yaml` as it is written, `${VARIABLE}` and all.

    `line` (from 1) is that of its name; 0 for the sandbox that no file names.
    """

    name: str
    line: int
    host: str
    path: str | None = None
    token: SecretStr | None = None
    mounts: Mapping[str, str] | None = None
    max_parallel: int | str | None = None
    data: str | None = None
    database: SecretStr | None = None
    ca_bundle: str | None = None
    verify: bool = True
    limits: Mapping[str, float] = field(default_factory=dict)
    file: Path | None = field(default=None, repr=False)
    places: Mapping[str | None, Place] = field(default_factory=dict, repr=False, compare=False)

    @property
    def may_have_database(self) -> bool:
        """Whether it has one; the embedded sandbox has a default, and a host with a variable may be that."""
        return self.database is not None or self.host == SANDBOX or has_variables(self.host)

    def resolve(self, environ: Mapping[str, str]) -> ResolvedEnvironment:
        """Fill in the variables from `environ`, and the defaults.

        Raises:
            SpecError: A variable without default is not set, or a value is not what it has to be once they are filled
                in, or a local folder to mount is not there.
        """
        values = self._filled_in(environ)
        self._raise(list(violations(self.name, values)))
        folder = self.file.parent.absolute() if self.file is not None else Path.cwd()
        mounts = values.mounts
        if mounts is None:
            mounts = SANDBOX_MOUNTS if values.host == SANDBOX else {}
        database = values.database
        if values.host == SANDBOX:
            database = from_folder(database or SANDBOX_DATABASE, folder)
        resolved = ResolvedEnvironment(
            name=self.name,
            host=values.host.rstrip("/"),
            path=drive_path(values.path or SANDBOX_PATH),
            token=SecretStr(values.token) if values.token is not None else None,
            mounts=self._mounts(mounts, folder),
            max_parallel=int(values.max_parallel) if values.max_parallel is not None else None,
            data=folder / values.data if values.data is not None else None,
            database=SecretStr(database) if database is not None else None,
            ca_bundle=folder / values.ca_bundle if values.ca_bundle is not None else None,
            verify=values.verify,
            limits=self.limits,
        )
        try:
            resolved.verification  # noqa: B018 - whether it can be had
        except OSError as error:
            unread = f"cannot be read: {error.strerror}"
            reason = "holds no certificate (PEM)" if isinstance(error, ssl.SSLError) else unread
            self._raise([Violation("ca_bundle", f"`ca_bundle`: {resolved.ca_bundle} {reason}")])
        return resolved

    def secrets(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """The token and the forms of the database's password, as far as their variables are set."""
        token, database = (
            "" if text is None or (filled := expand(text.get_secret_value(), environ)).missing else filled.text
            for text in (self.token, self.database)
        )
        return (*([token] if token else []), *passwords(database))

    def problems(self) -> list[Problem]:
        """What is wrong with the entry, as far as that can be said before its variables are filled in."""
        values = self._written()
        return [self._problem(broken) for broken in violations(self.name, values, values.keys_with_variables())]

    def _written(self) -> Values:
        return Values(
            host=self.host,
            path=self.path,
            token=self.token.get_secret_value() if self.token is not None else None,
            mounts=self.mounts,
            max_parallel=self.max_parallel,
            data=self.data,
            database=self.database.get_secret_value() if self.database is not None else None,
            ca_bundle=self.ca_bundle,
            verify=self.verify,
        )

    def _filled_in(self, environ: Mapping[str, str]) -> Values:
        missing: list[Violation] = []

        def fill(key: str, text: str) -> str:
            expanded = (fill_in if key == "database" else expand)(text, environ)
            for variable in expanded.missing:
                advice = f"set it, or write `${{{variable}:-default}}`"
                needs = f"environment `{self.name}` needs the variable `{variable}`, which is not set or is empty"
                missing.append(Violation(key, f"{needs}: {advice}"))
            return expanded.text

        values = self._written().with_texts(fill)
        self._raise(missing)
        return values

    def _mounts(self, mounts: Mapping[str, str], folder: Path) -> dict[str, str]:
        sources = {
            drive_path(drive_folder): source if source.startswith(SAMPLE_PREFIX) else str(folder / source)
            for drive_folder, source in mounts.items()
        }
        self._raise(
            [
                Violation("mounts", f"environment `{self.name}` mounts the local folder {source}, which is not there")
                for source in sources.values()
                if not source.startswith(SAMPLE_PREFIX) and not Path(source).is_dir()
            ]
        )
        return sources

    def _raise(self, broken: list[Violation]) -> None:
        if broken:
            raise SpecError(map(self._problem, broken))

    def _problem(self, broken: Violation) -> Problem:
        line, column = self.places.get(broken.key) or self.places.get(None, (1, 1))
        return Problem(self.file or Path("environments.yaml"), line, column, broken.message)


BUILT_IN = Environment(name=SANDBOX, line=0, host=SANDBOX)
"""The environment that exists even if no file names it."""


@dataclass(frozen=True, slots=True)
class EnvironmentsFile:
    """What `environments.yaml` says, and `sandbox`; `environments` by name, in the order of the file.

    `path` is None without a file. `names` also has those whose entry is wrong: they do exist.
    """

    path: Path | None
    environments: Mapping[str, Environment]
    names: tuple[str, ...]


def load_environments(path: Path | None) -> EnvironmentsFile:
    """Read `environments.yaml`. Without a file there is only the built-in `sandbox`.

    Raises:
        SpecError: The file cannot be read, or something in it is wrong; with everything that is.
    """
    environments, problems = read_environments(path)
    if problems:
        raise SpecError(problems)
    return environments


def read_environments(path: Path | None) -> tuple[EnvironmentsFile, list[Problem]]:
    """The entries of the file that are right, with `sandbox`, and what is wrong with the others.

    Raises:
        SpecError: The file has no structure to go on with.
    """
    if path is None or not path.exists():
        return EnvironmentsFile(None, MappingProxyType({SANDBOX: BUILT_IN}), (SANDBOX,)), []
    document = read_yaml(path)
    environments: dict[str, Environment] = {}
    names = entry_names(document)
    for name, _ in entries(document, "environment"):
        _check_variables(document, document.root[name])
        entry = validated(document, name, EnvironmentEntry, "environment")
        if entry is not None:
            environment = _environment(document, name, entry)
            document.problems += environment.problems()
            environments[name] = environment
    if SANDBOX not in names:
        names.append(SANDBOX)
        environments[SANDBOX] = replace(BUILT_IN, file=path)
    return EnvironmentsFile(path, MappingProxyType(environments), tuple(names)), document.problems


def _environment(document: Document, name: str, entry: EnvironmentEntry) -> Environment:
    raw: LocatedDict = document.root[name]
    at_name = document.root.marks[name][0]
    places: dict[str | None, Place] = {key: _place(value_place(*marks)) for key, marks in raw.marks.items()}
    places[None] = _place(at_name)
    return Environment(
        name=name,
        line=at_name.line + 1,
        host=entry.host,
        path=entry.path,
        token=entry.token,
        mounts=entry.mounts,
        max_parallel=entry.max_parallel,
        data=entry.data,
        database=entry.database,
        ca_bundle=entry.ca_bundle,
        verify=entry.verify,
        limits=MappingProxyType(entry.limits.model_dump(exclude_none=True)),
        file=document.path,
        places=MappingProxyType(places),
    )


def _place(mark: Mark) -> Place:
    return mark.line + 1, mark.column + 1


def _check_variables(document: Document, value: LocatedDict) -> None:
    for key, item in value.items():
        at_key, at_value = value.marks[key]
        if isinstance(item, LocatedDict):
            _check_variables(document, item)
        for text, mark in ((key, at_key), (item, at_value)):
            broken = broken_reference(text) if isinstance(text, str) else None
            if broken is not None:
                # What follows `${` may be a secret that was pasted in: it is not shown.
                document.report(
                    mark,
                    "a `${` here starts no variable: write `${NAME}` or `${NAME:-default}`, or `$${` for `${` itself",
                )
