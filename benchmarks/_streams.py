"""Many watches at once, each with one stream, as arrays: what `watch` does with one call after another, 10,000 times.

The arithmetic is that of `watch_budget.next_call` and `drift.step`, written for arrays; `same_as_the_product` holds it
against them, call by call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reroll.drift_rule import ODDS, WEIGHTS, tuned_ratio
from reroll.watch_budget import EVERY, LEAST_RUN, MEMORY, MOST_RUN, STEP, WEEK, Account, FalseAlarms, next_call
from reroll.watching import Call, Terms, new_stream, take

__all__ = ["TRAFFIC", "Watches", "moved", "of_an_account", "same_as_the_product", "steps_of", "sweep"]

Floats = npt.NDArray[np.float64]
Gaps = Callable[[Floats, np.random.Generator], Floats]
PER_WEEK = 10_000.0  # calls of a stream in a week


def steady(at: Floats, rng: np.random.Generator) -> Floats:
    """Seconds to the next call, of each watch, where the last one came `at`."""
    return rng.exponential(WEEK / PER_WEEK, len(at))


def by_day(at: Floats, rng: np.random.Generator) -> Floats:
    """Twenty times as much by day as by night, hardly anything at weekends."""
    hour, day = at / 3600 % 24, at // 86400 % 7
    pace = np.where((hour >= 8) & (hour < 20), 1.0, 0.05) * np.where(day >= 5, 0.2, 1.0)
    return rng.exponential(WEEK / PER_WEEK, len(at)) / (2.2 * pace)


def growing(at: Floats, rng: np.random.Generator) -> Floats:
    """Twice as much every week."""
    return rng.exponential(WEEK / PER_WEEK, len(at)) / np.minimum(0.25 * 2 ** (at / WEEK), 16)


def in_bursts(at: Floats, rng: np.random.Generator) -> Floats:
    """Hundreds of calls within seconds, then nothing for hours."""
    rests = rng.random(len(at)) < 0.005
    return np.where(rests, rng.exponential(WEEK / PER_WEEK * 200, len(at)), rng.exponential(0.05, len(at)))


TRAFFIC: dict[str, Gaps] = {
    "steady": steady,
    "by day, not at night": by_day,
    "doubling every week": growing,
    "in bursts": in_bursts,
}


@dataclass
class Watches:
    """So many watches, each of one stream with its own clock, account and baseline.

    primed: calls that were seen before, at the usual pace: the account is as it is after a long time.
    """

    baseline: Floats
    weeks: float
    loss: bool = False
    primed: int = 0
    clock: Floats = field(init=False)

    def __post_init__(self) -> None:
        many = len(self.baseline)
        odds = np.array(ODDS)
        q = odds * self.baseline[:, None] / (1 + (odds - 1) * self.baseline[:, None])
        self.per_pass = (1 - q) / (1 - self.baseline[:, None])
        self.slope = q / self.baseline[:, None] - self.per_pass
        self.bets = np.zeros((many, len(odds)))
        self.seen = self.primed
        self.elapsed = self.primed * WEEK / PER_WEEK
        self.first, self.clock = np.full(many, -self.elapsed), np.zeros(many)
        self.bank = np.full(many, min(self.primed, PER_WEEK) / PER_WEEK / self.weeks)
        self.brought, self.spent = np.zeros(many), np.zeros(many)
        self.run_length, self.threshold = np.full(many, MOST_RUN), np.full(many, MOST_RUN)
        self.until = self.primed

    def seen_by(self, times: Floats, spends: bool = True) -> None:
        """One more call of each, at these times."""
        self.seen += 1
        new = np.maximum(0, times - self.clock) / (self.weeks * WEEK) if self.seen > 1 else np.zeros(len(times))
        if self.seen == 1:
            self.first = times
        self.bank += new
        self.brought += new
        self.clock = np.maximum(self.clock, times)
        if self.seen > self.until:
            self._derive()
        if spends:
            took = np.where(self.run_length < MOST_RUN, 1 / self.run_length, 0.0)
            self.bank -= took
            self.spent += took

    def _derive(self) -> None:
        elapsed = self.clock - self.first
        a_week = np.where(elapsed > 0, self.seen * WEEK / np.maximum(elapsed, 1e-9), self.seen)
        spread = np.minimum(self.seen, np.maximum(MEMORY, a_week))
        self.bank = np.minimum(self.bank, spread / LEAST_RUN)
        share = np.maximum(self.bank / spread, 1e-300)
        power = np.ceil(np.log(1 / share) / math.log(STEP) - 1e-9)
        after = np.where(share <= 1 / MOST_RUN, MOST_RUN, np.minimum(MOST_RUN, STEP ** np.minimum(power, 2000)))
        self.bets *= (after / self.run_length)[:, None]
        self.run_length = after
        self.until = self.seen + min(EVERY, self.seen // 8)
        self.threshold = after * np.array([self._ratio(p, n) for p, n in zip(self.baseline, after, strict=True)])

    def _ratio(self, baseline: float, run_length: float) -> float:
        return 1.0 if self.loss else tuned_ratio(baseline, run_length)

    def watch(self, losses: Floats) -> npt.NDArray[np.bool_]:
        """Which of them raise an alarm with these losses; those start afresh."""
        self.bets = (self.bets + 1) * (self.per_pass + losses[:, None] * self.slope)
        alarms = (losses > self.baseline) & (self.bets @ np.array(WEIGHTS) >= self.threshold)
        self.bets[alarms] = 0.0
        return alarms


Lengths = Callable[[int], float]
"""The run length of a stream's i-th call."""


def steps_of(*lengths: float, each: int) -> Lengths:
    """One after the other, so many calls each, again and again."""
    return lambda i: lengths[i // each % len(lengths)]


def sweep(low: float, times: float, every: int) -> Lengths:
    """From the low one up to so many times it within so many calls, again and again."""
    return lambda i: round(low * times ** (i % every / every), 6)


def of_an_account(weeks: float, streams: int, in_a_week: int) -> Lengths:
    """What one of so many streams meets where all calls of a week come in one batch."""
    account, told, met = Account(), FalseAlarms(weeks=weeks), []
    for week in range(40):
        for call in range(in_a_week):
            account = next_call(account, week * WEEK + 0.5 * call, told, spends=True)
            if call % streams == 0:
                met.append(account.run_length)
    return lambda i: met[i % len(met)]


def moved(baseline: float, lengths: Lengths, calls: int, runs: int, rng: np.random.Generator) -> tuple[Floats, float]:
    """False alarms of each of so many healthy streams whose run length moves, and what each of them spent."""
    watches, alarms, spent = Watches(np.full(runs, baseline), weeks=1.0), np.zeros(runs), 0.0
    for i in range(calls):
        length = lengths(i)
        watches.bets *= length / watches.run_length[0]
        watches.run_length[:] = length
        watches.threshold[:] = length * tuned_ratio(baseline, length)
        spent += 1 / length
        alarms += watches.watch((rng.random(runs) < baseline).astype(float))
    return alarms, spent


def same_as_the_product(calls: int = 4000, many: int = 8) -> int:
    """How many alarms both raise on the same calls. Raises: AssertionError where they differ at any of them."""
    rng = np.random.default_rng(9)
    ours, told = Watches(np.full(many, 0.02), 0.05), FalseAlarms(weeks=0.05)
    streams, accounts = [new_stream(Terms(baseline=0.02))] * many, [Account()] * many
    times, found = np.zeros(many), 0
    for i in range(calls):
        times = times + by_day(times, rng)
        losses = (rng.random(many) < 0.02).astype(float)
        ours.seen_by(times)
        alarms = ours.watch(losses)
        for j in range(many):
            call = Call(i, float(times[j]), "fail" if losses[j] else "pass")
            streams[j], accounts[j], events = take(streams[j], call, accounts[j], told)
            raised = any(event.kind in ("alarm", "still") for event in events)
            assert raised == alarms[j], (i, j)
            assert math.isclose(accounts[j].run_length, ours.run_length[j], rel_tol=1e-6), (i, j)
        found += int(alarms.sum())
    return found
