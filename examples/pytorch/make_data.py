"""Write machines.csv: 300 measurements of machines that are idle, running or broken, the same on every machine."""

import csv
import random

STATES = {"idle": (20.0, 0.1, 0.3), "running": (60.0, 1.0, 4.0), "broken": (85.0, 3.0, 2.0)}

draw = random.Random(7)
with open("machines.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["temperature", "vibration", "current", "state"])
    for _ in range(300):
        state = draw.choice(list(STATES))
        writer.writerow([f"{draw.gauss(mean, 0.3 * mean + 0.1):.3f}" for mean in STATES[state]] + [state])
