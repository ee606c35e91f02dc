"""The loop, and the only place that goes round: judge what is stored, ask the plan, draw, store, repeat."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from hashlib import blake2b

from reroll.answer import ProgressEvent
from reroll.case import Case
from reroll.check import Outcome
from reroll.engine import DEAD_AFTER, Cut
from reroll.errors import ModelError, NotCompleted, UsageError
from reroll.evidence import Evidence, interval_of
from reroll.freshness import came_back, count_silence, look_back, mark_silence, overdue, still_fresh, stopped_by_us
from reroll.keeping import Keeper, UnderWay
from reroll.models.model import Draw
from reroll.models.stepped import is_cut
from reroll.numbers import counts, percent
from reroll.outcomes import Outcomes
from reroll.plan import Plan, next_draws
from reroll.rubric import NOT_ASKED
from reroll.runs import Runs
from reroll.sample import Sample
from reroll.session import Session, Slots, judged, seed_of, slots, too_dear
from reroll.step_record import taken
from reroll.store import NewSample, several
from reroll.turns import seat_of_this_task

__all__ = [
    "crashing_check",
    "draw_at",
    "draw_more",
    "given_up",
    "gone_on_with",
    "keeper_of",
    "question_words",
    "run_case",
    "tell",
]

# The server would not take the call at all. As long as no call has got through, nothing was drawn.
REFUSED = {401, 403, 404}


async def draw_more(session: Session, where: Sequence[Slots], each: int) -> None:
    """Draw `each` new samples for every place; raises as `draw_at`."""
    await draw_at(session, [(at, each) for at in where])


async def draw_at(session: Session, wanted: Sequence[tuple[Slots, int]], way: UnderWay | None = None) -> None:
    """Draw so many new samples for each place, storing each one the moment it is settled.

    Where a call brings several samples, whole calls are made, and each of their samples has a slot of its own.
    `way`: of several batches of one place that overlap; it is told what is under way.
    When the time of the command is up, calls in flight get the usual grace; those that were cut leave gaps.

    Raises: ModelError or NotCompleted when the server brings nothing back any more.
    """
    if session.stopped:
        return
    deadline = session.spent.begin(session.options.max_seconds)
    draws, home = _reserved(session, wanted)
    program_id = session.project.program.id
    errors: list[str] = []
    keeper = way.keeper if way else keeper_of(session)
    taken = [draw.index for draw in draws]
    if way:
        way.open.update(taken)

    def settled(draw: Draw, sample: Sample) -> asyncio.Future[None]:
        if _mute(sample) and not stopped_by_us(sample):
            errors.append(sample.error or "")
        # Stored before it is judged: a completion costs money, and a check may crash or change later.
        new = _new(session, home[id(draw)], program_id, draw, sample)
        stored = [keeper.add(one) for one in several(new)][-1]
        if way:
            stored.add_done_callback(lambda done: way.close([draw.index], done))
        return stored

    def cut(draw: Draw, how: Cut) -> None:
        if (hung := overdue(session, how)) is not None:
            settled(draw, hung)

    purse = session.spent.purse
    enough = purse.shut if purse else None
    width = session.options.concurrency or session.model.concurrency
    drawing = asyncio.ensure_future(
        session.engine(
            session.model, draws, width, settled, deadline=deadline, enough=enough, on_cut=cut, seat=seat_of_this_task()
        )
    )
    try:
        await session.until_done(drawing)
    except ModelError as error:
        if error.slug != "recorded-exhausted":
            raise
        session.exhausted = error
    finally:
        try:
            keeper.flush()
        finally:
            if way:
                way.close(taken)
    _still_alive(session, errors)
    still_fresh(session)


def _reserved(session: Session, wanted: Sequence[tuple[Slots, int]]) -> tuple[list[Draw], dict[int, Slots]]:
    """The draws, with slots of their own in the store; and by the id of each, its place.

    By the very draw, not by its case and index: a case may have several requests here.
    """
    size = session.per_call
    slots_of = session.store.reserve_all([(at.request_id, at.series, -(-each // size) * size) for at, each in wanted])
    reserved = [(at, indices[::size]) for (at, _), indices in zip(wanted, slots_of, strict=True)]
    program = session.project.program
    requests = [at.request or program.render(at.case.input, at.case.history) for at, _ in reserved]
    draws: list[Draw] = []
    home: dict[int, Slots] = {}
    longest = max((len(indices) for _, indices in reserved), default=0)
    for k in range(longest):  # round by round: a suite's rounds fill up in turn
        lacking = [(at, of[k], request) for (at, of), request in zip(reserved, requests, strict=True) if k < len(of)]
        for at, index, request in sorted(lacking, key=lambda one: _by_chance(one[0], one[1])):
            draws.append(
                Draw(request, at.case.id, index, seed_of(session.options.seed, at.request_id, at.series, index))
            )
            home[id(draws[-1])] = at
    for at, indices in reserved:
        look_back(session, at, indices)
    return draws, home


def _by_chance(at: Slots, index: int) -> bytes:
    """Where this slot stands in its round: by chance, and always there. Two places that always came in one order would
    each meet the same one of two servers that calls go to by turns."""
    return blake2b(f"{at.request_id} {at.series} {index}".encode(), digest_size=8).digest()


def keeper_of(session: Session) -> Keeper:
    """What stores the draws of this session, and counts how many in a row brought nothing."""
    return Keeper(lambda new: _keep(session, new))


def _new(session: Session, at: Slots, program_id: str, draw: Draw, sample: Sample) -> NewSample:
    """The sample with its place, counted as spent."""
    refused = _refused(sample) and not session.got_through
    session.spent.add(sample, at.control)
    session.made += 1
    session.got_through |= not _mute(sample)
    copy = False
    if sample.completion is not None:
        copy = came_back(session, sample, time.monotonic())
    return NewSample(
        sample,
        request_id=at.request_id,
        series=at.series,
        idx=draw.index,
        program_id=program_id,
        case_id=at.case.id,
        variant=at.variant or session.variant,
        source="refused" if refused else "cut" if is_cut(sample) else "copy" if copy else "draw",
    )


def _keep(session: Session, new: Sequence[NewSample]) -> None:
    placed = session.store.add_known(new)
    session.at_hand.add(stored for _, stored in placed if stored is not None and stored.source == "draw")
    for one, (stored, _) in zip(new, placed, strict=True):
        if one.choice == 0:  # a call that failed is one sign of an outage, however many samples it should have brought
            count_silence(session, stored, one.sample, _mute(one.sample))
        elif session.silent and not stopped_by_us(one.sample):
            session.silent[-1].append(stored)


def _mute(sample: Sample) -> bool:
    """Whether the model brought nothing: a step of the program that broke says nothing about the server."""
    if sample.error is None:
        return False
    took = taken(sample)
    return took is None or (bool(took.drawn) and took.drawn[-1].completion is None)


def _refused(sample: Sample) -> bool:
    return sample.completion is None and bool(sample.attempts) and sample.attempts[-1].status in REFUSED


def _still_alive(session: Session, errors: Sequence[str]) -> None:
    """Raises: ModelError when no call of this command got through, NotCompleted when they stopped getting through.

    The draws of such an outage are kept, and marked: a server that is down says nothing about the case.
    """
    if not errors:
        return
    total, silent = session.made, len(session.silent)
    # The same call would be turned down again; a 429 only asks for patience.
    hopeless = errors[-1].startswith("http 4") and not errors[-1].startswith("http 429")
    none_yet = silent == total and (hopeless or total >= DEAD_AFTER)
    if not silent or not (none_yet or silent >= DEAD_AFTER):
        return
    mark_silence(session)
    raise given_up(session.model.name, silent, errors[-1], ever=not none_yet)


def given_up(model: str, calls: int, last: str | None, *, ever: bool) -> ModelError | NotCompleted:
    """The error that says that so many calls in a row brought nothing back, the last with this; ever: others did."""
    if ever:
        return NotCompleted(
            f"{model} stopped answering: {calls} calls in a row brought nothing back, the last with: {last}; "
            "what was drawn is stored, and the same command goes on from there",
            slug="model-stopped-answering",
        )
    return ModelError(
        f"{model} answered none of the first {calls} calls; the last error was: {last}; "
        "mend that and run the same command again",
        slug="model-no-answer",
    )


async def run_case(
    session: Session, case: Case, plan_for: Callable[[Outcomes], Awaitable[Plan | None]], runs: Runs | None = None
) -> Runs:
    """Draws for one case until its plan says stop, the money is spent, the time is up or a person stops it.

    Asks `plan_for` anew before every batch: what is known of the reference may have changed. None: no more for now.
    Picks up whatever an earlier run of the same request left in the store; `runs` is what an earlier call of this
    command returned: then it goes on from there.
    """
    at = slots(session, case)
    session.store.put_case(case)
    runs = gone_on_with(session, at, runs)
    while True:
        crashing_check(case, runs)
        seen = runs.words()
        plan = await plan_for(seen)
        if plan is None:
            break
        plan = replace(plan, budget=len(runs) + max(0, session.left), per_call=session.per_call)
        wanted = next_draws(plan, seen)
        budget = plan.budget or session.options.budget
        tell(session, case.id, Evidence.of(seen), question_words(plan), budget)
        if wanted == 0 or session.stopped or too_dear(session) or session.spent.out_of_time():
            break
        await draw_more(session, [at], wanted)
        runs = judged(session, at, runs)
        if session.exhausted:
            if not runs:
                raise session.exhausted
            break
    return runs


def gone_on_with(session: Session, at: Slots, so_far: Runs | None) -> Runs:
    """The judged runs of this place; those that this command finds there when it begins are counted as reused."""
    runs = judged(session, at, so_far)
    session.spent.reused += len(runs) if so_far is None else 0
    return runs


def crashing_check(case: Case, runs: Runs) -> None:
    """Raises: UsageError when a check could not run on any sample so far: it is the check that is broken."""
    if len(runs) >= 3 and runs.broken >= len(runs) and all(_broke(j.outcome) for j in runs):
        raise UsageError(
            f"a check of case `{case.id}` failed to run on all {len(runs)} samples: {runs[-1].outcome.reason}; "
            "mend it and run the same command again: what was drawn stays stored",
            slug="check-crashed",
        )


def _broke(outcome: Outcome) -> bool:
    """Whether its check could not run; one that no money or time was left for is not broken."""
    return outcome.broken and not outcome.reason.startswith(NOT_ASKED)


def tell(
    session: Session,
    name: str,
    seen: Evidence,
    question: str,
    budget: int,
    *,
    calls: int | None = None,
    controls: bool = False,
) -> None:
    """Show where the run stands: `name` is what is run, `budget` the calls that it may come to; `calls`: those so far,
    if not only those that were seen. Then how often it fails has a denominator of its own."""
    low, high = interval_of(seen, session.options.alpha)
    apart = calls is not None and calls != seen.n
    session.notify(
        ProgressEvent(
            phase="controls" if controls else "case",
            case_id=name,
            calls=seen.n if calls is None else calls,
            budget=budget,
            failures=None if apart else seen.failures,
            invalid=0 if apart else seen.invalid,
            estimate=None if apart else seen.estimate,
            low=low,
            high=high,
            question=question,
            usd=session.spent.usd,
            seconds=session.spent.seconds,
            doing=f"as it is {seen.failures:,} of {counts('run', seen.n)} failed" if apart and seen.n else "",
        )
    )


def question_words(plan: Plan) -> str:
    """What is being decided, for the live line."""
    if plan.question == "luck" and plan.reference_rate is not None:
        return f"worse than the usual {percent(plan.reference_rate, 'up')}?"
    return f"{percent(plan.target)} reliable?" if plan.target else "how often?"
