"""Calls of models that judge: each is stored before its verdict counts, and an equal question is asked once.

The store and what was spent are touched in the thread that asks; the calls are made in another (judge_loop.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reroll.check import Check, Outcome, Surroundings, judge_told
from reroll.engine import DEAD_AFTER
from reroll.errors import NotCompleted, UsageError
from reroll.judge_loop import CtrlC, JudgeLoop
from reroll.models.model import Draw, Model
from reroll.models.registry import open_model
from reroll.program import Program, Request, canonical
from reroll.replies import Replies
from reroll.rubric import NOT_ASKED, judging_body, sorted_params, verdict_of
from reroll.sample import Sample
from reroll.session import Spent
from reroll.store import NewSample, Store, StoredSample

__all__ = ["JudgeCalls"]

CANNOT = {
    "bundled": "the bundled model knows nothing but its own small world, and cannot judge",
    "recorded": "recorded completions answer no new question",
    "http": "a product at an address gets a case's inputs, and no rubric",
}
SERIES = "judge"
COPIED = "the judge's reply is one that it gave before, under the same name: something on the way (a cache) keeps it"
MOST_KEPT = 20_000  # verdicts in memory; all of them are in the store


@dataclass(frozen=True, slots=True)
class _Opened:
    model: Model
    program: Program  # what its calls are stored under
    program_id: str


@dataclass(frozen=True, slots=True)
class _Question:
    """One call to make: `key` is the request's id and the series, by which its verdict is known."""

    key: tuple[str, str]
    request: Request
    opened: _Opened
    structured: bool
    case_id: str


class JudgeCalls:
    """Asks the judges of a project's checks. Close it, or use it in `with`.

    An answer that came before, to the same request, is the same question: its stored verdict is taken. A reply that
    is no verdict is asked for again by the next command, not by this one. `spent`: where the calls are counted, with
    the cap on money and the time that they are held to.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        *,
        timeout: float | None = None,
        tries: int | None = None,
        concurrency: int | None = None,
        max_seconds: float | None = None,
        admit: Callable[[Model], None] = lambda model: None,
        variant: str = SERIES,
    ) -> None:
        """concurrency: calls in flight, None: what suits the judge; admit: raises where a model may not be asked;
        variant: what its calls are stored under."""
        self.variant = variant
        self.store, self.folder, self.concurrency, self.admit = store, folder, concurrency, admit
        self.timeout, self.tries, self.max_seconds = timeout, tries, max_seconds
        self.spent: Spent | None = None
        self.calls = 0
        self._opened: dict[str, _Opened] = {}
        self._said: dict[tuple[str, str], Outcome] = {}
        self._broken: dict[tuple[str, str], Outcome] = {}
        self._silent = 0
        self._replies = Replies()
        self._stopped = False  # by Ctrl-C: then nothing more is asked
        self._loop = JudgeLoop()
        self._ctrl_c = CtrlC(self.stop)

    def close(self) -> None:
        for opened in self._opened.values():
            if self._loop.running:
                with contextlib.suppress(Exception):
                    self._loop.wait(opened.model.close())
        self._opened.clear()
        self._loop.close()
        self._ctrl_c.close()

    def __enter__(self) -> JudgeCalls:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """Ask nothing any more; what is in flight gets its grace. May be called while it waits, as by Ctrl-C."""
        self._stopped = True

    def model_of(self, check: Check) -> Model:
        """The model that this check asks. Raises: UsageError, ModelError where there is none to ask."""
        return self._open(check).model

    def ready(self, check: Check) -> None:
        """Return if the model of this check can be asked. Raises: UsageError, ModelError otherwise."""
        self._open(check)

    def ahead(self, wanted: Sequence[tuple[Check, Sample, Surroundings]], again: Sequence[int]) -> None:
        """Ask all at once, each question once, what is known neither here nor in the store.

        Raises: NotCompleted where the judge answers no more.
        """
        asked: dict[tuple[str, str], _Question] = {}
        for check, sample, around in wanted:
            for times in again:
                question = self._question(check, sample, around, times)
                asked.setdefault(question.key, question)
        self._ask(list(asked.values()))

    def say(self, check: Check, sample: Sample, around: Surroundings, again: int = 0) -> Outcome:
        """The verdict on one sample with the judge's reason; invalid and broken where there is none."""
        question = self._question(check, sample, around, again)
        self._ask([question])
        key = question.key
        return self._said.get(key) or self._broken.get(key) or _broken(f"{NOT_ASKED}: {self._why_not()}")

    # -- which question ------------------------------------------------------------------------------------------------

    def _open(self, check: Check) -> _Opened:
        value = check.value
        key = canonical([value["model"], value.get("base_url"), value.get("params")])
        if (known := self._opened.get(key)) is not None:
            return known
        kind = value["model"].partition(":")[0]
        if kind in CANNOT:
            raise UsageError(
                f"`{value['model']}` cannot be the judge of check `{check.name or check.kind}`: {CANNOT[kind]}; "
                "name another model",
                slug="no-judge",
            )
        model = open_model(
            value["model"],
            base_url=value.get("base_url"),
            project=self.folder,
            timeout=self.timeout,
            tries=self.tries,
        )
        self.admit(model)
        self._loop.wait(model.check())
        program = Program(
            program="judge", model=value["model"], base_url=value.get("base_url"), params=sorted_params(value)
        )
        self._opened[key] = _Opened(model, program, self.store.put_program(program))
        return self._opened[key]

    def _question(self, check: Check, sample: Sample, around: Surroundings, again: int) -> _Question:
        opened = self._open(check)
        told = judge_told(check, around)
        assert sample.completion is not None
        chat = not told["model"].startswith("python:")
        body = judging_body(told, around.asked, sample.completion, chat=chat)
        request = Request(opened.program.model, opened.program.base_url, body)
        series = f"{SERIES} again {again}" if again else SERIES
        key = (request.id(opened.model.identity), series)
        return _Question(key, request, opened, told.get("structured", True), around.case_id)

    # -- asking --------------------------------------------------------------------------------------------------------

    def _ask(self, questions: Sequence[_Question]) -> None:
        missing = {q.key: q for q in questions if q.key not in self._said and q.key not in self._broken}
        if not missing or self._stopped:
            return
        if len(self._said) + len(missing) > MOST_KEPT:
            self._said.clear()
        self._recall(missing)
        todo = self._kept([q for q in missing.values() if q.key not in self._said])
        with self._ctrl_c.held():
            for model in {id(q.opened.model): q.opened.model for q in todo}.values():
                self._draw(model, [q for q in todo if q.opened.model is model])

    def _recall(self, missing: dict[tuple[str, str], _Question]) -> None:
        """Take the verdicts that are stored: of several replies to one question the newest that is one."""
        ids, series = sorted({id for id, _ in missing}), sorted({name for _, name in missing})
        stored: list[StoredSample] = []
        again = series != [SERIES]
        if again:
            self._look_back(ids)
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            stored += self.store.samples(request_id=some, series=series, source="judge", payload=again)
        for one in stored:
            question = missing.get((one.request_id, one.series))
            if one.series != SERIES and self._replies.learn(one.sample):
                continue
            if question is not None and not (outcome := _outcome(one.sample, question)).broken:
                self._said[question.key] = outcome

    def _kept(self, questions: list[_Question]) -> list[_Question]:
        """Those whose requests are stored, before they are sent; one that holds a key is neither."""
        try:
            self.store.put_requests([(q.key[0], q.request, q.opened.model.identity) for q in questions])
            return questions
        except UsageError as error:
            if len(questions) > 1:
                return [q for one in questions for q in self._kept([one])]
            self._broken[questions[0].key] = _broken(f"the judge is not sent this answer: {error}")
            return []

    def _draw(self, model: Model, todo: list[_Question]) -> None:
        """Ask, as many side by side as suits the judge; under a cap on money in batches that it has room for."""
        slots = self.store.reserve_all([(*q.key, 1) for q in todo])
        draws = [Draw(q.request, q.case_id, slot[0]) for q, slot in zip(todo, slots, strict=True)]
        of = {id(draw): question for draw, question in zip(draws, todo, strict=True)}
        width = self.concurrency or model.concurrency
        while draws:
            size = self._room(min(width, len(draws))) if self._capped else len(draws)
            if size == 0 or self._stopped or self._out_of_time():
                return
            batch, draws = draws[:size], draws[size:]
            ends = None if self.spent is None else self.spent.begin(self.max_seconds)
            self._loop.draw(
                model,
                batch,
                width,
                ends,
                lambda came: self._settled([(of[id(draw)], draw, s) for draw, s in came]),
                lambda: self._stopped,
            )

    def _look_back(self, asked_again: Sequence[str]) -> None:
        """Know what the judge said to these questions before, so that the very same reply is not taken for another."""
        for start in range(0, len(asked_again), 500):
            ids = asked_again[start : start + 500]
            for one in self.store.samples(request_id=ids, series=SERIES, source="judge", payload=True):
                self._replies.learn(one.sample)

    def _settled(self, came: Sequence[tuple[_Question, Draw, Sample]]) -> None:
        """Store replies, count what they took, then read them. Raises: NotCompleted where none comes back any more."""
        self.store.add_samples(
            [
                NewSample(
                    sample,
                    request_id=question.key[0],
                    series=question.key[1],
                    idx=draw.index,
                    program_id=question.opened.program_id,
                    case_id=question.case_id,
                    variant=self.variant,
                    source="judge",
                )
                for question, draw, sample in came
            ]
        )
        for question, _, sample in came:
            self.calls += sample.calls
            if self.spent is not None:
                self.spent.add_judging(sample)
            copy = self._replies.learn(sample) and question.key[1] != SERIES
            outcome = _broken(COPIED) if copy else _outcome(sample, question)
            (self._broken if outcome.broken else self._said)[question.key] = outcome
            self._silent = 0 if sample.completion is not None else self._silent + 1
        if self._silent >= DEAD_AFTER:
            question, _, sample = came[-1]
            raise NotCompleted(
                f"the judge {question.opened.program.model} stopped answering: {self._silent} calls in a row brought "
                f"nothing back, the last with: {sample.error}; what was drawn is stored, and the same command goes on "
                "from there",
                slug="judge-stopped",
            )

    # -- caps ----------------------------------------------------------------------------------------------------------

    @property
    def _capped(self) -> bool:
        return self.spent is not None and self.spent.purse is not None

    def _room(self, most: int) -> int:
        """How many calls the cap on money has room for now, at most so many."""
        assert self.spent is not None
        assert self.spent.purse is not None
        size = 0
        while size < most and not self.spent.purse.shut(size):
            size += 1
        return size

    def _out_of_time(self) -> bool:
        return self.spent is not None and self.spent.out_of_time()

    def _why_not(self) -> str:
        if self._out_of_time():
            return "the time was up"
        return "the spending cap was reached" if self._capped and self._room(1) == 0 else "it was stopped"


def _outcome(sample: Sample, question: _Question) -> Outcome:
    """What a reply of the judge means."""
    if sample.completion is None:
        return _broken(f"the judge brought nothing back: {sample.error}")
    word, reason = verdict_of(sample.completion, structured=question.structured)
    return _broken(reason) if word == "invalid" else Outcome(word, reason)


def _broken(reason: str) -> Outcome:
    return Outcome("invalid", reason, broken=True)
