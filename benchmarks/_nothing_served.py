"""Seeded worlds with several servers behind one address: which of them answers must not be taken for what is asked."""

from __future__ import annotations

import asyncio

import numpy as np

from benchmarks._nothing import ALPHA, Rng, Said, Worlds, outcomes
from reroll.audit import Drawn, by_turns, claims, worth_more
from reroll.compare import compare_path
from reroll.engine import run_draws
from reroll.models.model import Draw, Model
from reroll.program import Request
from reroll.sample import Completion, Sample
from reroll.turns import seat_of_this_task, take_turns

__all__ = ["replicas", "two_servers"]

ROUNDS, EACH = 12, 5  # of so many pairs
REQUEST = Request("m", None, {})
YES, NO = Sample(Completion("yes")), Sample(Completion("no"))
REPLICAS = ("R:a", "R:b")


class TwoServers:
    """Calls go to two servers by turns; one fails so often, the other never."""

    name = identity = "two servers"
    concurrency = 8
    priced = True

    def __init__(self, rng: Rng, bad: float) -> None:
        self.rng, self.bad, self.calls = rng, bad, 0

    async def draw(self, draw: Draw) -> Sample:
        self.calls += 1
        return NO if self.calls % 2 and self.rng.random() < self.bad else YES


def two_servers(word: str, bad: float) -> Worlds:
    """Two variants that are the same, 60 pairs, 1, 2 or 8 calls at once: said of the second."""

    def run(rng: Rng, worlds: int) -> Said:
        return [asyncio.run(_compared(rng, word, bad, (1, 2, 8)[i % 3])) for i in range(worlds)]

    return run


async def _compared(rng: Rng, word: str, bad: float, width: int) -> int:
    model: Model = TwoServers(rng, bad)  # type: ignore[assignment]
    came: tuple[dict[int, str], dict[int, str]] = ({}, {})
    key = str(rng.integers(1 << 40))

    async def side(number: int, first: int) -> None:
        def keep(draw: Draw, sample: Sample) -> None:
            came[number][draw.index] = "pass" if sample is YES else "fail"

        draws = [Draw(REQUEST, "c", first + k) for k in range(EACH)]
        await run_draws(model, draws, width, keep, seat=seat_of_this_task())

    for k in range(ROUNDS):
        await take_turns([side(number, k * EACH) for number in (0, 1)], f"{key} {k}")
        pairs = [(came[0][i], came[1][i]) for i in sorted(came[0])]
        if compare_path(pairs, ALPHA).verdict == word:
            return 2 * len(pairs)
    return 0


def replicas(more_failures: float) -> Worlds:
    """As reported calls go to the replicas a and b by turns, of which b fails so much more often; said: one of them is
    blamed, where b is guilty that one. 300 calls at most."""

    def run(rng: Rng, worlds: int) -> Said:
        return [_one_audit(rng, more_failures) for _ in range(worlds)]

    return run


def _one_audit(rng: Rng, more_failures: float) -> int:
    p = rng.uniform(0.05, 0.35)
    rates = {"P": np.array([p, p + more_failures]), "R:a": np.array([p, p]), "R:b": np.full(2, p + more_failures)}
    runs: dict[str, list[str]] = {arm: [] for arm in rates}
    compared = [(arm, f"others of {arm}", "replica") for arm in REPLICAS]
    worth: tuple[str, ...] = REPLICAS
    while worth and 3 * len(runs["P"]) + 12 <= 300:
        for arm, rate in rates.items():
            runs[arm] += outcomes(rng, np.tile(np.minimum(rate, 1.0), 4 if not runs[arm] else 2))
        drawn = {arm: Drawn(tuple(words)) for arm, words in runs.items()}
        for arm in REPLICAS:
            drawn[f"others of {arm}"] = by_turns([drawn[other] for other in rates if other != arm])
        found = claims(drawn, compared, ALPHA)  # type: ignore[arg-type]
        if blamed := [one.arm for one in found if one.verdict == "worse"]:
            return 3 * len(runs["P"]) if not more_failures or "R:b" in blamed else 0
        if any(one.shown for one in found) and not more_failures:
            return 3 * len(runs["P"])
        worth = worth_more(found, 300 - 3 * len(runs["P"]))
    return 0
