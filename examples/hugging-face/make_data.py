"""Write reviews.csv: 240 reviews with the labels good and bad, the same on every machine."""

import csv
import random

GOOD = ["I love this {}", "the {} is wonderful", "a great {}, five stars", "very happy with the {}", "best {} ever"]
BAD = ["I hate this {}", "the {} is terrible", "a poor {}, one star", "the {} broke at once", "never buy this {}"]
THINGS = ["dress", "coat", "shirt", "hat", "scarf", "skirt", "belt", "bag"]
SIZES = ["it is small", "it is large", "the size is right", "I bought two", "my sister has it, too"]

draw = random.Random(7)
with open("reviews.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["text", "label"])
    for _ in range(240):
        label, texts = draw.choice([("good", GOOD), ("bad", BAD)])
        writer.writerow([f"{draw.choice(texts).format(draw.choice(THINGS))}, {draw.choice(SIZES)}.", label])
