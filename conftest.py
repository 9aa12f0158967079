"""This repository's own use of pytest: the model tests need nothing; the project's tests run pytest inside pytest."""

pytest_plugins = ["pytester"]
