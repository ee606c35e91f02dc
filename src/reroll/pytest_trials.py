"""Runs each marked test again and again, fixtures anew each time, until its gate knows."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import pytest
from _pytest.assertion.rewrite import AssertionRewritingHook
from _pytest.runner import call_and_report

from reroll.errors import RerollError, UsageError
from reroll.match import excerpt
from reroll.pytest_results import RESULT, conclude, result_of
from reroll.pytest_samples import RECORDER, ModelFailed, SampleRecorder, SaysNothing, without_keys
from reroll.pytest_settings import RunSettings, rule_of
from reroll.pytest_store import Trial, TrialStore
from reroll.suite_gate import Gate, first_shown, gate, spoilt

__all__ = ["MARK", "SuiteRun", "refusal"]

MARK = "reroll"
QUICK = 0.001  # seconds: no call of a model is over sooner
LONG = 40  # characters: shorter answers may well be the same each time
Phase = Literal["setup", "call", "teardown"]


@dataclass(slots=True)
class Trials:
    """The trials of one test so far."""

    bounds: Gate
    done: list[Trial] = field(default_factory=list)
    seconds: float = 0.0  # in the test's own function
    quickest: float = math.inf  # of its trials
    last_failure: str = ""
    sections: list[tuple[str, str, str]] = field(default_factory=list)  # what was captured beside it
    broken: str = ""

    @property
    def outcomes(self) -> list[str]:
        return [trial.outcome for trial in self.done]

    @property
    def over(self) -> bool:
        """Whether no further trial is needed."""
        outcomes = self.outcomes
        return (
            bool(self.broken)
            or first_shown(self.bounds, outcomes) is not None
            or spoilt(outcomes) is not None
            or len(outcomes) >= self.bounds.rule.budget
        )


class SuiteRun:
    """The plugin that is there once a run has marked tests: `tests` of them share the alpha of red."""

    def __init__(self, config: pytest.Config, settings: RunSettings, tests: int) -> None:
        self.config, self.settings = config, settings
        self.tests = max(tests, settings.tests or 0)
        self.store = TrialStore(settings, config.rootpath)
        self.outcome: dict[str, str] = {}  # of a run without workers

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        mark = item.get_closest_marker(MARK)
        only_shown = self.config.getoption("setuponly", False) or self.config.getoption("setupplan", False)
        if mark is None or only_shown or getattr(item, "measures_itself", False):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        try:
            if why := refusal(item):
                raise UsageError(why, slug="pytest")
            bounds = gate(rule_of(mark, self.settings.rule), self.tests)
        except RerollError as error:
            _refused(item, nextitem, f"reroll: {error} [{error.slug}]")
        else:
            assert isinstance(item, pytest.Function)
            self._run(item, nextitem, Trials(bounds))
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        result = item.stash.get(RESULT, None)
        if result is not None and call.when == "call":
            vars(report)["reroll"] = result  # plain values: xdist carries them
        return report

    def pytest_sessionfinish(self) -> None:
        self.store.close()
        getattr(self.config, "workeroutput", self.outcome)["reroll_problem"] = self.store.problem

    def _run(self, item: pytest.Function, nextitem: pytest.Item | None, trials: Trials) -> None:
        own, started = list(item.user_properties), time.time()
        beside = copy.copy(item)  # stands for a next item of the same class and module: only this one is taken down
        while True:
            item.stash[RECORDER] = SampleRecorder(len(trials.done) + 1)
            _anew(item, own)
            setup, report = _phase(item, "setup")
            if not trials.done and not _logged(item, report):
                break
            call = None
            if setup.excinfo is None:
                call, report = _phase(item, "call")
                if not trials.done and _left_out(call.excinfo):
                    _logged(item, report)
                    break
            self._count(item, trials, setup, call, report)
            if trials.over:
                self._conclude(item, trials, started)
                break
            teardown, _ = _phase(item, "teardown", nextitem=beside)
            if teardown.excinfo is not None:
                trials.broken = f"the teardown of trial {len(trials.done)} failed: {_words(teardown.excinfo.value)}"
                self._conclude(item, trials, started)
                break
        stopping = item.session.shouldfail or item.session.shouldstop
        if trials.broken:
            _take_down_to(item, None if stopping else nextitem)
        else:
            call_and_report(item, "teardown", nextitem=None if stopping else nextitem)
        del item.stash[RECORDER]
        item._request = False  # type: ignore[assignment]
        item.funcargs = None  # type: ignore[assignment]

    def _count(
        self,
        item: pytest.Function,
        trials: Trials,
        setup: pytest.CallInfo[None],
        call: pytest.CallInfo[None] | None,
        report: pytest.TestReport,
    ) -> None:
        """One more trial, stored where the test recorded what a model wrote."""
        trial = _judged(item, setup.excinfo if call is None else call.excinfo, in_fixture=call is None)
        trials.done.append(trial)
        if call is not None:
            trials.seconds += call.duration
            trials.quickest = min(trials.quickest, call.duration)
        self.store.keep(item.nodeid, len(trials.done) - 1, trial)
        if trial.outcome != "pass":
            trials.last_failure = without_keys(report.longreprtext)
            trials.sections = list(item._report_sections)

    def _conclude(self, item: pytest.Function, trials: Trials, started: float) -> None:
        """Reports what the trials come to, as the one call of this test."""
        why = trials.broken or _why(trials)
        result = result_of(item.nodeid, trials.bounds, trials.outcomes, self.settings.run, why, bool(trials.broken))
        self.store.decide(item.nodeid, trials.done, result)
        result["note"] = _note(item, trials)
        item._report_sections[:] = trials.sections
        item.stash[RESULT] = result
        item.user_properties += [(f"reroll_{name}", value) for name, value in result.items() if value not in (None, "")]
        details = "" if result["shade"] == "green" else trials.last_failure
        call = pytest.CallInfo.from_call(lambda: conclude(result, self.settings.yellow, details), "call")
        call.start, call.duration = started, trials.seconds
        _logged(item, _reported(item, call))


def refusal(item: pytest.Item) -> str:
    """Why this item cannot be run again and again; empty where it can."""
    import unittest

    if not isinstance(item, pytest.Function):
        return f"the mark is for test functions, and {item.nodeid} is a {type(item).__name__}"
    if item.cls is not None and issubclass(item.cls, unittest.TestCase):
        return (
            f"{item.nodeid} is a method of a unittest.TestCase, which cannot be set up anew for every trial; "
            "write it as a plain function or class"
        )
    if "subtests" in item.fixturenames:
        return f"{item.nodeid} asks for subtests, each of which would be reported at every trial; use parametrize"
    return ""


def _refused(item: pytest.Item, nextitem: pytest.Item | None, words: str) -> None:
    """An error where the test would be set up; nothing of it runs."""
    call = pytest.CallInfo.from_call(lambda: pytest.fail(words, pytrace=False), "setup")
    _logged(item, _reported(item, call))
    _take_down_to(item, nextitem)


def _take_down_to(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Take down what the next item does not need, where this one is not set up itself."""
    take_down = item.session._setupstate.teardown_exact
    _logged(item, _reported(item, pytest.CallInfo.from_call(lambda: take_down(nextitem), "teardown")))


def _anew(item: pytest.Function, own: list[tuple[str, object]]) -> None:
    """As if the test had never run: fixtures, the instance of its class, what was captured and recorded."""
    item._initrequest()
    if isinstance(item.parent, pytest.Class):
        for name in ("_obj", "_instance"):
            item.__dict__.pop(name, None)
    item._report_sections.clear()
    item.user_properties[:] = own


def _phase(item: pytest.Item, when: Phase, **besides: Any) -> tuple[pytest.CallInfo[None], pytest.TestReport]:
    """What came of it, and the report that nobody sees: fixtures and plugins want to hear how each phase went."""
    hook = getattr(item.ihook, f"pytest_runtest_{when}")
    stops: tuple[type[BaseException], ...] = (pytest.exit.Exception,)
    if not item.config.getoption("usepdb", False):
        stops += (KeyboardInterrupt,)
    call = pytest.CallInfo.from_call(lambda: hook(item=item, **besides), when, reraise=stops)
    return call, _reported(item, call)


def _reported(item: pytest.Item, call: pytest.CallInfo[Any]) -> pytest.TestReport:
    report: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return report


def _logged(item: pytest.Item, report: pytest.TestReport) -> bool:
    """Whether it passed, once everybody has seen it."""
    item.ihook.pytest_runtest_logreport(report=report)
    return bool(report.passed)


def _left_out(excinfo: pytest.ExceptionInfo[BaseException] | None) -> bool:
    """Whether the test said of itself that it does not apply."""
    return excinfo is not None and isinstance(excinfo.value, pytest.skip.Exception | pytest.xfail.Exception)


# -- what a trial says


def _judged(item: pytest.Function, excinfo: pytest.ExceptionInfo[BaseException] | None, in_fixture: bool) -> Trial:
    """Pass, a failure of the model, or a trial that says nothing about it, with the reason."""
    recorded = tuple(item.stash[RECORDER].recorded)
    error = excinfo.value if excinfo else None
    if error is not None and (in_fixture or not _blames_the_model(item, error)):
        where = "in a fixture: " if in_fixture else ""
        return Trial("invalid", where + _words(error), recorded)
    if isinstance(error, ModelFailed):
        return Trial("fail", _words(error), recorded)
    if "reroll_sample" in item.fixturenames and not recorded:
        return Trial("invalid", "the test asks for reroll_sample and recorded no completion", recorded)
    return Trial("pass", "", recorded) if error is None else Trial("fail", _words(error), recorded)


def _blames_the_model(item: pytest.Function, error: BaseException) -> bool:
    """Whether it was raised on purpose: by an assertion or pytest.fail of the test's own code."""
    if isinstance(error, BaseExceptionGroup):
        return all(_blames_the_model(item, inner) for inner in error.exceptions)
    if isinstance(error, ModelFailed):
        return True
    if isinstance(error, SaysNothing) or not isinstance(error, AssertionError | pytest.fail.Exception):
        return False
    return _raised_by_tests(item, error.__traceback__)


def _raised_by_tests(item: pytest.Function, traceback: TracebackType | None) -> bool:
    """Whether the innermost frame, those of pytest itself left aside, is of a file whose assertions are tests."""
    inner = None
    while traceback is not None:
        frame = traceback.tb_frame
        if not str(frame.f_globals.get("__name__", "")).startswith("_pytest."):
            inner = frame
        traceback = traceback.tb_next
    if inner is None:
        return False
    path = Path(inner.f_code.co_filename)
    if path == item.path or path.name == "conftest.py":
        return True
    # A helper that pytest was asked to rewrite. Its own plugins are rewritten too, such as one for time-outs.
    rewritten = isinstance(inner.f_globals.get("__loader__"), AssertionRewritingHook)
    return rewritten and not {"site-packages", "dist-packages"} & set(path.parts)


def _words(error: BaseException) -> str:
    text = without_keys(str(error).strip())
    kind = "" if isinstance(error, AssertionError | pytest.fail.Exception) else f"{type(error).__name__}: "
    return f"{kind}{excerpt(text, 160)[1:-1]}" if text else type(error).__name__


def _why(trials: Trials) -> str:
    """The last thing that went wrong, for a test that is not green."""
    return next((trial.reason for trial in reversed(trials.done) if trial.outcome != "pass"), "")


def _note(item: pytest.Function, trials: Trials) -> str:
    """What looks odd about a test that passes; empty where nothing does."""
    if trials.broken or trials.outcomes.count("pass") < len(trials.done):
        return ""
    found = [trial.recorded[-1].sample.completion for trial in trials.done if trial.recorded]
    texts = [completion.text for completion in found if completion]
    if len(texts) == len(trials.done) and len(texts[0]) >= LONG and len(set(texts)) == 1:
        return f"all {len(texts)} completions are the same; does a cache answer in place of the model?"
    if "reroll_sample" not in item.fixturenames and trials.quickest < QUICK:
        return "a trial took less than a thousandth of a second; does this test call a model?"
    return ""
