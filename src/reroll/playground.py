"""The bundled model to play with, in this very process: runs, judged, and what its own probabilities say of them.

For learning: nothing is stored, and nothing costs anything. One model serves all who play; it is loaded at the first
run. Thread-safe: all work is done in one thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from reroll.case import Case
from reroll.check import overall
from reroll.checking import Checker, no_judge, not_asked
from reroll.fix import Fix
from reroll.init import EXAMPLE
from reroll.lesson_reading import Foretold, Place, Reading, Turns, read
from reroll.levers import apply
from reroll.models.local import LocalModel
from reroll.models.model import Capabilities, Draw, Model
from reroll.models.registry import open_model
from reroll.models.stepped import around, calls_at_most
from reroll.program import Program
from reroll.project import Project, load_project
from reroll.sample import Completion, Sample

__all__ = ["Playground", "Run", "example"]

AT_ONCE = 8
MOST_RUNS = 400
KEPT = {"reading": 48, "rate": 400, "runs": 64}  # so many are remembered; what was not used for longest goes first


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """One answer: what it said, whether it is right and why not."""

    text: str
    outcome: str
    reason: str
    marks: tuple[tuple[int, int], ...]

    @property
    def wrong(self) -> bool:
        return self.outcome != "pass"


@lru_cache(maxsize=1)
def example() -> Project:
    """The bundled project, `meetings`."""
    return load_project(EXAMPLE)


class Playground:
    """Cases of the bundled project, run and read, changed as told. What was run or read once is remembered."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._model: LocalModel | None = None
        self._checker: Checker | None = None
        self._preparing: Future[None] | None = None
        self._kept: dict[str, OrderedDict[Hashable, asyncio.Task[Any]]] = {kind: OrderedDict() for kind in KEPT}

    def runs(
        self,
        case: Case | str,
        n: int,
        seed: int,
        *,
        temperature: float = 1.0,
        wording: str | None = None,
        fixes: Sequence[Fix] = (),
    ) -> list[Run]:
        """So many runs of a case, in order; the same seed gives the same runs.

        Args:   case: or its id; wording: other words for the request; fixes: changes of the program. A patch that only
                changes answers gets the very answers that the program without it got.
        Raises: UsageError for a case that there is not, or a fix that does not fit.
        """
        case, program = _changed(case, wording, fixes)
        return self._wait(self._judged_runs(program, case, min(n, MOST_RUNS), seed, temperature))

    def rate(
        self,
        case: Case | str,
        *,
        temperature: float = 1.0,
        wording: str | None = None,
        fixes: Sequence[Fix] = (),
    ) -> Foretold:
        """How often the case fails, read from the model's own probabilities; arguments as for `runs`."""
        case, program = _changed(case, wording, fixes)

        async def found() -> Foretold:
            reading = await self._reading(program, case)
            key = (_key(program, case), round(temperature, 3), _steps(program))
            return await self._once("rate", key, lambda: self._rate(reading, program, case, temperature))

        return self._wait(found())

    def answers(self, case: Case | str, *, wording: str | None = None) -> tuple[tuple[str, float, str], ...]:
        """(text, chance, outcome) of the answers that this case gets, the likeliest first."""
        return self._read(case, wording, lambda reading: reading.answers())

    def turns(self, case: Case | str, text: str) -> Turns | None:
        """How the chance of a right answer went, token by token, on the way to this answer; None if it is too rare."""
        return self._read(case, None, lambda reading: reading.turns(text))

    def fork(self, case: Case | str, *, wording: str | None = None) -> Place:
        """The place at which the next token tells most about how the answer ends."""
        return self._read(case, wording, lambda reading: reading.fork())

    def next_tokens(
        self, case: Case | str, before: str, *, temperature: float = 1.0, wording: str | None = None
    ) -> Place | None:
        """What may come after an answer's beginning; None where no answer that was found begins so."""

        def found(reading: Reading) -> Place | None:
            node = reading.at(before)
            return None if node is None else reading.place(node, temperature)

        return self._read(case, wording, found)

    def prepare(self, wanted: Sequence[tuple[Case | str, Sequence[Fix]]]) -> None:
        """Read these in the background, one after the other, so that nobody waits for them later."""

        async def one_by_one() -> None:
            for case, fixes in wanted:
                changed, program = _changed(case, None, fixes)
                await self._reading(program, changed)

        loop = self._running()
        with self._lock:
            if self._preparing is None or self._preparing.done():
                self._preparing = asyncio.run_coroutine_threadsafe(one_by_one(), loop)

    def close(self) -> None:
        """Let the model go."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None:
            return

        async def closed() -> None:
            for task in [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]:
                task.cancel()
            if self._model is not None:
                await self._model.close()
            if self._checker is not None:
                self._checker.close()

        asyncio.run_coroutine_threadsafe(closed(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        self._model, self._checker = None, None
        for kept in self._kept.values():
            kept.clear()

    # -- in the loop's thread ------------------------------------------------------------------------------------------

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="playground", daemon=True).start()
            return self._loop

    def _opened(self) -> tuple[LocalModel, Checker]:
        if self._model is None or self._checker is None:
            model = open_model("bundled", base_url=None, project=EXAMPLE, timeout=60.0, tries=1)
            assert isinstance(model, LocalModel)
            self._model, self._checker = model, Checker(EXAMPLE, person=not_asked, judges=no_judge)
        return self._model, self._checker

    async def _once(self, kind: str, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What this work brings, done once for each key, however many wait for it."""
        kept = self._kept[kind]
        task = kept.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = kept[key] = asyncio.ensure_future(work())
        kept.move_to_end(key)
        while len(kept) > KEPT[kind]:
            kept.popitem(last=False)
        found: T = await asyncio.shield(task)
        return found

    def _read(self, case: Case | str, wording: str | None, use: Callable[[Reading], T]) -> T:
        case, program = _changed(case, wording, ())

        async def found() -> T:
            return use(await self._reading(program, case))

        return self._wait(found())

    async def _reading(self, program: Program, case: Case) -> Reading:
        model, checker = self._opened()
        bare = program.model_copy(update={"steps": example().program.steps})
        judge = checker.judging(case, bare)

        async def work() -> Reading:
            return await read(
                model, bare.render(case.input, case.history), lambda sample: overall(judge(sample)).outcome
            )

        return await self._once("reading", _key(program, case), work)

    async def _rate(self, reading: Reading, program: Program, case: Case, temperature: float) -> Foretold:
        if program.steps == example().program.steps:
            return reading.rate(temperature)
        said = [Sample(completion=Completion(text, "stop" if ended else "length")) for text, ended in reading.texts()]
        runs = await self._through_steps(program, case, said)
        return reading.rate(
            temperature, {text: run.outcome for (text, _), run in zip(reading.texts(), runs, strict=True)}
        )

    async def _judged_runs(self, program: Program, case: Case, n: int, seed: int, temperature: float) -> list[Run]:
        hot = program.model_copy(update={"params": {**program.params, "temperature": temperature}})
        bare = hot.model_copy(update={"steps": example().program.steps})
        model, checker = self._opened()
        stepped = around(model, hot, checker)
        if calls_at_most(stepped) > 1:
            return [self._run(program, case, one) for one in await self._drawn(stepped, hot, case, n, seed)]
        key = (_key(bare, case), n, seed)
        drawn = await self._once("runs", key, lambda: self._drawn(model, bare, case, n, seed))
        if hot.steps == bare.steps:
            return [self._run(program, case, one) for one in drawn]
        return await self._through_steps(program, case, drawn)

    async def _drawn(self, model: Model, program: Program, case: Case, n: int, seed: int) -> list[Sample]:
        gate = asyncio.Semaphore(AT_ONCE)
        request = program.render(case.input, case.history)

        async def one(index: int) -> Sample:
            async with gate:
                return await model.draw(Draw(request, case.id, index, seed=(seed * 1009 + index) % (1 << 31)))

        return list(await asyncio.gather(*map(one, range(n))))

    async def _through_steps(self, program: Program, case: Case, said: Sequence[Sample]) -> list[Run]:
        """These answers as they leave the program's steps, judged."""
        _, checker = self._opened()
        request, out = program.render(case.input, case.history), []
        for index, sample in enumerate(said):
            draw = Draw(request, case.id, index, seed=None)
            out.append(self._run(program, case, await around(_Said(sample), program, checker).draw(draw)))
        return out

    def _run(self, program: Program, case: Case, sample: Sample) -> Run:
        _, checker = self._opened()
        said = overall(checker.judging(case, program)(sample))
        text = "" if sample.completion is None else sample.completion.text
        return Run(text, said.outcome, said.reason or sample.error or "", said.marks)


class _Said:
    """A model that has said it already."""

    name = identity = "said"
    concurrency = 1
    priced = True

    def __init__(self, sample: Sample) -> None:
        self.sample = sample

    async def check(self) -> None:
        return None

    async def draw(self, draw: Draw) -> Sample:
        return self.sample

    async def probe(self) -> Capabilities:
        return Capabilities()

    async def close(self) -> None:
        return None


def _changed(case: Case | str, wording: str | None, fixes: Sequence[Fix]) -> tuple[Case, Program]:
    """The case in these words, and the program with these fixes. Raises: UsageError."""
    project = example()
    case = project.case(case) if isinstance(case, str) else case
    if wording is not None:
        case = case.model_copy(update={"input": {**case.input, "request": wording}})
    program = project.program
    for fix in fixes:
        program = apply(fix, program)
    return case, program


def _key(program: Program, case: Case) -> str:
    """What an answer and its outcome hang on, steps around the model left out."""
    request = program.render(case.input, case.history)
    return json.dumps([dict(request.body), case.model_dump(mode="json")], sort_keys=True, default=str)


def _steps(program: Program) -> str:
    return json.dumps(program.model_dump(mode="json")["steps"], sort_keys=True)
