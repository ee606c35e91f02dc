"""How cases differ in failure rate, and what each case's own few runs say once the others are heard.

Cases are taken as draws from a population in which rates follow a Beta
distribution with some mean and some intraclass correlation (ICC: the share of
the variance of one outcome that lies between cases).  Both are unknown: the
answers average over every (mean, ICC) on a grid, each weighing what its
beta-binomial likelihood says.  So the ranges do not collapse where the most
likely ICC is 0, as they would with the one best fit plugged in.

These are Bayesian statements: right on average over cases of such a
population, for numbers of runs that the outcomes did not decide.  They are not
valid at every look: what must be, is confirmed with `evidence.lower_limit`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reroll.evidence import Est, Evidence

__all__ = [
    "LEAST_LEVELS",
    "LEAST_RUNS",
    "CaseRate",
    "Fit",
    "Spread",
    "fit",
    "flag_worse",
    "shrink",
    "spread",
    "worse_than",
]

Floats = npt.NDArray[np.float64]

LEAST_RUNS = 5
"""Runs per case below which no case is flagged: at 3, a quarter of the flags are wrong (benchmarks/variation.py)."""
LEAST_LEVELS = 12
"""Cases (wordings, versions) below which no ICC is stated: with 6, its error is as large as itself."""

_HALVINGS = 50
_COARSE, _FINE = (28, 14), (80, 80)  # populations, mean x ICC: to average over, to read their quantiles from
_ZOOMS, _NEGLIGIBLE = 4, 1e-4


@dataclass(frozen=True, slots=True)
class Fit:
    """The most likely mean failure rate and ICC of a population of cases, and their log likelihood.

    Without a failure, or without a pass, every ICC is equally likely; it is then 0.
    """

    mean: float
    icc: float
    log_likelihood: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How much cases differ.

    mean: mean failure rate over the population of cases.
    icc:  share of the variance of one outcome that lies between cases; None if `too_few`.
    too_few: why no ICC is stated, in words; None if it is.
    """

    mean: Est
    icc: Est | None
    too_few: str | None


@dataclass(frozen=True, slots=True)
class CaseRate:
    """One case's failure rate after hearing the others: `rate`, drawn towards the mean the more the fewer its runs.

    raw: failures / judged samples of the case itself; None if none was judged.
    """

    rate: Est
    raw: float | None


# ---------------------------------------------------------------- questions


def fit(cases: Sequence[Evidence]) -> Fit:
    """The beta-binomial maximum likelihood fit, over judged samples.

    For a given ICC the log likelihood is concave in the mean, so bisection of
    its derivative finds the one maximum; the profile over the ICC is scanned on
    a grid and refined by golden section around its best point.

    Args:    cases: at least 2, with at least one judged sample twice over.
    Raises:  ValueError: too few cases, or none that ran twice.
    Source:  Griffiths 1973; in the form that stays finite at ICC 0.

    >>> best = fit([Evidence(0, 10), Evidence(1, 10), Evidence(8, 10), Evidence(1, 10)])
    >>> round(best.mean, 2), round(best.icc, 2)
    (0.26, 0.37)
    """
    tally = _tally(_judged(cases))
    if tally.fails.sum() == 0 or tally.passes.sum() == 0:
        return Fit(float(tally.fails.sum() > 0), 0.0, 0.0)
    grid = np.concatenate([[0.0], np.geomspace(1e-4, 0.5, 60), 1 - np.geomspace(0.49, 1e-4, 40)])
    _, profile = _profile(tally, grid)
    best = int(np.argmax(profile))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(40):
        pair = np.array([high - golden * (high - low), low + golden * (high - low)])
        _, (left, right) = _profile(tally, pair)
        low, high = (low, float(pair[1])) if left >= right else (float(pair[0]), high)
    candidates = np.array([grid[best], 0.5 * (low + high)])  # the grid's point is exact where it is 0
    means, values = _profile(tally, candidates)
    i = int(np.argmax(values))
    return Fit(float(means[i]), float(candidates[i]), float(values[i]))


def spread(cases: Sequence[Evidence], alpha: float = 0.05) -> Spread:
    """How much cases differ, with ranges that hold the truth with probability 1 - alpha on average.

    The low ends take every invalid sample as a pass, the high ends as a failure.

    Raises:  ValueError: fewer than 2 cases, none that ran twice, alpha out of range.
    Assumes: cases drawn from one population; runs per case not decided by outcomes.
    Source:  uniform prior on the ICC (Daniels 1999), Jeffreys prior on the mean.

    >>> spread([Evidence(0, 10), Evidence(9, 10)]).too_few
    'an ICC needs at least 12 levels, got 2: compare them instead'
    """
    _check_alpha(alpha)
    posteriors = _three_ways(cases, _FINE)
    ran = sum(case.n > 0 for case in cases)
    mean = _est([(p.mean, p.weight) for p in posteriors], alpha, ran)
    if ran < LEAST_LEVELS:
        too_few = f"an ICC needs at least {LEAST_LEVELS} levels, got {ran}: compare them instead"
        return Spread(mean, None, too_few)
    return Spread(mean, _est([(p.icc, p.weight) for p in posteriors], alpha, ran), None)


def shrink(cases: Sequence[Evidence], alpha: float = 0.05) -> tuple[CaseRate, ...]:
    """Each case's failure rate, its own runs and those of the others weighed; in the order given.

    The low end takes every invalid sample as a pass, the high end as a
    failure.  The range holds the rate in 1 - alpha of the cases of such a
    population; it is not one that stays valid at every look.

    Raises, Assumes, Source: as `spread`.

    >>> three = shrink([Evidence(0, 5), Evidence(0, 5), Evidence(4, 5)])
    >>> [round(case.rate.value, 2) for case in three]
    [0.04, 0.04, 0.71]
    """
    _check_alpha(alpha)
    middle, low, high = _three_ways(cases)
    rates = []
    for case in cases:
        judged = case.n - case.invalid
        value = _mean_of(middle, case.failures, judged)
        bottom = _quantile(low, case.failures, case.n, alpha / 2)
        top = _quantile(high, case.at_worst, case.n, 1 - alpha / 2)
        rates.append(CaseRate(Est(value, min(bottom, value), max(top, value), case.n), case.estimate))
    return tuple(rates)


def worse_than(cases: Sequence[Evidence], rate: float) -> tuple[float, ...]:
    """For each case, the probability that it fails more often than `rate`; every invalid sample taken as a pass.

    Their sum is the expected number of such cases.

    Raises:  ValueError: a rate outside (0, 1); else as `spread`.

    >>> [round(p, 2) for p in worse_than([Evidence(0, 5), Evidence(0, 5), Evidence(4, 5)], 0.2)]
    [0.06, 0.06, 0.99]
    """
    if not 0 < rate < 1:
        raise ValueError(f"a rate to be worse than lies strictly between 0 and 1, got {rate!r}")
    posterior = _posterior([(case.failures, case.n) for case in cases])
    at = np.array([rate])
    seen = {(case.failures, case.n) for case in cases}
    chance = {counts: 1 - float(_cdf(posterior, *counts, at)[0]) for counts in seen}
    return tuple(chance[case.failures, case.n] for case in cases)


def flag_worse(cases: Sequence[Evidence], rate: float, sure: float = 0.9) -> tuple[int, ...]:
    """The cases that fail more often than `rate` with probability `sure` each: their places in the list.

    On average at most 1 - sure of the flags are wrong, if cases are what the
    population is assumed to be.  To be sure whatever it is: fresh runs of a
    flagged case until `evidence.lower_limit` is above the rate.

    Raises:  ValueError: a case with fewer than `LEAST_RUNS` runs, or a number out of range.

    >>> flag_worse([Evidence(0, 5), Evidence(0, 5), Evidence(4, 5)], 0.2)
    (2,)
    """
    if not 0 < sure < 1:
        raise ValueError(f"sure is a probability strictly between 0 and 1, got {sure!r}")
    least = min((case.n for case in cases), default=LEAST_RUNS)
    if least < LEAST_RUNS:
        raise ValueError(
            f"flags need at least {LEAST_RUNS} runs of every case, got one with {least}; run it more often"
        )
    return tuple(i for i, p in enumerate(worse_than(cases, rate)) if p > sure)


# ---------------------------------------------------------------- the likelihood


class _Tally(NamedTuple):
    """For j = 0, 1, ...: how many cases have more than j failures, passes, samples; all that the likelihood needs."""

    fails: Floats
    passes: Floats
    samples: Floats


def _tally(counts: Sequence[tuple[int, int]]) -> _Tally:
    if len(counts) < 2:
        raise ValueError(f"how cases differ needs at least 2 cases, got {len(counts)}")
    if all(n < 2 for _, n in counts):
        raise ValueError("how cases differ cannot be told from one run of each; run the cases more than once")
    longest = max(n for _, n in counts)

    def more_than(values: Sequence[int]) -> Floats:
        at = np.bincount(values, minlength=longest + 1)
        return (len(counts) - np.cumsum(at)[:-1]).astype(np.float64)

    return _Tally(
        more_than([f for f, _ in counts]),
        more_than([n - f for f, n in counts]),
        more_than([n for _, n in counts]),
    )


def _log_likelihood(tally: _Tally, mean: Floats, icc: Floats) -> Floats:
    """log P(counts) for arrays of one shape, the binomial coefficients left out.

    With a = mean (1 - icc) / icc each factor a + j is taken times icc, which
    cancels and leaves nothing to divide by at ICC 0.
    """
    j = np.arange(len(tally.samples)) * icc[..., None]
    up, down = (mean * (1 - icc))[..., None], ((1 - mean) * (1 - icc))[..., None]
    total: Floats = (
        tally.fails * np.log(up + j)
        + tally.passes * np.log(down + j)
        - tally.samples * np.log((1 - icc)[..., None] + j)
    ).sum(axis=-1)
    return total


def _profile(tally: _Tally, icc: Floats) -> tuple[Floats, Floats]:
    """The likeliest mean for each ICC, and the log likelihood there."""
    j, scale = np.arange(len(tally.samples)) * icc[:, None], (1 - icc)[:, None]
    low, high = np.zeros(len(icc)), np.ones(len(icc))
    for _ in range(_HALVINGS):
        mid = 0.5 * (low + high)
        m = mid[:, None]
        rising = (tally.fails / (m * scale + j) - tally.passes / ((1 - m) * scale + j)).sum(axis=1) > 0
        low, high = np.where(rising, mid, low), np.where(rising, high, mid)
    mid = 0.5 * (low + high)
    return mid, _log_likelihood(tally, mid, icc)


# ---------------------------------------------------------------- the average over populations


class _Posterior(NamedTuple):
    """Populations that the counts allow, and their weights: (K,) each, weights adding up to 1."""

    mean: Floats
    icc: Floats
    weight: Floats


def _posterior(counts: Sequence[tuple[int, int]], grid: tuple[int, int] = _COARSE) -> _Posterior:
    return _posterior_of(tuple(sorted((f, n) for f, n in counts if n)), grid)


@lru_cache(maxsize=64)
def _posterior_of(counts: tuple[tuple[int, int], ...], grid: tuple[int, int]) -> _Posterior:
    # Equal steps in the arc sine of the root are equal steps of the Jeffreys
    # prior; squares give the small ICCs their detail.  Each pass zooms to where
    # the weight is, so that thousands of runs are resolved as well as ten.
    tally = _tally(counts)
    bounds = [(0.0, math.pi / 2), (0.0, 1.0)]
    for _ in range(_ZOOMS):
        steps = [(high - low) / size for (low, high), size in zip(bounds, grid, strict=True)]
        axes = [low + (np.arange(size) + 0.5) * step for (low, _), size, step in zip(bounds, grid, steps, strict=True)]
        turn, root = (axis.ravel() for axis in np.meshgrid(*axes))
        mean, icc = np.sin(turn) ** 2, root**2
        log_weight = _log_likelihood(tally, mean, icc) + np.log(root)
        weight = np.exp(log_weight - log_weight.max())
        keep = weight > _NEGLIGIBLE
        bounds = [
            (max(limit[0], float(at[keep].min()) - step), min(limit[1], float(at[keep].max()) + step))
            for at, step, limit in zip((turn, root), steps, bounds, strict=True)
        ]
    return _Posterior(mean[keep], icc[keep], weight[keep] / weight[keep].sum())


def _three_ways(
    cases: Sequence[Evidence], grid: tuple[int, int] = _COARSE
) -> tuple[_Posterior, _Posterior, _Posterior]:
    """The populations as judged, with every invalid sample a pass, and with every one a failure."""
    middle = _posterior(_judged(cases), grid)
    if not any(case.invalid for case in cases):
        return middle, middle, middle
    return (
        middle,
        _posterior([(case.failures, case.n) for case in cases], grid),
        _posterior([(case.at_worst, case.n) for case in cases], grid),
    )


def _judged(cases: Sequence[Evidence]) -> list[tuple[int, int]]:
    return [(case.failures, case.n - case.invalid) for case in cases if case.n > case.invalid]


def _shapes(posterior: _Posterior, failures: int, n: int) -> tuple[Floats, Floats]:
    """The Beta distribution of a case's rate under each population, after its own counts."""
    strength = 1 / posterior.icc - 1
    return posterior.mean * strength + failures, (1 - posterior.mean) * strength + n - failures


def _mean_of(posterior: _Posterior, failures: int, n: int) -> float:
    a, b = _shapes(posterior, failures, n)
    return float((posterior.weight * a / (a + b)).sum())


def _cdf(posterior: _Posterior, failures: int, n: int, at: Floats) -> Floats:
    a, b = _shapes(posterior, failures, n)
    averaged: Floats = posterior.weight @ _beta_cdf(at[None, :], a[:, None], b[:, None])
    return averaged


@lru_cache(maxsize=4096)
def _quantile_of(key: tuple[bytes, bytes, bytes], failures: int, n: int, share: float) -> float:
    posterior = _Posterior(*(np.frombuffer(part) for part in key))
    low, high = 0.0, 1.0
    for _ in range(3):  # 32 parts at a time: to 3e-5 of a rate, rounded outwards
        points = np.linspace(low, high, 33)
        below = int(np.searchsorted(_cdf(posterior, failures, n, points[1:-1]), share))
        low, high = float(points[below]), float(points[below + 1])
    return low if share < 0.5 else high


def _quantile(posterior: _Posterior, failures: int, n: int, share: float) -> float:
    key = (posterior.mean.tobytes(), posterior.icc.tobytes(), posterior.weight.tobytes())
    return _quantile_of(key, failures, n, share)


def _est(weighed: Sequence[tuple[Floats, Floats]], alpha: float, n: int) -> Est:
    """The mean of the first, the low end of the second, the high end of the third."""
    (values, weights), low, high = weighed
    return Est(float(values @ weights), _weighed_quantile(*low, alpha / 2), _weighed_quantile(*high, 1 - alpha / 2), n)


def _weighed_quantile(values: Floats, weights: Floats, share: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][min(int(np.searchsorted(reached, share)), len(values) - 1)])


def _beta_cdf(x: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """P(X <= x) for X ~ Beta(a, b), shapes that broadcast; to 1e-10, and for the shapes near 0 that most cases have.

    Source:  the continued fraction of DiDonato & Morris 1992 by Lentz's method (Numerical Recipes 6.4).
    """
    x, a, b = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (x, a, b)))
    # The fraction converges fast below the mean; above it, take the mirror image.
    mirrored = x > (a + 1) / (a + b + 2)
    p, q, y = np.where(mirrored, b, a), np.where(mirrored, a, b), np.where(mirrored, 1 - x, x)
    with np.errstate(divide="ignore"):
        front = np.exp(p * np.log(y) + q * np.log1p(-y) - _log_beta(p, q)) / p
    tail = front * _fraction(y, p, q)
    result: Floats = np.where(mirrored, 1 - tail, tail)
    return result


def _fraction(x: Floats, a: Floats, b: Floats) -> Floats:
    tiny = 1e-300
    c, d = np.ones_like(x), 1 - (a + b) * x / (a + 1)
    d = 1 / np.where(np.abs(d) < tiny, tiny, d)
    h = d.copy()
    for m in range(1, 400):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + numerator * d
            c = 1 + numerator / c
            d = 1 / np.where(np.abs(d) < tiny, tiny, d)
            c = np.where(np.abs(c) < tiny, tiny, c)
            factor = d * c
            h = h * factor
        if np.all(np.abs(factor - 1) < 1e-13):
            break
    return h


_log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])


def _log_beta(a: Floats, b: Floats) -> Floats:
    result: Floats = _log_gamma(a) + _log_gamma(b) - _log_gamma(a + b)
    return result


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
