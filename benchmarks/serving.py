"""Serving real receipts one at a time, from the sandbox, after a training and while another one runs.

    python benchmarks/serving.py [--data FOLDER] [--epochs 1]

Prints documents a second, the median and the 90th percentile of one call, and how many documents were served with the
words and texts that training wrote. The quality of the model does not matter here, so one epoch is enough.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml
from receipts import DRIVE_FOLDER, ROOT, receipts_folder

from pytest_ibmodels.engine.polling import Limits
from pytest_ibmodels.engine.routes.annotator import AnnotatorRoute
from pytest_ibmodels.engine.session import EnvironmentSession
from pytest_ibmodels.instabase.clock import SystemClock
from pytest_ibmodels.packaging import build_package
from pytest_ibmodels.spec import ModelTest, load_environments

if TYPE_CHECKING:
    from pytest_ibmodels.engine.routes.base import RunContext

ROUTE = AnnotatorRoute()


async def finished(context: RunContext, job_id: str) -> None:
    while not (state := await ROUTE.poll(context, job_id)).finished:
        await asyncio.sleep(0.5)
    if state.error:
        raise SystemExit(state.error)


async def begun(context: RunContext, job_id: str) -> None:
    while not (await ROUTE.poll(context, job_id)).fraction:
        await asyncio.sleep(0.2)


class Served:
    """Asks for one document after the other, over one connection, and keeps answers and seconds."""

    def __init__(self, context: RunContext, model_name: str) -> None:
        transport = context.client.transport
        token = transport._token.get_secret_value()  # noqa: SLF001 - who measures stands in for the client
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=transport.host, headers=headers, timeout=60)
        self._model_name = model_name
        self.seconds: list[float] = []
        self.entities: dict[str, list[dict[str, Any]]] = {}

    def ask(self, document: str) -> None:
        body = {"model_name": self._model_name, "input_path": document}
        start = time.perf_counter()
        answer = self._client.post("/api/v1/model-service/run", json=body).json()
        self.seconds.append(time.perf_counter() - start)
        self.entities[document] = answer["ner_result"]["entities"]

    def print_times(self, title: str) -> None:
        tenths = statistics.quantiles(self.seconds, n=10)
        rate = len(self.seconds) / sum(self.seconds)
        print(f"{title}: {rate:.1f} documents/s, median {tenths[4] * 1000:.0f} ms, p90 {tenths[8] * 1000:.0f} ms")


def equal(prediction: dict[str, Any], entities: list[dict[str, Any]]) -> bool:
    """Whether words and text of every field are those of training."""
    words: dict[str, list[str]] = {}
    for entity in sorted(entities, key=lambda entity: int(entity["start_index"])):
        words.setdefault(entity["label"], []).append(entity["content"])
    return all(
        words.get(field, []) == [word["raw_word"] for word in value["words"]]
        and " ".join(words.get(field, [])) == value["text"]
        for field, value in prediction.items()
    )


async def measure(context: RunContext, test: ModelTest) -> None:
    await finished(context, await ROUTE.start_training(context, test))
    save_path = f"{context.folder}/save_location/{test.name}_{context.suffix}"
    predictions: dict[str, Any] = json.loads(await context.client.drive.read(f"{save_path}/predictions.json"))
    documents = list(predictions)
    await ROUTE.start_inference(context, test, documents[:1])  # registers the model, and loads it
    served = Served(context, f"{test.name}_{context.suffix}")
    served.ask(documents[0])
    served.seconds.clear()
    for document in documents:
        served.ask(document)
    served.print_times("alone")
    same = sum(equal(predictions[document], served.entities[document]) for document in documents)
    print(f"{same} of {len(documents)} documents served with the words and texts of training")
    other = replace(test, name="Other", config={**test.config, "epochs": 20})
    job_id = await ROUTE.start_training(context, other)
    await begun(context, job_id)
    served.seconds.clear()
    for document in documents:
        served.ask(document)
    served.print_times("while a job trains")
    await context.client.jobs.cancel(job_id)
    print("goals: at least 10 documents/s alone, p90 under 200 ms while a job trains, all documents equal")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    arguments = parser.parse_args()
    mounts = {DRIVE_FOLDER: str(receipts_folder(arguments.data).resolve())}
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "environments.yaml")
        file.write_text(yaml.safe_dump({"sandbox": {"host": "sandbox", "mounts": mounts}}))
        session = EnvironmentSession(load_environments(file).environments["sandbox"], Limits(), SystemClock())
        test = ModelTest(
            name="Receipts",
            line=1,
            env=("sandbox",),
            ibannotator=f"{DRIVE_FOLDER}/Receipts.ibannotator",
            time_limit=1200,
            config={"batch_size": 8, "epochs": arguments.epochs},
        )
        try:
            await measure(await session.run_context(build_package(ROOT / "ibformers")), test)
        finally:
            await session.close()


if __name__ == "__main__":
    asyncio.run(main())
