"""A case's failure rate read from the model's own probabilities, where that decides with fewer calls than runs do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reroll.agreement import doubt_of_texts
from reroll.answer import Reading
from reroll.case import Case
from reroll.engine import run_draws
from reroll.errors import ModelError, NotCompleted
from reroll.evidence import Est, Evidence
from reroll.exploring import Exploration, begin, follow
from reroll.models.http_wire import HttpModel
from reroll.models.local import LocalModel
from reroll.noise import Noise
from reroll.numbers import counts
from reroll.race import Race, forecast, log_es
from reroll.reading import Opened, open_case, server_of
from reroll.runner import draw_more
from reroll.runs import Runs
from reroll.sampler import Sampling
from reroll.session import Session, judged, slots, too_dear
from reroll.ways import calls_left, next_move_to_decide

__all__ = ["CHECKED", "LOOK", "Foretold", "foretell", "worth_reading"]

LOOK = 20
"""Runs that come first: a case that fails often is decided by then, with fewer calls than reading takes."""
CHECKED = 40
"""Runs besides, that what was read is held against before it speaks: as the program makes them, so that nothing that a
server does to the program's requests alone goes unseen."""
UNSTEADY = Noise(body=0.1, tail=0.3)
"""No server's numbers are taken to be steadier for a verdict: llama.cpp's log-odds move by 0.04 and 0.12 between
batches, caches and runs (docs/futures.md)."""
CONTRADICTED = -math.log(0.01)  # evidence in nats: chance of 1 % that runs wrongly contradict what was read
FIRST = 8  # calls that even a small case takes to be read
ENOUGH_KNOWN = 0.5  # of all that may be said: with less, what runs say cannot be held against it
LEAST_CLAIM = 1e-4  # no failure rate nearer to 0 or 1 is tested against runs
MOST = 200  # runs whose texts are looked at
CONTINUING = ("llama.cpp", "vllm", "sglang")  # servers that are asked what they can do before anybody wanted to know
BY_OTHERS = ("person", "judge")  # checks that cost more than the call that they judge


@dataclass(frozen=True, slots=True)
class Foretold:
    """What reading came to. `known`: the failure rate, for sure; None where it decides nothing, `why` says so."""

    known: Est | None
    reading: Reading
    why: str = ""


def worth_reading(session: Session, case: Case, race: Race, seen: Evidence) -> bool:
    """Whether reading might take fewer calls than sampling still does; where no number of runs would tell, it might."""
    options = session.options
    kinds = {inner.kind for one in case.checks for inner in one.walk()}
    if options.method == "sampling" or options.horizon is not None or session.fresh or kinds & set(BY_OTHERS):
        return False
    if session.engine is not run_draws or session.per_call > 1 or too_dear(session):
        return False
    missing = max(0, LOOK + CHECKED - seen.n)
    further = forecast(race, seen)
    # Runs that were made already need not be made to check it: so the same command again says the same.
    shorter = further is None or further >= max(LOOK, 2 * missing)
    return shorter and session.left >= (missing + FIRST if missing else 0)


async def foretell(session: Session, case: Case, race: Race, runs: Runs) -> Foretold | None:
    """A claim of the race read from the model's probabilities, after these runs; None: it was not tried.

    What was read speaks only where runs agree with it, these and CHECKED more, which are drawn as any run of the case,
    are added to `runs`, and count as such whatever comes of it. All that was drawn is stored, and reused.

    Assumes: it is `worth_reading`.
    """
    if not await _known_to_continue(session):
        return None
    further = forecast(race, Evidence.of(runs.words()))
    found: Exploration | None = None
    try:
        opened = await open_case(session, case)
        if why := _unreadable(opened):
            return Foretold(None, Reading(0, 0, 0, further), why)
        opened.branches.tell("reading the model's own probabilities")
        found = begin(session, opened, noise=UNSTEADY)
        return await _read(found, case, race, runs, further)
    except (ModelError, NotCompleted) as problem:  # runs will tell
        calls, tokens = (found.calls, found.search.tokens) if found else (0, 0)
        return Foretold(None, Reading(calls, tokens, 0, further), str(problem))


def _unreadable(opened: Opened) -> str:
    """Why no verdict may rest on this server's lists, before any call; empty where one may.

    What is left to a server's own settings may cut off what fails: a list that it was not told to sample from plainly
    says nothing sure.
    """
    sampling = opened.sampling
    if isinstance(sampling, Sampling) and sampling.unsure:
        verb = "is" if len(sampling.unsure) == 1 else "are"
        return (
            f"{', '.join(sampling.unsure)} {verb} left to the server, and may cut off what fails; name "
            f"{'it' if len(sampling.unsure) == 1 else 'them'} in the program's params"
        )
    return ""


async def _read(found: Exploration, case: Case, race: Race, runs: Runs, further: int | None) -> Foretold:
    search, session, checked, why = found.search, found.session, 0, ""
    instead = session.left if further is None else further
    while not why:
        move = next_move_to_decide(search, race, instead)
        if move == "enumerate":
            why = await follow(found, calls_left(search, instead))
        elif move == "sample":
            why = "the model has too many and too unlikely answers to list"
        elif checked:
            break
        else:
            await _more(session, case, runs)
            checked, why = len(runs.first(MOST)), _contradicted(found, runs)
            search.widen()
    reading = Reading(found.calls, search.tokens, checked, further)
    return Foretold(None if why else search.futures().failure_rate, reading, why)


async def _more(session: Session, case: Case, runs: Runs) -> None:
    """Add runs as the program makes them, until there are so many that what was read can be held against them."""
    at = slots(session, case)
    missing = LOOK + CHECKED - len(runs)
    if missing > 0 and session.left >= missing:
        await draw_more(session, [at], missing)
        judged(session, at, runs)


def _contradicted(found: Exploration, runs: Runs) -> str:
    """Why these runs forbid to trust what was read; empty where they agree with it.

    They are held against it in three ways: what they say, how that is judged, and how often they fail.
    """
    search, first = found.search, runs.first(MOST)
    if len(first) < LOOK + CHECKED:
        return "too few runs could be made to check them"
    completions = search.futures(down_to=0.0).completions
    least = sum(future.low for future in completions)
    if least < ENOUGH_KNOWN:
        return "too little is known of what it may say for runs to check it"
    known = {(future.text.strip(), future.outcome): k for k, future in enumerate(completions)}
    texts = {text for text, _ in known}
    said: list[int | None] = []
    for run in first:
        completion = run.stored.sample.completion
        text = None if completion is None else completion.text.strip()
        place = None if text is None else known.get((text, run.outcome.outcome))
        if place is None and text in texts:
            return "the checks do not always say the same of the same answer"
        said.append(place)
    if doubt_of_texts([future.high for future in completions], 1 - least, said) >= CONTRADICTED:
        return f"{counts('run', len(first))} do not say what they should as often as they should"
    low, high = search.bracket()
    claim = Race(max(low, LEAST_CLAIM) if low < 1 else None, min(max(high, LEAST_CLAIM), 1 - LEAST_CLAIM), 0.01)
    fewer, more = log_es(claim, Evidence.of(runs.words()))
    if max(fewer or 0.0, more or 0.0) >= CONTRADICTED:
        return f"{counts('run', len(runs))} fail otherwise than they say"
    return ""


async def _known_to_continue(session: Session) -> bool:
    """Whether asking what this model can do is worth its calls: it was asked before, or its software goes on from
    beginnings."""
    if isinstance(session.model, LocalModel):
        return True
    if not isinstance(session.model, HttpModel):
        return False
    return bool(session.store.probes(session.model.identity)) or await server_of(session) in CONTINUING
