"""What runs of several cases say together: their mean failure rate, pass^k and pass@k, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reroll.evidence import Est, Evidence, graded_interval, interval_of

__all__ = [
    "SuiteEstimate",
    "case_pass_at_k",
    "case_pass_hat_k",
    "pass_at_k",
    "pass_at_k_est",
    "pass_hat_k",
    "pass_hat_k_est",
    "suite_estimate",
    "suite_rate",
]


@dataclass(frozen=True, slots=True)
class SuiteEstimate:
    """How often a suite's cases fail, every case weighing the same.

    mean:        mean over cases of each case's failure rate; its interval takes
                 the cases as draws from the population of cases.
    pooled:      failures / judged samples; weighs a case by how often it ran.
    runs_differ: cases ran unequally often; if outcomes decided how often, `pooled` is biased.
    """

    mean: Est
    pooled: float | None
    runs_differ: bool


def suite_estimate(cases: Sequence[Evidence], alpha: float = 0.05) -> SuiteEstimate:
    """The failure rate over cases, with an interval for NEW cases; `mean.n` is the number of cases.

    Cases without a judged sample leave the estimate but stay in the interval,
    which takes every invalid sample as a pass (low) and as a failure (high).

    Assumes: cases drawn from one population, runs per case not decided by its outcomes.
    Source:  graded bets at the plain 1 / alpha (`evidence.graded_interval`).

    >>> suite_estimate([Evidence(0, 10), Evidence(5, 10)]).mean.value
    0.25
    """
    ran = [case for case in cases if case.n]
    low, _ = graded_interval([case.failures / case.n for case in ran], alpha)
    _, high = graded_interval([case.at_worst / case.n for case in ran], alpha)
    rates = [case.estimate for case in ran if case.estimate is not None]
    return SuiteEstimate(
        Est(math.fsum(rates) / len(rates) if rates else None, low, high, len(ran)),
        sum(ran, start=Evidence()).estimate,
        len({case.n for case in cases}) > 1,
    )


def suite_rate(rounds: Sequence[Evidence], alpha: float = 0.05) -> Est:
    """The mean failure rate of a FIXED set of cases, each run once a round; says nothing of new cases.

    Args:    rounds: the evidence of each complete round, in the order drawn, all of one size.
    Returns: the interval holds at every round end at once, except with chance
             alpha; n counts samples.
    Raises:  ValueError: rounds of different sizes: a case that ran more often would weigh more.
    Assumes: each case keeps its own failure rate; the cases may differ as they like.
    Source:  the mixture of `evidence.interval`; over a round its factors multiply to at most
             what equal rates give (inequality of means), so it stays a supermartingale at round ends.

    >>> suite_rate([Evidence(1, 4), Evidence(1, 4)]).value
    0.25
    """
    if len({part.n for part in rounds}) > 1:
        sizes = sorted({part.n for part in rounds})
        raise ValueError(f"every round must hold each case once, got rounds of {sizes[0]} to {sizes[-1]} samples")
    seen = sum(rounds, start=Evidence())
    low, high = interval_of(seen, alpha)
    return Est(seen.estimate, low, high, seen.n)


# ---------------------------------------------------------------- all of k, any of k


def pass_hat_k(counts: Sequence[tuple[int, int]], k: int) -> float:
    """The chance that ALL of k tries at a case pass (pass^k), averaged over cases; unbiased.

    Args:    counts: (passes, n) of each case, n >= k.
    Raises:  ValueError: no case, k < 1, or a case with fewer than k samples.
    Source:  Yao et al. 2024 (tau-bench): mean of C(c, k) / C(n, k).

    >>> pass_hat_k([(3, 4), (4, 4)], k=2)
    0.75
    """
    _check_k(counts, k)
    return math.fsum(_all_of(c, n, k) for c, n in counts) / len(counts)


def pass_at_k(counts: Sequence[tuple[int, int]], k: int) -> float:
    """The chance that ANY of k tries at a case passes (pass@k), averaged over cases; unbiased.

    Args, Raises: as `pass_hat_k`.
    Source:  Chen et al. 2021 (Codex), eq. 1: mean of 1 - C(n - c, k) / C(n, k).

    >>> pass_at_k([(1, 4), (0, 4)], k=2)
    0.25
    """
    _check_k(counts, k)
    return math.fsum(_any_of(c, n, k) for c, n in counts) / len(counts)


def pass_hat_k_est(cases: Sequence[Evidence], k: int, alpha: float = 0.05) -> Est:
    """pass^k over NEW cases of this kind, with an interval valid after every case; `n` counts cases.

    The case is the unit: repeats make each case's own estimate better, not the number of cases
    larger. Invalid samples count as passes in `high`, as failures in `value` and `low`.

    Raises:  ValueError: as `pass_hat_k`.
    Assumes: cases drawn from one population, runs per case not decided by its outcomes.
    Source:  each case's unbiased estimate is one score in 0...1 for `evidence.graded_interval`.

    >>> est = pass_hat_k_est([Evidence(0, 4)] * 30 + [Evidence(1, 4)] * 10, k=2)
    >>> est.value, round(est.low, 2), round(est.high, 2)
    (0.875, 0.75, 0.96)
    """
    return _over_cases(cases, k, alpha, _all_of)


def pass_at_k_est(cases: Sequence[Evidence], k: int, alpha: float = 0.05) -> Est:
    """pass@k over NEW cases of this kind, with an interval valid after every case; `n` counts cases.

    Args, Raises, Assumes, Source: as `pass_hat_k_est`.

    >>> pass_at_k_est([Evidence(3, 4)] * 20, k=4).value
    1.0
    """
    return _over_cases(cases, k, alpha, _any_of)


def case_pass_hat_k(case: Evidence, k: int, alpha: float = 0.05) -> Est:
    """pass^k of ONE case: the chance that k further tries at it all pass; n counts samples.

    Returns: value unbiased where n >= k, else None; the interval is that of the
             rate, carried through (1 - rate)^k, and so valid at every look.

    >>> est = case_pass_hat_k(Evidence(1, 10), k=3)
    >>> round(est.value, 2), est.low < 0.1, est.high < 1
    (0.7, True, True)
    """
    low, high = interval_of(case, alpha)
    return Est(_value(case, k, _all_of), (1 - high) ** k, (1 - low) ** k, case.n)


def case_pass_at_k(case: Evidence, k: int, alpha: float = 0.05) -> Est:
    """pass@k of ONE case: the chance that at least one of k further tries passes; as `case_pass_hat_k`.

    >>> case_pass_at_k(Evidence(5, 10), k=1).value
    0.5
    """
    low, high = interval_of(case, alpha)
    return Est(_value(case, k, _any_of), 1 - high**k, 1 - low**k, case.n)


# ---------------------------------------------------------------- helpers

Estimator = Callable[[int, int, int], float]


def _all_of(passes: int, n: int, k: int) -> float:
    return math.comb(passes, k) / math.comb(n, k)


def _any_of(passes: int, n: int, k: int) -> float:
    return 1 - math.comb(n - passes, k) / math.comb(n, k)


def _value(case: Evidence, k: int, estimator: Estimator) -> float | None:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    judged = case.n - case.invalid
    return estimator(case.passes, judged, k) if judged >= k else None


def _over_cases(cases: Sequence[Evidence], k: int, alpha: float, estimator: Estimator) -> Est:
    worst, best = [(c.passes, c.n) for c in cases], [(c.n - c.failures, c.n) for c in cases]
    _check_k(worst, k)
    low_scores = [1 - estimator(c, n, k) for c, n in worst]
    high_scores = [1 - estimator(c, n, k) for c, n in best]
    _, most = graded_interval(low_scores, alpha)
    least, _ = graded_interval(high_scores, alpha)
    return Est(1 - math.fsum(low_scores) / len(low_scores), 1 - most, 1 - least, len(cases))


def _check_k(counts: Sequence[tuple[int, int]], k: int) -> None:
    if not counts or k < 1:
        raise ValueError(f"k must be at least 1 and there must be a case, got k={k}, {len(counts)} cases")
    for c, n in counts:
        if not 0 <= c <= n or n < k:
            raise ValueError(f"each case needs 0 <= passes <= n and n >= k, got passes={c}, n={n}, k={k}")
