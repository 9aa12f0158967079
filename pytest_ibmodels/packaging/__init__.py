"""Build packages: zip the code folder and its `package.json` reproducibly."""

from pytest_ibmodels.packaging.archive import (
    Package,
    PackageError,
    build_marketplace_package,
    build_package,
    package_name,
    shown,
)
from pytest_ibmodels.packaging.data import DataError, LocalData, read_data
from pytest_ibmodels.packaging.libraries import LIBRARY, installed_library

__all__ = [
    "LIBRARY",
    "DataError",
    "LocalData",
    "Package",
    "PackageError",
    "build_marketplace_package",
    "build_package",
    "installed_library",
    "package_name",
    "read_data",
    "shown",
]
