"""Evidence into a decision: reliable enough or not, bad luck or not, and what may be said about a suite.

A verdict is a first crossing: once an e-value has crossed its threshold the
verdict stands for ever, whatever comes after.  That is what alpha pays for:
it bounds the chance that a wrong threshold is EVER crossed.  Nothing here
knows a model, a prompt or a screen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from reroll.evidence import Est, Evidence, graded_interval, interval_of, refuted_from
from reroll.race import Race, Side, first_crossing, forecast, log_es, race_thresholds, standing

__all__ = [
    "Certify",
    "CertifyVerdict",
    "Luck",
    "LuckVerdict",
    "SuiteEstimate",
    "certify",
    "certify_path",
    "certify_race",
    "decide",
    "luck",
    "luck_path",
    "luck_race",
    "not_worse_rate",
    "pass_at_k",
    "pass_hat_k",
    "second_try",
    "suite_estimate",
    "tolerable_rate",
]

CertifyVerdict = Literal["met", "not_met", "undecided"]
LuckVerdict = Literal["worse_than_reference", "bad_luck", "not_reproduced", "undecided"]

DEFAULT_TOLERABLE = 0.05
NOT_WORSE_FACTOR, NOT_WORSE_MARGIN = 3.0, 0.10
"""`bad_luck` shows that the rate is below three times the reference rate, and not ten points above it either:
three times a loosely known reference would call almost anything luck."""


@dataclass(frozen=True, slots=True)
class Certify:
    """Whether the success rate reaches the target, and how sure.

    verdict:      `met`: success rate > target; `not_met`: below; else `undecided`.
    log_e_*:      evidence in nats, as it stood when the verdict fell, else now.
    threshold_*:  what they must reach.
    claim_today:  largest success rate that may be claimed at alpha; None before there is any.
    calls_needed: 0 once decided; else a forecast; None if no end is in sight.
    decided_at:   samples until the verdict; None if undecided or judged from counts alone.
    """

    verdict: CertifyVerdict
    target: float
    alpha: float
    horizon: int | None
    log_e_met: float
    log_e_not_met: float
    threshold_met: float
    threshold_not_met: float
    claim_today: float | None
    calls_needed: int | None
    decided_at: int | None = None


@dataclass(frozen=True, slots=True)
class Luck:
    """Whether a reported failure was bad luck, as far as fresh runs can tell.

    verdict: `worse_than_reference`: the rate is above the reference rate;
             `bad_luck`: it is below `not_worse_rate` of it, at most three times it;
             `not_reproduced`: no failure, and the rate is below the tolerable
             one (with a reference: below `not_worse_rate` too); else `undecided`.
    log_e_worse, log_e_not_worse: evidence in nats for those claims; None where not tested.
    calls_needed, decided_at: as in Certify.
    """

    verdict: LuckVerdict
    reference_rate: float | None
    tolerable: float
    alpha: float
    log_e_worse: float | None
    log_e_not_worse: float | None
    calls_needed: int | None
    decided_at: int | None = None
    horizon: int | None = None


# ---------------------------------------------------------------- certify


def certify(evidence: Evidence, target: float, alpha: float = 0.05, horizon: int | None = None) -> Certify:
    """What these counts alone show about the target; wrong with chance alpha at most, over all looks.

    A process may have crossed earlier and come back: whoever has the ordered
    outcomes should ask `certify_path`, which never takes a verdict back.

    Args:    target: success rate, in (0, 1); horizon: declared binding end, in calls.
    Raises:  ValueError: an argument out of range, or more samples than the horizon.
    Assumes: given the past, each sample fails with a chance on one side of 1 - target.

    >>> certify(Evidence(failures=0, n=355), target=0.99).verdict
    'met'
    >>> certify(Evidence(failures=0, n=300), target=0.99).calls_needed
    55
    >>> certify(Evidence(failures=3, n=20), target=0.99).verdict
    'not_met'
    """
    race = certify_race(target, alpha, horizon)
    _check_horizon(evidence.n, horizon)
    return _certify(race, evidence, evidence, standing(race, evidence), None, target)


def certify_path(outcomes: Sequence[str], target: float, alpha: float = 0.05, horizon: int | None = None) -> Certify:
    """The verdict of the first crossing, looking after every outcome; later outcomes cannot take it back.

    Args:    outcomes: `pass`, `fail` or `invalid`, in the order in which the
             samples were DRAWN: the order of arrival favours quick answers.
    Raises, Assumes: as `certify`.

    >>> certify_path(["fail", "fail"] + ["pass"] * 98, target=0.99).decided_at
    2
    """
    race = certify_race(target, alpha, horizon)
    _check_horizon(len(outcomes), horizon)
    crossing = first_crossing(race, outcomes)
    now = Evidence.of(outcomes)
    if crossing is None:
        return _certify(race, now, now, None, None, target)
    side, n = crossing
    return _certify(race, now, Evidence.of(outcomes[:n]), side, n, target)


def decide(failures: int, n: int, target: float = 0.99, alpha: float = 0.05, horizon: int | None = None) -> Certify:
    """`certify` for plain counts.

    >>> decide(failures=0, n=400).verdict
    'met'
    """
    return certify(Evidence(failures, n), target, alpha, horizon)


def certify_race(target: float, alpha: float = 0.05, horizon: int | None = None) -> Race:
    """The two claims that `certify` races."""
    rate = _failure_rate(target)
    return Race(rate, rate, alpha, horizon)


def _certify(
    race: Race, now: Evidence, then: Evidence, side: Side | None, decided_at: int | None, target: float
) -> Certify:
    log_met, log_not_met = log_es(race, then)
    c_met, c_not_met = race_thresholds(race)
    assert log_met is not None
    assert log_not_met is not None
    assert c_met is not None
    assert c_not_met is not None
    return Certify(
        verdict=side or "undecided",
        target=target,
        alpha=race.alpha,
        horizon=race.horizon,
        log_e_met=log_met,
        log_e_not_met=log_not_met,
        threshold_met=c_met,
        threshold_not_met=c_not_met,
        claim_today=_claim(now, race.alpha, target, side),
        calls_needed=0 if side else forecast(race, now),
        decided_at=decided_at,
    )


def _claim(evidence: Evidence, alpha: float, target: float, side: Side | None) -> float | None:
    """The largest success rate that the same bets certify, its failure rate rounded up to three digits."""
    limit = refuted_from(evidence.at_worst, evidence.n, alpha)
    digits = 2 - math.floor(math.log10(limit))
    scale = 10.0**digits
    claim = round(1 - math.ceil(limit * scale) / scale, digits)
    if side == "met":
        return max(claim, target)
    if claim <= 0 or (side == "not_met" and claim >= target):
        return None
    return claim


# ---------------------------------------------------------------- luck


def luck(
    evidence: Evidence,
    reference_rate: float | None = None,
    target: float | None = None,
    alpha: float = 0.05,
    horizon: int | None = None,
) -> Luck:
    """Whether these fresh runs look like bad luck; a wrong verdict is EVER given with chance alpha at most.

    Only fresh runs may count: the failing run that was reported was picked
    because it failed, and says nothing about how often it fails.

    Args:    reference_rate: failure rate the case is held against, best the
             upper limit over control cases; None: only `not_reproduced` can be said;
             target: success rate; 1 - target is tolerable, else 5 %.
    Raises:  ValueError: a rate or alpha out of range (a reference of 0 cannot
             be exceeded by luck), or more samples than the horizon.

    >>> luck(Evidence(failures=2, n=3), reference_rate=0.02).verdict
    'worse_than_reference'
    >>> luck(Evidence(failures=0, n=70)).verdict
    'not_reproduced'
    """
    race = luck_race(reference_rate, target, alpha, horizon)
    _check_horizon(evidence.n, horizon)
    return _luck(race, reference_rate, tolerable_rate(target), evidence, evidence, standing(race, evidence), None)


def luck_path(
    outcomes: Sequence[str],
    reference_rate: float | None = None,
    target: float | None = None,
    alpha: float = 0.05,
    horizon: int | None = None,
) -> Luck:
    """`luck` at the first crossing over outcomes in the order drawn; it stands for ever after.

    >>> luck_path(["fail", "pass", "fail"], reference_rate=0.02).decided_at
    3
    """
    race = luck_race(reference_rate, target, alpha, horizon)
    _check_horizon(len(outcomes), horizon)
    build = partial(_luck, race, reference_rate, tolerable_rate(target))
    crossing = first_crossing(race, outcomes)
    now = Evidence.of(outcomes)
    if crossing is None:
        return build(now, now, None, None)
    side, n = crossing
    return build(now, Evidence.of(outcomes[:n]), side, n)


def luck_race(
    reference_rate: float | None, target: float | None = None, alpha: float = 0.05, horizon: int | None = None
) -> Race:
    """The two claims that `luck` races: below `not_worse_rate` (or the tolerable rate), above the reference."""
    tolerable = tolerable_rate(target)
    if reference_rate is None:
        return Race(tolerable, None, alpha, horizon)
    if not 0 < reference_rate < 1:
        raise ValueError(
            f"reference_rate must lie strictly between 0 and 1, got {reference_rate!r}; "
            "give the upper limit over the control cases, which is never 0, or None"
        )
    bound = not_worse_rate(reference_rate)
    return Race(bound if bound < 1 else None, reference_rate, alpha, horizon)


def not_worse_rate(reference_rate: float) -> float:
    """The failure rate that a verdict of bad luck must rule out.

    >>> not_worse_rate(0.02), not_worse_rate(0.2)
    (0.06, 0.3)
    """
    return round(min(NOT_WORSE_FACTOR * reference_rate, reference_rate + NOT_WORSE_MARGIN), 12)


def tolerable_rate(target: float | None) -> float:
    """The failure rate that is fine: 1 - target, or 5 % without one."""
    return DEFAULT_TOLERABLE if target is None else _failure_rate(target)


def _luck(
    race: Race,
    reference_rate: float | None,
    tolerable: float,
    now: Evidence,
    then: Evidence,
    side: Side | None,
    decided_at: int | None,
) -> Luck:
    verdict = _luck_word(race, reference_rate, tolerable, then, side)
    not_worse, worse = log_es(race, then)
    hopeless = reference_rate is None and now.failures > 0
    return Luck(
        verdict=verdict,
        reference_rate=reference_rate,
        tolerable=tolerable,
        alpha=race.alpha,
        log_e_worse=worse,
        log_e_not_worse=not_worse,
        calls_needed=(None if hopeless else forecast(race, now)) if verdict == "undecided" else 0,
        decided_at=decided_at if verdict != "undecided" else None,
        horizon=race.horizon,
    )


def _luck_word(
    race: Race, reference_rate: float | None, tolerable: float, then: Evidence, side: Side | None
) -> LuckVerdict:
    if side is None:
        return "undecided"
    if side == "not_met":
        return "worse_than_reference"
    if then.failures == 0 and race.met_rate is not None and race.met_rate <= tolerable:
        return "not_reproduced"
    # Without a reference, failures that stay below the tolerable rate are not called luck.
    return "undecided" if reference_rate is None else "bad_luck"


def second_try(evidence: Evidence, alpha: float = 0.05) -> Est:
    """The chance that one more try passes, with an interval that is valid at every look.

    Assumes: the next try is one more sample of the same kind.

    >>> second_try(Evidence(failures=1, n=4)).value
    0.75
    """
    low, high = interval_of(evidence, alpha)
    failing = evidence.estimate
    return Est(None if failing is None else 1 - failing, 1 - high, 1 - low, evidence.n)


# ---------------------------------------------------------------- over several cases


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


def pass_hat_k(counts: Sequence[tuple[int, int]], k: int) -> float:
    """The chance that ALL of k tries at a case pass (pass^k), averaged over cases; unbiased.

    Args:    counts: (passes, n) of each case, n >= k.
    Raises:  ValueError: no case, k < 1, or a case with fewer than k samples.
    Source:  Yao et al. 2024 (tau-bench): mean of C(c, k) / C(n, k).

    >>> pass_hat_k([(3, 4), (4, 4)], k=2)
    0.75
    """
    _check_k(counts, k)
    return math.fsum(math.comb(c, k) / math.comb(n, k) for c, n in counts) / len(counts)


def pass_at_k(counts: Sequence[tuple[int, int]], k: int) -> float:
    """The chance that ANY of k tries at a case passes (pass@k), averaged over cases; unbiased.

    Args, Raises: as `pass_hat_k`.
    Source:  Chen et al. 2021 (Codex), eq. 1: mean of 1 - C(n - c, k) / C(n, k).

    >>> pass_at_k([(1, 4), (0, 4)], k=2)
    0.25
    """
    _check_k(counts, k)
    return math.fsum(1 - math.comb(n - c, k) / math.comb(n, k) for c, n in counts) / len(counts)


# ---------------------------------------------------------------- helpers


def _check_k(counts: Sequence[tuple[int, int]], k: int) -> None:
    if not counts or k < 1:
        raise ValueError(f"k must be at least 1 and there must be a case, got k={k}, {len(counts)} cases")
    for c, n in counts:
        if not 0 <= c <= n or n < k:
            raise ValueError(f"each case needs 0 <= passes <= n and n >= k, got passes={c}, n={n}, k={k}")


def _failure_rate(target: float) -> float:
    if not 0 < target < 1:
        raise ValueError(f"target is a success rate strictly between 0 and 1, got {target!r}")
    return round(1 - target, 12)  # so that 0.99 tests 0.01, not 0.010000000000000009


def _check_horizon(n: int, horizon: int | None) -> None:
    if horizon is not None and n > horizon:
        raise ValueError(f"a horizon is binding: got {n} samples after declaring {horizon}; start a new run from zero")
