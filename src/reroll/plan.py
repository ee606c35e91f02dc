"""What to draw next, and when to stop: as few calls as the question needs, as many at once as is safe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reroll.evidence import Evidence
from reroll.race import Race, refused_within, soonest
from reroll.verdict import certify_path, certify_race, luck_path, luck_race

__all__ = ["Plan", "StopReason", "next_draws", "race_of", "stop_reason"]

StopReason = Literal["decided", "horizon", "budget", "out_of_reach"]

_SHARE = 8  # a batch may waste an eighth of what was drawn when the question was decided
_LARGEST = 8  # times what was drawn
_EXPECTED = 12  # and where a larger one is hardly decided before its end, a twelfth of itself, as expected


@dataclass(frozen=True, slots=True)
class Plan:
    """One question about one stream of samples, and what may be spent on it.

    question:       `luck` or `certify`.
    target:         success rate; `certify` needs one.
    reference_rate: for `luck`; None: only `not_reproduced` can be shown.
    horizon:        declared binding end, in samples; buys fewer of them.
    budget:         cap on samples, not binding: the run may be continued. None: no cap.
    concurrency:    calls in flight at once, at most.
    at_least:       samples to draw even where the question is decided sooner.
    round_size:     for `certify`: samples come in rounds over so many fixed cases and are looked at
                    round ends; every number of draws is then one of whole rounds.
    per_call:       samples that one call brings: every number of draws is then one of whole calls.

    Raises:  ValueError: an argument out of range, or `certify` without a target.
    """

    question: Literal["luck", "certify"]
    target: float | None = None
    alpha: float = 0.05
    reference_rate: float | None = None
    horizon: int | None = None
    budget: int | None = None
    concurrency: int = 1
    at_least: int = 0
    round_size: int = 1
    per_call: int = 1

    @property
    def unit(self) -> int:
        """The least number of samples that can be drawn: a round over all cases, each with a whole call."""
        return self.round_size * self.per_call

    def __post_init__(self) -> None:
        if self.question not in ("luck", "certify"):
            raise ValueError(f"question must be luck or certify, got {self.question!r}")
        if self.per_call < 1:
            raise ValueError(f"per_call must be at least 1, got {self.per_call}")
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {self.concurrency}")
        if self.budget is not None and self.budget < 0:
            raise ValueError(f"budget must not be negative, got {self.budget}")
        if self.horizon is not None and self.horizon < 1:
            raise ValueError(f"horizon must be at least 1 call, got {self.horizon}")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie strictly between 0 and 1, got {self.alpha!r}")
        if self.question == "luck" and self.round_size != 1:
            raise ValueError(f"luck is about one case, got rounds of {self.round_size}")
        race_of(self)


def stop_reason(plan: Plan, outcomes: Sequence[str]) -> StopReason | None:
    """Why no further sample should be drawn; None while one should.

    `decided`: the verdict has fallen.  `horizon`, `budget`: used up, or what is left is less than a call brings.
    `out_of_reach`: nothing that could still come would decide, because the
    horizon is too near, or because no verdict is left and no budget says when to stop.

    Args:    outcomes: in the order drawn, up to the first sample that has not settled.

    >>> stop_reason(Plan("certify", target=0.99), ["fail", "fail"])
    'decided'
    """
    n = len(outcomes)
    if n >= plan.at_least and _decided(plan, outcomes):
        return "decided"
    if plan.horizon is not None and n + plan.per_call > plan.horizon:
        return "horizon"
    if plan.budget is not None and n + plan.unit > plan.budget:
        return "budget"
    if _soonest(plan, Evidence.of(outcomes)) is None and (plan.horizon is not None or plan.budget is None):
        return "out_of_reach"
    return None


def next_draws(plan: Plan, outcomes: Sequence[str], in_flight: int = 0) -> int:
    """How many samples to start now; 0 means none now, and for good once nothing is in flight.

    A batch is what the earliest possible decision needs, if all that come
    pass or all fail, and an eighth of what will have been drawn by then; or
    more, where even a system that fails clearly too often would hardly be
    refused before it ends (a twelfth of it is expected to come after that).
    So at most an eighth of the calls up to a decision is spent after it, on
    average, however often the system fails (exact, in the tests).

    Args:    outcomes: in the order drawn, up to the first sample that has not settled;
             in_flight: samples started that are not among them.

    >>> next_draws(Plan("certify", target=0.99, concurrency=16), [])
    2
    >>> next_draws(Plan("certify", target=0.99, concurrency=16), ["pass"] * 100)
    16
    >>> next_draws(Plan("certify", target=0.99, concurrency=16), ["pass"] * 354, in_flight=1)
    0
    """
    if in_flight < 0:
        raise ValueError(f"in_flight must not be negative, got {in_flight}")
    if stop_reason(plan, outcomes):
        return 0
    n = len(outcomes)
    # The end of a certificate is known to the call: do not shoot past it.
    evidence = Evidence.of(outcomes)
    soonest_end = _soonest(plan, evidence) or 1
    size = plan.unit
    # Nothing that comes before the soonest end can be wasted; only what is drawn on top of that.
    batch = max(soonest_end + (n + soonest_end) // _SHARE // size * size, plan.at_least - n)
    width = max(size, plan.concurrency * plan.per_call // size * size)
    if batch < width:
        batch = max(batch, _hardly_wasted(plan, evidence, batch))
    passes_needed = _passes_needed(plan, evidence)
    if passes_needed is not None and n >= plan.at_least:
        batch = min(batch, passes_needed)
    left = min((cap - n for cap in (plan.horizon, plan.budget) if cap is not None), default=batch)
    return max(0, min(-(-batch // size) * size, width, left // size * size) - in_flight)


def race_of(plan: Plan) -> Race:
    """The claims that the plan's question is about."""
    if plan.question == "luck":
        return luck_race(plan.reference_rate, plan.target, plan.alpha, plan.horizon)
    if plan.target is None:
        raise ValueError("certify needs a target, a success rate such as 0.99; got none")
    return certify_race(plan.target, plan.alpha, plan.horizon, plan.round_size)


def _hardly_wasted(plan: Plan, evidence: Evidence, least: int) -> int:
    """The largest batch of which a twelfth at most is expected to come after a refusal; 0 where `least` is too many."""
    most = _LARGEST * (evidence.n + 16)
    if most <= least:
        return 0
    sizes = np.unique((least * 1.25 ** np.arange(math.log(most / least, 1.25))).astype(np.int64))
    refused = refused_within(race_of(plan), evidence, sizes)
    wasted = np.cumsum(np.diff(sizes, prepend=0) * refused)  # the chance to be refused by then, sample by sample
    return int(sizes[wasted * _EXPECTED <= sizes].max(initial=0))


def _decided(plan: Plan, outcomes: Sequence[str]) -> bool:
    if plan.question == "certify":
        assert plan.target is not None
        found = certify_path(outcomes, plan.target, plan.alpha, plan.horizon, plan.round_size)
        return found.verdict != "undecided"
    verdict = luck_path(outcomes, plan.reference_rate, plan.target, plan.alpha, plan.horizon).verdict
    return verdict != "undecided"


def _soonest(plan: Plan, evidence: Evidence) -> int | None:
    if plan.question == "luck" and plan.reference_rate is None and evidence.failures:
        return None  # "not reproduced" is gone, and nothing else can be said without a reference
    return soonest(race_of(plan), evidence)


def _passes_needed(plan: Plan, evidence: Evidence) -> int | None:
    """Further passes after which the upper claim is certain to be shown; None if it is not raced."""
    race = race_of(plan)
    return soonest(Race(race.met_rate, None, race.alpha, race.horizon, race.round_size), evidence)
