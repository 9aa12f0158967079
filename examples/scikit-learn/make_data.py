"""Write mails.csv: 240 mails with the labels spam and ham, the same on every machine."""

import csv
import random

SPAM = ["win a {} now", "free {} for you", "claim your {} today", "cheap {}, click here", "your {} has been selected"]
HAM = ["lunch on {}?", "the report of {} is done", "can we meet on {}?", "notes of the call on {}", "{} works for me"]
THINGS = ["prize", "voucher", "holiday", "phone", "loan", "watch", "bonus", "card"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "the 3rd"]

draw = random.Random(7)
with open("mails.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["text", "label"])
    for number in range(240):
        label, texts, words = draw.choice([("spam", SPAM, THINGS), ("ham", HAM, DAYS)])
        writer.writerow([f"{draw.choice(texts).format(draw.choice(words))} ({number})", label])
