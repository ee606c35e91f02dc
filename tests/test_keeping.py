"""Keeping: one commit for what comes together, nothing in between lost, and errors reach whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from reroll.engine import run_draws
from reroll.keeping import Keeper
from reroll.models.model import Draw
from reroll.sample import Completion, Sample
from reroll.store import NewSample
from tests.test_engine import GOOD, Scripted, draws


def new(index: int) -> NewSample:
    return NewSample(Sample(completion=Completion("ok")), "r_1", "open", index, "p_1", "case")


def test_what_comes_in_one_turn_of_the_loop_is_stored_together_and_in_order() -> None:
    batches: list[list[int]] = []

    async def run() -> None:
        keeper = Keeper(lambda rows: batches.append([row.idx for row in rows]))
        await asyncio.gather(*(keeper.add(new(i)) for i in range(5)))
        await keeper.add(new(5))
        keeper.add(new(6))
        keeper.flush()
        assert batches == [[0, 1, 2, 3, 4], [5], [6]]
        await asyncio.sleep(0)

    asyncio.run(run())
    assert batches == [[0, 1, 2, 3, 4], [5], [6]]


def test_an_error_of_the_store_reaches_everybody_who_waits() -> None:
    def full(rows: Sequence[NewSample]) -> None:
        raise OSError("disk full")

    async def run() -> list[BaseException | None]:
        keeper = Keeper(full)
        return await asyncio.gather(keeper.add(new(0)), keeper.add(new(1)), return_exceptions=True)

    assert [str(error) for error in asyncio.run(run())] == ["disk full", "disk full"]


def test_a_draw_takes_up_its_place_until_its_sample_is_stored() -> None:
    async def run() -> tuple[int, int]:
        model = Scripted(lambda draw: GOOD)
        stored = asyncio.get_running_loop().create_future()
        drawing = asyncio.ensure_future(run_draws(model, draws(10), 3, lambda d, s: stored))
        for _ in range(50):
            await asyncio.sleep(0)
        before = model.started
        stored.set_result(None)
        return before, await drawing

    assert asyncio.run(run()) == (3, 10)


def test_stopping_one_draw_does_not_lose_what_others_wait_for() -> None:
    batches: list[int] = []

    async def run() -> None:
        keeper = Keeper(lambda rows: batches.append(len(rows)))

        async def wait(index: int) -> None:
            await asyncio.shield(keeper.add(new(index)))

        first, second = asyncio.create_task(wait(0)), asyncio.create_task(wait(1))
        await asyncio.sleep(0)
        first.cancel()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())
    assert batches == [2]


def test_a_sample_that_cannot_be_stored_stops_the_run_with_the_reason() -> None:
    def full(rows: Sequence[NewSample]) -> None:
        raise OSError("disk full")

    async def run() -> None:
        keeper = Keeper(full)

        def keep(draw: Draw, sample: Sample) -> asyncio.Future[None]:
            return keeper.add(new(draw.index))

        with pytest.raises(OSError, match="disk full"):
            await run_draws(Scripted(lambda draw: GOOD), draws(9), 2, keep)

    asyncio.run(run())
