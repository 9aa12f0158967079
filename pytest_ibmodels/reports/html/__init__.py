"""The HTML report: one page that needs neither network nor scripts.

Importing this package imports the dependencies of the extra ``report``, so import it only to write such a report.
"""

from pytest_ibmodels.reports.html.page import page

__all__ = ["page"]
