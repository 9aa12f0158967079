"""Sample table `iris.Review` with generated reviews."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibformers.iris.rows import Sql

ROWS = 1000

CREATE = "CREATE TABLE iris.Review (ReviewLabel INTEGER NOT NULL, ReviewText VARCHAR(32000) NOT NULL)"
INSERT = "INSERT INTO iris.Review (ReviewLabel, ReviewText) VALUES (?, ?)"

THINGS = ("dress", "shirt", "coat", "skirt", "sweater", "pair of jeans", "blouse", "jacket")
OPENINGS = ("I bought this {} for work", "My sister gave me this {}", "This {} came last week", "I wore the {} twice")
VERDICTS = {
    1: (
        "it fell apart in the wash",
        "it was a really bad experience",
        "I want my money back",
        "I hate everything about it",
    ),
    2: ("the fabric is thin and scratchy", "it looks cheap", "the size was wrong", "I would not buy it again"),
    3: (
        "it is fine for the price",
        "the colour is nice but the cut is odd",
        "it is neither good nor bad",
        "it is okay",
    ),
    4: ("it fits well", "I like the colour", "it is comfortable, if a little long", "it is good value"),
    5: ("I love it", "it is perfect", "everybody asks me where I found it", "it is the best that I have ever owned"),
}


def reviews(count: int) -> Iterator[tuple[int, str]]:
    """Yield labels of 1 to 5 stars in equal numbers, with texts; the same ones in every call."""
    chosen = random.Random(5)  # noqa: S311 - sample data, no secret
    for index in range(count):
        stars = index % len(VERDICTS) + 1
        opening = chosen.choice(OPENINGS).format(chosen.choice(THINGS))
        first, second = chosen.sample(VERDICTS[stars], 2)
        yield stars, f"{opening}: {first}, and {second}."


def make_table(sql: Sql, count: int = ROWS) -> None:
    """Create the table and fill it."""
    sql.exec(CREATE)
    for stars, text in reviews(count):
        sql.exec(INSERT, stars, text)
