"""The report to look at: one page that needs no network and no script.

Importing this imports what the extra ``report`` installs, so it is imported only if such a report is asked for.
"""

from pytest_ibmodels.reports.html.page import page

__all__ = ["page"]
