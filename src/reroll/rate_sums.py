"""Weighted sums of several success rates, each from runs of its own: their ranges, and which rate to draw next.

Every rate has a bet against "it is s": a mixture over what else it may be.  The product of the bets over all
rates is a bet against "they are all as said", so one region of rates holds the truth at any time of looking,
whatever was drawn next and why.  That spends half of the chance of error, and is what makes sums narrow; the other
half buys each rate an interval of its own, which keeps a single rate from taking up what all of them may be off.
The range of a sum is what it can be inside both, so the ranges of any number of sums hold together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reroll.evidence import Est, Evidence, interval_of

__all__ = ["FEW", "Measured", "more_until", "next_counts", "sum_ranges"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEW = 6  # runs of every rate before any of them is thought to be known better than another
_STEPS = 40  # halvings of the multiplier, in logarithms over 1e-9...1e3
_FURTHEST = 64.0  # times what was drawn; what takes more is no end in sight


@dataclass(frozen=True, slots=True)
class Measured:
    """One success rate: what its runs showed, or the rate itself where no run is needed to know it (`sure`)."""

    seen: Evidence = field(default_factory=Evidence)
    sure: float | None = None

    @property
    def estimate(self) -> float | None:
        failing = self.seen.estimate
        return self.sure if self.sure is not None else None if failing is None else 1 - failing


def sum_ranges(weights: Sequence[Sequence[float]], rates: Sequence[Measured], alpha: float = 0.05) -> list[Est]:
    """What each weighted sum of success rates can be; all of them hold at once, however often one looks.

    Args:    weights: (M, K), a row for each sum; rates: K of them; alpha: chance that any range is EVER wrong.
    Returns: M ranges; value: the sum of the estimates, None where a rate with weight has none; n: fewest runs of
             a rate with weight, of those that are not sure.
    Raises:  ValueError: a row of another length, or alpha out of range.
    Assumes: runs of one rate are alike; runs that could not be judged may have been anything.
    Source:  Robbins 1970 for one rate; the product for several is a martingale too.

    >>> ten = Measured(Evidence(failures=0, n=60))
    >>> both, one = sum_ranges([[0.5, 0.5], [1, 0]], [ten, ten])
    >>> both.value, round(both.low, 2), round(one.low, 2)
    (1.0, 0.95, 0.9)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
    if any(len(row) != len(rates) for row in weights):
        raise ValueError(f"every sum needs a weight for each of the {len(rates)} rates")
    own = max(1, sum(r.sure is None for r in rates))
    inside = [_alone(r, alpha / 2 / own) for r in rates]
    out = []
    for row in weights:
        w = np.asarray(row, np.float64)
        used = [r for r, x in zip(rates, w, strict=True) if x]
        known = [r.estimate for r in used]
        value = None if None in known else float(sum(x * (r.estimate or 0.0) for r, x in zip(rates, w, strict=True)))
        low, high = -_most(-w, rates, inside, alpha / 2), _most(w, rates, inside, alpha / 2)
        if value is not None:  # rounding must not push the estimate out of its own range
            low, high = min(low, value) + 0.0, max(high, value) + 0.0
        out.append(Est(value, low, high, min((r.seen.n for r in used if r.sure is None), default=0)))
    return out


def next_counts(weights: Sequence[Sequence[float]], rates: Sequence[Measured], batch: int) -> list[int]:
    """How many of the next `batch` runs each rate gets: those that narrow the widest use of it most.

    >>> next_counts([[0.9, 0.1]], [Measured(Evidence(5, 10)), Measured(Evidence(5, 10))], 4)
    [4, 0]
    """
    largest = np.abs(np.asarray(weights, np.float64)).max(axis=0)
    n = np.array([r.seen.n for r in rates], np.float64)
    fails = np.array([r.seen.failures + r.seen.invalid / 2 for r in rates])
    spread = (fails + 0.5) * (n - fails + 0.5) / (n + 1) ** 2
    open_ = np.array([r.sure is None for r in rates]) & (largest > 0)
    given = np.zeros(len(rates), np.int64)
    for _ in range(batch if open_.any() else 0):
        now = n + given
        gain = np.where(now < FEW, 1e6 - now, largest**2 * spread / np.maximum(now * (now + 1), 1))
        given[int(np.argmax(np.where(open_, gain, -1.0)))] += 1
    return [int(x) for x in given]


def more_until(
    weights: Sequence[float], rates: Sequence[Measured], alpha: float, aside: tuple[float, float] = (0.0, 0.0)
) -> int | None:
    """About how many more runs would show on which side of 0 the sum lies, if the rates are as they look; 0: it is
    shown; None: no end in sight.

    Args:    aside: what else the sum may hold, at least and at most.
    """
    factor, drawn = 1.0, sum(r.seen.n for r in rates if r.sure is None)
    while factor <= _FURTHEST:
        more = [Measured(_grown(r.seen, factor), r.sure) for r in rates]
        (found,) = sum_ranges([weights], more, alpha)
        assert found.low is not None
        assert found.high is not None
        if found.low + aside[0] > 0 or found.high + aside[1] < 0:
            return math.ceil(drawn * (factor - 1))
        factor *= 1.25
    return None


# ---------------------------------------------------------------- helpers


def _grown(seen: Evidence, factor: float) -> Evidence:
    n = round(seen.n * factor)
    failures, invalid = round(seen.failures * factor), round(seen.invalid * factor)
    return Evidence(min(failures, n), n, min(invalid, n - min(failures, n)))


def _alone(rate: Measured, alpha: float) -> tuple[float, float]:
    """The interval of one success rate by its own runs."""
    if rate.sure is not None:
        return rate.sure, rate.sure
    low, high = interval_of(rate.seen, alpha)
    return 1 - high, 1 - low


def _most(w: Floats, rates: Sequence[Measured], inside: Sequence[tuple[float, float]], alpha: float) -> float:
    """The largest value of sum w s over the region; by its dual, so that a multiplier that is off only widens it.

    Rates with a negative weight are turned around: then every weight is positive, and what could not be judged
    counts as a pass of the turned rate.
    """
    fixed = float(sum(x * r.sure for x, r in zip(w, rates, strict=True) if r.sure is not None))
    among = [(x, r.seen, ends) for x, r, ends in zip(w, rates, inside, strict=True) if r.sure is None]
    if not any(x for x, _, _ in among):
        return fixed
    weight = np.abs([x for x, _, _ in among])
    passes = np.array([s.passes + s.invalid if x > 0 else s.failures + s.invalid for x, s, _ in among], np.float64)
    ends = np.array([e if x > 0 else (1 - e[1], 1 - e[0]) for x, _, e in among], np.float64)
    n = np.array([s.n for _, s, _ in among], np.float64)
    fixed += float(sum(x for x, _, _ in among if x < 0))  # x s = |x| (1 - s) - |x|
    fails = n - passes
    won = sum(_mixed(float(a), float(b)) for a, b in zip(passes, fails, strict=True))
    room = -math.log(alpha) - won
    low, high = math.log(1e-9), math.log(1e3)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        spent = _lost(_best(weight, passes, n, ends, math.exp(middle)), passes, fails)
        low, high = (middle, high) if spent > room else (low, middle)
    best = math.exp(high)
    at = _best(weight, passes, n, ends, best)
    bound = float(weight @ at) + best * (room - _lost(at, passes, fails))
    return fixed + min(bound, float((weight * ends[:, 1]).sum()))


def _best(w: Floats, x: Floats, n: Floats, ends: Floats, multiplier: float) -> Floats:
    """(K,) the rates inside their ends (K, 2) that make w s - multiplier * bet(s), which is concave, largest: the
    root of a quadratic, or the end before it."""
    b = multiplier * n - w
    root = np.sqrt(b * b + 4 * w * multiplier * x)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Two forms of the same root, each where it does not cancel.
        s = np.where(b <= 0, (root - b) / (2 * w), 2 * multiplier * x / (root + b))
        s = np.where(w > 0, s, np.divide(x, n, out=np.ones_like(x), where=n > 0))
    return np.asarray(np.clip(np.nan_to_num(s, nan=0.0), ends[:, 0], ends[:, 1]), np.float64)


def _lost(s: Floats, x: Floats, y: Floats) -> float:
    """Minus the log likelihood of all rates: what the bets against "they are s" have won, without their mixtures."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -float((np.where(x > 0, x * np.log(s), 0.0) + np.where(y > 0, y * np.log1p(-s), 0.0)).sum())


def _mixed(x: float, y: float) -> float:
    """log of the likelihood of x passes and y failures under the mixture: half of it on Jeffreys' prior, and a quarter
    on each of "always" and "never", since after the right token most answers work out, and after a dud none."""
    spread = math.lgamma(x + 0.5) + math.lgamma(y + 0.5) - math.lgamma(x + y + 1) - math.log(math.pi)
    return (
        math.log(0.5 * math.exp(spread) + 0.25 * (x == 0) + 0.25 * (y == 0)) if spread > -600 else spread - math.log(2)
    )
