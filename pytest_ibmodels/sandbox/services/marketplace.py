"""Marketplace: publish, install and pack packages (Instabase protocol, "Marketplace")."""

import shutil
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from semver import Version

from pytest_ibmodels.instabase.wire_marketplace import MarketplaceApp
from pytest_ibmodels.sandbox.errors import NoPackageError, SandboxError
from pytest_ibmodels.sandbox.services.packages import DESCRIPTION, PackageId, parse_package_id
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.archives import extract, pack, translate_zip_errors
from pytest_ibmodels.sandbox.storage.audit import Audit
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.job_store import Store
from pytest_ibmodels.sandbox.storage.locks import PathLocks
from pytest_ibmodels.sandbox.storage.mounts import Mount
from pytest_ibmodels.sandbox.storage.paths import APPLICATIONS, DrivePath
from pytest_ibmodels.sandbox.storage.tables import PackageRow

_PUBLISHED = APPLICATIONS.joined("Marketplace", "All")
_INSTALLED = APPLICATIONS.joined("Installed")
_TICK = 0.001
"""Least difference of two publication times, in seconds."""


def applications_mount(settings: Settings) -> Mount:
    """Create the folder of published and installed packages and return its mount in the drive."""
    settings.applications_root.mkdir(parents=True, exist_ok=True)
    return Mount(APPLICATIONS, str(settings.applications_root.resolve()), settings.samples_root)


class Marketplace:
    """Published and installed packages of a tenant: files, listed in the store.

    All methods block and are thread-safe. They raise :class:`SandboxError`, without a change, for a request that cannot
    be served. Each change is in the audit, with ``who`` made it.
    """

    def __init__(
        self, settings: Settings, drive: Drive, store: Store, audit: Audit, locks: PathLocks | None = None
    ) -> None:
        self._max_bytes = settings.max_unzipped
        self._root = settings.applications_root
        self._drive = drive
        self._store = store
        self._audit = audit
        self._locks = locks or PathLocks()
        with self._changing():
            self._reconcile()

    def apps(self) -> list[MarketplaceApp]:
        """Published packages by name; versions are in semantic order, equal ones in order of publication."""
        by_name: dict[str, list[PackageRow]] = {}
        for row in sorted(self._store.packages.all(), key=_precedence):
            by_name.setdefault(row.name, []).append(row)
        return [
            MarketplaceApp(
                name=name,
                available_versions=[row.version for row in rows],
                installed_versions=[row.version for row in rows if row.installed],
                src_paths={row.version: str(_archive(row)) for row in rows},
            )
            for name, rows in sorted(by_name.items())
        ]

    def versions(self) -> list[PackageRow]:
        """Published versions, by name of the package, newest version first."""
        newest_first = sorted(self._store.packages.all(), key=_precedence, reverse=True)
        return sorted(newest_first, key=lambda row: row.name)

    def publish(self, path: DrivePath, who: str) -> None:
        """Check the archive at ``path``, store a copy, and list it under the name and version in its description."""
        archive, trial = self._drive.new_scratch(), self._drive.new_scratch()
        try:
            # The file in the drive may change during the checks, so they read a copy.
            with self._drive.open(path) as source, translate_zip_errors(path, "stored"), archive.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            with archive.open("rb") as file:
                extract(file, trial, path, _INSTALLED, max_bytes=self._max_bytes)
            package = _identify(trial, path)
            row = PackageRow(package.name, package.version, modules=_modules(trial), published=time.time())
            self._add(row, archive, who)
        finally:
            archive.unlink(missing_ok=True)
            shutil.rmtree(trial, ignore_errors=True)

    def unpublish(self, name: str, version: str, who: str) -> None:
        """Remove a version, with its installed copy."""
        with self._changing():
            row = self._published_row(name, version, "unpublish")
            self._store.packages.remove(name, version)
            for folder in (self._local(_archive(row)).parent, self._local(installed_folder(row))):
                _remove(folder)
            self._audit.record(who, "unpublish", f"package {name}", before=version, after=self._newest(name))

    def install(self, name: str, version: str, who: str) -> None:
        """Unpack a published version to its folder in the drive; do nothing if it is installed."""
        with self._changing():
            row = self._published_row(name, version, "install")
            if row.installed:
                return
            before = self._newest(name, installed=True)
            unpacked = self._unpack(row)
            target = self._local(installed_folder(row))
            with translate_zip_errors(installed_folder(row), "installed"):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(target, ignore_errors=True)
                unpacked.rename(target)
            self._store.packages.mark_installed(name, version)
            self._audit.record(who, "install", f"package {name}", before=before, after=version)

    def unpack_newest(self, module: str) -> tuple[PackageRow, Path]:
        """Unpack the newest version, by semantic precedence, of the package that has ``module``.

        Of versions that differ only in build metadata, the last published one is the newest. If several packages have
        the module, the one of the same name is used. The caller deletes the returned folder, a copy that a running job
        keeps when the version is unpublished.

        Raises:
            NoPackageError: No package has the module.
            SandboxError: Several packages with other names have it.
        """
        rows = [row for row in self._store.packages.all() if module in row.modules]
        if not rows:
            msg = (
                f"run_train: no 'script_packages' given, and no published package has a module {module!r}; "
                "push the code and name its folder, or publish a package that has it"
            )
            raise NoPackageError(msg)
        names = sorted({row.name for row in rows})
        if len(names) > 1 and module not in names:
            msg = (
                f"run_train: no 'script_packages' given, and several published packages have a module {module!r} "
                f"({', '.join(names)}), none of which has its name; push the code and name its folder"
            )
            raise SandboxError(msg)
        name = module if module in names else names[0]
        newest = max((row for row in rows if row.name == name), key=_precedence)
        return newest, self._unpack(newest)

    def create_solution(self, content: DrivePath, output: DrivePath) -> DrivePath:
        """Pack folder ``content`` as ``output/NAME-VERSION.ibsolution``, replacing such a file, and return its path."""
        where = f"solution/create: '{content}' is not a package"
        if output.starts_with(content):
            msg = f"solution/create: output_folder '{output}' lies in content_folder '{content}', which would pack it"
            raise SandboxError(msg)
        try:
            description = self._drive.read(content.joined(DESCRIPTION))
        except SandboxError as error:
            msg = f"{where}: {error}"
            raise SandboxError(msg) from None
        target = output.joined(parse_package_id(description, where).file_name)
        packed = self._drive.new_scratch()
        try:
            pack(self._drive, content, packed)
            self._drive.put(target, packed, overwrite=True)
        finally:
            packed.unlink(missing_ok=True)
        return target

    def _changing(self) -> AbstractContextManager[None]:
        """Lock all packages against other changes, also those of other servers if they share the data folder."""
        return self._locks.hold(self._root)

    def _newest(self, name: str, *, installed: bool = False) -> str | None:
        """Newest published, or installed, version of a package; None if there is none."""
        rows = [row for row in self._store.packages.all() if row.name == name and (row.installed or not installed)]
        return max(rows, key=_precedence).version if rows else None

    def _add(self, row: PackageRow, archive: Path, who: str) -> None:
        with self._changing():
            if self._store.packages.get(row.name, row.version) is not None:
                raise _is_published(row)
            target = self._local(_archive(row))
            with translate_zip_errors(_archive(row), "stored"):
                target.parent.mkdir(parents=True, exist_ok=True)
                archive.replace(target)
            # The clock may have been set back; publication times must increase.
            newest = max((other.published for other in self._store.packages.all()), default=0.0)
            row.published = max(time.time(), newest + _TICK)
            before = self._newest(row.name)
            if not self._store.packages.add(row):
                raise _is_published(row)
            self._audit.record(who, "publish", f"package {row.name}", before=before, after=row.version)

    def _published_row(self, name: str, version: str, call: str) -> PackageRow:
        row = self._store.packages.get(name, version)
        if row is None:
            others = sorted((row for row in self._store.packages.all() if row.name == name), key=_precedence)
            versions = f"; versions: {', '.join(row.version for row in others)}" if others else ""
            msg = f"{call}: {name!r} {version!r} is not published{versions}"
            raise SandboxError(msg)
        return row

    def _unpack(self, row: PackageRow) -> Path:
        folder = self._drive.new_scratch()
        try:
            with self._drive.open(_archive(row)) as file:
                extract(file, folder, _archive(row), installed_folder(row), max_bytes=self._max_bytes)
        except SandboxError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def _local(self, path: DrivePath) -> Path:
        return self._root.joinpath(*path.parts[len(APPLICATIONS.parts) :])

    def _reconcile(self) -> None:
        """Remove rows without files and files without rows, which a killed server may have left."""
        for path in (_PUBLISHED, _INSTALLED):
            self._local(path).mkdir(parents=True, exist_ok=True)
        kept = set()
        for row in self._store.packages.all():
            archive = self._local(_archive(row))
            if not archive.is_file():
                self._store.packages.remove(row.name, row.version)
                continue
            kept.add(archive.parent)
            if row.installed:
                kept.add(self._local(installed_folder(row)))
        for path in (_PUBLISHED, _INSTALLED):
            for folder in list(self._local(path).glob("*/*")):
                if folder not in kept:
                    _remove(folder)


def _is_published(row: PackageRow) -> SandboxError:
    return SandboxError(
        f"publish: {row.name} {row.version} is published already, nothing was changed; "
        "give the package another version, or unpublish this one first"
    )


def _remove(folder: Path) -> None:
    """Remove the folder of a version, and its parent if that is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


def _archive(row: PackageRow) -> DrivePath:
    return _PUBLISHED.joined(row.name, row.version, PackageId(row.name, row.version).file_name)


def installed_folder(row: PackageRow) -> DrivePath:
    """Folder of the drive that has the files of a version, once it is installed."""
    return _INSTALLED.joined(row.name, row.version)


def _precedence(row: PackageRow) -> tuple[Version, float]:
    # Versions that differ only in build metadata have equal precedence.
    return Version.parse(row.version), row.published


def _identify(folder: Path, path: DrivePath) -> PackageId:
    where = f"publish: '{path}' is not a package"
    file = folder / DESCRIPTION
    if not file.is_file():
        deeper = next(folder.glob(f"*/{DESCRIPTION}"), None)
        hint = f"; there is one in '{deeper.parent.name}': zip its content, not the folder" if deeper else ""
        msg = f"{where}: it has no {DESCRIPTION} at its top level{hint}"
        raise SandboxError(msg)
    return parse_package_id(file.read_bytes(), where)


def _modules(folder: Path) -> list[str]:
    """Names of the Python packages in ``folder``."""
    return sorted(item.name for item in folder.iterdir() if item.name.isidentifier() and any(item.glob("*.py")))
