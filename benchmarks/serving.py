"""Serving real receipts from the sandbox: one at a time, as a list, in a new process, and while another training runs.

    python benchmarks/serving.py [--data FOLDER] [--epochs 1] [--rounds 2]

Prints documents a second beside those of a bare PyTorch loop over the same model, the median and the 90th percentile of
one call, and how many documents were served with the words, texts and scores that training wrote. Loop, single calls
and list take turns, so a busy machine slows all of them. The quality of the model does not matter here, so one epoch is
enough.
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

from ibformers.registry.model_package import module_name
from ibformers.trainer.threads import let_waiting_threads_sleep
from pytest_ibmodels.engine.polling import Limits
from pytest_ibmodels.engine.routes.annotator import AnnotatorRoute
from pytest_ibmodels.engine.session import EnvironmentSession
from pytest_ibmodels.instabase.clock import SystemClock
from pytest_ibmodels.instabase.wire import MODEL_RESULT_LABEL, RefinerResult
from pytest_ibmodels.packaging import build_package
from pytest_ibmodels.spec import ModelTest, load_environments

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_ibmodels.engine.routes.base import RunContext

ROUTE = AnnotatorRoute()

Fields = dict[str, list[list[Any]]]
"""Field → text and score of each word."""


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

    def ask(self, document: str) -> Fields:
        body = {"model_name": self._model_name, "input_path": document}
        start = time.perf_counter()
        answer = self._client.post("/api/v1/model-service/run", json=body).json()
        self.seconds.append(time.perf_counter() - start)
        fields: Fields = {}
        for entity in sorted(answer["ner_result"]["entities"], key=lambda entity: int(entity["start_index"])):
            fields.setdefault(entity["label"], []).append([entity["content"], entity["score"]])
        return fields

    def unload(self) -> None:
        self._client.post("/api/v1/model-service/unload_model", json={"model_name": self._model_name})

    def print_times(self, title: str) -> None:
        tenths = statistics.quantiles(self.seconds, n=10)
        rate = len(self.seconds) / sum(self.seconds)
        print(f"{title}: {rate:.1f} documents/s, median {tenths[4] * 1000:.0f} ms, p90 {tenths[8] * 1000:.0f} ms")


def trained_fields(prediction: dict[str, Any]) -> Fields:
    """Return the fields of a document in `predictions.json` that have words."""
    return {
        field: [[word["raw_word"], word["conf"]] for word in value["words"]]
        for field, value in prediction.items()
        if value["words"] and value["text"] == " ".join(word["raw_word"] for word in value["words"])
    }


async def ask_list(context: RunContext, test: ModelTest, documents: list[str]) -> tuple[float, dict[str, Fields]]:
    """Run the Refiner on all documents; return the seconds, and the fields of each."""
    start = time.perf_counter()
    job_id = await ROUTE.start_inference(context, test, documents)
    while not (status := await context.client.jobs.status(job_id, kind="async")).is_over:
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - start
    records = RefinerResult.model_validate(status.first_result).results_by_record
    found = {}
    for key, record in records.items():
        phrase = next(phrase for phrase in record.refined_phrases if phrase.label == MODEL_RESULT_LABEL)
        found[key.removesuffix("-0")] = json.loads(phrase.word or "{}")
    return seconds, found


async def bare_loop(context: RunContext, model_folder: str, documents: list[str]) -> Callable[[], float]:
    """Return a function that runs the model on the encoded documents, and returns the seconds of this."""
    # As the model's process in the sandbox: waiting threads that spin would slow the loop on a busy machine.
    let_waiting_threads_sleep()
    import torch

    from ibformers.documents.ocr import parse_document
    from ibformers.tasks.extraction.features import on_grid
    from ibformers.tasks.extraction.model import ExtractionModel
    from ibformers.trainer.hardware import prediction_threads

    with tempfile.TemporaryDirectory() as name:
        for file in ("config.json", "model.safetensors", "pipeline.json", "tokenizer.json"):
            Path(name, file).write_bytes(await context.client.drive.read(f"{model_folder}/{file}"))
        predictor = ExtractionModel.load(Path(name)).predictor
    inputs = []
    for document in documents:
        parsed = parse_document(await context.client.drive.read(document), document)
        for chunk in predictor.encoder.encode(parsed):
            tokens = torch.from_numpy(chunk.input_ids)[None]
            boxes = torch.from_numpy(on_grid(chunk.boxes, predictor.encoder.settings.box_grid))[None]
            inputs.append({"input_ids": tokens, "bbox": boxes, "attention_mask": torch.ones_like(tokens)})

    def run() -> float:
        start = time.perf_counter()
        with prediction_threads(), torch.inference_mode():
            for each in inputs:
                predictor.model(**each)
        return time.perf_counter() - start

    return run


async def measure(context: RunContext, test: ModelTest, rounds: int) -> None:
    await finished(context, await ROUTE.start_training(context, test))
    name = f"{test.name}_{context.suffix}"
    save_path = f"{context.folder}/save_location/{name}"
    predictions: dict[str, Any] = json.loads(await context.client.drive.read(f"{save_path}/predictions.json"))
    documents = list(predictions)
    trained = {document: trained_fields(prediction) for document, prediction in predictions.items()}

    def print_equal(title: str, found: dict[str, Fields]) -> None:
        same = sum(found[document] == trained[document] for document in documents)
        print(f"{title}: {same} of {len(documents)} documents with the words, texts and scores of training")

    await ask_list(context, test, documents[:1])  # registers the model, and loads it
    loop = await bare_loop(context, f"{save_path}/saved_model/src/py/{module_name(name)}/model_data", documents)
    served = Served(context, name)
    served.ask(documents[0])
    served.seconds.clear()
    loops, lists = [], []
    for _round in range(rounds):
        loops.append(loop())
        alone = {document: served.ask(document) for document in documents}
        seconds, listed = await ask_list(context, test, documents)
        lists.append(seconds)
    count = rounds * len(documents)
    print(f"a bare PyTorch loop: {count / sum(loops):.1f} documents/s")
    served.print_times("alone")
    print(f"alone / bare: {sum(loops) / sum(served.seconds):.2f}")
    print(f"as a list: {count / sum(lists):.1f} documents/s, {sum(served.seconds) / sum(lists):.2f} times as many")
    served.unload()
    print_equal("alone", alone)
    print_equal("in a list", listed)
    print_equal("in a new process", {document: served.ask(document) for document in documents})
    other = replace(test, name="Other", config={**test.config, "epochs": 20})
    job_id = await ROUTE.start_training(context, other)
    await begun(context, job_id)
    served.seconds.clear()
    for document in documents:
        served.ask(document)
    served.print_times("while a job trains")
    await context.client.jobs.cancel(job_id)
    print(
        "goals: alone 13 documents/s, or what the bare loop gives if that is less; a list 1.6 times as many; p90 under "
        "200 ms while a job trains; all documents equal"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
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
            await measure(await session.run_context(build_package(ROOT / "ibformers")), test, arguments.rounds)
        finally:
            await session.close()


if __name__ == "__main__":
    asyncio.run(main())
