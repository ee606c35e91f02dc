"""An audit's draws: all circumstances in turns, in a random order, as long as a comparison is open and near enough."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import numpy as np

from reroll.arms import BURST, WARM, Arm, Arms, Asked, arms_of, begun_at, refresh
from reroll.audit import chance_alike, worth_more
from reroll.case import Case
from reroll.check import overall
from reroll.engine import DEAD_AFTER
from reroll.errors import ModelError, NotCompleted
from reroll.runner import crashing_check, draw_at, given_up, tell
from reroll.session import Session, Slots, judged, slots, too_dear

__all__ = ["judged_anew_at_most", "run_arms", "serving_arms"]

STEP = 4  # pairs between two looks
PRODUCTION = 20  # runs as reported, whatever the other arms say: what varies in one of seven shows itself
AT_ZERO = 14  # where it varies as reported: what varies in one of five shows itself
AT_ZERO_OTHERWISE = 40  # where its answers differ at temperature 0: now it is only asked whether the outcome does, too
SAME_SEED = 12  # where it varies as reported: six equal answers are common where half of all answers are equal
AGAIN = 3  # more judgings of each output


def judged_anew_at_most(budget: int, burst: int = BURST) -> int:
    """How often at most an audit of so many calls judges the same answers again: those of its runs as reported.

    Of these there are more than the usual few only where another arm is held against them, run for run.
    """
    most = max(PRODUCTION, (budget + max(STEP, burst)) // 2)
    return AGAIN * min(budget, most)


async def run_arms(found: Arms, rng: np.random.Generator, enough: Callable[[Arms], bool] = lambda arms: False) -> None:
    """Draw until every comparison is shown or not worth more, `enough` says so, or the budget, the time or a person
    ends it; what is stored goes on counting.

    All arms take turns in blocks of a few runs, in a random order inside each, so that what drifts meets all alike;
    only a burst has calls in flight together.

    Raises: ModelError where the model as reported never answers.
    """
    try:
        if await _warmed_up(found):
            while todo := _block(found, rng):
                for id in todo:
                    if not await _one(found, id, rng):
                        return
                _judge_again(found)
                if not _lacking(found):
                    if enough(found):
                        found.stopped = "the check alone explains most of it"
                        return
                    _go_on(found)
    except NotCompleted as error:
        found.stopped, found.finished = str(error), False
    finally:
        for arm in found.arms.values():
            refresh(found, arm, anew=True)
        _judge_again(found)


async def serving_arms(
    session: Session, case: Case, asked: Asked, opened: AsyncExitStack, rng: np.random.Generator
) -> Arms:
    """Only the circumstances of serving: as reported, cold, in a burst, at each replica and with each other model."""
    found = await arms_of(session, case, replace(asked, arms="PCLRV"), opened)
    await run_arms(found, rng)
    return found


def _lacking(found: Arms) -> dict[str, int]:
    return {a.id: a.want - len(a) for a in found.arms.values() if not a.why_not and len(a) < a.want}


def _block(found: Arms, rng: np.random.Generator) -> list[str]:
    """The next few draws of every arm that lacks some, by id, in a random order; a burst is one of them."""
    todo = []
    for id, lacks in _lacking(found).items():
        todo += [id] * (1 if id == "L" else min(STEP, lacks))
    return [todo[i] for i in rng.permutation(len(todo))]


async def _warmed_up(found: Arms) -> bool:
    """Whether a few calls that count for nothing went through, or none are needed any more."""
    if not _lacking(found):
        _judge_again(found)
        _go_on(found)
    if not _lacking(found):
        return False
    first = found.arms["P"]
    if found.session.project.program.model.startswith("recorded:"):
        return True
    if not _allowed(found, WARM + 1):
        return False
    session = found.session.like(options=first.session.options, variant="audit warm-up")
    await draw_at(session, [(found.warm_up, WARM)])
    _still_alive(found, session, WARM)
    return not found.session.stopped or _allowed(found, 0)


def _allowed(found: Arms, calls: int) -> bool:
    """Whether so many more calls may be made; if not, why is written down."""
    session = found.session
    if session.stopped:
        found.stopped, found.finished = "stopped; the same command goes on from here", False
    elif session.left < calls:
        found.stopped = f"the budget of {session.options.budget:,} calls is used"
    elif too_dear(session):
        found.stopped = "the limit on money is reached"
    elif session.spent.out_of_time():
        found.stopped, found.finished = "the time is up; the same command goes on from here", False
    else:
        return True
    return False


async def _one(found: Arms, id: str, rng: np.random.Generator) -> bool:
    """One draw of this arm, or one burst; False: nothing more may be drawn."""
    arm = found.arms[id]
    if arm.why_not:
        return True
    if id in "CW":
        cold, warm = found.arms["C"], found.arms["W"]
        waiting = len(cold) > len(warm)
        may_begin = len(cold) < cold.want
        arm = warm if waiting and (not may_begin or rng.random() < 0.5) else cold
    each = found.burst if arm.id == "L" else 1
    if not _allowed(found, each):
        return False
    made = arm.session.made
    try:
        await draw_at(arm.session, [(_place(found, arm), each)])
    except ModelError as error:  # NotCompleted is none: it ends the audit where what is reported went away
        if arm.id == "P":
            raise
        _leave(found, arm, str(error))
    except NotCompleted as error:
        if arm.letter not in "RV":
            raise
        _leave(found, arm, str(error))
    else:
        _still_alive(found, arm.session, arm.session.made - made)
    refresh(found, arm)
    if arm.id == "P":
        crashing_check(found.case, arm.runs[0])
    if found.session.stopped:
        return _allowed(found, 0)
    if arm.id == "P":  # whose rate the live line shows
        _tell(found)
    if arm.id == "P" and arm.session.exhausted:
        found.stopped = "the recording is at its end"
        return False
    return True


def _still_alive(found: Arms, session: Session, made: int) -> None:
    """Count the calls in a row that brought nothing, whichever circumstance made them; made: the last ones, of this
    session. Each arm counts for itself whether its model answers, and takes turns with the others: a server that is
    down would get eight calls of every arm before the first one noticed.

    Raises: ModelError when no call of the reported model got through, NotCompleted when they stopped getting through.
    """
    model = found.session.model
    if session.model is not model or not made:
        return
    silent = session.silent[-made:]
    found.silent = [*found.silent, *silent] if len(silent) == made else silent
    found.got_through |= session.got_through
    if len(found.silent) < DEAD_AFTER:
        return
    session.store.mark_outage([id for call in found.silent for id in call])
    last = session.store.sample(silent[-1][0]).sample.error
    raise given_up(model.name, len(found.silent), last, ever=found.got_through)


def _leave(found: Arms, arm: Arm, why: str) -> None:
    for one in (found.arms["C"], found.arms["W"]) if arm.id in "CW" else (arm,):
        one.why_not = found.left_out[one.id] = why


def _place(found: Arms, arm: Arm) -> Slots:
    """Where the next draw of this arm goes: for a cold prompt a new one, for a warm one the oldest not repeated yet."""
    if arm.id == "C":
        arm.places.append(begun_at(found, arm, len(arm.places)))
        return arm.places[-1]
    if arm.id == "W":
        cold = found.arms["C"]
        # Not by number: a call of either that fell into an outage has a place, and no run there.
        done = {at.request_id for at, runs in zip(arm.places, arm.runs, strict=True) if len(runs)}
        settled = [at for at, runs in zip(cold.places, cold.runs, strict=True) if len(runs)]
        at = next(at for at in settled if at.request_id not in done)
        if begun := next((one for one in arm.places if one.request_id == at.request_id), None):
            return begun
        arm.places.append(slots(arm.session, found.case, series=arm.series, request=at.request))
        judged(arm.session, arm.places[-1])
        return arm.places[-1]
    return arm.places[0]


def _judge_again(found: Arms) -> None:
    """Judge each stored output as reported a few more times by the same check."""
    if not found.rejudges:
        return
    checker, at = found.session.checker, (found.case, found.session.judging)
    times = range(1, AGAIN + 1)
    judges = [checker.judging(*at, again=k) for k in times]
    wanted = [
        one
        for one in found.arms["P"].samples()
        if one.stored.seq not in found.judgings and one.stored.sample.completion is not None
    ]
    checker.ahead(*at, [one.stored.sample for one in wanted], times)
    for one in wanted:
        again = [overall(judge(one.stored.sample)).outcome for judge in judges]
        found.judgings[one.stored.seq] = [one.outcome.outcome, *again]


# ---------------------------------------------------------------- when to go on


def _go_on(found: Arms) -> None:
    """Want more of arms whose comparison is open and near enough, and of the runs as reported, to see small rates."""
    drawn = found.drawn
    production = drawn["P"]
    claims = found.claims()
    worth = worth_more(claims, found.room)
    for claim in claims:
        arm = found.arms[claim.arm]
        early = claim.arm == "L" and not found.bursts_enough and claim.pairs_needed == 0
        if arm.why_not or claim.shown or not (claim.arm in worth or early):
            continue
        step = found.burst if claim.arm == "L" else STEP
        arm.want = len(arm) + step
        for other in found.held_against(arm):
            other.want = max(other.want, arm.want)
    at_zero = AT_ZERO_OTHERWISE if "Z" in drawn and drawn["Z"].distinct > 1 else AT_ZERO
    for id, most_of_it in (("Z", at_zero), ("S", SAME_SEED)):
        held = found.arms.get(id)
        if held and production.varies and not drawn[id].varies and chance_alike(production, drawn[id]) > 0.001:
            held.want = max(held.want, min(most_of_it, len(held) + STEP))
    reported = found.arms["P"]
    reported.want = max(reported.want, min(PRODUCTION, len(reported) + STEP))


def _tell(found: Arms) -> None:
    session, seen = found.session, found.arms["P"].drawn.evidence
    open_now = sum(1 for arm in found.arms.values() if len(arm) < arm.want and not arm.why_not)
    tell(session, found.case.id, seen, f"where does it vary? {open_now} open", session.options.budget)
