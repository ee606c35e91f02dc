"""Where draws run: in this process, on asyncio, so many at a time, and nothing that came back is lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from reroll.gate import Gate, Place, gate_of
from reroll.models.model import Draw, Model, sent_away
from reroll.sample import Sample
from reroll.turns import Seat

__all__ = ["DEAD_AFTER", "GRACE", "Cut", "Engine", "Gate", "OnCut", "OnSample", "gate_of", "one_share", "run_draws"]

OnSample = Callable[[Draw, Sample], asyncio.Future[None] | None]
DEAD_AFTER = 8  # calls in a row that bring nothing back: whoever is called is down, not unlucky
GRACE = 1.0  # seconds that calls in flight get to come back when a run is stopped: they are paid for


@dataclass(frozen=True, slots=True)
class Cut:
    """How a draw was ended that had not come back. `sent`: a time of `time.monotonic`; under_way: draws of the model
    that had not come back when no more were begun, this one among them."""

    sent: float
    seconds: float  # that the server had it
    under_way: int


OnCut = Callable[[Draw, Cut], None]


class Engine(Protocol):
    """What makes draws: `run_draws` here, or something of the same contract that makes them elsewhere."""

    async def __call__(
        self,
        model: Model,
        draws: Sequence[Draw],
        concurrency: int,
        on_sample: OnSample,
        deadline: float | None = None,
        grace: float = GRACE,
        enough: Callable[[int], bool] | None = None,
        on_cut: OnCut | None = None,
        seat: Seat | None = None,
    ) -> int: ...


_share: ContextVar[object | None] = ContextVar("share", default=None)


@contextlib.contextmanager
def one_share() -> Iterator[None]:
    """All draws begun inside have one share of the gate together, as if they were of one run."""
    before = _share.set(_share.get() or object())
    try:
        yield
    finally:
        _share.reset(before)


class _Run:
    """The draws of one call of `run_draws`, and its workers."""

    def __init__(
        self,
        model: Model,
        draws: Sequence[Draw],
        on_sample: OnSample,
        deadline: float | None,
        enough: Callable[[int], bool] | None,
        on_cut: OnCut | None,
        seat: Seat | None,
    ) -> None:
        self.model, self.on_sample, self.deadline, self.enough = model, on_sample, deadline, enough
        self.on_cut, self.seat = on_cut, seat
        self.todo = deque(draws)
        self.gate = gate_of(model)
        self.stopped = self.ended = False
        self.settled = self.under_way = 0
        self.drawing: set[asyncio.Task[None]] = set()  # workers with a call in flight

    def _over(self) -> bool:
        if self.stopped or (self.deadline is not None and time.monotonic() >= self.deadline):
            return True
        if self.enough is not None and self.enough(len(self.drawing)):
            self.stopped = True
        return self.stopped

    async def work(self) -> None:
        """Draw until nothing is left to do. No await lies between a sample and `on_sample`.

        A draw stays in flight until what `on_sample` returned is done: the sample is stored.
        """
        me = asyncio.current_task()
        assert me is not None
        place = Place(_share.get() or self)

        away = 0.0  # seconds that this draw was sent away for: the server never had it meanwhile

        async def others_may_go(pause: Awaitable[None]) -> None:
            nonlocal away
            since = time.monotonic()
            try:
                await self.gate.away(place, pause)
            finally:
                away += time.monotonic() - since

        sent_away.set(others_may_go)  # seen by this task alone
        while not self._over():
            draw, sample, began, away = None, None, time.monotonic(), 0.0
            try:
                draw = await self._next(place)
                if draw is None:
                    return
                began = time.monotonic()
                self.drawing.add(me)
                sample = await self.model.draw(draw)
                self.settled += 1
                if (stored := self.on_sample(draw, sample)) is not None:
                    await asyncio.shield(stored)  # shared with others: being cancelled here must not cancel it
            except asyncio.CancelledError:
                if self.ended and self.on_cut is not None and draw is not None and sample is None:
                    self.on_cut(draw, Cut(began, time.monotonic() - began - away, self.under_way))
                raise
            finally:
                self.drawing.discard(me)
                self.gate.leave(place, sample)

    async def _next(self, place: Place) -> Draw | None:
        """The draw that begins now, at its turn and with a place at the gate; None: no more begin."""
        async with contextlib.nullcontext() if self.seat is None else self.seat.starting:
            if self.seat is not None and self.todo:  # with nothing to do it would wait for those that wait for this one
                await self.seat.waited()
            if self.todo:
                await self.gate.enter(place)
            if not self.todo or self._over():
                return None
            draw = self.todo.popleft()
            if self.seat is not None:
                self.seat.begins(last=not self.todo)
            return draw

    async def finish(self, workers: set[asyncio.Task[None]], grace: float) -> None:
        """Start nothing new, give calls in flight `grace` seconds to come back, then end the rest.

        Raises: what a worker raised that was not ended.
        """
        self.stopped = True
        self.under_way = self.gate.running
        for worker in workers - self.drawing:
            worker.cancel()
        done: set[asyncio.Task[None]] = set()
        try:
            if workers:
                done, _ = await asyncio.wait(workers, timeout=grace)
        finally:
            self.ended = True
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        for worker in done:
            if not worker.cancelled() and (error := worker.exception()) is not None:
                raise error


async def run_draws(
    model: Model,
    draws: Sequence[Draw],
    concurrency: int,
    on_sample: OnSample,
    deadline: float | None = None,
    grace: float = GRACE,
    enough: Callable[[int], bool] | None = None,
    on_cut: OnCut | None = None,
    seat: Seat | None = None,
) -> int:
    """Make the draws, at most `concurrency` in flight; each sample goes to `on_sample` the moment it is settled.

    Draws start in the given order and settle in any. `on_sample` runs in the event loop, one at a time;
    it is the place to store the sample, or to begin that: it may return a future that is done once the sample is
    stored. deadline: a time of `time.monotonic`; no draw starts after it, and calls in flight then end as
    below, without an error.
    enough: asked before each draw with how many are in flight; once it says so, none starts any more.
    on_cut: is given each draw that had not come back when it was ended.
    seat: among programs that are run side by side; each draw waits for its turn.

    Stopping (the task is cancelled, as Ctrl-C does; `on_sample` raises; the model raises, which means
    that no draw can work): nothing new starts, calls in flight get `grace` seconds to come back, and
    those that do are handed over like the others; then the error goes on its way.

    Returns: how many draws were settled.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be 1 or more, got {concurrency}")
    run = _Run(model, draws, on_sample, deadline, enough, on_cut, seat)
    workers = {asyncio.create_task(run.work()) for _ in range(min(concurrency, len(draws)))}
    if not workers:
        return 0
    try:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        await asyncio.wait(workers, timeout=left, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):  # whoever stopped it is told that it stopped
            await run.finish(workers, grace)
        raise
    await run.finish(workers, grace)
    return run.settled
