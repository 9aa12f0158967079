"""The HTML report of a session, and the page of the history: files that need neither network nor scripts.

Importing this package imports the dependencies of the extra ``report``, so import it only to write such a file.
"""

from pytest_ibmodels.reports.html.page import page

__all__ = ["page"]
