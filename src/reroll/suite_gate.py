"""When a test that calls a model is green, red or undecided: two claims raced within a budget, red shared by all tests.

Green says that the failure rate is below 1 - `unacceptable`, red that it is
above 1 - `target`; whichever is shown first stands.  Green spends the test's
alpha.  Red spends alpha / tests, so that all healthy tests of a run together
go red with chance alpha at most, whatever they have to do with one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from reroll.calibrate import (
    Characteristics,
    Ints,
    met_boundary,
    not_met_boundary,
    operating_characteristics,
)
from reroll.evidence import Evidence, lower_limit, refuted_from
from reroll.outcomes import FAIL, PASS, codes_of
from reroll.verdict import rounded_claim

__all__ = [
    "RULE",
    "Gate",
    "Rule",
    "Shade",
    "Standing",
    "first_shown",
    "gate",
    "outlook",
    "problem",
    "soonest",
    "spoilt",
    "stand",
]

Shade = Literal["green", "red", "yellow", "invalid"]

RULE = "pytest/1"  # of the decisions that it makes
SPOILT_IN_A_ROW = 3
SPOILT_SHARE = 5  # one trial in so many; from the third invalid one on
_MOST = 100_000  # trials of one test: walks of both boundaries, hours of calls


@dataclass(frozen=True, slots=True)
class Rule:
    """What a test must show, as success rates, and what it may take.

    target:       shown to be below this: red.
    unacceptable: shown to be above this: green.
    alpha:        chance that a test at `unacceptable` or below goes green, and that any of a run's healthy tests
                  goes red.
    budget:       trials; a binding end, which the thresholds are computed for.
    """

    target: float = 0.95
    unacceptable: float = 0.80
    alpha: float = 0.05
    budget: int = 120


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """A rule's boundaries in a run of so many tests.

    green: (budget + 1,) most failures that still show green at each n, -1: none.
    red:   (budget + 1,) fewest failures that show red, NEVER: none.
    share: the alpha of red.
    """

    rule: Rule
    tests: int
    share: float
    green: Ints
    red: Ints


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a test stands. Rates are success rates.

    shade:        `yellow`: neither claim is shown; `invalid`: too many trials say nothing about the model.
    at_least:     holds at every look, except with chance alpha; None before there is anything to say.
    at_most:      the same, except with chance `share`.
    smallest_drop: how far below the target a rate must lie for green to exclude it; None where it is not green.
    """

    shade: Shade
    n: int
    passes: int
    failures: int
    invalid: int
    at_least: float | None
    at_most: float | None
    smallest_drop: float | None


def problem(rule: Rule) -> str | None:
    """What is wrong with a rule, in words, with what would be right; None if nothing is.

    >>> problem(Rule(target=0.8, unacceptable=0.9))
    'target (0.8) must lie above unacceptable (0.9)'
    >>> problem(Rule(budget=10))
    'a budget of 10 can never show green: 14 trials or more are needed to show better than 80 %'
    """
    for name, value in (("target", rule.target), ("unacceptable", rule.unacceptable)):
        if not _is_number(value) or not 0.001 <= value <= 0.9999:
            return f"{name} is a success rate between 0.001 and 0.9999, such as 0.95; got {value!r}"
    if not _is_number(rule.alpha) or not 0 < rule.alpha < 0.5:
        return f"alpha is a chance between 0 and 0.5, such as 0.05; got {rule.alpha!r}"
    if rule.target <= rule.unacceptable:
        return f"target ({rule.target:g}) must lie above unacceptable ({rule.unacceptable:g})"
    if not isinstance(rule.budget, int) or isinstance(rule.budget, bool) or not 1 <= rule.budget <= _MOST:
        return f"budget is a number of trials from 1 to {_MOST:,}; got {rule.budget!r}"
    least = _least(rule)
    if rule.budget < least:
        return (
            f"a budget of {rule.budget} can never show green: {least:,} trials or more are needed to show better than "
            f"{100 * rule.unacceptable:g} %"
        )
    return None


def gate(rule: Rule, tests: int = 1) -> Gate:
    """The boundaries of a rule in a run of `tests` tests; cached. Raises: ValueError for a rule with a `problem`.

    >>> bounds = gate(Rule())
    >>> int(np.argmax(bounds.green >= 0)), int(bounds.red[15])
    (16, 4)
    """
    if tests < 1:
        raise ValueError(f"a run has at least 1 test, got {tests}")
    if wrong := problem(rule):
        raise ValueError(wrong)
    return _gate(rule, tests)


@lru_cache(maxsize=256)
def _gate(rule: Rule, tests: int) -> Gate:
    share, end = rule.alpha / tests, rule.budget
    green = met_boundary(_failing(rule.unacceptable), rule.alpha, end, end)
    red = not_met_boundary(_failing(rule.target), share, end, end)
    for boundary in (green, red):
        boundary.setflags(write=False)
    return Gate(rule, tests, share, green, red)


def first_shown(bounds: Gate, outcomes: Sequence[str]) -> tuple[Literal["green", "red"], int] | None:
    """What was shown first, and after how many trials; None if nothing was. An invalid trial counts against green
    as a failure would, and never for red.

    >>> first_shown(gate(Rule()), ["pass"] * 20)
    ('green', 16)
    >>> first_shown(gate(Rule()), ["fail", "invalid", "fail", "fail"])
    ('red', 3)
    """
    codes = codes_of(outcomes)[: bounds.rule.budget]
    n = np.arange(1, len(codes) + 1)
    green = np.flatnonzero(np.cumsum(codes != PASS) <= bounds.green[n])
    red = np.flatnonzero(np.cumsum(codes == FAIL) >= bounds.red[n])
    firsts: list[tuple[int, Literal["green", "red"]]] = []
    if len(green):
        firsts.append((int(green[0]) + 1, "green"))
    if len(red):
        firsts.append((int(red[0]) + 1, "red"))  # a trial moves one of the two at most, so they never tie
    if not firsts:
        return None
    when, shade = min(firsts)
    return shade, when


def spoilt(outcomes: Sequence[str]) -> int | None:
    """After how many trials they said too little about the model: three invalid in a row, or three and over a fifth.

    >>> spoilt(["pass"] + ["invalid"] * 3), spoilt(["pass"] * 12 + ["invalid", "pass"] * 3)
    (4, None)
    """
    streak = invalid = 0
    for n, outcome in enumerate(outcomes, 1):
        streak = streak + 1 if outcome == "invalid" else 0
        invalid += outcome == "invalid"
        if invalid >= SPOILT_IN_A_ROW and (streak >= SPOILT_IN_A_ROW or SPOILT_SHARE * invalid > n):
            return n
    return None


def soonest(bounds: Gate, seen: Evidence) -> int:
    """The fewest further trials that could show green or red, or reach the budget; 0 at the budget.

    >>> soonest(gate(Rule()), Evidence()), soonest(gate(Rule()), Evidence(failures=0, n=15))
    (2, 1)
    """
    left = bounds.rule.budget - seen.n
    if left <= 0:
        return 0
    k = np.arange(1, left + 1)
    shown = (bounds.green[seen.n + 1 :] >= seen.at_worst) | (bounds.red[seen.n + 1 :] <= seen.failures + k)
    return int(k[shown][0]) if shown.any() else left


def stand(bounds: Gate, outcomes: Sequence[str]) -> Standing:
    """What these trials, in the order in which they were made, come to; the first claim that was shown stands.

    >>> found = stand(gate(Rule()), ["pass"] * 16)
    >>> found.shade, found.at_least, found.smallest_drop
    ('green', 0.801, 0.149)
    """
    shown, spoilt_at = first_shown(bounds, outcomes), spoilt(outcomes)
    seen = Evidence.of(outcomes)
    shade: Shade = shown[0] if shown else "yellow"
    if spoilt_at is not None and (shown is None or spoilt_at < shown[1]):
        shade = "invalid"
    least = _at_least(bounds, seen, shade)
    return Standing(
        shade=shade,
        n=seen.n,
        passes=seen.passes,
        failures=seen.failures,
        invalid=seen.invalid,
        at_least=least,
        at_most=_at_most(bounds, seen, shade),
        smallest_drop=round(bounds.rule.target - least, 4) if shade == "green" and least is not None else None,
    )


def outlook(bounds: Gate, success: float) -> Characteristics:
    """What a test of this success rate comes to, exactly: chances of green (`met`), red (`not_met`), mean trials.

    >>> found = outlook(gate(Rule(), tests=100), 0.75)
    >>> round(found.not_met, 3), round(found.met, 3)
    (0.986, 0.012)
    """
    return operating_characteristics(round(1 - success, 12), bounds.green, bounds.red, bounds.rule.budget)


def _at_least(bounds: Gate, seen: Evidence, shade: Shade) -> float | None:
    least = rounded_claim(refuted_from(seen.at_worst, seen.n, bounds.rule.alpha)) if seen.n else 0.0
    if shade == "green":
        least = max(least, bounds.rule.unacceptable)
    return round(least, 4) if least > 0 else None


def _at_most(bounds: Gate, seen: Evidence, shade: Shade) -> float | None:
    most = 1 - lower_limit(seen.failures, seen.n, bounds.share) if seen.failures else 1.0
    if shade == "red":
        most = min(most, bounds.rule.target)
    return round(most, 4) if most < 1 else None


def _least(rule: Rule) -> int:
    """The fewest trials with which any rule could show green: unacceptable^n <= alpha."""
    return int(np.ceil(np.log(rule.alpha) / np.log(rule.unacceptable) - 1e-12))


def _failing(success: float) -> float:
    return round(1 - success, 12)  # so that 0.95 tests 0.05, not 0.050000000000000044


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
