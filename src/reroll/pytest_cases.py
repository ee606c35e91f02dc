"""The cases of a project as tests: `pytest --reroll DIR` draws each from the project's own model into its store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reroll.case import Case
from reroll.errors import RerollError, UsageError
from reroll.evidence import Evidence
from reroll.job_summary import one_line
from reroll.models.stepped import around, calls_at_most
from reroll.opening import checker_of, judges_of, model_of
from reroll.options import can_be_capped, can_be_measured, whole_calls
from reroll.project import Project, load_project
from reroll.purse import Purse
from reroll.pytest_results import RESULT, Result, conclude, result_of
from reroll.pytest_settings import RunSettings, rule_of, settings_of
from reroll.pytest_store import opened
from reroll.runner import draw_more
from reroll.runs import Runs
from reroll.session import Options, Session, Slots, Spent, checks_of, judged, slots, too_dear
from reroll.store import Store
from reroll.suite_gate import RULE, Gate, first_shown, gate, soonest, spoilt

__all__ = ["CaseFolders", "CaseItem", "ProjectFolder"]


class CaseFolders:
    """The plugin that is there where `--reroll DIR` was given: such a folder's cases are its tests."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings = settings_of(config)
        self.chosen: dict[Path, list[str]] = {}  # the cases of each folder; empty: all
        for told in config.getoption("reroll_folders"):
            name, _, case = str(told).partition("::")
            folder = (config.invocation_params.dir / name).resolve()
            if not (folder / "program.yaml").is_file():
                load_project(folder)  # says what is missing
            self.chosen.setdefault(folder, []).extend([case] if case else [])
        _add_to_arguments(config, self.chosen)

    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if path.resolve() not in self.chosen:
            return None
        folder: ProjectFolder = ProjectFolder.from_parent(parent, path=path)
        folder.settings, folder.chosen = self.settings, self.chosen[path.resolve()]
        return folder


def _add_to_arguments(config: pytest.Config, folders: Iterable[Path]) -> None:
    """As if the folders had been named on the command line, where only they are asked for, or beside what is named."""
    named = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    config.args = [*named, *map(str, folders)]


class ProjectFolder(pytest.Directory):
    """A project's folder: its cases, and whatever tests lie beside them."""

    settings: RunSettings
    chosen: list[str]
    bench: Bench | None = None

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        try:
            project = load_project(self.path)
            can_be_measured(project.program, project.path)
            for name in self.chosen:
                project.case(name)
        except RerollError as error:
            raise self.CollectError(f"reroll: {error} [{error.slug}]") from None
        cases = [case for case in project.cases if case.checks and (not self.chosen or case.id in self.chosen)]
        if not cases:
            file = self.path / "cases.yaml"
            raise self.CollectError(f"reroll: {file}: no case has checks, so there is nothing to test [no-case]")
        for case in cases:
            item: CaseItem = CaseItem.from_parent(self, name=case.id)
            item.project, item.case = project, case
            item.extra_keyword_matches.add(case.set)
            rates = {} if project.program.target is None else {"target": project.program.target}
            item.add_marker(pytest.mark.reroll(**rates))
            yield item
        yield from pytest.Dir.from_parent(self, path=self.path).collect()

    def teardown(self) -> None:
        if self.bench is not None:
            self.bench.close()
            self.bench = None


class CaseItem(pytest.Item):
    """One case, drawn until its gate knows."""

    measures_itself = True
    project: Project
    case: Case

    @property
    def folder(self) -> ProjectFolder:
        assert isinstance(self.parent, ProjectFolder)
        return self.parent

    def runtest(self) -> None:
        mark, settings = self.get_closest_marker("reroll"), self.folder.settings
        assert mark is not None
        if self.case.asks_a_person:
            pytest.skip("a person judges this case, and pytest asks nobody")
        run: Any = self.config.pluginmanager.get_plugin("reroll-run")
        bounds = gate(rule_of(mark, settings.rule), run.tests)
        if self.folder.bench is None:
            self.folder.bench = Bench(self.project, settings)
        result = self.folder.bench.measure(self.nodeid, self.case, bounds)
        self.stash[RESULT] = result
        self.user_properties += [(f"reroll_{name}", value) for name, value in result.items() if value not in (None, "")]
        conclude(result, settings.yellow, one_line(result["reason"]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        error = excinfo.value
        if isinstance(error, RerollError):
            return f"reroll: {error} [{error.slug}]"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.folder.path / "cases.yaml", None, f"case {self.case.id}"


class Bench:
    """A project's model, checks and store, open for as long as its cases run."""

    def __init__(self, project: Project, settings: RunSettings) -> None:
        self.settings, self.project = settings, project
        self._open_now = contextlib.ExitStack()
        try:
            self._runner = self._open_now.enter_context(asyncio.Runner(loop_factory=_loop_factory()))
            self.session = self._session()
        except BaseException:
            self._open_now.close()
            raise

    def close(self) -> None:
        self._open_now.close()

    def measure(self, nodeid: str, case: Case, bounds: Gate) -> Result:
        """What the draws of this run show about a case; every draw and the verdict are stored."""
        return self._runner.run(_measured(self.session, nodeid, case, bounds, self.settings.run))

    def _session(self) -> Session:
        project, program = self.project, self.project.program
        options = Options(budget=self.settings.rule.budget, max_usd=self.settings.max_usd, method="sampling")
        store = opened(self.settings, project.path) or Store.open(":memory:")
        self._open_now.callback(store.close)
        bare = model_of(program.model, program.base_url, project.path)
        self._open_now.callback(lambda: self._runner.run(bare.close()))
        can_be_capped(bare, options)
        whole_calls(bare, program, options)
        judges = self._open_now.enter_context(judges_of(store, project, options))
        checker = self._open_now.enter_context(checker_of(project, judges))
        model = around(bare, program, checker)
        self._runner.run(model.check())
        purse = None if options.max_usd is None else Purse(store, options.max_usd, most_calls=calls_at_most(model))
        spent = judges.spent = Spent(purse=purse)
        return Session(project, store, model, checker, options, spent=spent)


def _loop_factory() -> Any:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None


async def _measured(session: Session, nodeid: str, case: Case, bounds: Gate, run: str) -> Result:
    """Draws until something is shown, the trials are spoilt, or the budget or the money is spent."""
    session.project.program.render(case.input, case.history)
    session.store.put_program(session.project.program)
    session.store.put_case(case)
    at = slots(session, case, series=f"pytest {run} {case.id}")
    runs = judged(session, at)
    session.spent.reused += len(runs)
    stopped = ""
    while (wanted := _wanted(session, bounds, runs)) > 0:
        if too_dear(session):
            stopped = f"the spending cap of ${session.options.max_usd:g} was reached"
            break
        await draw_more(session, [at], wanted)
        runs = judged(session, at, runs)
        if session.exhausted:
            stopped = "the recording has no more completions"
            session.exhausted = None
            break
    if not len(runs):
        raise UsageError(f"case `{case.id}` has no run: {stopped or 'nothing came back'}", slug="pytest")
    result = result_of(nodeid, bounds, runs.words(), run, _why(runs))
    result["stopped"] = stopped
    _keep(session, at, runs, result)
    return result


def _wanted(session: Session, bounds: Gate, runs: Runs) -> int:
    """How many draws to start now; no more than could be needed, so that none is wasted."""
    outcomes = runs.words()
    if first_shown(bounds, outcomes) or spoilt(outcomes):
        return 0
    width = session.options.concurrency or session.model.concurrency
    return min(soonest(bounds, Evidence.of(outcomes)), max(1, width), bounds.rule.budget - len(outcomes))


def _why(runs: Runs) -> str:
    """What the last run that did not pass had wrong."""
    words = runs.words()
    last = next((k for k in range(len(words) - 1, -1, -1) if words[k] != "pass"), None)
    return "" if last is None else " ".join(runs[last].outcome.reason.split())[:300]


def _keep(session: Session, at: Slots, runs: Runs, result: Result) -> None:
    session.store.add_decision(
        rule=RULE,
        question="test",
        verdict=result["shade"],
        evidence=dict(result),
        seqs=runs.seqs,
        checks_ids=checks_of(session, at),
        alpha=result["alpha"],
        target=result["target"],
        horizon=result["budget"],
        stop_reason=result["stopped"] or result["reason"] or result["shade"],
        program_id=session.project.program.id,
        case_id=at.case.id,
    )
