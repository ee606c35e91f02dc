"""What rounds of wordings show: which may ask for something else, whether the others fail unequally often, by how much.

A wording keeps the meaning if a run of it passes the case's checks.  One that fails in every round while
others pass either asks for something else or hardly ever works, and failures alone cannot tell which: it is
set aside, shown, and no part of the spread, until a run of it passes.  How many rounds that takes: if it were
like the others, and T of the J had failed in a round, it would be among them with chance T / J, whatever the
hour; the product of J / T over its rounds is a bet against that, valid at every look.  No verdict falls while
a wording has neither passed nor been set aside, so none rests on one that nobody knows the meaning of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from reroll.evidence import Est, Evidence, interval_array
from reroll.paired import log_e_below, stakes
from reroll.variation import differ_log_e, variance_shares

__all__ = ["MEANING", "Spread", "Standing", "WordingsVerdict", "spread_of", "standing"]

WordingsVerdict = Literal["differ", "no_different", "undecided"]
Floats = npt.NDArray[np.float64]

MEANING = 0.1
"""The share of alpha for setting wordings aside; `differ` has the rest, so that alpha covers both."""
_STAKE = 0.9  # of each round's bet; an invalid run costs the rest, and does not end the bet
_LEAST = 2  # wordings


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a comparison of wordings stands.

    verdict:      `differ`: wrong with chance alpha at most (setting aside included), however often one looks;
                  `no_different`: no two of them fail unequally often by the margin or more, wrong with chance alpha at
                  most. The two are never wrong at once. Else `undecided`.
    aside:        the places of wordings that may ask for something else, none of which passed yet, with the round after
                  which each was set aside.
    pending:      the places of wordings of which no run has passed yet, and which are not set aside.
    log_e, needs: evidence for the verdict in nats, or for `differ` where it is undecided; and how much that takes.
    decided_at:   rounds until the verdict, as far as its own evidence goes; None if undecided.
    """

    verdict: WordingsVerdict
    kept: tuple[int, ...]
    aside: dict[int, int]
    pending: tuple[int, ...]
    log_e: float
    needs: float
    log_e_alike: float | None
    rounds: int
    decided_at: int | None


def standing(rounds: Sequence[Sequence[str]], alpha: float = 0.05, margin: float | None = None) -> Standing:
    """What rounds show in which every wording was run once, side by side.

    The first wording is what was asked: it defines the meaning, and is never set aside. Invalid outcomes count the way
    that lowers the evidence most, in each question.

    Args:    rounds: (rounds, wordings); margin: of failure rates, in 0...1.
    Raises:  ValueError: rounds of unequal size, fewer than 2 wordings, alpha or margin out of range.
    Assumes: as `variation.wordings_differ`; for `no_different`: mean differences of two wordings that stay the same.

    >>> seen = standing([["pass", "fail", "pass"], ["fail", "fail", "pass"], ["pass", "fail", "pass"]] * 3)
    >>> seen.aside, seen.kept
    ({1: 8}, (0, 2))
    """
    if margin is not None and not 0 < margin < 1:
        raise ValueError(f"margin must lie strictly between 0 and 1, got {margin!r}")
    width = len(rounds[0]) if rounds else 0
    if rounds and width < _LEAST:
        raise ValueError(f"a comparison takes at least {_LEAST} wordings, got {width}")
    meaning = _Meaning(width, alpha)
    for row in rounds:
        meaning.see(row)
    aside, passed = meaning.aside, meaning.passed
    kept = tuple(j for j in range(width) if j not in aside)
    pending = tuple(j for j in kept[1:] if not passed[j])
    needs = -math.log(alpha * (1 - MEANING))
    if len(kept) < _LEAST:
        return Standing("undecided", kept, aside, pending, 0.0, needs, None, len(rounds), None)
    rows = [[row[j] for j in kept] for row in rounds]
    path = differ_log_e(rows)
    crossed = np.flatnonzero(path >= needs)
    alike = None if margin is None else _log_e_alike(rows, margin)
    verdict: WordingsVerdict = "undecided"
    log_e, decided_at = float(path[-1]), None
    if not pending and len(crossed):
        verdict, log_e, decided_at = "differ", float(path[crossed[0]]), int(crossed[0]) + 1
    elif not pending and alike is not None and alike >= -math.log(alpha):
        verdict, log_e, needs, decided_at = "no_different", alike, -math.log(alpha), len(rounds)
    return Standing(verdict, kept, aside, pending, log_e, needs, alike, len(rounds), decided_at)


class _Meaning:
    """Of which wordings any run has passed, the bets against the others, and which of these are won; by rounds."""

    def __init__(self, width: int, alpha: float) -> None:
        self.aside: dict[int, int] = {}
        self.passed, self.bets = [False] * width, [0.0] * width
        self.rounds = 0
        self._shown = math.log(max(1, width - 1) / (alpha * MEANING))

    def see(self, row: Sequence[str]) -> None:
        self.rounds += 1
        known = [word for j, word in enumerate(row) if j not in self.aside]
        size, failing = len(known), sum(word != "pass" for word in known)
        for j, word in enumerate(row):
            if word == "pass":
                self.passed[j] = True
                self.aside.pop(j, None)
            elif j and not self.passed[j] and j not in self.aside:
                gain = _STAKE * size / failing if word == "fail" else 0.0
                self.bets[j] += math.log(1 - _STAKE + gain)
        for j in range(1, len(row)):
            if j not in self.aside and not self.passed[j] and self.bets[j] >= self._shown:
                self.aside[j] = self.rounds


def _log_e_alike(rows: Sequence[Sequence[str]], margin: float) -> float:
    """The least evidence, over all ordered pairs, that one does not fail more often than the other by the margin.

    All must be shown, so each has the whole of alpha: if any pair is apart by more, that pair's evidence rarely rises.
    """
    words = np.array([list(row) for row in rows])
    fails, at_worst = (words == "fail").astype(float), (words != "pass").astype(float)
    n = len(rows)
    only = at_worst.T @ (1 - fails)  # [a, b]: a failed, if it might have, and b did not, if it might not
    less = (1 - at_worst).T @ fails  # [a, b]: surely only b failed
    up, down = stakes([1.0])[0], stakes([-1.0])[0]
    sums = only[..., None] * up + less[..., None] * down
    log_e = log_e_below(sums, n, margin)
    np.fill_diagonal(log_e, np.inf)
    return float(log_e.min())


@dataclass(frozen=True, slots=True)
class Spread:
    """How far apart wordings are, beside what re-runs do.

    between:  standard deviation of the wordings' true failure rates, corrected for sampling noise (0 where noise
              explains all of it); its range holds for these very wordings, at every look, except with chance alpha.
    within:   standard deviation of one run around its wording's rate: what re-runs do.
    observed: standard deviation of the rates as they were counted.
    chance:   what `observed` would be by re-runs alone, if all wordings were alike.
    """

    between: Est
    within: Est
    observed: float
    chance: float


def spread_of(cells: Sequence[Evidence], alpha: float = 0.05) -> Spread | None:
    """The spread of wordings with so many runs each; None with fewer than 2 wordings, or 2 judged runs of each.

    Source: mean squares of a one-way layout, as in `variation.variance_shares`; ranges from the rates' own, together.

    >>> found = spread_of([Evidence(10, 100), Evidence(50, 100), Evidence(30, 100)])
    >>> round(found.between.value, 2), round(found.observed, 2), round(found.chance, 2)
    (0.2, 0.2, 0.05)
    """
    if len(cells) < _LEAST or min(cell.n - cell.invalid for cell in cells) < 2:
        return None
    shares = {source.name: source for source in variance_shares([list(cells)], alpha)}
    judged = np.array([cell.n - cell.invalid for cell in cells], dtype=np.float64)
    rates = np.array([cell.failures for cell in cells]) / judged
    n, each = [cell.n for cell in cells], alpha / len(cells)
    low, _ = interval_array([cell.failures for cell in cells], n, each)
    _, high = interval_array([cell.at_worst for cell in cells], n, each)
    least, most = _deviation_ends(low, high)
    total = sum(n)
    between = math.sqrt(max(0.0, shares["wording"].variance))
    inside = np.where((low <= 0.5) & (high >= 0.5), 0.25, np.maximum(low * (1 - low), high * (1 - high)))
    within = math.sqrt(max(0.0, shares["sampling"].variance))
    pooled = float((rates * judged).sum() / judged.sum())
    return Spread(
        Est(between, min(least, between), max(most, between), total),
        Est(
            within,
            min(within, math.sqrt(float(np.minimum(low * (1 - low), high * (1 - high)).mean()))),
            max(within, math.sqrt(float(inside.mean()))),
            total,
        ),
        float(rates.std(ddof=1)),
        math.sqrt(pooled * (1 - pooled) * float((1 / judged).mean())),
    )


def _deviation_ends(low: Floats, high: Floats) -> tuple[float, float]:
    """The least and the greatest standard deviation (n - 1) of values, each of them in its own range."""
    # Least: all as near as may be to one centre, which is their mean then.
    a, b = float(low.min()), float(high.max())
    for _ in range(60):
        centre = 0.5 * (a + b)
        if np.clip(centre, low, high).mean() > centre:
            a = centre
        else:
            b = centre
    least = float(np.clip(0.5 * (a + b), low, high).std(ddof=1))
    # Greatest: each at an end; those whose middle is above some centre at the upper one.
    middle = 0.5 * (low + high)
    most = max(float(np.where(middle > c, high, low).std(ddof=1)) for c in [*middle, float(middle.min()) - 1])
    return (least if least > 1e-9 else 0.0), max(least, most)
