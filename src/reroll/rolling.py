"""One case drawn without rounds: what has settled, in the order drawn, decides what to start while the rest is out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from reroll.at_hand import judges_at_once
from reroll.case import Case
from reroll.engine import one_share
from reroll.errors import ModelError, NotCompleted, StoreError
from reroll.evidence import Evidence
from reroll.keeping import UnderWay
from reroll.outcomes import Outcomes
from reroll.plan import Plan, next_draws
from reroll.runner import crashing_check, draw_at, gone_on_with, keeper_of, question_words, tell
from reroll.runs import Runs
from reroll.session import Session, Slots, judged, slots, too_dear

__all__ = ["can_roll", "roll_case"]

SHARE = 4  # a quarter of what is under way comes back before it is looked at again
TELL_EVERY = 0.25  # seconds
PATIENCE = 4  # looking takes at most a fifth of the time
OUTAGE = ("model-no-answer", "model-stopped-answering")


def can_roll(session: Session, case: Case) -> bool:
    """Whether calls may be under way while others are judged.

    Not where judging takes long (a person, a python check): calls would seem to time out meanwhile. Not
    under a cap on money, which asks what is in flight batch by batch, nor where a call brings several samples. A
    recording has no waits to save.
    """
    recorded = session.model.name.startswith("recorded:")
    return session.options.max_usd is None and session.per_call == 1 and judges_at_once(case) and not recorded


async def roll_case(
    session: Session, case: Case, plan_for: Callable[[Outcomes], Awaitable[Plan | None]], runs: Runs | None = None
) -> Runs:
    """As `run_case`, for a plan whose making draws nothing; calls overlap, so no batch waits for its slowest.

    The plan sees the outcomes up to the first draw that has not settled: quick answers are not favoured.
    In flight and settled together never exceed what it allows. Once it says stop nothing starts; what is in
    flight gets back, is stored, and counts as drawn after the decision.
    """
    at = slots(session, case)
    session.store.put_case(case)
    runs = gone_on_with(session, at, runs)
    calls = _Calls(session, at)
    try:
        with one_share():
            while True:
                looked = time.monotonic()
                crashing_check(case, runs)
                # At once after reading: what settles from here on is not among the runs.
                seen = _Seen(runs, calls.in_order(runs), len(calls.way.open))
                if wanted := _wanted(session, case, await plan_for(seen.known.words()), seen, calls):
                    calls.start(wanted)
                elif not calls.batches:
                    return runs
                await calls.landing(PATIENCE * (time.monotonic() - looked))
                runs = judged(session, at, runs)
    except (ModelError, NotCompleted) as error:
        await calls.end()
        if error.slug in OUTAGE and session.silent:  # came back after the outage was noticed
            session.store.mark_outage([id for call in session.silent for id in call])
            session.silent = []
        raise
    except StoreError as error:
        # Reading may fail before what is in flight is to be stored: where that is kept is what must be told.
        raise await calls.end() or error from error.__cause__
    finally:
        await calls.end()


@dataclass(frozen=True, slots=True)
class _Seen:
    """All runs, those before the first draw that has not settled, and how many have not."""

    runs: Runs
    known: Runs
    out: int


def _wanted(session: Session, case: Case, plan: Plan | None, seen: _Seen, calls: _Calls) -> int:
    """How many draws to start now."""
    if plan is None:
        return 0
    if session.silent and not session.got_through and calls.batches:
        return 0  # nothing has got through yet: what is under way tells whether anything will
    ahead = len(seen.runs) - len(seen.known)
    plan = replace(
        plan,
        budget=len(seen.runs) + max(seen.out, session.left),
        concurrency=plan.concurrency + ahead,  # what has settled out of order was started, but is not in flight
    )
    wanted = next_draws(plan, seen.known.words(), ahead + seen.out)
    if calls.time_to_tell():
        budget = plan.budget or session.options.budget
        tell(session, case.id, Evidence.of(seen.runs.words()), question_words(plan), budget)
    if not wanted or session.stopped or too_dear(session) or session.spent.out_of_time():
        return 0
    return wanted


class _Calls:
    """What is under way, in batches that overlap."""

    def __init__(self, session: Session, at: Slots) -> None:
        self.session, self.at = session, at
        self.way = UnderWay(keeper_of(session))
        self.batches: set[asyncio.Task[None]] = set()
        self._told = 0.0

    def start(self, count: int) -> None:
        batch = asyncio.create_task(draw_at(self.session, [(self.at, count)], self.way))
        batch.add_done_callback(lambda _: self.way.close(()))
        self.batches.add(batch)

    def time_to_tell(self) -> bool:
        """Whether to say how it stands: intervals cost more than all else here, and nobody reads that fast."""
        now = time.monotonic()
        if self.batches and now - self._told < TELL_EVERY:
            return False
        self._told = now
        return True

    def in_order(self, runs: Runs) -> Runs:
        """The runs before the first slot that has not settled."""
        return runs.before(min(self.way.open)) if self.way.open else runs

    async def landing(self, least: float) -> None:
        """Wait until a good part of what is under way has come back, `least` seconds at least, or until all has.

        Raises: what a batch raised.
        """
        until = time.monotonic() + least
        await asyncio.sleep(0)  # batches just started take their slots
        enough = len(self.way.open) - max(1, len(self.way.open) // SHARE)
        while self._going_on() and len(self.way.open) > enough:
            await self.way.change()
        if (left := until - time.monotonic()) > 0 and self._going_on():
            await asyncio.wait(self.batches, timeout=left)
        self._going_on()

    def _going_on(self) -> bool:
        """Whether any batch is under way. Raises: what one raised."""
        for batch in [b for b in self.batches if b.done()]:
            self.batches.discard(batch)
            batch.result()
        return bool(self.batches)

    async def end(self) -> StoreError | None:
        """Nothing is under way any more: what was gets its grace, and is ended then. Returns what storing it raised."""
        for batch in self.batches:
            batch.cancel()
        ended = await asyncio.gather(*self.batches, return_exceptions=True)
        self.batches.clear()
        return next((one for one in (self.way.failed, *ended) if isinstance(one, StoreError)), None)
