"""The pytest plugin: its mark, options and fixture; everything else is loaded once a test uses them.

Every pytest run of a user imports this file, so it imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reroll.errors import RerollError

if TYPE_CHECKING:
    from reroll.pytest_samples import SampleRecorder

__all__ = ["reroll_sample"]

MARK_HELP = (
    "reroll(target=0.95, unacceptable=0.80, alpha=0.05, budget=120): run this test again and again, until it is shown "
    "to pass more often than `unacceptable` (green) or less often than `target` (red)."
)
SETTINGS = {
    "target": "success rate; a test that is shown to be worse is red (default 0.95)",
    "unacceptable": "success rate; a test that is shown to be better is green (default 0.80)",
    "alpha": "chance that an unacceptable test goes green, and that any healthy test of a run goes red (default 0.05)",
    "budget": "trials of one test (default 120)",
    "yellow": "what a test is that is neither within its budget: xfail, pass or fail (default xfail)",
    "store": "path or URL of the store, or none (default .reroll/store.sqlite in the root folder)",
}
TESTS_HELP = "tests that share alpha, where a suite is split over several runs (default: those that this run collects)"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("reroll", "tests that call a model, run until it is known how reliable they are")
    group.addoption(
        "--reroll",
        action="append",
        default=[],
        dest="reroll_folders",
        metavar="DIR[::CASE]",
        help="run the cases of this reroll project as tests, or one of them; may be repeated",
    )
    for name, about in SETTINGS.items():
        parser.addini(f"reroll_{name}", about, default="")
        group.addoption(f"--reroll-{name}", dest=f"reroll_{name}", default=None, metavar=name.upper(), help=about)
    parser.addini("reroll_tests", TESTS_HELP, default="")
    group.addoption(
        "--reroll-max-usd", dest="reroll_max_usd", default=None, metavar="USD", help="cases: money to spend"
    )
    group.addoption(
        "--reroll-run", dest="reroll_run", default=None, metavar="ID", help="cases: go on with this run's draws"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARK_HELP)
    config.pluginmanager.register(_Results(config), "reroll-results")
    try:
        if config.getoption("reroll_folders", []):
            from reroll.pytest_cases import CaseFolders

            config.pluginmanager.register(CaseFolders(config), "reroll-cases")
        elif config.getoption("numprocesses", None) and any(config.getini(f"reroll_{name}") for name in SETTINGS):
            from reroll.pytest_settings import settings_of

            settings_of(config)  # a worker of xdist that finds them wrong could not say it
    except RerollError as error:
        raise pytest.UsageError(f"reroll: {error} [{error.slug}]") from None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Only now is it known which tests share the alpha of red; every xdist worker collects the same ones."""
    tests = sum(item.get_closest_marker("reroll") is not None for item in session.items)
    if tests and not session.config.getoption("collectonly", False):
        from reroll.pytest_settings import settings_of
        from reroll.pytest_trials import SuiteRun

        try:
            run = SuiteRun(session.config, settings_of(session.config), tests)
        except RerollError as error:
            raise pytest.UsageError(f"reroll: {error} [{error.slug}]") from None
        session.config.pluginmanager.register(run, "reroll-run")


@pytest.fixture
def reroll_sample(request: pytest.FixtureRequest) -> SampleRecorder:
    """Records what a model wrote in this trial: `record(text, prompt=...)`; `fail(why)` and `invalid(why)` end it."""
    from reroll.pytest_samples import recorder_of

    return recorder_of(request.node)


class _Results:
    """Gathers the verdicts of all tests, whichever process ran them, and shows them at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self.found: list[dict[str, Any]] = []
        self.problems: list[str] = []  # of workers
        self.worker = hasattr(config, "workerinput")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        result = getattr(report, "reroll", None)
        if result is not None:
            self.found.append(result)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> Any:
        result = getattr(report, "reroll", None)
        if result is None:
            return None
        from reroll.pytest_summary import status

        return status(result, report.passed)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of xdist has ended."""
        self.problems.append(getattr(node, "workeroutput", {}).get("reroll_problem", ""))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        if self.worker or not self.found:
            return
        from reroll.job_summary import into_summary
        from reroll.pytest_summary import github_table, summarize

        run: Any = config.pluginmanager.get_plugin("reroll-run")
        problems = [*self.problems, run.outcome.get("reroll_problem", "") if run else ""]
        summarize(terminalreporter, self.found, next((problem for problem in problems if problem), ""))
        into_summary(github_table(self.found))
