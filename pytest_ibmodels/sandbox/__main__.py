"""``python -m pytest_ibmodels.sandbox``: run the command line."""

import sys

# Every child process imports this module again, under another name, and needs no command line.
if __name__ == "__main__":
    from pytest_ibmodels.sandbox.cli import main

    sys.exit(main())
