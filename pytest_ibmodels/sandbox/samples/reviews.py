"""A generated table of labelled texts in SQLite: `Review`, with `ReviewLabel` (1 to 5 stars) and `ReviewText`.

Each review is composed of phrases that fit its stars; some have one phrase of a neighbouring rating, as real ones do.

`python -m pytest_ibmodels.sandbox.samples.reviews 100 > reviews.csv` writes 100 reviews as CSV.
"""

import argparse
import csv
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

VERSION = "v1"
DATABASE = "reviews.db"
"""File name of the database."""

ROWS = 400
COLUMNS = ("ReviewLabel", "ReviewText")
_SEED = 20_220_902
_MIXED = 0.15
"""Fraction of reviews with one phrase of a neighbouring rating."""

_ARTICLES = (
    *("dress", "sweater", "skirt", "blouse", "jacket", "pair of jeans", "cardigan", "coat", "shirt", "jumpsuit"),
    *("tunic", "vest", "pair of boots", "scarf", "swimsuit", "hat"),
)
_OPENINGS = (
    "I ordered this {article} in {colour}.",
    "Bought the {article} for my {person}.",
    "This {article} came last week.",
    "My second {article} from this brand.",
    "I saw the {article} in the shop first, in {colour}.",
    "The {article} in {colour} was on sale.",
)
_COLOURS = ("navy", "black", "ivory", "red", "green", "grey", "coral", "blue")
_PEOPLE = ("sister", "mother", "daughter", "niece", "best friend", "aunt")
_OPINIONS: tuple[tuple[str, ...], ...] = (
    (
        "It is awful, the worst thing I have ever bought.",
        "Terrible quality, it fell apart in the first wash.",
        "A complete waste of money, I sent it back at once.",
        "Horrible fit and a disgusting smell.",
        "I am furious, do not buy this.",
    ),
    (
        "I am disappointed, the fabric feels cheap.",
        "It looks nothing like the picture, sadly.",
        "Poor stitching, and too tight in the shoulders.",
        "Not worth the price, it is going back.",
        "It is scratchy and I would not buy it again.",
    ),
    (
        "It is okay, nothing special.",
        "An average piece, neither good nor bad.",
        "The cut is fine, the colour is so-so.",
        "I have mixed feelings and may keep it or not.",
        "It does the job, I expected a bit more.",
    ),
    (
        "I like it, it is comfortable and well made.",
        "A good buy, only the sleeves are a little long.",
        "Nice fabric, and it fits well.",
        "Pretty and practical, I wear it quite often.",
        "Happy with it overall, one size down would be better.",
    ),
    (
        "I absolutely love it, it is perfect!",
        "Gorgeous, I get compliments every time I wear it.",
        "The best purchase of the year, stunning quality.",
        "Amazing fit, I want it in every colour!",
        "Simply beautiful, my new favourite.",
    ),
)


def write(folder: Path) -> None:
    """Create ``folder`` and write the database into it."""
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        database.execute("CREATE TABLE Review (ID INTEGER PRIMARY KEY, ReviewLabel INTEGER, ReviewText TEXT)")
        database.executemany("INSERT INTO Review (ReviewLabel, ReviewText) VALUES (?, ?)", reviews())
        database.commit()


def reviews(count: int = ROWS) -> list[tuple[int, str]]:
    """Stars (1 to 5, equally often) and text of ``count`` reviews; every call returns the same."""
    rng = random.Random(_SEED)  # noqa: S311 - reproducible, not secret
    rows = [(number % 5 + 1, _review(rng, number % 5)) for number in range(count)]
    rng.shuffle(rows)
    return rows


def _review(rng: random.Random, opinion: int) -> str:
    opening = rng.choice(_OPENINGS).format(
        article=rng.choice(_ARTICLES), colour=rng.choice(_COLOURS), person=rng.choice(_PEOPLE)
    )
    phrases = rng.sample(_OPINIONS[opinion], 2)
    if rng.random() < _MIXED:
        phrases[1] = rng.choice(_OPINIONS[opinion - 1 if opinion else 1])
    return " ".join([opening, *phrases])


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pytest_ibmodels.sandbox.samples.reviews", description="Write generated reviews as CSV."
    )
    parser.add_argument("count", type=int, nargs="?", default=ROWS, help="number of reviews (%(default)s)")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(reviews(parser.parse_args().count))


if __name__ == "__main__":
    _main()
