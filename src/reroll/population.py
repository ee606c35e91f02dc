"""The populations of cases that counts allow: rates that follow a Beta distribution, its mean and ICC unknown.

The intraclass correlation (ICC) is the share of the variance of one outcome
that lies between cases.  `fit` finds the likeliest population, `posterior`
weighs every one on a grid: uniform in the ICC (Daniels 1999), Jeffreys in the
mean.  The rest reads one case's rate from such a weighing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reroll.evidence import Evidence

__all__ = [
    "COARSE",
    "FINE",
    "Fit",
    "Posterior",
    "beta_cdf",
    "densest_iccs",
    "fit",
    "judged_counts",
    "posterior",
    "rate_cdf",
    "rate_mean",
    "rate_quantile",
    "weighed_quantile",
]

Floats = npt.NDArray[np.float64]

COARSE, FINE = (28, 14), (48, 48)
"""Populations, mean x ICC: to average over, and to read their own quantiles from."""
_ZOOMS, _NEGLIGIBLE = 4, 1e-4
_HALVINGS = 50


@dataclass(frozen=True, slots=True)
class Fit:
    """The most likely mean failure rate and ICC of a population of cases, and their log likelihood.

    Without a failure, or without a pass, every ICC is equally likely; it is then 0.
    """

    mean: float
    icc: float
    log_likelihood: float


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
    tally = _tally(judged_counts(cases))
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


class Posterior(NamedTuple):
    """Populations that the counts allow, and their weights: (K,) each, weights adding up to 1."""

    mean: Floats
    icc: Floats
    weight: Floats


def posterior(counts: Sequence[tuple[int, int]], grid: tuple[int, int] = COARSE) -> Posterior:
    """Every population on the grid that is not negligible, weighed by how likely it makes these counts.

    Args:    counts: (failures, n) of each case; grid: steps in the mean and in the ICC.
    Raises:  ValueError: fewer than 2 cases, or none that ran twice.

    >>> round(float(posterior([(0, 10), (0, 10)]).weight.sum()), 6)
    1.0
    """
    return _on_grid(tuple(sorted((f, n) for f, n in counts if n)), grid)


@lru_cache(maxsize=64)
def _on_grid(counts: tuple[tuple[int, int], ...], grid: tuple[int, int]) -> Posterior:
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
    return Posterior(mean[keep], icc[keep], weight[keep] / weight[keep].sum())


def judged_counts(cases: Sequence[Evidence]) -> list[tuple[int, int]]:
    """(failures, judged samples) of the cases that have any."""
    return [(case.failures, case.n - case.invalid) for case in cases if case.n > case.invalid]


def _shapes(posterior: Posterior, failures: int, n: int) -> tuple[Floats, Floats]:
    """The Beta distribution of a case's rate under each population, after its own counts."""
    strength = 1 / posterior.icc - 1
    return posterior.mean * strength + failures, (1 - posterior.mean) * strength + n - failures


def rate_mean(posterior: Posterior, failures: int, n: int) -> float:
    """The mean of a case's failure rate, given its own counts."""
    a, b = _shapes(posterior, failures, n)
    return float((posterior.weight * a / (a + b)).sum())


def rate_cdf(posterior: Posterior, failures: int, n: int, at: Floats) -> Floats:
    """The probability that a case's failure rate is at most `at`, given its own counts: (len(at),)."""
    a, b = _shapes(posterior, failures, n)
    averaged: Floats = posterior.weight @ beta_cdf(at[None, :], a[:, None], b[:, None])
    return averaged


@lru_cache(maxsize=4096)
def _quantile_of(key: tuple[bytes, bytes, bytes], failures: int, n: int, share: float) -> float:
    weighed = Posterior(*(np.frombuffer(part) for part in key))
    low, high = 0.0, 1.0
    for _ in range(3):  # 32 parts at a time: to 3e-5 of a rate, rounded outwards
        points = np.linspace(low, high, 33)
        below = int(np.searchsorted(rate_cdf(weighed, failures, n, points[1:-1]), share))
        low, high = float(points[below]), float(points[below + 1])
    return low if share < 0.5 else high


def rate_quantile(posterior: Posterior, failures: int, n: int, share: float) -> float:
    """The rate that a case is below with this probability, given its own counts; to 3e-5, rounded outwards."""
    key = (posterior.mean.tobytes(), posterior.icc.tobytes(), posterior.weight.tobytes())
    return _quantile_of(key, failures, n, share)


def densest_iccs(posterior: Posterior, alpha: float) -> tuple[float, float]:
    """The range of the densest ICCs that have 1 - alpha of the weight; it begins at 0 where the density does not fall.

    Equal tails would leave out 0 whatever the counts.
    """
    root, of = np.unique(np.sqrt(posterior.icc), return_inverse=True)
    weight = np.bincount(of, posterior.weight)
    order = np.argsort(-weight / root)  # the cells are equally wide in the root, not in the ICC
    count = int(np.searchsorted(np.cumsum(weight[order]), 1 - alpha)) + 1
    chosen = root[order[:count]]
    half = 0.5 * float(np.diff(root).min()) if len(root) > 1 else 0.0
    low, high = max(0.0, float(chosen.min()) - half), min(1.0, float(chosen.max()) + half)
    return (0.0 if chosen.min() == root[0] and root[0] <= 2 * half else low**2), high**2


def weighed_quantile(values: Floats, weights: Floats, share: float) -> float:
    """The smallest value such that it and those below it have this share of the weight."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][min(int(np.searchsorted(reached, share)), len(values) - 1)])


def beta_cdf(x: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
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
