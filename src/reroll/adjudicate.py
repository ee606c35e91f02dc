"""A target certified through an imperfect checker: a person decides every flag, seeded failures bound the misses.

Certifying 99 % straight from the flags of a checker that is wrong on 5 %
of good outputs takes twelve times the calls.  Confirmed flags are
failures, so here only the checker's misses have to be paid for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reroll.beta import check_alpha, clopper_pearson
from reroll.evidence import Est, Evidence, lower_limit
from reroll.race import Race, forecast, standing

__all__ = ["SEED_SHARE", "Adjudicated", "certify_adjudicated"]

SEED_SHARE = 0.2
"""The part of alpha that goes to the sensitivity; the rest goes to the rate."""


@dataclass(frozen=True, slots=True)
class Adjudicated:
    """Whether a target is met, by a checker whose every flag a person decides.

    verdict:      `met`: success rate > target; `not_met`: below; else `undecided`.
    sensitivity:  measured on the seeds; `low` is what the certificate rests on.
    tolerated:    the rate of confirmed flags that must be ruled out: (1 - target) * sensitivity.low.
    calls_needed: 0 once decided; else a forecast; None if no end is in sight.
    """

    verdict: Literal["met", "not_met", "undecided"]
    target: float
    alpha: float
    sensitivity: Est
    tolerated: float
    calls_needed: int | None


def certify_adjudicated(
    confirmed: Evidence,
    seeds: Evidence,
    target: float,
    alpha: float = 0.05,
    horizon: int | None = None,
    *,
    seeds_planned: bool = True,
) -> Adjudicated:
    """Whether the success rate reaches the target, where a person decides every flag; wrong with chance alpha at most.

    A confirmed flag is a failure, so only misses are left: how many is
    bounded by bad outputs that were seeded for the checker to find.  A fifth
    of alpha goes to that bound, the rest to the rate, at every look.

    Args:    confirmed: all outputs, `failures` are flags that a person confirmed,
             `invalid` those that checker or person could not tell;
             seeds: outputs known to be bad, `failures` are those it flagged;
             seeds_planned: their number was fixed before; else looks are free there too.
    Raises:  ValueError: target or alpha out of range, no seed, none found, or more outputs than the horizon.
    Assumes: the checker finds real failures as often as the seeded ones; the person is right.
    Source:  docs/statistics.md; Clopper & Pearson 1934 for the seeds.

    >>> found = certify_adjudicated(Evidence(0, 500), Evidence(20, 20), target=0.99)
    >>> found.verdict, round(found.sensitivity.low, 3)
    ('met', 0.794)
    """
    check_alpha(alpha)
    if not 0 < target < 1:
        raise ValueError(f"target is a success rate strictly between 0 and 1, got {target!r}")
    if horizon is not None and confirmed.n > horizon:
        raise ValueError(f"a horizon is binding: got {confirmed.n} outputs after declaring {horizon}; start anew")
    limit = clopper_pearson if seeds_planned else _limits_at_every_look
    low, _ = limit(seeds.failures, seeds.n, SEED_SHARE * alpha)
    _, high = limit(seeds.at_worst, seeds.n, SEED_SHARE * alpha)
    if low <= 0:
        raise ValueError(
            f"no certificate without a found seed: got {seeds.failures} of {seeds.n}; seed more bad outputs"
        )
    tolerable = round(1 - target, 12)
    race = Race(tolerable * low, tolerable, (1 - SEED_SHARE) * alpha, horizon)
    side = standing(race, confirmed)
    return Adjudicated(
        side or "undecided",
        target,
        alpha,
        Est(seeds.estimate, low, high, seeds.n),
        tolerable * low,
        0 if side else forecast(race, confirmed),
    )


def _limits_at_every_look(hits: int, n: int, alpha: float) -> tuple[float, float]:
    return lower_limit(hits, n, alpha), 1 - lower_limit(n - hits, n, alpha)
