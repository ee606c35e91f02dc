"""The engine: bounded, handing over each sample at once, and losing none when it is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from reroll.engine import gate_of, run_draws
from reroll.errors import ModelError
from reroll.models.model import Capabilities, Draw
from reroll.program import Request
from reroll.sample import Attempt, Completion, Sample

GOOD = Sample(completion=Completion("ok"), attempts=(Attempt(0.0, 0.0, 200),))


class Scripted:
    """A model whose draws do what a function says; counts how many are in flight."""

    name = identity = "scripted"
    concurrency = 8
    priced = True

    def __init__(self, act: Callable[[Draw], Sample | asyncio.Event]) -> None:
        self.act, self.now, self.most, self.started = act, 0, 0, 0

    async def draw(self, draw: Draw) -> Sample:
        self.now += 1
        self.started += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            found = self.act(draw)
            if isinstance(found, asyncio.Event):
                await found.wait()
                return GOOD
            return found
        finally:
            self.now -= 1

    async def check(self) -> None: ...

    async def probe(self) -> Capabilities:
        return Capabilities()

    async def close(self) -> None: ...


def draws(n: int) -> list[Draw]:
    return [Draw(Request("scripted", None, {}), "case", i) for i in range(n)]


@pytest.mark.parametrize(("n", "concurrency"), [(0, 4), (1, 4), (50, 1), (50, 7), (5, 100)])
def test_every_draw_settles_once_and_never_too_many_at_a_time(n: int, concurrency: int) -> None:
    model, got = Scripted(lambda d: GOOD), []
    settled = asyncio.run(run_draws(model, draws(n), concurrency, lambda d, s: got.append(d.index)))
    assert settled == n
    assert sorted(got) == list(range(n))
    assert model.most <= concurrency


def test_samples_are_handed_over_before_the_run_ends() -> None:
    async def run() -> None:
        gate, got = asyncio.Event(), []
        model = Scripted(lambda d: gate if d.index == 0 else GOOD)

        def keep(draw: Draw, sample: Sample) -> None:
            got.append(draw.index)
            if len(got) == 3:
                gate.set()  # the first draw ends only after the others were handed over

        await run_draws(model, draws(4), 2, keep)
        assert got == [1, 2, 3, 0]

    asyncio.run(run())


def test_an_error_sample_is_a_sample() -> None:
    got: list[Sample] = []
    asyncio.run(run_draws(Scripted(lambda d: Sample(error="http 500")), draws(3), 2, lambda d, s: got.append(s)))
    assert [s.error for s in got] == ["http 500"] * 3


def test_stopping_keeps_what_comes_back_in_the_grace_and_starts_nothing_new() -> None:
    async def run() -> None:
        soon, never, got = asyncio.Event(), asyncio.Event(), []
        model = Scripted(lambda d: never if d.index == 1 else soon)
        task = asyncio.create_task(run_draws(model, draws(10), 3, lambda d, s: got.append(d.index), grace=0.1))
        while model.started < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        asyncio.get_running_loop().call_later(0.01, soon.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(got) == [0, 2]
        assert model.started == 3
        assert model.now == 0
        assert gate_of(model).running == 0

    asyncio.run(run())


def test_when_storing_fails_the_run_ends_with_that_error_and_nothing_stays_in_flight() -> None:
    def full(draw: Draw, sample: Sample) -> None:
        raise OSError("disk full")

    model = Scripted(lambda d: GOOD)
    with pytest.raises(OSError, match="disk full"):
        asyncio.run(run_draws(model, draws(100), 4, full, grace=0.1))
    assert model.started < 100
    assert model.now == 0


def test_when_the_model_gives_up_the_others_in_flight_are_still_handed_over() -> None:
    async def run() -> None:
        soon, got = asyncio.Event(), []

        def act(draw: Draw) -> Sample | asyncio.Event:
            if draw.index == 1:
                asyncio.get_running_loop().call_later(0.01, soon.set)
                raise ModelError("exhausted")
            return soon

        with pytest.raises(ModelError, match="exhausted"):
            await run_draws(Scripted(act), draws(50), 3, lambda d, s: got.append(d.index))
        assert sorted(got) == [0, 2]

    asyncio.run(run())


def test_no_draw_starts_after_the_deadline() -> None:
    model = Scripted(lambda d: GOOD)
    assert asyncio.run(run_draws(model, draws(9), 3, lambda d, s: None, deadline=time.monotonic() - 1)) == 0
    assert model.started == 0


def test_at_the_deadline_calls_in_flight_get_the_grace_and_the_rest_is_ended_without_an_error() -> None:
    async def run() -> None:
        soon, never, got = asyncio.Event(), asyncio.Event(), []
        model = Scripted(lambda d: never if d.index == 1 else soon)
        asyncio.get_running_loop().call_later(0.03, soon.set)
        until = time.monotonic() + 0.01
        assert await run_draws(model, draws(10), 3, lambda d, s: got.append(d.index), deadline=until, grace=0.1) == 2
        assert sorted(got) == [0, 2]
        assert (model.started, model.now, gate_of(model).running) == (3, 0, 0)

    asyncio.run(run())


def test_what_cannot_be_stored_after_the_deadline_is_an_error_all_the_same() -> None:
    async def run() -> None:
        soon = asyncio.Event()
        asyncio.get_running_loop().call_later(0.03, soon.set)

        def full(draw: Draw, sample: Sample) -> None:
            raise OSError("disk full")

        await run_draws(Scripted(lambda d: soon), draws(2), 2, full, deadline=time.monotonic() + 0.01)

    with pytest.raises(OSError, match="disk full"):
        asyncio.run(run())


def test_concurrency_must_be_one_or_more() -> None:
    with pytest.raises(ValueError, match="got 0"):
        asyncio.run(run_draws(Scripted(lambda d: GOOD), draws(1), 0, lambda d, s: None))
