"""Log of a job: what the training code logs goes to standard output."""

from __future__ import annotations

import logging
import sys


def log_to_stdout() -> None:
    """Log to standard output, which is the job's log, unless logging is already set up."""
    package = logging.getLogger("ibformers")
    package.setLevel(logging.INFO)
    if not package.hasHandlers():
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
        package.addHandler(handler)
