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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reroll.evidence import Est, Evidence
from reroll.population import (
    COARSE,
    FINE,
    Posterior,
    densest_iccs,
    judged_counts,
    posterior,
    rate_cdf,
    rate_mean,
    rate_quantile,
    weighed_quantile,
)

__all__ = [
    "LEAST_LEVELS",
    "LEAST_RUNS",
    "CaseRate",
    "Spread",
    "flag_worse",
    "shrink",
    "spread",
    "worse_than",
]

LEAST_RUNS = 5
"""Runs per case below which no case is flagged: at 3, more flags are wrong than stated (benchmarks/variation.py)."""
LEAST_LEVELS = 12
"""Cases (wordings, versions) below which no ICC is stated: with 6, its error is as large as itself."""


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


def spread(cases: Sequence[Evidence], alpha: float = 0.05) -> Spread:
    """How much cases differ, with ranges that hold the truth with probability 1 - alpha on average.

    The ends of the mean take every invalid sample as a pass and as a failure; the
    range of the ICC covers both.  It begins at 0 where cases need not differ at all.

    Raises:  ValueError: fewer than 2 cases, none that ran twice, alpha out of range.
    Assumes: cases drawn from one population; runs per case not decided by outcomes.
    Source:  uniform prior on the ICC (Daniels 1999), Jeffreys prior on the mean.

    >>> spread([Evidence(0, 10), Evidence(9, 10)]).too_few
    'an ICC needs at least 12 levels, got 2: compare them instead'
    """
    _check_alpha(alpha)
    middle, low, high = _three_ways(cases, FINE)
    ran = [case for case in cases if case.n]
    bottom = weighed_quantile(low.mean, low.weight, alpha / 2) if any(case.failures for case in ran) else 0.0
    top = (
        weighed_quantile(high.mean, high.weight, 1 - alpha / 2) if any(case.at_worst < case.n for case in ran) else 1.0
    )
    mean = Est(float(middle.mean @ middle.weight), bottom, top, len(ran))
    if len(ran) < LEAST_LEVELS:
        too_few = f"an ICC needs at least {LEAST_LEVELS} levels, got {len(ran)}: compare them instead"
        return Spread(mean, None, too_few)
    ends = [densest_iccs(way, alpha) for way in (low, high)]
    value = float(middle.icc @ middle.weight)
    icc = Est(value, min(value, *(end[0] for end in ends)), max(value, *(end[1] for end in ends)), len(ran))
    return Spread(mean, icc, None)


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
        value = rate_mean(middle, case.failures, judged)
        bottom = rate_quantile(low, case.failures, case.n, alpha / 2)
        top = rate_quantile(high, case.at_worst, case.n, 1 - alpha / 2)
        # A case that never failed may never fail, however seldom the population has such a case.
        bottom = min(bottom, value) if case.failures else 0.0
        top = max(top, value) if case.at_worst < case.n else 1.0
        rates.append(CaseRate(Est(value, bottom, top, case.n), case.estimate))
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
    as_passes = posterior([(case.failures, case.n) for case in cases])
    at = np.array([rate])
    seen = {(case.failures, case.n) for case in cases}
    chance = {counts: 1 - float(rate_cdf(as_passes, *counts, at)[0]) for counts in seen}
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


# ---------------------------------------------------------------- helpers


def _three_ways(cases: Sequence[Evidence], grid: tuple[int, int] = COARSE) -> tuple[Posterior, Posterior, Posterior]:
    """The populations as judged, with every invalid sample a pass, and with every one a failure."""
    middle = posterior(judged_counts(cases), grid)
    if not any(case.invalid for case in cases):
        return middle, middle, middle
    return (
        middle,
        posterior([(case.failures, case.n) for case in cases], grid),
        posterior([(case.at_worst, case.n) for case in cases], grid),
    )


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
