"""Where the trials of Python tests are kept: one stored sample a trial, one decision a test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from reroll.case import Case
from reroll.check import Outcome
from reroll.errors import RerollError
from reroll.program import Program, Request, content_id
from reroll.pytest_samples import Recorded
from reroll.pytest_settings import RunSettings
from reroll.sample import Sample, Usage
from reroll.settings import setting
from reroll.store import NewSample, Store

__all__ = ["NOWHERE", "Trial", "TrialStore", "opened"]

NOWHERE = "none"


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a test: how it ended, why, and what was recorded of the model."""

    outcome: Literal["pass", "fail", "invalid"]
    reason: str = ""
    recorded: tuple[Recorded, ...] = ()


def opened(settings: RunSettings, folder: Path) -> Store | None:
    """The store of this folder, or the one that was named; None where nothing is to be kept."""
    url = setting("store", settings.store)
    if url == NOWHERE:
        return None
    home = folder / ".reroll"
    if url is None and not home.exists():
        home.mkdir(parents=True)
        (home / ".gitignore").write_text("*\n", encoding="utf-8")
    store = Store.open(url or home / "store.sqlite", rescue=home)
    store.take_in()
    return store


class TrialStore:
    """Keeps what a model wrote as soon as its trial ends, everything else once the test has its verdict.

    A store that cannot be used does not take a verdict away: `problem` says what is wrong, once.
    """

    def __init__(self, settings: RunSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.problem = ""
        self._store: Store | None = None
        self._opened = False
        self._kept: dict[int, str] = {}  # sample ids of the test that runs, by trial
        self._asked: set[str] = set()  # ids of its requests that are stored
        self._test = ""

    def keep(self, item: pytest.Item, number: int, trial: Trial) -> None:
        """Store trial `number` now, if a completion was recorded in it: that one was paid for."""
        if item.nodeid != self._test:
            self._test, self._kept, self._asked = item.nodeid, {}, set()
        if trial.recorded:
            self._safely(lambda store: self._add(store, item, {number: trial}))

    def decide(self, item: pytest.Item, trials: Sequence[Trial], result: Mapping[str, Any]) -> None:
        """Store the trials that are not stored yet, and the verdict."""

        def write(store: Store) -> None:
            self._add(store, item, {n: trial for n, trial in enumerate(trials) if n not in self._kept})
            store.add_decision(
                rule="pytest/1",
                question="test",
                verdict=result["shade"],
                evidence=dict(result),
                sample_ids=[self._kept[n] for n in sorted(self._kept)],
                checks_ids=[_checks_id(item)],
                alpha=result["alpha"],
                target=result["target"],
                horizon=result["budget"],
                stop_reason=result["reason"] or result["shade"],
                program_id=_program(item).id,
                case_id=item.nodeid,
            )

        self._safely(write)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _safely(self, write: Any) -> None:
        if self.problem:
            return
        try:
            if not self._opened:
                self._opened, self._store = True, opened(self.settings, self.folder)
            if self._store is not None:
                write(self._store)
        except (RerollError, OSError) as error:
            self.problem = f"trials could not be stored: {error}"

    def _add(self, store: Store, item: pytest.Item, trials: Mapping[int, Trial]) -> None:
        if not trials:
            return
        program = _program(item)
        if not self._kept:
            store.put_program(program)
            store.put_case(Case(id=item.nodeid))
        ids = store.add_samples([self._new(store, item, program, n, trial) for n, trial in trials.items()])
        check = _checks_id(item)
        said = {
            id: [(check, Outcome(trial.outcome, trial.reason, "test"))]
            for id, trial in zip(ids, trials.values(), strict=True)
        }
        store.add_all_outcomes(said)
        self._kept.update(zip(trials, ids, strict=True))

    def _new(self, store: Store, item: pytest.Item, program: Program, number: int, trial: Trial) -> NewSample:
        request = Request(
            program.model, None, {"messages": list(trial.recorded[-1].messages) if trial.recorded else []}
        )
        request_id = request.id(f"{program.model}#{item.nodeid}")
        if request_id not in self._asked:
            self._asked.add(request_id)
            store.put_request(request_id, request, trial.recorded[-1].model if trial.recorded else program.model)
        return NewSample(
            _sample(trial),
            request_id=request_id,
            series=f"pytest {self.settings.run}",
            idx=number,
            program_id=program.id,
            case_id=item.nodeid,
        )


def _sample(trial: Trial) -> Sample:
    """The last completion of the trial with what all its calls took; without one only how the trial ended."""
    if not trial.recorded:
        if trial.outcome == "invalid":
            return Sample(error=trial.reason or "invalid")
        return Sample(reward=float(trial.outcome == "pass"))
    last = trial.recorded[-1].sample
    if len(trial.recorded) == 1:
        return last
    calls = [
        {"messages": r.messages, "completion": r.sample.completion.text} for r in trial.recorded if r.sample.completion
    ]
    used = [r.sample.usage for r in trial.recorded]
    usage = Usage(
        _sum([u.prompt_tokens for u in used]), _sum([u.completion_tokens for u in used]), _sum([u.usd for u in used])
    )
    return replace(last, usage=usage, raw=json.dumps({"calls": calls}, ensure_ascii=False, default=str))


def _sum(numbers: Sequence[Any]) -> Any:
    return None if any(number is None for number in numbers) else sum(numbers)


def _program(item: pytest.Item) -> Program:
    return Program(program=item.nodeid.partition("::")[0] or "pytest", model=f"pytest:{item.nodeid.partition('[')[0]}")


def _checks_id(item: pytest.Item) -> str:
    return content_id("k1", ["pytest", item.nodeid])
