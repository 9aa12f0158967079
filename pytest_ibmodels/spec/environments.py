"""Read `environments.yaml`, which describes where model tests run."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import SecretStr

from pytest_ibmodels.spec.databases import fill_in, passwords, resolve_sqlite_file
from pytest_ibmodels.spec.drive_paths import drive_path
from pytest_ibmodels.spec.environment_entries import EnvironmentEntry
from pytest_ibmodels.spec.environment_rules import (
    SAMPLE_PREFIX,
    SANDBOX,
    SANDBOX_DATABASE,
    SANDBOX_MOUNTS,
    SANDBOX_PATH,
    Violation,
    keys_with_variables,
    map_texts,
    violations,
)
from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.reader import Document, LocatedDict, read_yaml
from pytest_ibmodels.spec.validation import entries, entry_names, validate_entry, value_place
from pytest_ibmodels.spec.variables import broken_reference, expand, has_variables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yaml.error import Mark

Place = tuple[int, int]
"""Line and column, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedEnvironment:
    """An environment with its variables and defaults filled in.

    Attributes:
        name: its name in `environments.yaml`.
        host: address without a trailing slash, or `sandbox` for an embedded environment.
        path: drive folder for test files, without outer slashes.
        token: API token; None for an embedded environment without one.
        mounts: drive folder without outer slashes -> absolute local folder, or `sample:NAME`.
        max_parallel: maximum number of trainings at the same time, at least 1. None means half the processor's cores
            (at least 1) for an embedded environment, and no maximum for any other. In an embedded environment a number
            also divides the cores among the trainings.
        data: absolute folder of an embedded environment; None means a temporary folder.
        database: SQLAlchemy URL, or `sample:NAME`; the SQLite file of an embedded environment is absolute.
        ca_bundle: absolute file of the certificates to verify the host with; None means the public ones.
        verify: whether the certificate of the host is verified.
        limits: timeouts in seconds by name (`upload`, `queue`, `inference`), without those that are not given.
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
        """The `verify` of httpx: a context with the certificates of `ca_bundle`, or `verify` itself.

        Raises:
            OSError: `ca_bundle` cannot be read.
            ssl.SSLError: `ca_bundle` contains no certificate; a subclass of OSError.
        """
        return self.verify if self.ca_bundle is None else ssl.create_default_context(cafile=self.ca_bundle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One entry of `environments.yaml` as written, with its `${VARIABLE}`s.

    Attributes:
        name: its name.
        line: line of the name, from 1; 0 for the built-in `sandbox`.
        file: the file; None for the built-in `sandbox` if there is no file.
        places: line and column of each key, and with the key None of the name.

    The other attributes are the keys of the entry; None means that the key is not given.
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
        """True if it has a database, or gets the default: its host is the embedded sandbox or contains a variable."""
        return self.database is not None or self.host == SANDBOX or has_variables(self.host)

    def resolve(self, environ: Mapping[str, str]) -> ResolvedEnvironment:
        """Fill in the variables from `environ`, and the defaults.

        Raises:
            SpecError: A variable without default is not set, a value is invalid once the variables are filled in, a
                local folder to mount does not exist, or `ca_bundle` cannot be read.
        """
        entry = self._fill_in(environ)
        self._raise(violations(self.name, entry))
        folder = self.file.parent.absolute() if self.file is not None else Path.cwd()
        mounts, database = entry.mounts or {}, entry.database
        if entry.host == SANDBOX:
            mounts = SANDBOX_MOUNTS if entry.mounts is None else mounts
            url = SANDBOX_DATABASE if database is None else database.get_secret_value()
            database = SecretStr(resolve_sqlite_file(url, folder))
        resolved = ResolvedEnvironment(
            name=self.name,
            host=entry.host.rstrip("/"),
            path=drive_path(entry.path or SANDBOX_PATH),
            token=entry.token,
            mounts=self._mounts(mounts, folder),
            max_parallel=int(entry.max_parallel) if entry.max_parallel is not None else None,
            data=folder / entry.data if entry.data is not None else None,
            database=database,
            ca_bundle=folder / entry.ca_bundle if entry.ca_bundle is not None else None,
            verify=entry.verify,
            limits=entry.limits,
        )
        try:
            resolved.verification  # noqa: B018 - reads the file
        except OSError as error:
            unreadable = f"cannot be read: {error.strerror}"
            reason = "contains no certificate (PEM)" if isinstance(error, ssl.SSLError) else unreadable
            self._raise([Violation("ca_bundle", f"`ca_bundle`: {resolved.ca_bundle} {reason}")])
        return resolved

    def secrets(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """The token and every form of the database's password, as far as their variables are set."""
        token, database = (
            "" if text is None or (filled := expand(text.get_secret_value(), environ)).missing else filled.text
            for text in (self.token, self.database)
        )
        return (*([token] if token else []), *passwords(database))

    def problems(self) -> list[Problem]:
        """Problems that do not depend on variables."""
        entry = self._entry()
        return [self.problem(violation) for violation in violations(self.name, entry, keys_with_variables(entry))]

    def _entry(self) -> EnvironmentEntry:
        return EnvironmentEntry.model_construct(**{key: getattr(self, key) for key in EnvironmentEntry.model_fields})

    def _fill_in(self, environ: Mapping[str, str]) -> EnvironmentEntry:
        missing: list[Violation] = []

        def fill(key: str, text: str) -> str:
            expanded = (fill_in if key == "database" else expand)(text, environ)
            for variable in expanded.missing:
                advice = f"set it, or write `${{{variable}:-default}}`"
                needs = f"environment `{self.name}` needs the variable `{variable}`, which is not set or is empty"
                missing.append(Violation(key, f"{needs}: {advice}"))
            return expanded.text

        entry = map_texts(self._entry(), fill)
        self._raise(missing)
        return entry

    def _mounts(self, mounts: Mapping[str, str], folder: Path) -> dict[str, str]:
        sources = {
            drive_path(drive_folder): source if source.startswith(SAMPLE_PREFIX) else str(folder / source)
            for drive_folder, source in mounts.items()
        }
        self._raise(
            Violation("mounts", f"environment `{self.name}` mounts the local folder {source}, which does not exist")
            for source in sources.values()
            if not source.startswith(SAMPLE_PREFIX) and not Path(source).is_dir()
        )
        return sources

    def _raise(self, violations: Iterable[Violation]) -> None:
        problems = [self.problem(violation) for violation in violations]
        if problems:
            raise SpecError(problems)

    def problem(self, violation: Violation) -> Problem:
        """The violation as a problem at the place of its key."""
        line, column = self.places.get(violation.key) or self.places.get(None, (1, 1))
        return Problem(self.file or Path("environments.yaml"), line, column, violation.message)


BUILT_IN = Environment(name=SANDBOX, line=0, host=SANDBOX)
"""Environment that exists in no file."""


@dataclass(frozen=True, slots=True)
class EnvironmentsFile:
    """The content of `environments.yaml`, and the built-in `sandbox`.

    Attributes:
        path: the file; None if there is none.
        environments: the valid environments by name, in the order of the file.
        names: names of all environments, those with an invalid entry included.
    """

    path: Path | None
    environments: Mapping[str, Environment]
    names: tuple[str, ...]


def load_environments(path: Path | None) -> EnvironmentsFile:
    """Read `environments.yaml`. Without a file, the only environment is the built-in `sandbox`.

    Raises:
        SpecError: The file cannot be read, or is invalid; with all its problems.
    """
    environments, problems = read_environments(path)
    if problems:
        raise SpecError(problems)
    return environments


def read_environments(path: Path | None) -> tuple[EnvironmentsFile, list[Problem]]:
    """Read the valid environments and the problems of the others.

    Raises:
        SpecError: The file cannot be read, or is not one YAML mapping.
    """
    if path is None or not path.exists():
        return EnvironmentsFile(None, MappingProxyType({SANDBOX: BUILT_IN}), (SANDBOX,)), []
    document = read_yaml(path)
    environments: dict[str, Environment] = {}
    names = entry_names(document)
    for name, _ in entries(document, "environment"):
        _check_variables(document, document.root[name])
        entry = validate_entry(document, name, EnvironmentEntry, "environment")
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
        name=name, line=at_name.line + 1, file=document.path, places=MappingProxyType(places), **dict(entry)
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
                # The text after `${` is not shown: it may be a pasted secret.
                document.report(
                    mark,
                    "this `${` starts no variable: write `${NAME}` or `${NAME:-default}`, or `$${` for `${` itself",
                )
