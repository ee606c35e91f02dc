"""Two one-sided claims about one failure rate, raced: which is shown first, and how far off it is.

"Met" says that the rate is below `met_rate`, "not met" that it is above
`not_met_rate`.  `verdict` gives the claims their words, `plan` decides from
the distances how many samples to draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from reroll.calibrate import Ints, Thresholds, met_levels, not_met_levels, thresholds
from reroll.evidence import (
    Evidence,
    Mixture,
    first_reached,
    log_e,
    met_log_e,
    met_mixture,
    not_met_log_e,
    not_met_mixture,
)
from reroll.outcomes import FAIL, PASS, codes_of

__all__ = [
    "Race",
    "Side",
    "first_crossing",
    "forecast",
    "log_es",
    "race_thresholds",
    "refused_within",
    "side_shown",
    "soonest",
    "standing",
]

Side = Literal["met", "not_met"]
Floats = npt.NDArray[np.float64]

_FAR = 1 << 40  # calls; nothing is forecast beyond
_BAD, _BAD_RATES = 2.0, 16  # rates from twice the tested one to 1, evenly by their logarithm
_ROUNDS_AT_ONCE = 1 << 12  # so that the memory it takes stays small however many there are


@dataclass(frozen=True, slots=True)
class Race:
    """What is tested: the rates of the two claims (None: not raced), alpha for each, a binding end or None.

    `round_size` above 1: the samples are rounds over a fixed set of so many cases, whose failure
    rates may differ while their mean is tested. Then only complete rounds count, looked at where
    they end, and the thresholds are Ville's: over a round the bets multiply to at most what equal
    rates would give (inequality of means), which the exact thresholds do not cover.
    """

    met_rate: float | None
    not_met_rate: float | None
    alpha: float
    horizon: int | None = None
    round_size: int = 1

    def __post_init__(self) -> None:
        if self.round_size < 1:
            raise ValueError(f"round_size must be at least 1 case, got {self.round_size}")
        if self.round_size > 1 and self.horizon is not None:
            raise ValueError("a horizon buys nothing for rounds over several cases; leave it out")


def race_thresholds(race: Race) -> tuple[float | None, float | None]:
    """What log e must reach for each claim, in nats; None for a claim that is not raced."""
    met = None if race.met_rate is None else _thresholds(race, race.met_rate).met
    not_met = None if race.not_met_rate is None else _thresholds(race, race.not_met_rate).not_met
    return met, not_met


def log_es(race: Race, evidence: Evidence) -> tuple[float | None, float | None]:
    """Evidence for each claim, in nats, every invalid sample counting against it."""
    met = None if race.met_rate is None else met_log_e(evidence.at_worst, evidence.n, race.met_rate)
    not_met = None if race.not_met_rate is None else not_met_log_e(evidence.failures, evidence.n, race.not_met_rate)
    return met, not_met


def standing(race: Race, evidence: Evidence) -> Side | None:
    """The claim that these counts show, if any; "not met" where both hold."""
    for side, value, threshold in reversed(_sides(race, evidence)):
        if value is not None and threshold is not None and value >= threshold:
            return side
    return None


def side_shown(race: Race, low: float, high: float) -> Side | None:
    """The claim that a failure rate between `low` and `high`, known for sure, shows; "not met" where both hold.

    >>> side_shown(Race(0.01, 0.01, 0.05), 0.0, 0.004), side_shown(Race(0.01, 0.01, 0.05), 0.0, 0.02)
    ('met', None)
    """
    if race.not_met_rate is not None and low > race.not_met_rate:
        return "not_met"
    return "met" if race.met_rate is not None and high < race.met_rate else None


def first_crossing(race: Race, outcomes: Sequence[str]) -> tuple[Side, int] | None:
    """The claim that was shown first and after how many samples, looking after each one; None if none was.

    With rounds of several cases it looks where they end, and a round that is not complete is not looked at.
    """
    if len(outcomes) < race.round_size:
        return None
    if race.round_size > 1:
        return _first_round(race, outcomes)
    codes = codes_of(outcomes)
    size = max(64, 1 << (len(outcomes) - 1).bit_length())  # few sizes, so that the levels stay cached
    shown: dict[Side, Ints] = {}
    if race.met_rate is not None:
        # Between two steps the failures can only grow, so it is shown first at a step or not at all.
        first = _met(race.met_rate, race.alpha, race.horizon, size)
        first = first[: np.searchsorted(first, len(codes), side="right")]
        at_worst = np.searchsorted(np.flatnonzero(codes != PASS), first)  # failures among the first so many
        shown["met"] = first[at_worst <= np.arange(len(first))]
    if race.not_met_rate is not None:
        # And this one at a failure: the k-th one refuses if k failures still do where it came.
        last = _not_met(race.not_met_rate, race.alpha, race.horizon, size)
        came = np.flatnonzero(codes == FAIL) + 1
        k = np.minimum(np.arange(1, len(came) + 1), len(last) - 1)
        shown["not_met"] = came[last[k] >= came]
    # No sample raises both e-values, so the two never cross at the same one.
    firsts = [(int(where[0]), side) for side, where in shown.items() if len(where)]
    if not firsts:
        return None
    when, side = min(firsts)
    return side, when


def _first_round(race: Race, outcomes: Sequence[str]) -> tuple[Side, int] | None:
    """The first crossing at a round's end; "not met" where both are shown at the same one."""
    codes, size = codes_of(outcomes), race.round_size
    met, not_met = _mixtures(race)
    c_met, c_not_met = race_thresholds(race)
    failed = unsure = 0
    for start in range(0, len(codes) // size * size, step := _ROUNDS_AT_ONCE * size):
        part = codes[start : min(start + step, len(codes) // size * size)]
        n = np.arange(start + size, start + len(part) + 1, size)
        fails = failed + np.cumsum(part == FAIL)[size - 1 :: size]
        at_worst = unsure + np.cumsum(part != PASS)[size - 1 :: size]
        failed, unsure = int(fails[-1]), int(at_worst[-1])
        shown: list[tuple[Side, Mixture | None, float | None, Ints]] = [
            ("not_met", not_met, c_not_met, fails),
            ("met", met, c_met, at_worst),
        ]
        firsts: list[tuple[int, Side]] = []
        for side, mixture, threshold, failures in shown:
            if mixture is None or threshold is None:
                continue
            where = np.flatnonzero(log_e(mixture, failures, n - failures) >= threshold)
            firsts += [(int(n[where[0]]), side)] if len(where) else []
        if firsts:
            when, side = min(firsts, key=lambda first: first[0])
            return side, when
    return None


def forecast(race: Race, evidence: Evidence) -> int | None:
    """Further calls until a claim is shown, if failures keep coming as seen so far; None if hopeless.

    Without a failure yet: the exact number of further passes.  None where the
    rate seen is so near the tested one (0.9 to 1.2 times it) that no bet
    would ever win, or where the horizon comes first.
    """
    met, not_met = _mixtures(race)
    c_met, c_not_met = race_thresholds(race)
    waits: list[int | None] = []
    if met is not None and c_met is not None:
        p = (evidence.at_worst + 0.5) / (evidence.n + 1) if evidence.at_worst else 0.0
        waits.append(_calls_until(met, c_met, evidence.at_worst, evidence.n, p))
    if not_met is not None and c_not_met is not None and evidence.failures:
        p = (evidence.failures + 0.5) / (evidence.n + 1)
        waits.append(_calls_until(not_met, c_not_met, evidence.failures, evidence.n, p))
    return _soonest_within(race, evidence, waits)


def soonest(race: Race, evidence: Evidence) -> int | None:
    """The fewest further calls that could show a claim (all pass, or all fail); None if no number can."""
    met, not_met = _mixtures(race)
    c_met, c_not_met = race_thresholds(race)
    waits: list[int | None] = []
    if met is not None and c_met is not None:
        waits.append(_calls_until(met, c_met, evidence.at_worst, evidence.n, 0.0))
    if not_met is not None and c_not_met is not None:
        waits.append(_calls_until(not_met, c_not_met, evidence.failures, evidence.n, 1.0))
    return _soonest_within(race, evidence, waits)


def refused_within(race: Race, evidence: Evidence, more: Ints) -> Floats:
    """How likely "not met" stands after so many further samples or fewer, were the failure rate clearly too high.

    Clearly too high: twice the tested rate or more, evenly on a logarithmic scale beforehand, then weighed by what was
    seen. At each of these numbers it is an upper bound. That the claim is shown between two of them and is gone again
    is left out: it serves to size a batch, and no verdict rests on it.

    Args:    more: (k,) numbers of further samples, rising.
    Returns: (k,) in 0...1, rising; all 1 where no "not met" is raced, as then nothing is known of it.
    Source:  Chernoff's bound of a binomial's upper tail.
    """
    mixture, threshold = _mixtures(race)[1], race_thresholds(race)[1]
    if mixture is None or threshold is None or race.not_met_rate is None:
        return np.ones(len(more))
    n, f = evidence.n, evidence.failures
    rates = np.geomspace(min(_BAD * race.not_met_rate, 0.99), 0.99, _BAD_RATES)
    log_w = f * np.log(rates) + (n - f) * np.log1p(-rates)
    weights = np.exp(log_w - log_w.max())
    failures = np.maximum(_refusing(mixture, threshold, n + more) - f, 0)
    share = failures / more
    passing = np.maximum(1 - share, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_odds = np.where(share > 0, share * np.log(share / rates[:, None]), 0.0)
        log_odds += np.where(passing > 0, passing * np.log(passing / (1 - rates[:, None])), 0.0)
    chance = np.where(share <= rates[:, None], 1.0, np.where(share > 1, 0.0, np.exp(-more * log_odds)))
    rising: Floats = np.maximum.accumulate(weights @ chance / weights.sum())
    return rising


def _refusing(mixture: Mixture, threshold: float, n: Ints) -> Ints:
    """The fewest failures among n samples that bring log e to the threshold; n + 1 where none do."""
    low, high = np.zeros_like(n), n + 1
    while (low < high).any():
        middle = (low + high) // 2
        shown = (middle <= n) & (log_e(mixture, np.minimum(middle, n), n - np.minimum(middle, n)) >= threshold)
        low, high = np.where(shown, low, np.minimum(middle + 1, high)), np.where(shown, middle, high)
    return high


def _calls_until(mixture: Mixture, threshold: float, failures: int, n: int, p: float) -> int | None:
    """The fewest further calls, failing at rate p exactly, that bring log e to the threshold."""
    if float(np.max(p * mixture.per_failure + (1 - p) * mixture.per_pass)) <= 0:
        return None

    def reached(calls: int) -> bool:
        f = failures + p * calls
        return float(log_e(mixture, f, n + calls - f)) >= threshold

    # log e is convex in `calls` and below the threshold now, so it crosses once.
    return first_reached(reached, _FAR)


def _soonest_within(race: Race, evidence: Evidence, waits: list[int | None]) -> int | None:
    left = math.inf if race.horizon is None else race.horizon - evidence.n
    return min((_whole(race, evidence, wait) for wait in waits if wait is not None and wait <= left), default=None)


def _whole(race: Race, evidence: Evidence, wait: int) -> int:
    """The wait, up to the end of the round in which it ends."""
    ends = -(-(evidence.n + wait) // race.round_size) * race.round_size
    return ends - evidence.n


def _sides(race: Race, evidence: Evidence) -> list[tuple[Side, float | None, float | None]]:
    (met, not_met), (c_met, c_not_met) = log_es(race, evidence), race_thresholds(race)
    return [("met", met, c_met), ("not_met", not_met, c_not_met)]


def _mixtures(race: Race) -> tuple[Mixture | None, Mixture | None]:
    met = None if race.met_rate is None else met_mixture(race.met_rate)
    return met, None if race.not_met_rate is None else not_met_mixture(race.not_met_rate)


def _thresholds(race: Race, rate: float) -> Thresholds:
    if race.round_size > 1:
        return Thresholds(-math.log(race.alpha), -math.log(race.alpha))
    return thresholds(rate, race.alpha, race.horizon)


_met = lru_cache(maxsize=128)(met_levels)
_not_met = lru_cache(maxsize=128)(not_met_levels)
