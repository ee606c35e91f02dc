"""The bundled model to play with, in this very process: a few runs at once, judged, with what could have stood there.

For learning: nothing is stored, and nothing costs anything. One model serves all who play; it is loaded at the first
run. Thread-safe.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reroll.case import Case
from reroll.check import overall
from reroll.checking import Checker
from reroll.fix import Fix
from reroll.init import EXAMPLE
from reroll.levers import apply
from reroll.looking import not_asked
from reroll.models.model import Draw
from reroll.models.registry import open_model
from reroll.models.stepped import around
from reroll.program import Program
from reroll.project import Project, load_project
from reroll.sample import Token

__all__ = ["Playground", "Run", "example", "parting", "spread"]

AT_ONCE = 8
MOST_RUNS = 400
TOP = 20


@dataclass(frozen=True, slots=True)
class Run:
    """One answer: what it said, whether it is right and why not, its tokens with what could have stood there."""

    text: str
    outcome: str
    reason: str
    marks: tuple[tuple[int, int], ...]
    tokens: tuple[Token, ...]


@lru_cache(maxsize=1)
def example() -> Project:
    """The bundled project, `meetings`."""
    return load_project(EXAMPLE)


class Playground:
    """Runs cases of the bundled project, changed as told."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._model: Any = None

    def runs(
        self,
        case_id: str,
        n: int,
        seed: int,
        *,
        temperature: float = 1.0,
        wording: str | None = None,
        fixes: Sequence[Fix] = (),
        top: bool = False,
    ) -> list[Run]:
        """So many runs of a case, in order; the same seed gives the same runs.

        Args:   wording: other words for the request; fixes: changes of the program; top: with the tokens' alternatives.
        Raises: UsageError for a case that there is not, or a fix that does not fit.
        """
        project = example()
        case = project.case(case_id)
        if wording is not None:
            case = case.model_copy(update={"input": {**case.input, "request": wording}})
        program = project.program
        for fix in fixes:
            program = apply(fix, program)
        params: dict[str, Any] = {**program.params, "temperature": temperature}
        if top:
            params |= {"logprobs": True, "top_logprobs": TOP}
        program = program.model_copy(update={"params": params})
        work = self._drawn(program, case, min(n, MOST_RUNS), seed)
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="playground", daemon=True).start()
            return self._loop

    async def _drawn(self, program: Program, case: Case, n: int, seed: int) -> list[Run]:
        if self._model is None:
            self._model = open_model("bundled", base_url=None, project=EXAMPLE, timeout=60.0, tries=1)
        gate = asyncio.Semaphore(AT_ONCE)
        with Checker(EXAMPLE, person=not_asked) as checker:
            model = around(self._model, program, checker)
            judge = checker.judging(case, program)
            request = program.render(case.input, case.history)

            async def one(index: int) -> Run:
                async with gate:
                    sample = await model.draw(Draw(request, case.id, index, seed=(seed * 1009 + index) % (1 << 31)))
                said = overall(judge(sample))
                completion = sample.completion
                text = "" if completion is None else completion.text
                return Run(
                    text,
                    said.outcome,
                    said.reason or sample.error or "",
                    said.marks,
                    completion.tokens if completion else (),
                )

            return list(await asyncio.gather(*map(one, range(n))))

    def close(self) -> None:
        """Let the model go."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None:
            return
        if self._model is not None:
            asyncio.run_coroutine_threadsafe(self._model.close(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)


def parting(runs: Sequence[Run]) -> tuple[int, Mapping[str, tuple[int, int]]]:
    """Where right and wrong runs part: how many tokens they share, and by the next token how many runs and failures.

    Runs are compared to the commonest beginning; the place is where what comes next best tells right from wrong.
    """
    alike = [run for run in runs if run.tokens]
    best: tuple[float, int, dict[str, tuple[int, int]]] = (0.0, 0, {})
    group = alike
    for at in range(min((len(run.tokens) for run in alike), default=0)):
        found: dict[str, tuple[int, int]] = {}
        for run in group:
            total, failed = found.get(run.tokens[at].text, (0, 0))
            found[run.tokens[at].text] = (total + 1, failed + (run.outcome == "fail"))
        gain = _told_apart(found)
        if gain > best[0] + 0.05:
            best = (gain, at, found)
        common = max(found, key=lambda token: found[token][0])
        group = [run for run in group if run.tokens[at].text == common]
        if len(group) < 2:
            break
    return best[1], best[2]


def _told_apart(found: Mapping[str, tuple[int, int]]) -> float:
    """How much better one knows whether a run fails once one knows its next token: the drop of the variance."""
    n, failed = sum(t for t, _ in found.values()), sum(f for _, f in found.values())
    if not n:
        return 0.0
    whole = failed / n * (1 - failed / n)
    within = sum(f / t * (1 - f / t) * t / n for t, f in found.values())
    return whole - within


def spread(token: Token, temperature: float = 1.0, most: int = 8) -> list[tuple[str, float]]:
    """What could stand at a token and how likely, at this temperature; from what the model listed at temperature 1.

    >>> [round(p, 2) for _, p in spread(Token("a", -0.7, (("a", -0.6931), ("b", -0.6931))), 1.0)]
    [0.5, 0.5]
    """
    listed = list(token.top) or [(token.text, token.logprob or 0.0)]
    if temperature <= 0:
        return [(max(listed, key=lambda pair: pair[1])[0], 1.0)]
    weights = [(text, math.exp(logprob / temperature)) for text, logprob in listed]
    total = sum(weight for _, weight in weights) or 1.0
    return sorted(((text, weight / total) for text, weight in weights), key=lambda pair: -pair[1])[:most]
