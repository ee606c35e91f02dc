"""Where the trials of Python tests are kept: one stored sample a trial, one decision a test."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from reroll.case import Case
from reroll.check import Outcome
from reroll.program import Program, Request, content_id
from reroll.pytest_samples import Recorded
from reroll.pytest_settings import RunSettings
from reroll.sample import Sample, Usage
from reroll.settings import setting
from reroll.store import NewSample, Store
from reroll.suite_gate import RULE

__all__ = ["NOWHERE", "Trial", "TrialStore", "opened"]

NOWHERE = "none"
SOON = 0.2  # seconds until a trial is written: several quick ones in one transaction


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
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / ".gitignore").write_text("*\n", encoding="utf-8")
    store = Store.open(url or home / "store.sqlite", rescue=home)
    store.take_in()
    return store


@dataclass(frozen=True, slots=True)
class _Test:
    """What is stored of a test beside its trials; its request and samples are named by these."""

    nodeid: str
    run: str

    @property
    def program(self) -> tuple[Program, str]:
        """The program that stands for the test's file, and its id."""
        return _program(self.nodeid.partition("::")[0])

    @property
    def checks_id(self) -> str:
        return content_id("k1", ["pytest", self.nodeid])


@lru_cache(maxsize=1024)
def _program(file: str) -> tuple[Program, str]:
    made = Program(program=file, model=f"pytest:{file}")
    return made, made.id


@dataclass(frozen=True, slots=True)
class _Work:
    """One thing to write: trial `number`, or the verdict (`result`)."""

    test: _Test
    number: int = 0
    trial: Trial | None = None
    result: Mapping[str, Any] | None = None


class TrialStore:
    """Keeps what a model wrote soon after its trial has ended, and every verdict.

    It writes in a thread of its own, while the next call is under way. A store that cannot be used takes no verdict
    away: `problem` says what is wrong.
    """

    def __init__(self, settings: RunSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.problem = ""
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._kept: dict[int, str] = {}  # sample ids of the test that is written, by trial
        self._known: set[str] = set()  # ids of programs, requests and cases that are stored

    def keep(self, nodeid: str, number: int, trial: Trial) -> None:
        """Store trial `number`, if a completion was recorded in it: that one was paid for."""
        if trial.recorded:
            self._put(_Work(_Test(nodeid, self.settings.run), number, trial))

    def decide(self, nodeid: str, trials: Sequence[Trial], result: Mapping[str, Any]) -> None:
        """Store the verdict, with all trials of a test that recorded any."""
        test = _Test(nodeid, self.settings.run)
        if any(trial.recorded for trial in trials):
            for number, trial in enumerate(trials):
                if not trial.recorded:
                    self._put(_Work(test, number, trial))
        self._put(_Work(test, result={**result, "outcomes": [trial.outcome for trial in trials]}))

    def close(self) -> None:
        """Once everything is written."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _put(self, work: _Work) -> None:
        if self.settings.store == NOWHERE:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="reroll-store", daemon=True)
            self._thread.start()
        self._queue.put(work)

    def _write_all(self) -> None:
        try:
            store = opened(self.settings, self.folder)
            if store is not None:
                with store:
                    while batch := self._next():
                        self._write(store, batch)
        except Exception as error:  # whatever it is, tests go on
            self.problem = f"trials could not be stored: {error}"

    def _next(self) -> list[_Work]:
        """What comes within `SOON`, as far as it is of one test, up to its verdict; empty at the end."""
        batch: list[_Work] = []
        until = 0.0
        while True:
            try:
                work = self._queue.get(timeout=max(0.0, until - time.monotonic()) if batch else None)
            except queue.Empty:
                return batch
            if work is None:
                if batch:
                    self._queue.put(None)  # the end comes after this batch
                return batch
            until = until or time.monotonic() + SOON
            batch.append(work)
            if work.result is not None:
                return batch

    def _write(self, store: Store, batch: Sequence[_Work]) -> None:
        self._add(store, [work for work in batch if work.trial is not None])
        if batch[-1].result is not None:
            self._decide(store, batch[-1].test, batch[-1].result)
            self._kept = {}

    def _add(self, store: Store, work: Sequence[_Work]) -> None:
        if not work:
            return
        test = work[0].test
        self._introduce(store, test)
        ids = store.add_samples([self._new(store, one) for one in work])
        said = {
            id: [(test.checks_id, Outcome(one.trial.outcome, one.trial.reason, "test"))]
            for id, one in zip(ids, work, strict=True)
            if one.trial
        }
        store.add_all_outcomes(said)
        self._kept.update((one.number, id) for one, id in zip(work, ids, strict=True))

    def _introduce(self, store: Store, test: _Test) -> None:
        """Store its program and case, each once."""
        program, program_id = test.program
        if program_id not in self._known:
            store.put_program(program)
        if test.nodeid not in self._known:
            store.put_case(Case(id=test.nodeid))
        self._known |= {program_id, test.nodeid}

    def _new(self, store: Store, work: _Work) -> NewSample:
        trial, nodeid = work.trial, work.test.nodeid
        program, program_id = work.test.program
        assert trial is not None
        last = trial.recorded[-1] if trial.recorded else None
        request = Request(program.model, None, {"messages": list(last.messages) if last else []})
        request_id = request.id(f"{program.model}#{nodeid}")
        if request_id not in self._known:
            store.put_request(request_id, request, last.model if last else program.model)
            self._known.add(request_id)
        series = f"pytest {work.test.run}"
        return NewSample(_sample(trial), request_id, series, work.number, program_id, nodeid)

    def _decide(self, store: Store, test: _Test, result: Mapping[str, Any]) -> None:
        self._introduce(store, test)
        store.add_decision(
            rule=RULE,
            question="test",
            verdict=result["shade"],
            evidence=dict(result),
            sample_ids=[self._kept[number] for number in sorted(self._kept)],
            checks_ids=[test.checks_id],
            alpha=result["alpha"],
            target=result["target"],
            horizon=result["budget"],
            stop_reason=result["reason"] or result["shade"],
            program_id=test.program[1],
            case_id=test.nodeid,
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
