"""Fill the table `iris.Review` and start the production with IRIS. Run it by `irispython` in its namespace."""

from __future__ import annotations

import importlib
import sys

from ibformers.iris.rows import iris_sql
from ibformers.iris.sample import ROWS, make_table


def main() -> str | None:
    """Return an error message, which fails the build of the image, or None."""
    sql = iris_sql()
    make_table(sql)
    ((found,),) = sql.exec("SELECT COUNT(*) FROM iris.Review")
    if int(found) != ROWS:
        return f"iris.Review has {found} rows instead of {ROWS}."
    iris = importlib.import_module("iris")
    status = iris.cls("Ens.Director").SetAutoStart("iris.Production")
    return iris.system.Status.GetErrorText(status) if iris.system.Status.IsError(status) else None


if __name__ == "__main__":
    sys.exit(main())
