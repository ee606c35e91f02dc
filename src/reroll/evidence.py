"""Counts of passes and failures into e-values, limits and intervals that stay valid however often one looks.

One engine serves every question: a finite mixture of bets against "the
failure rate is m",

    E(F, n) = sum_j w_j (q_j / m)^F ((1 - q_j) / (1 - m))^(n - F).

Each term is a likelihood ratio, so its mean under the null never grows and
the chance of EVER seeing E >= 1 / alpha is at most alpha (Ville 1939).  It
depends only on the counts: it can be stored, resumed and looked at after
every sample.  How far below 1 / alpha the threshold may go is calibrate.py.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "Est",
    "Evidence",
    "Mixture",
    "end_of",
    "first_reached",
    "graded_interval",
    "interval",
    "interval_array",
    "interval_of",
    "log_e",
    "lower_limit",
    "met_log_e",
    "met_mixture",
    "not_met_log_e",
    "not_met_mixture",
    "refuted_from",
    "upper_limit",
]

Floats = npt.NDArray[np.float64]
Counts = npt.ArrayLike
"""An integer, or an array of integers (forecasts also pass fractions)."""

# The grids are relative to the tested rate, so one set serves every target.
# They were fitted to the smallest worst ratio to the limit log(1/alpha) / KL
# (docs/statistics.md); finer grids spend weight where it buys nothing.
_MET_U = (0.0, 0.02, 0.05, 0.10, 0.20, 0.30, 0.40, 0.50, 0.65, 0.80)  # q = u * rate
_MET_W = (0.30, 0.035, 0.04, 0.09, 0.10, 0.09, 0.11, 0.15, 0.05, 0.035)
_NOT_R = (1.5, 2.0, 2.6, 3.5, 5.0, 8.0, 15.0, 30.0, 60.0)  # odds(q) = r * odds(rate)
_NOT_V = (0.02, 0.12, 0.09, 0.05, 0.05, 0.15, 0.49, 0.02, 0.01)
# The interval must be tight at every rate at once, so its grid reaches closer to 1.
_UP_R = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.87, 0.93, 0.97)
_UP_W = (0.25, 0.03, 0.04, 0.08, 0.09, 0.08, 0.08, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.02)
_LOG_ZERO = -1e30  # log(0) that survives a multiplication by 0
_FEW = 8  # ends of intervals, looked for at once


@dataclass(frozen=True, slots=True)
class Evidence:
    """How many settled samples there are, and how they ended.

    `n` counts every settled sample; `invalid` ones (time-outs, crashed
    checks) stay in it and are bounded both ways.  Evidence adds up.

    Raises:  ValueError: negative counts, or more failures and invalid than n.

    >>> Evidence(failures=1, n=10) + Evidence(n=5, invalid=1)
    Evidence(failures=1, n=15, invalid=1)
    """

    failures: int = 0
    n: int = 0
    invalid: int = 0

    def __post_init__(self) -> None:
        for count in (self.failures, self.n, self.invalid):
            _check_whole(count)
        if min(self.failures, self.n, self.invalid) < 0:
            raise ValueError(
                f"counts must not be negative, got failures={self.failures}, n={self.n}, invalid={self.invalid}"
            )
        if self.failures + self.invalid > self.n:
            raise ValueError(f"failures + invalid must be at most n, got {self.failures} + {self.invalid} > {self.n}")

    @property
    def passes(self) -> int:
        """Samples whose checks passed."""
        return self.n - self.failures - self.invalid

    @property
    def estimate(self) -> float | None:
        """Failures among the samples that could be judged; None if there are none.

        >>> Evidence(failures=1, n=12, invalid=2).estimate
        0.1
        """
        judged = self.n - self.invalid
        return self.failures / judged if judged else None

    @property
    def at_worst(self) -> int:
        """Failures if every invalid sample was one: what a "met" claim must survive."""
        return self.failures + self.invalid

    def add(self, outcome: str) -> Evidence:
        """The evidence after one more sample that ended `pass`, `fail` or `invalid`."""
        if outcome not in ("pass", "fail", "invalid"):
            raise ValueError(f"an outcome is pass, fail or invalid, got {outcome!r}")
        return Evidence(
            self.failures + (outcome == "fail"),
            self.n + 1,
            self.invalid + (outcome == "invalid"),
        )

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.failures + other.failures, self.n + other.n, self.invalid + other.invalid)

    @classmethod
    def of(cls, outcomes: Sequence[str]) -> Evidence:
        """The counts of a sequence of outcomes.

        >>> Evidence.of(["pass", "fail", "invalid"])
        Evidence(failures=1, n=3, invalid=1)
        """
        fails, invalid, n = outcomes.count("fail"), outcomes.count("invalid"), len(outcomes)
        if fails + invalid + outcomes.count("pass") != n:
            odd = next(word for word in outcomes if word not in ("pass", "fail", "invalid"))
            raise ValueError(f"an outcome is pass, fail or invalid, got {odd!r}")
        return cls(fails, n, invalid)


@dataclass(frozen=True, slots=True)
class Est:
    """A number with the range that the evidence allows; `value` is None when nothing was judged."""

    value: float | None
    low: float | None
    high: float | None
    n: int


# ---------------------------------------------------------------- the mixtures


class Mixture(NamedTuple):
    """One mixture of bets, as logarithms: weight, factor per failure, factor per pass; each (J,)."""

    weight: Floats
    per_failure: Floats
    per_pass: Floats


def log_e(mixture: Mixture, failures: Counts, passes: Counts) -> Floats:
    """log E of a mixture for arrays of counts (shapes broadcast), in nats."""
    f = np.asarray(failures, dtype=np.float64)[..., None]
    s = np.asarray(passes, dtype=np.float64)[..., None]
    return _log_sum_exp(mixture.weight + f * mixture.per_failure + s * mixture.per_pass)


@lru_cache(maxsize=256)
def met_mixture(rate: float) -> Mixture:
    """The bets against "failure rate >= rate": atoms below it, down to 0."""
    _check_rate(rate)
    u = np.array(_MET_U)
    return _mixture(_MET_W, _log(u), np.log1p(-u * rate) - math.log1p(-rate))


@lru_cache(maxsize=256)
def not_met_mixture(rate: float) -> Mixture:
    """The bets against "failure rate <= rate": atoms above it, by odds ratio."""
    _check_rate(rate)
    r = np.array(_NOT_R)
    grown = np.log1p((r - 1) * rate)  # q = r * rate / (1 + (r - 1) * rate)
    return _mixture(_NOT_V, np.log(r) - grown, -grown)


def met_log_e(failures: int, n: int, rate: float) -> float:
    """Evidence against "the failure rate is `rate` or more", in nats.

    If the rate is that high, ever reaching log(1 / alpha) has probability at
    most alpha, under any stopping rule that looks only at the past.

    Args:    n: samples so far; rate: strictly between 0 and 1.
    Raises:  ValueError: counts or rate out of range.
    Assumes: each sample fails with probability >= rate given the past.
    Source:  Robbins 1970; Waudby-Smith & Ramdas 2024 (as bets).

    >>> round(met_log_e(failures=0, n=355, rate=0.01), 3)
    3.002
    """
    _check_counts(failures, n)
    return float(log_e(met_mixture(rate), failures, n - failures))


def not_met_log_e(failures: int, n: int, rate: float) -> float:
    """Evidence against "the failure rate is `rate` or less", in nats.

    The mirror image of `met_log_e`, same guarantee.

    >>> round(not_met_log_e(failures=2, n=3, rate=0.01), 2)
    4.63
    """
    _check_counts(failures, n)
    return float(log_e(not_met_mixture(rate), failures, n - failures))


# ---------------------------------------------------------------- limits and intervals


def interval(failures: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Where the failure rate lies; true after every look at once, except with chance alpha.

    At zero failures about 1.2 times as wide as the Clopper-Pearson interval,
    which is valid at one planned look only.

    Args:    alpha: chance that the rate is EVER outside, half a side.
    Raises:  ValueError: counts or alpha out of range.
    Assumes: samples with one failure rate, in any order.
    Source:  Robbins 1970 mixture over odds ratios, inverted in the rate.

    >>> low, high = interval(failures=0, n=100)
    >>> low, round(high, 4)
    (0.0, 0.0439)
    """
    _check_counts(failures, n)
    _check_alpha(alpha)
    low, high = interval_array(failures, n, alpha)
    return float(low), float(high)


def interval_of(evidence: Evidence, alpha: float = 0.05) -> tuple[float, float]:
    """The interval that holds whatever the invalid samples would have been.

    >>> interval_of(Evidence(failures=0, n=20, invalid=5))[0]
    0.0
    """
    low, _ = interval(evidence.failures, evidence.n, alpha)
    _, high = interval(evidence.at_worst, evidence.n, alpha)
    return low, high


def interval_array(failures: Counts, n: Counts, alpha: float) -> tuple[Floats, Floats]:
    """`interval` for arrays of counts (shapes broadcast); both results have that shape."""
    threshold = math.log(2 / alpha)
    return _limit(failures, n, threshold, upper=False), _limit(failures, n, threshold, upper=True)


def upper_limit(failures: int, n: int, alpha: float = 0.05) -> float:
    """The failure rate is below this, after every look at once, except with chance alpha.

    One-sided: the upper end of `interval` with all of alpha spent on it.

    >>> round(upper_limit(failures=0, n=300), 4)
    0.0123
    """
    _check_counts(failures, n)
    _check_alpha(alpha)
    return float(_limit(failures, n, -math.log(alpha), upper=True))


def lower_limit(failures: int, n: int, alpha: float = 0.05) -> float:
    """The failure rate is above this, after every look at once, except with chance alpha.

    >>> round(lower_limit(failures=10, n=20), 3)
    0.208
    """
    _check_counts(failures, n)
    _check_alpha(alpha)
    return float(_limit(failures, n, -math.log(alpha), upper=False))


def refuted_from(failures: int, n: int, alpha: float = 0.05) -> float:
    """The smallest rate that the "met" bets refute now, and every rate above it, at 1 / alpha.

    Like `upper_limit`, with the bets of `met_log_e`: lower for the few
    failures that certificates are made of, higher for many.

    >>> round(refuted_from(failures=0, n=355), 5)
    0.00998
    """
    _check_counts(failures, n)
    _check_alpha(alpha)
    u = np.array(_MET_U)
    weight = met_mixture(0.5).weight + failures * _log(u)

    def log_e_at(m: Floats) -> Floats:
        return _log_sum_exp(weight + (n - failures) * (np.log1p(-u * m[..., None]) - np.log1p(-m[..., None])))

    return float(end_of(log_e_at, -math.log(alpha), (), upper=True))


def graded_interval(scores: Sequence[float], alpha: float = 0.05) -> tuple[float, float]:
    """Where the mean of scores in 0...1 lies; valid after every look, except with chance alpha.

    The same bets as `interval`, which it equals when every score is 0 or 1.

    Raises:  ValueError: a score outside 0...1, or alpha out of range.
    Assumes: scores drawn from one population, in the order given.
    Source:  Waudby-Smith & Ramdas 2024, capital process of bets.

    >>> graded_interval([0, 0, 1]) == interval(1, 3)
    True
    """
    _check_alpha(alpha)
    x = np.asarray(scores, dtype=np.float64)
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"scores must lie in 0...1, got {x.min():g} to {x.max():g}")
    ends = []
    for upper, bets in ((False, _odds_down()), (True, _odds_up())):
        won = bets.weight + _log(1 + x[:, None] * bets.per_pass).sum(axis=0)
        ends.append(float(_solve_bets(won, np.asarray(x.size), bets, math.log(2 / alpha), upper=upper)))
    return ends[0], ends[1]


# ---------------------------------------------------------------- helpers


@lru_cache(maxsize=1)
def _odds_up() -> Mixture:
    """Bets on a lower rate: odds ratios r < 1; `per_pass` holds r - 1."""
    r = np.array(_UP_R)
    return _mixture(_UP_W, _log(r), r - 1)


@lru_cache(maxsize=1)
def _odds_down() -> Mixture:
    """Bets on a higher rate: the inverse odds ratios; `per_pass` holds r - 1."""
    r = 1 / np.array((*_UP_R[1:], 1e-12))
    return _mixture((*(w + 0.02 for w in _UP_W[1:]), 0.05), np.log(r), r - 1)


def _mixture(weights: tuple[float, ...], per_failure: Floats, per_pass: Floats) -> Mixture:
    w = np.array(weights)
    parts = Mixture(np.log(w / w.sum()), per_failure, per_pass)
    for part in parts:
        part.setflags(write=False)
    return parts


def _limit(failures: Counts, n: Counts, threshold: float, *, upper: bool) -> Floats:
    """One end of the interval for arrays of counts, its bets having to reach `threshold`."""
    f, total = np.broadcast_arrays(np.asarray(failures, np.float64), np.asarray(n, np.float64))
    bets = _odds_up() if upper else _odds_down()
    won = bets.weight + f[..., None] * bets.per_failure
    return _solve_bets(won, total, bets, threshold, upper=upper)


def _solve_bets(won: Floats, n: Floats, bets: Mixture, threshold: float, *, upper: bool) -> Floats:
    """Where sum_j exp(won_j) / (1 + (r_j - 1) m)^n reaches the threshold; monotone in m."""

    def log_e_at(m: Floats) -> Floats:
        return _log_sum_exp(won - n[..., None] * np.log1p(m[..., None] * bets.per_pass))

    return end_of(log_e_at, threshold, n.shape, upper=upper)


def end_of(
    log_e_at: Callable[[Floats], Floats], threshold: float, shape: tuple[int, ...], *, upper: bool, lowest: float = 0.0
) -> Floats:
    """The end of {m: log_e_at(m) < threshold} in lowest...1, rounded outwards; log_e_at rises in m if upper, or falls.

    The interval is cut into equal parts, of which one is kept: into many for a few ends, where asking after one rate
    costs nearly as much as asking after many, into two for large arrays.
    """
    low, high = np.full(shape, lowest), np.ones(shape)
    bits = 5 if low.size <= _FEW else 1
    cuts = (np.arange(1, 2**bits) / 2**bits).reshape(-1, *(1 for _ in shape))
    for _ in range(50 // bits):
        part = (high - low) / 2**bits
        inside = (log_e_at(low + (high - low) * cuts) < threshold) == upper
        low = low + part * inside.sum(axis=0)
        high = low + part
    return high if upper else low


def first_reached(reached: Callable[[int], bool], most: int = 1 << 20) -> int | None:
    """The least number, 0 or more, for which a claim that only grows is reached; None where it is far beyond `most`."""
    if reached(0):
        return 0
    high = 1
    while not reached(high):
        high *= 2
        if high > most:
            return None
    low = high // 2
    while high - low > 1:
        mid = (low + high) // 2
        low, high = (low, mid) if reached(mid) else (mid, high)
    return high


def _log_sum_exp(terms: Floats) -> Floats:
    top = terms.max(axis=-1)
    total: Floats = top + np.log(np.exp(terms - top[..., None]).sum(axis=-1))
    return total


def _log(x: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(x, 1e-300))
    return np.where(x > 0, logs, _LOG_ZERO)


def _check_whole(count: int) -> None:
    try:
        operator.index(count)
    except TypeError:
        raise ValueError(f"counts must be whole numbers, got {count!r}") from None


def _check_counts(failures: int, n: int) -> None:
    _check_whole(failures)
    _check_whole(n)
    if not 0 <= failures <= n:
        raise ValueError(f"failures must lie in 0...n, got failures={failures}, n={n}")


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise ValueError(f"a failure rate to test must lie strictly between 0 and 1, got {rate!r}")


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
