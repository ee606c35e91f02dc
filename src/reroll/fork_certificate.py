"""What fresh pairs of rollouts prove about the drop at one place, at any time of looking.

A pair is one rollout that leaves the completion at the place and one that stays on it; both
are drawn after the place was chosen, so the search may have used its data as it liked.  Several
places may be tried in one search: the j-th gets 0.8 x 0.2^(j-1) of alpha, which sums to alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reroll.fork_search import alternative, exits
from reroll.forking import Draw, Failing, Outcome, Place
from reroll.paired import stakes, upper_end
from reroll.success_curve import Grader

__all__ = ["Certificate", "certificate_alpha", "certified_drop", "pair_draws", "with_pairs"]

_FIRST, _THEN = 0.8, 0.2  # the share of alpha that the first place gets, and by how much each further one gets less


@dataclass(frozen=True, slots=True)
class Certificate:
    """The fresh pairs at one place: (outcome of leaving, outcome of staying) in the order drawn.

    alpha:    the chance that a limit of its drop is EVER wrong; each limit has it whole.
    position: the likeliest of the place when it was chosen.
    """

    place: Place
    alpha: float
    position: int
    pairs: tuple[tuple[Outcome, Outcome], ...] = ()


def certificate_alpha(alpha: float, tried: int) -> float:
    """The error chance of the next place after so many others were tried; over all of them it sums to alpha.

    >>> [round(certificate_alpha(0.05, j), 4) for j in range(3)]
    [0.04, 0.008, 0.0016]
    """
    return alpha * _FIRST * _THEN**tried


def pair_draws(failing: Failing, place: Place, pairs: int, rng: np.random.Generator) -> tuple[Draw, ...]:
    """Draws for so many pairs, in turns: leave, stay, leave, stay.

    Where nothing can be forced, leaving is continuing from just before the place. After the last token nothing is left
    to draw, and there is only the rollout that leaves.
    """
    draws: list[Draw] = []
    where = exits(failing, place)
    for _ in range(pairs):
        if where:
            k = int(rng.choice([k for k, _ in where], p=[w for _, w in where]))
            draws.append(Draw(k - 1, 1, "certify", alternative(failing, k, rng)))
        else:
            draws.append(Draw(place.first - 1, 1, "certify"))
        if place.last < failing.length:
            draws.append(Draw(place.last, 1, "certify"))
    return tuple(draws)


def with_pairs(certificate: Certificate, failing: Failing, outcomes: Sequence[Outcome]) -> Certificate:
    """The certificate with the outcomes of `pair_draws` added, in its order."""
    if certificate.place.last == failing.length:
        return replace(certificate, pairs=certificate.pairs + tuple((leave, "fail") for leave in outcomes))
    new = tuple(zip(outcomes[::2], outcomes[1::2], strict=True))
    return replace(certificate, pairs=certificate.pairs + new)


def certified_drop(certificate: Certificate, failing: Failing, grader: Grader | None = None) -> tuple[float, float]:
    """Where the true drop at the place lies; each end is EVER wrong with chance `certificate.alpha` at most.

    Invalid rollouts count against each end.  Alternatives that were not listed could not be drawn: they may all
    succeed or all fail, and the interval is wider by their probability.  A grader's errors shrink every measured
    difference by the same factor, which is undone.

    Assumes: the probabilities are those sampled from; the grader's error rates are known.
    Source:  bets on differences (`paired`), one whole alpha a side.
    """
    grader = grader or Grader()
    place = certificate.place
    listed, unlisted = _mass(failing, place)
    ends = []
    for against in ("low", "high"):
        differences = _differences(certificate, failing, grader, low=against == "low")
        sums = stakes(differences).sum(axis=0) if len(differences) else stakes([0.0]).sum(axis=0) * 0
        ends.append(-float(upper_end(sums, len(differences), math.log(1 / certificate.alpha))))
    low, high = ends[0] / grader.sharpness, -ends[1] / grader.sharpness
    return max(-1.0, listed * low - unlisted), min(1.0, listed * high + unlisted)


# ---------------------------------------------------------------- helpers


def _mass(failing: Failing, place: Place) -> tuple[float, float]:
    """The probability of leaving at the place by a listed and by an unlisted alternative.

    (1, 0) where nothing is forced: continuing from just before the place leaves as often as the model does.
    """
    if failing.probs is None or not exits(failing, place):
        return 1.0, 0.0
    stayed, listed, unlisted = 1.0, 0.0, 0.0
    for k in range(place.first, place.last + 1):
        listed += stayed * failing.listed(k)
        unlisted += stayed * failing.unlisted(k)
        stayed *= failing.probs[k - 1]
    return listed, unlisted


def _differences(certificate: Certificate, failing: Failing, grader: Grader, *, low: bool) -> list[float]:
    """Loss of leaving minus loss of staying for the lower end of the drop, turned round for the upper one."""
    if_invalid: tuple[Outcome, Outcome] = ("fail", "pass") if low else ("pass", "fail")
    found = []
    for leave, stay in certificate.pairs:
        left = (leave if leave != "invalid" else if_invalid[0]) == "fail"
        if certificate.place.last == failing.length:
            kept = 1 - grader.false_pass  # the whole completion failed: this is how often the grader would say so
        else:
            kept = float((stay if stay != "invalid" else if_invalid[1]) == "fail")
        found.append(left - kept if low else kept - left)
    return found
