"""The gate: as wide as the server bears, places in turn, and given back whatever happens."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter, deque

import pytest

from reroll.engine import run_draws
from reroll.gate import Gate, Place, gate_of
from reroll.models.model import Draw, sent_away
from reroll.sample import Attempt, Sample
from tests.test_engine import GOOD, Scripted, draws

AWAY = Attempt(0.0, 0.0, 429, "http 429")
CAME_BACK = Sample(completion=GOOD.completion, attempts=(AWAY, Attempt(0.0, 0.0, 200)))
GAVE_UP = Sample(error="http 429", attempts=(AWAY,) * 8)


async def entered(gate: Gate, n: int) -> list[Place]:
    places = [Place("a run") for _ in range(n)]
    for place in places:
        await gate.enter(place)
    return places


def crowded(most: int, seed: int = 1) -> Scripted:
    """A model whose server lets only so many in; others wait as a wire does, a few turns of the loop."""
    chance = random.Random(seed)

    class Crowded(Scripted):
        inside, away = 0, 0

        async def draw(self, draw: Draw) -> Sample:
            self.started += 1
            for tries in itertools.count(1):
                if self.inside < most:
                    break
                self.away += 1
                if tries == 8:
                    return GAVE_UP
                pause, let_others = turns(20), sent_away.get()
                await (let_others(pause) if let_others else pause)
            self.inside += 1
            self.most = max(self.most, self.inside)
            await turns(chance.randint(3, 9))
            self.inside -= 1
            return GOOD

    return Crowded(lambda d: GOOD)


async def turns(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


# -- how wide


def test_each_draw_sent_away_takes_a_place_and_a_round_at_most_half() -> None:
    async def run() -> None:
        gate = Gate()
        places = await entered(gate, 16)
        for place in places[:3]:
            gate.leave(place, CAME_BACK)
        assert gate.limit == 13
        for place in places[3:]:
            gate.leave(place, CAME_BACK)
        assert (gate.limit, gate.running) == (8, 0)
        for _ in range(20):
            [place] = await entered(gate, 1)
            gate.leave(place, GAVE_UP)
        assert gate.limit == 1

    asyncio.run(run())


def test_good_draws_widen_it_slowly_then_faster_and_never_by_more_than_one_a_round() -> None:
    async def run() -> None:
        gate, widths = Gate(), []
        places = await entered(gate, 10)
        gate.leave(places[0], CAME_BACK)
        inside = deque(places[1:])
        for _ in range(40):
            before = gate.limit
            for _ in range(len(inside)):  # a round: each leaves, and as many as there is room for come in
                gate.leave(inside.popleft(), GOOD)
                inside += await entered(gate, int(gate.limit) - gate.running)
            assert before < gate.limit <= before + 1
            widths.append(gate.limit)
        assert widths[7] <= 10
        assert widths[39] > 25

    asyncio.run(run())


def test_a_server_that_lets_sixteen_in_is_kept_busy_and_no_draw_starves() -> None:
    model, errors = crowded(16), []
    asyncio.run(run_draws(model, draws(3000), 200, lambda d, s: errors.append(s.error)))
    assert errors == [None] * 3000
    assert 15 <= gate_of(model).limit <= 18
    assert model.away < 3000 / 5


def test_while_all_are_waiting_for_the_server_nobody_new_tries_it() -> None:
    async def run() -> None:
        gate, over = Gate(), asyncio.Event()
        [first] = await entered(gate, 1)
        asleep = asyncio.create_task(gate.away(first, asyncio.ensure_future(over.wait())))  # type: ignore[arg-type]
        await turns(2)
        new = asyncio.create_task(gate.enter(Place("another run")))
        await turns(2)
        assert not new.done()
        over.set()
        await turns(4)
        assert asleep.done()
        assert not new.done(), "the one that was sent away goes first"
        gate.leave(first, CAME_BACK)
        await turns(2)
        assert new.done()

    asyncio.run(run())


def test_when_those_that_wait_for_the_server_are_stopped_others_get_in() -> None:
    async def run() -> None:
        gate = Gate()
        places = await entered(gate, 2)
        asleep = [asyncio.create_task(gate.away(p, turns(10**6))) for p in places]
        await turns(2)
        new = asyncio.create_task(gate.enter(Place("another run")))
        await turns(2)
        assert not new.done()
        for task, place in zip(asleep, places, strict=True):
            task.cancel()
            await turns(2)
            gate.leave(place, None)
        await turns(2)
        assert new.done()
        assert (gate.running, gate.asleep) == (1, 0)

    asyncio.run(run())


def test_clocks_that_jump_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def limit() -> float:
        model = crowded(4, seed=2)
        asyncio.run(run_draws(model, draws(300), 20, lambda d, s: None))
        return gate_of(model).limit

    steady = limit()
    jumps = itertools.count(0, -3600)
    monkeypatch.setattr(time, "time", lambda: 1e9 + next(jumps))
    assert limit() == steady


# -- who


def shares(limit: int, wanted: dict[str, int], seed: int) -> tuple[list[str], Gate]:
    """Who got in, in order, when all ask at once and draws end in a random order."""

    async def run() -> tuple[list[str], Gate]:
        gate, chance, order, inside = Gate(), random.Random(seed), [], deque()
        gate.limit = limit

        async def one(share: str) -> None:
            place = Place(share)
            await gate.enter(place)
            order.append(share)
            inside.append(place)

        tasks = [asyncio.create_task(one(share)) for share, n in wanted.items() for _ in range(n)]
        while len(order) < len(tasks):
            await turns(2)
            assert len(inside) <= limit
            for _ in range(chance.randint(1, len(inside))):
                inside.rotate(chance.randint(0, len(inside)))
                gate.leave(inside.popleft(), None)
        for place in inside:
            gate.leave(place, None)
        await asyncio.gather(*tasks)
        return order, gate

    return asyncio.run(run())


@pytest.mark.parametrize("seed", range(3))
def test_while_runs_wait_their_shares_are_equal_to_within_one_draw(seed: int) -> None:
    order, gate = shares(4, {"thousand": 1000, "ten": 10, "thirty": 30}, seed)
    before = order[4:]  # the first four found an empty gate
    for name in ("ten", "thirty"):
        while_waiting = before[: len(before) - before[::-1].index(name)]
        for end in range(1, len(while_waiting)):
            got = Counter(while_waiting[:end])
            assert abs(got[name] - got["thousand"]) <= 1
    assert before.index("ten") <= 2
    assert gate.running == 0


def test_a_run_that_is_alone_gets_every_place() -> None:
    order, _ = shares(5, {"alone": 200}, seed=4)
    assert order == ["alone"] * 200


def test_a_run_that_comes_later_does_not_wait_for_all_that_were_there_before() -> None:
    async def run() -> None:
        model, done = crowded(8), []
        gate_of(model).limit = 8
        many = asyncio.create_task(run_draws(model, draws(1000), 500, lambda d, s: done.append("many")))
        await turns(50)
        before = len(done)
        await run_draws(model, draws(10), 10, lambda d, s: done.append("few"))
        assert done[before:].count("many") < 40
        many.cancel()
        await asyncio.gather(many, return_exceptions=True)
        assert gate_of(model).running == gate_of(model).asleep == 0

    asyncio.run(run())


def test_waiters_that_leave_give_back_what_they_had_just_been_given() -> None:
    async def run() -> None:
        model = Scripted(lambda d: GOOD)
        gate = gate_of(model)
        gate.limit = 1.0
        [first] = await entered(gate, 1)
        places = [Place(share) for share in "aab"]
        waiting = [asyncio.create_task(gate.enter(place)) for place in places]
        await turns(1)
        gate.leave(first, None)
        waiting[0].cancel()  # it had just been given the place
        await turns(2)
        assert waiting[2].done(), "it is the other run's turn"
        assert not waiting[1].done()
        waiting[1].cancel()
        await turns(2)
        gate.leave(places[2], None)
        assert gate.running == 0
        a, b = (run_draws(model, draws(20), 5, lambda d, s: None) for _ in range(2))
        gate.limit = 3.0
        assert await asyncio.gather(a, b) == [20, 20]
        assert model.most < 10  # 3 and what it grew by; without sharing it would be 10
        assert gate.running == 0

    asyncio.run(run())
