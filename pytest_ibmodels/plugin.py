"""pytest's entry point: each hook calls a module that does the work, imported once a model test needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels import hooks
from pytest_ibmodels.pytest import (
    fixtures,
    github_annotations,
    history_access,
    history_writer,
    mlflow_writer,
    options,
    progress,
    report_files,
    reporting,
    short_options,
)

if TYPE_CHECKING:
    import warnings
    from collections.abc import Generator
    from pathlib import Path


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    options.add_options(parser)
    short_options.register(parser, pluginmanager)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    if not options.replaces_the_run(config):
        return None
    from pytest_ibmodels.cli import commands
    from pytest_ibmodels.spec.project import project_of

    project = project_of(config)
    return commands.publish(
        project.environments,
        options.chosen_environments(config),
        project.package,
        dry_run=config.getoption("ibmodels_dry_run"),
        journal_file=project.journal,
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    options.add_markers(config)
    options.check_settings(config)
    config.pluginmanager.register(fixtures, "ibmodels-fixtures")
    fixtures.register_common(config)
    config.pluginmanager.register(reporting.Outcomes(config), reporting.PLUGIN_NAME)
    report_files.register(config)
    history_access.register(config)
    history_writer.register(config)
    github_annotations.register(config)
    mlflow_writer.register(config)
    if config.getoption("dist", "no") != "no":
        from pytest_ibmodels.pytest import xdist

        xdist.configure(config)
    if options.chosen_environments(config):
        from pytest_ibmodels.pytest import collection

        collection.check_chosen_environments(config)


# --- collection ---


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not options.is_model_tests_file(parent.config, file_path):
        return None
    from pytest_ibmodels.pytest import collection

    return collection.collect_file(file_path, parent)


def pytest_collectstart(collector: pytest.Collector) -> None:
    if options.is_active(collector.config):
        from pytest_ibmodels.pytest import collection

        collection.start_file(collector)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if options.is_active(config) and options.chosen_environments(config):
        from pytest_ibmodels.pytest import collection

        collection.deselect_other_environments(config, items)


def pytest_collection_finish(session: pytest.Session) -> None:
    if options.is_active(session.config):
        from pytest_ibmodels.pytest import collection

        collection.remember_secrets(session)
        collection.set_backstop(session)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    lines = options.not_ours(config)
    if not options.is_active(config):
        return lines
    from pytest_ibmodels.spec.project import journal_file

    if not journal_file(config).exists():
        return lines
    from pytest_ibmodels.pytest import collection, leftovers

    return lines + leftovers.announcement(config, collection.cases_of(items))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[options.WORKER_INPUT] = options.session_id(node.config)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporting.outcomes_of(session.config).keep_untested_for_last_failed()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    reporting.hide_secrets(report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    reporting.hide_in_warning(warning_message)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    reporting.hide_in_collection(report)
    return report


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    if not options.is_active(item.config):
        return None
    from pytest_ibmodels.pytest import timeouts

    return timeouts.set_timer(item, settings)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    if options.is_active(item.config):
        from pytest_ibmodels.pytest import timeouts

        timeouts.cancel_timer(item)


# --- reporting; more hooks are in reporting.Outcomes ---


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    return ("", "", "") if isinstance(report, progress.ProgressReport) else None


@pytest.hookimpl(tryfirst=True)
def pytest_report_to_serializable(report: pytest.CollectReport | pytest.TestReport) -> dict[str, Any] | None:
    return progress.to_serializable(report)


@pytest.hookimpl(tryfirst=True)
def pytest_report_from_serializable(data: dict[str, Any]) -> pytest.TestReport | None:
    return progress.from_serializable(data)
