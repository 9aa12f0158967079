"""Build packages: zip the code folder and its `package.json` reproducibly."""

from pytest_ibmodels.packaging.archive import (
    Package,
    PackageError,
    build_marketplace_package,
    build_package,
    package_name,
    shown,
)

__all__ = ["Package", "PackageError", "build_marketplace_package", "build_package", "package_name", "shown"]
