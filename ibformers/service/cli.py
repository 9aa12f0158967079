"""Command line of the operations: `python -m ibformers.tuning train --path models --model-name reviews …`.

Answers go to standard output as JSON, the log to standard error. Exit codes: 0 done, 1 not done, 2 interrupted, 4 a
wrong option, setting or request.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ibformers.databases.rows import DatabaseRows
from ibformers.databases.url import fill_variables, has_plain_password
from ibformers.errors import RequestRefused, TuningError
from ibformers.service.operations import Tuning, list_models
from ibformers.service.service import choose_batch_sizes, list_arguments, show_tables
from ibformers.tasks.text_classification.prediction import Predictor, as_json
from ibformers.tasks.text_classification.requests import ModelSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

DATABASE_VARIABLE = "IBFORMERS_DATABASE"
"""Environment variable with the database URL, for a URL that holds a password."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(4, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    given = _parser().parse_args(arguments)
    _log_to_stderr(quiet=given.quiet)
    try:
        answer = given.run(given)
    except RequestRefused as error:
        print(error.user_message, file=sys.stderr)
        return 4
    except TuningError as error:
        print(error.user_message, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the model in use is unchanged.", file=sys.stderr)
        return 2
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m ibformers.tuning", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    folder = _Parser(add_help=False)
    folder.add_argument("--path", type=Path, required=True, help="folder of models")
    folder.add_argument("--quiet", action="store_true", help="no log")
    model = _Parser(add_help=False, parents=[folder])
    model.add_argument("--model-name", required=True, help="folder of the model in --path")
    model.add_argument("--num-labels", type=int, help="number of labels")
    model.add_argument("--task", help="task of the transformers pipeline (text-classification)")
    model.add_argument("--base-model", help="folder or hub name that a model without a folder starts from")
    model.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a further setting; VALUE is JSON"
    )
    request = _Parser(add_help=False)
    request.add_argument("--request", required=True, help="the request as JSON, @FILE, or - for standard input")

    train = commands.add_parser(
        "train", parents=[model, request], help="train and evaluate a new model; it waits for an override"
    )
    _add_database(train)
    train.set_defaults(run=_train)
    override = commands.add_parser("override", parents=[model], help="put the new model that waits in use")
    override.add_argument("--force", action="store_true", help="even if it is certainly worse than the model in use")
    override.set_defaults(run=_override)
    rollback = commands.add_parser("rollback", parents=[model], help="put the previous model in use again")
    rollback.set_defaults(run=_rollback)
    discard = commands.add_parser("discard", parents=[model], help="delete the new model that waits")
    discard.set_defaults(run=_discard)
    for command in (override, rollback):
        command.add_argument("--expected-in-use", metavar="VERSION", help="do it only if this version is in use")
    for command in (override, discard):
        command.add_argument("--expected-candidate", metavar="VERSION", help="do it only if this version waits")
    commands.add_parser("show", parents=[model], help="show the versions of a model and their trainings").set_defaults(
        run=_show
    )
    commands.add_parser("predict", parents=[model, request], help="ask the model in use").set_defaults(run=_predict)
    commands.add_parser("models", parents=[folder], help="list the models").set_defaults(run=_models)
    _add_looking_up(commands)
    return parser


def _add_looking_up(commands: argparse._SubParsersAction[_Parser]) -> None:
    """Add the commands that need no models."""
    tables = commands.add_parser("tables", help="list the tables of a database, or the columns of one of them")
    _add_database(tables)
    tables.add_argument("--table", help="table or view whose columns are listed")
    tables.set_defaults(run=_tables, quiet=True)
    arguments = commands.add_parser("arguments", help="list the arguments that a train request may have")
    arguments.set_defaults(run=lambda _: list_arguments(), quiet=True)
    sizes = commands.add_parser("batch-sizes", help="show the batch sizes that a training chooses by itself")
    sizes.add_argument("--rows", type=int, required=True, help="number of rows that are read")
    sizes.add_argument("--p-of-train", type=float, default=0.8, help="mean share of the rows that train (0.8)")
    sizes.set_defaults(run=_batch_sizes, quiet=True)


def _add_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        default=f"${{{DATABASE_VARIABLE}}}",
        help=f"URL of SQLAlchemy; ${{VARIABLE}} is replaced (default: ${{{DATABASE_VARIABLE}}})",
    )


def _train(given: argparse.Namespace) -> Any:
    settings, request = _settings(given), _request(given.request)
    answer = Tuning(settings, DatabaseRows(_database(given.database))).train(request)
    return answer.model_dump(mode="json", exclude={"predictions"})


def _override(given: argparse.Namespace) -> Any:
    request = {"force": given.force, **_expected(given, "expected_in_use", "expected_candidate")}
    return _tuning(given).override(request).model_dump(mode="json")


def _rollback(given: argparse.Namespace) -> Any:
    return _tuning(given).rollback(_expected(given, "expected_in_use")).model_dump(mode="json")


def _discard(given: argparse.Namespace) -> Any:
    return _tuning(given).discard(_expected(given, "expected_candidate")).model_dump(mode="json")


def _expected(given: argparse.Namespace, *names: str) -> dict[str, str]:
    return {name: getattr(given, name) for name in names if getattr(given, name) is not None}


def _show(given: argparse.Namespace) -> Any:
    return _tuning(given).show().model_dump(mode="json")


def _tables(given: argparse.Namespace) -> Any:
    return show_tables({"database": _database(given.database), "table": given.table})


def _batch_sizes(given: argparse.Namespace) -> Any:
    return choose_batch_sizes({"rows": given.rows, "p_of_train": given.p_of_train})


def _predict(given: argparse.Namespace) -> Any:
    return as_json(Predictor(_settings(given)).predict(_request(given.request)))


def _models(given: argparse.Namespace) -> Any:
    return [answer.model_dump(mode="json") for answer in list_models(given.path)]


def _tuning(given: argparse.Namespace) -> Tuning:
    return Tuning(_settings(given), DatabaseRows("sqlite://"))


def _settings(given: argparse.Namespace) -> ModelSettings:
    values = {name: getattr(given, name) for name in ModelSettings.model_fields}
    settings = {name: value for name, value in values.items() if value is not None}
    for pair in given.set:
        name, equals, value = pair.partition("=")
        if not equals:
            raise RequestRefused(f"--set {pair}: must be NAME=VALUE.")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    return ModelSettings.of(settings)


def _request(given: str) -> Any:
    text = given
    if given == "-":
        text = sys.stdin.read()
    elif given.startswith("@"):
        try:
            text = Path(given[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise RequestRefused(f"--request {given}: {error.strerror}.") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise RequestRefused(f"--request is not JSON: {error}.") from None


def _database(url: str) -> str:
    if has_plain_password(url):
        raise RequestRefused(
            "--database holds a password, which everybody on this machine can see there: put the URL into a variable "
            f"and leave --database out ({DATABASE_VARIABLE}), or write ${{VARIABLE}} for the password.",
            "database",
        )
    return fill_variables(url, os.environ)


def _log_to_stderr(*, quiet: bool) -> None:
    package = logging.getLogger("ibformers")
    package.setLevel(logging.WARNING if quiet else logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    package.addHandler(handler)
