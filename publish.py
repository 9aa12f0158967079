"""`python publish.py`: publish this repository's training code; `python publish.py unpublish` takes a version back."""

import sys

from pytest_ibmodels.cli import main

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-"):
        arguments = ["publish", *arguments]
    sys.exit(main(arguments, name="publish.py"))
