"""Training and inference tests of document models, from YAML to pytest items."""

__version__ = "0.1.0"
