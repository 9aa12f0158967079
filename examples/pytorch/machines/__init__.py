"""Train a small network that tells the state of a machine from its measurements."""

import torch
from torch import nn

from ibformers.sdk import Job, Result, trainer

COLUMNS = ["temperature", "vibration", "current"]
STATES = ["idle", "running", "broken"]
HIDDEN = 16


def network(hidden):
    return nn.Sequential(nn.BatchNorm1d(len(COLUMNS)), nn.Linear(len(COLUMNS), hidden), nn.ReLU(), nn.Linear(hidden, 3))


def inputs(rows):
    return torch.tensor([[float(row[name]) for name in COLUMNS] for row in rows])


def targets(rows):
    return torch.tensor([STATES.index(row["state"]) for row in rows])


@trainer
def train(job: Job) -> Result:
    torch.manual_seed(job.seed)

    train_rows, test_rows = job.split(job.read_table())

    model = network(HIDDEN)
    optimizer = torch.optim.Adam(model.parameters(), lr=job.config["lr"])
    for epoch in range(job.config["epochs"]):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs(train_rows)), targets(train_rows))
        loss.backward()
        optimizer.step()
        job.log(step=epoch + 1, of=job.config["epochs"], loss=loss)

    model.eval()
    predicted = model(inputs(test_rows)).argmax(1)
    accuracy = (predicted == targets(test_rows)).float().mean()
    found = [
        {"input": {name: row[name] for name in COLUMNS}, "predicted": STATES[one], "expected": row["state"]}
        for row, one in zip(test_rows, predicted)
    ]
    return Result({"accuracy": accuracy}, found, lambda folder: torch.save(model.state_dict(), folder / "model.pt"))


def load(folder):
    model = network(HIDDEN).eval()
    model.load_state_dict(torch.load(folder / "model.pt"))
    return lambda row: STATES[model(inputs([row])).argmax()]
