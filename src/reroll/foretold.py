"""A case's failure rate read from the model's own probabilities, where that decides with fewer calls than runs do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reroll.agreement import doubt_of_texts
from reroll.answer import Reading
from reroll.branching import Branch
from reroll.case import Case
from reroll.engine import run_draws
from reroll.errors import ModelError, NotCompleted
from reroll.evidence import Est, Evidence, interval_of
from reroll.exploring import Exploration, begin, check, follow, plain_draws
from reroll.models.http_wire import HttpModel
from reroll.models.local import LocalModel
from reroll.noise import Noise
from reroll.numbers import counts
from reroll.race import Race, forecast
from reroll.reading import open_case, server_of
from reroll.runs import Runs
from reroll.session import Session, too_dear
from reroll.ways import next_move_to_decide

__all__ = ["CHECKED", "LOOK", "Foretold", "foretell", "worth_reading"]

LOOK = 20
"""Runs that come first: a case that fails often is decided by then, with fewer calls than reading takes."""
CHECKED = 40
"""Plain runs that what was read is held against before it speaks."""
UNSTEADY = Noise(body=0.1, tail=0.3)
"""No server's numbers are taken to be steadier for a verdict: llama.cpp's log-odds move by 0.04 and 0.12 between
batches, caches and runs (docs/futures.md)."""
CONTRADICTED = 0.01  # chance that runs are wrongly taken to contradict what was read
MOST = 200  # runs whose texts are looked at
CONTINUING = ("llama.cpp", "vllm", "sglang")  # servers that are asked what they can do before anybody wanted to know
BY_OTHERS = ("person", "judge")  # checks that cost more than the call that they judge


@dataclass(frozen=True, slots=True)
class Foretold:
    """What reading came to. `known`: the failure rate, for sure; None where it decides nothing, `why` says so.

    plain: the plain runs that were drawn beside it.
    """

    known: Est | None
    reading: Reading
    plain: tuple[Branch, ...] = ()
    why: str = ""


def worth_reading(session: Session, case: Case, race: Race, seen: Evidence) -> int | None:
    """About how many runs sampling would still take, where reading might take fewer; None where it cannot.

    Where no number of runs would tell, as the rate seen is so near the tested one, it is what the budget allows.
    """
    options = session.options
    kinds = {inner.kind for one in case.checks for inner in one.walk()}
    if options.method == "sampling" or options.horizon is not None or session.fresh or kinds & set(BY_OTHERS):
        return None
    if session.engine is not run_draws or session.per_call > 1 or too_dear(session):
        return None
    further = forecast(race, seen) or session.left
    return further if min(further, session.left) >= 2 * CHECKED else None


async def foretell(session: Session, case: Case, race: Race, runs: Runs) -> Foretold | None:
    """A claim of the race read from the model's probabilities, after these runs; None: it cannot be.

    What was read speaks only where plain runs agree with it. All that was drawn is stored, and reused.
    """
    seen = Evidence.of(runs.words())
    instead = worth_reading(session, case, race, seen)
    if instead is None or not await _known_to_continue(session):
        return None
    try:
        opened = await open_case(session, case)
        opened.branches.tell("reading the model's own probabilities")
        found = begin(session, opened, noise=UNSTEADY)
        return await _read(found, race, runs, instead)
    except (ModelError, NotCompleted):
        return None  # this server does not show what is needed, or no longer: runs will tell


async def _read(found: Exploration, race: Race, runs: Runs, instead: int) -> Foretold:
    search, checked, why = found.search, False, ""
    while not why:
        move = next_move_to_decide(search, race, instead)
        if move == "enumerate":
            why = await follow(found)
        elif move == "sample":
            why = "the model has too many and too unlikely answers to list"
        elif checked:
            break
        else:
            checked, why = True, await _contradicted(found, runs)
            search.widen()
    plain = tuple(plain_draws(found))
    reading = Reading(found.calls, search.tokens, len(plain), instead)
    return Foretold(None if why else search.futures().failure_rate, reading, plain, why)


async def _contradicted(found: Exploration, runs: Runs) -> str:
    """Why plain runs forbid to trust what was read; empty where they agree with it.

    The runs before came as the program sends its requests, the ones drawn now as beginnings are sent: what a server
    does to the one alone (a template, a system prompt) shows in what the first ones said.
    """
    if (what := _otherwise(found, runs)) is not None:
        return what
    agreed = await check(found, CHECKED)
    if not agreed.agrees:
        suspect = f"; it looks like {agreed.suspect}" if agreed.suspect else ""
        return f"{counts('plain run', agreed.draws)} contradict them{suspect}"
    if agreed.draws < CHECKED:
        return "too few plain runs could be drawn to check them"
    plain = Evidence.of(runs.words()) + Evidence.of([branch.outcome.outcome for branch in plain_draws(found)])
    low, high = interval_of(plain, CONTRADICTED)
    least, most = found.search.bracket()
    return "" if low <= most and least <= high else f"{counts('plain run', plain.n)} fail otherwise than they say"


def _otherwise(found: Exploration, runs: Runs) -> str | None:
    """That the runs say what is not among the likely completions; None where they do not say so too often."""
    search = found.search
    listed = {future.text.strip() for future in search.futures(down_to=0.0).completions}
    known = sum(search.known(outcome) for outcome in ("pass", "fail", "invalid"))
    said = [one.completion.text.strip() for one in (run.stored.sample for run in runs.first(MOST)) if one.completion]
    inside = [text in listed for text in said]
    if doubt_of_texts(known, inside) < -math.log(CONTRADICTED):
        return None
    return f"{inside.count(False)} of {counts('run', len(said))} said what is not among the likely answers"


async def _known_to_continue(session: Session) -> bool:
    """Whether asking what this model can do is worth its calls: it was asked before, or its software goes on from
    beginnings."""
    if isinstance(session.model, LocalModel):
        return True
    if not isinstance(session.model, HttpModel):
        return False
    return bool(session.store.probes(session.model.identity)) or await server_of(session) in CONTINUING
