"""The plugin's hooks; each hands over at once. Nothing heavy is imported before a model test is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels import fixtures, general_fixtures, hooks, options, short_options
from pytest_ibmodels.reports import files, live, outcomes

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
    from pytest_ibmodels import commands

    return commands.publish_only(config)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    options.add_markers(config)
    options.check_settings(config)
    config.pluginmanager.register(fixtures, "ibmodels-fixtures")
    general_fixtures.register(config)
    config.pluginmanager.register(outcomes.Outcomes(config), outcomes.PLUGIN_NAME)
    files.register(config)
    if config.getoption("dist", "no") != "no":
        from pytest_ibmodels import scheduling

        scheduling.configure(config)
    if options.chosen_environments(config):
        from pytest_ibmodels import collection

        collection.check_chosen_environments(config)


# --- collection ---


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not options.is_model_tests_file(parent.config, file_path):
        return None
    from pytest_ibmodels import collection

    if not collection.is_ours(file_path, parent.session):
        return None
    return collection.ModelTestsNode.from_parent(parent, path=file_path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if options.is_active(config) and options.chosen_environments(config):
        from pytest_ibmodels import collection

        collection.deselect_other_environments(config, items)


def pytest_collection_finish(session: pytest.Session) -> None:
    if options.is_active(session.config):
        from pytest_ibmodels import collection

        collection.remember_secrets(session)
        collection.set_backstop(session)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    lines = options.not_ours(config)
    if not options.is_active(config) or not options.journal_file(config).exists():
        return lines
    from pytest_ibmodels import collection, recovery

    return lines + recovery.announcement(config, collection.cases_of(items))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[options.WORKER_INPUT] = options.session_id(node.config)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    outcomes.outcomes_of(session.config).keep_untested_for_last_failed()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    outcomes.hide_secrets(report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    outcomes.hide_in_warning(warning_message)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    outcomes.hide_in_collection(report)
    return report


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    if not options.is_active(item.config):
        return None
    from pytest_ibmodels import deadlines

    return deadlines.set_timer(item, settings)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    if options.is_active(item.config):
        from pytest_ibmodels import deadlines

        deadlines.cancel_timer(item)


# --- reporting: see also outcomes.Outcomes ---


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    return ("", "", "") if isinstance(report, live.ProgressReport) else None


@pytest.hookimpl(tryfirst=True)
def pytest_report_to_serializable(report: pytest.CollectReport | pytest.TestReport) -> dict[str, Any] | None:
    return live.to_serializable(report)


@pytest.hookimpl(tryfirst=True)
def pytest_report_from_serializable(data: dict[str, Any]) -> pytest.TestReport | None:
    return live.from_serializable(data)
