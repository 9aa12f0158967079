"""The command `ibmodels`."""

from pytest_ibmodels.cli.main import app, main

__all__ = ["app", "main"]
