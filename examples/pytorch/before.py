"""Train a small network that tells the state of a machine from its measurements."""

import argparse
import csv

import torch
from torch import nn

COLUMNS = ["temperature", "vibration", "current"]
STATES = ["idle", "running", "broken"]


def network(hidden):
    return nn.Sequential(nn.BatchNorm1d(len(COLUMNS)), nn.Linear(len(COLUMNS), hidden), nn.ReLU(), nn.Linear(hidden, 3))


def inputs(rows):
    return torch.tensor([[float(row[name]) for name in COLUMNS] for row in rows])


def targets(rows):
    return torch.tensor([STATES.index(row["state"]) for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="machines.csv")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.02)
    args = parser.parse_args()
    torch.manual_seed(42)

    with open(args.data, newline="") as file:
        rows = list(csv.DictReader(file))
    train_rows, test_rows = rows[:240], rows[240:]

    model = network(args.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs(train_rows)), targets(train_rows))
        loss.backward()
        optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}")

    model.eval()
    predicted = model(inputs(test_rows)).argmax(1)
    accuracy = (predicted == targets(test_rows)).float().mean()
    print("accuracy:", accuracy.item())
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    main()
