"""Write churn.csv: 400 customers, and whether they left, the same on every machine."""

import csv
import random

draw = random.Random(7)
with open("churn.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["months", "monthly_fee", "support_calls", "invoices_late", "left"])
    for _ in range(400):
        months, fee = draw.randint(1, 72), round(draw.uniform(10, 90), 2)
        calls, late = draw.randint(0, 9), draw.randint(0, 5)
        risk = 0.07 * fee - 0.08 * months + 0.6 * calls + 0.5 * late - 3 + draw.gauss(0, 0.4)
        writer.writerow([months, fee, calls, late, "yes" if risk > 0 else "no"])
