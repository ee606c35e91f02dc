"""Evidence into a decision: reliable enough or not, bad luck or not.

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

from reroll.evidence import Est, Evidence, interval_of, refuted_from
from reroll.race import Race, Side, first_crossing, forecast, log_es, race_thresholds, standing

__all__ = [
    "Certify",
    "CertifyVerdict",
    "Luck",
    "LuckVerdict",
    "certify",
    "certify_path",
    "certify_race",
    "decide",
    "least_certificate",
    "luck",
    "luck_path",
    "luck_race",
    "luck_word",
    "not_worse_rate",
    "rounded_claim",
    "second_try",
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


def certify_path(
    outcomes: Sequence[str],
    target: float,
    alpha: float = 0.05,
    horizon: int | None = None,
    round_size: int = 1,
) -> Certify:
    """The verdict of the first crossing, looking after every outcome; later outcomes cannot take it back.

    Args:    outcomes: `pass`, `fail` or `invalid`, in the order in which the
             samples were DRAWN: the order of arrival favours quick answers;
             round_size: above 1, the outcomes are rounds over so many fixed
             cases, in any order inside a round. Then the mean over these cases
             is tested, at round ends; outcomes of an unfinished round wait.
    Raises, Assumes: as `certify`; rounds with a horizon are refused.

    >>> certify_path(["fail", "fail"] + ["pass"] * 98, target=0.99).decided_at
    2
    >>> certify_path(["pass", "fail"] * 5, target=0.9, round_size=2).decided_at
    8
    """
    race = certify_race(target, alpha, horizon, round_size)
    _check_horizon(len(outcomes), horizon)
    outcomes = outcomes[: len(outcomes) - len(outcomes) % round_size]
    crossing = first_crossing(race, outcomes)
    now = Evidence.of(outcomes)
    if crossing is None:
        return _certify(race, now, now, None, None, target)
    side, n = crossing
    return _certify(race, now, Evidence.of(outcomes[:n]), side, n, target)


def decide(failures: int, n: int, target: float = 0.99, alpha: float = 0.05, horizon: int | None = None) -> Certify:
    """`certify` for plain counts.

    Raises:  ValueError: as `certify`, or a horizon within which no run at all could be "met".

    >>> decide(failures=0, n=400).verdict
    'met'
    """
    least = least_certificate(target, alpha)
    if horizon is not None and horizon < least:
        raise ValueError(f"no run of {horizon} samples can show {target:g} at alpha {alpha:g}; it takes {least}")
    return certify(Evidence(failures, n), target, alpha, horizon)


def least_certificate(target: float, alpha: float = 0.05) -> int:
    """The fewest samples with which any method may say "met": all of them passes, and no look before.

    A shorter horizon can never certify. Source: target^n <= alpha.

    >>> least_certificate(0.99), least_certificate(0.9, alpha=0.01)
    (299, 44)
    """
    _failure_rate(target)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
    return math.ceil(math.log(alpha) / math.log(target) - 1e-12)


def certify_race(target: float, alpha: float = 0.05, horizon: int | None = None, round_size: int = 1) -> Race:
    """The two claims that `certify` races."""
    rate = _failure_rate(target)
    return Race(rate, rate, alpha, horizon, round_size)


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
    claim = rounded_claim(refuted_from(evidence.at_worst, evidence.n, alpha))
    if side == "met":
        return max(claim, target)
    if claim <= 0 or (side == "not_met" and claim >= target):
        return None
    return claim


def rounded_claim(limit: float) -> float:
    """The success rate that may be claimed where no larger failure rate is possible, that rounded up to three digits.

    >>> rounded_claim(0.008412), rounded_claim(0.0)
    (0.99158, 1.0)
    """
    if limit <= 0:
        return 1.0
    digits = 2 - math.floor(math.log10(limit))
    scale = 10.0**digits
    return round(1 - math.ceil(limit * scale) / scale, digits)


# ---------------------------------------------------------------- luck


def luck(
    evidence: Evidence,
    reference_rate: float | None = None,
    target: float | None = None,
    alpha: float = 0.05,
    horizon: int | None = None,
    times: float = NOT_WORSE_FACTOR,
    margin: float = NOT_WORSE_MARGIN,
) -> Luck:
    """Whether these fresh runs look like bad luck; a wrong verdict is EVER given with chance alpha at most.

    Only fresh runs may count: the failing run that was reported was picked
    because it failed, and says nothing about how often it fails.

    Args:    reference_rate: failure rate the case is held against, best the
             upper limit over control cases; None: only `not_reproduced` can be said;
             target: success rate; 1 - target is tolerable, else 5 %;
             times, margin: `bad_luck` shows that the rate is below `times` the
             reference, and below the reference plus `margin`.
    Raises:  ValueError: a rate or alpha out of range (a reference of 0 cannot
             be exceeded by luck), or more samples than the horizon.

    >>> luck(Evidence(failures=2, n=3), reference_rate=0.02).verdict
    'worse_than_reference'
    >>> luck(Evidence(failures=0, n=70)).verdict
    'not_reproduced'
    """
    race = luck_race(reference_rate, target, alpha, horizon, times, margin)
    _check_horizon(evidence.n, horizon)
    return _luck(race, reference_rate, tolerable_rate(target), evidence, evidence, standing(race, evidence), None)


def luck_path(
    outcomes: Sequence[str],
    reference_rate: float | None = None,
    target: float | None = None,
    alpha: float = 0.05,
    horizon: int | None = None,
    times: float = NOT_WORSE_FACTOR,
    margin: float = NOT_WORSE_MARGIN,
) -> Luck:
    """`luck` at the first crossing over outcomes in the order drawn; it stands for ever after.

    >>> luck_path(["fail", "pass", "fail"], reference_rate=0.02).decided_at
    3
    """
    race = luck_race(reference_rate, target, alpha, horizon, times, margin)
    _check_horizon(len(outcomes), horizon)
    build = partial(_luck, race, reference_rate, tolerable_rate(target))
    crossing = first_crossing(race, outcomes)
    now = Evidence.of(outcomes)
    if crossing is None:
        return build(now, now, None, None)
    side, n = crossing
    return build(now, Evidence.of(outcomes[:n]), side, n)


def luck_race(
    reference_rate: float | None,
    target: float | None = None,
    alpha: float = 0.05,
    horizon: int | None = None,
    times: float = NOT_WORSE_FACTOR,
    margin: float = NOT_WORSE_MARGIN,
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
    bound = not_worse_rate(reference_rate, times, margin)
    return Race(bound if bound < 1 else None, reference_rate, alpha, horizon)


def not_worse_rate(reference_rate: float, times: float = NOT_WORSE_FACTOR, margin: float = NOT_WORSE_MARGIN) -> float:
    """The failure rate that a verdict of bad luck must rule out.

    Raises:  ValueError: `times` not above 1 or `margin` not above 0: no run could show less than the reference.

    >>> not_worse_rate(0.02), not_worse_rate(0.2), not_worse_rate(0.02, times=5)
    (0.06, 0.3, 0.1)
    """
    if not times > 1 or not margin > 0:
        raise ValueError(f"times must be above 1 and margin above 0, got times={times!r}, margin={margin!r}")
    return round(min(times * reference_rate, reference_rate + margin), 12)


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
    verdict = luck_word(race, reference_rate, tolerable, then.failures, side)
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


def luck_word(
    race: Race, reference_rate: float | None, tolerable: float, failures: int, side: Side | None
) -> LuckVerdict:
    """The verdict where this side of `luck_race` was shown, by so many failures among the runs that showed it."""
    if side is None:
        return "undecided"
    if side == "not_met":
        return "worse_than_reference"
    if failures == 0 and race.met_rate is not None and race.met_rate <= tolerable:
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


# ---------------------------------------------------------------- helpers


def _failure_rate(target: float) -> float:
    if not 0 < target < 1:
        raise ValueError(f"target is a success rate strictly between 0 and 1, got {target!r}")
    return round(1 - target, 12)  # so that 0.99 tests 0.01, not 0.010000000000000009


def _check_horizon(n: int, horizon: int | None) -> None:
    if horizon is not None and (not isinstance(horizon, int) or horizon < 1):
        raise ValueError(f"a horizon is a whole number of samples, 1 or more, got {horizon!r}")
    if horizon is not None and n > horizon:
        raise ValueError(f"a horizon is binding: got {n} samples after declaring {horizon}; start a new run from zero")
