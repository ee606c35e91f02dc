"""Is B better than A, worse, or no different.

Every verdict stands from the first look at which it was shown, and is wrong
with chance at most alpha over all looks.  The bets are in `paired`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from reroll.evidence import Est, first_reached
from reroll.paired import (
    Floats,
    log_e_below,
    pair_threshold,
    sign_log_e,
    stakes,
    upper_end,
)

__all__ = [
    "CompareVerdict",
    "Compared",
    "compare_cases",
    "compare_path",
    "compare_scores",
    "in_range",
]

CompareVerdict = Literal["better", "worse", "no_different", "undecided"]
"""Always about B, held against A."""

Bools = npt.NDArray[np.bool_]

_FAR = 1 << 30  # units; nothing is forecast beyond
_MOST = 700.0  # nats; exp() of more would overflow, and less evidence is always valid


@dataclass(frozen=True, slots=True)
class Compared:
    """Whether B fails less often than A, and how sure.

    Each word is wrong with chance at most alpha.  Where two words would both be
    wrong the chances add up, to 2 alpha at most: `better` and `worse` if the two
    fail exactly equally often, `no_different` and the wrong direction if they
    differ by the margin or more.  Ask at alpha / 2 where that matters.

    verdict:      `better`: B fails less often; `worse`: more often; `no_different`:
                  the rates differ by less than `margin`; else `undecided`, also where all
                  pairs together refute what fell earlier.
    difference:   failure rate of B minus A's, negative is better; low and high hold
                  at every look, alpha / 2 a side, so a verdict may fall while they still touch 0.
    log_e_*:      evidence in nats, as it stood when the verdict fell, else now; for
                  `no_different` the weaker of its two sides, each at its best so far; None without a margin.
    threshold:    what `log_e_better` or `log_e_worse` must reach; `threshold_no_different`: the same for that one.
    smallest_drop: a true worsening of B by this much or more is excluded at alpha,
                  at every look; 0 when B is better, None when it is worse.
    pairs_needed: 0 once decided; else a forecast of further pairs (cases where the
                  case is the unit); None if no end is in sight.  Undecided with 0: a verdict
                  fell and all pairs together refute it, so the difference changed in between.
    decided_at:   units until the verdict; None if undecided.
    n:            units: pairs, or cases.
    """

    verdict: CompareVerdict
    difference: Est
    log_e_better: float
    log_e_worse: float
    threshold: float
    alpha: float
    margin: float | None
    smallest_drop: float | None
    pairs_needed: int | None
    decided_at: int | None
    n: int
    horizon: int | None = None
    unit: Literal["pair", "case"] = "pair"
    log_e_no_different: float | None = None
    threshold_no_different: float | None = None


# ---------------------------------------------------------------- two variants


def compare_path(
    pairs: Sequence[tuple[str, str]], alpha: float = 0.05, margin: float | None = None, horizon: int | None = None
) -> Compared:
    """The verdict of the first crossing, looking after every pair; later pairs cannot take it back.

    A claim about the population that the cases are drawn from: one pair per new
    case, or a case drawn at random for each pair.  Repeats on the same few
    cases belong in `compare_cases`.

    Args:    pairs: outcomes of A and of B (`pass`, `fail`, `invalid`) on one case
             each, in the order DRAWN; an invalid one counts against each claim;
             margin: what still counts as no different, in (0, 1); None: not asked;
             horizon: declared binding end, in pairs.
    Raises:  ValueError: an argument out of range, an unknown outcome, or more pairs than the horizon.
    Assumes: given the past, B wins the next pair at most as probably as it loses it
             (for `worse`: at least), or the mean difference keeps its side of the margin.

    >>> compared = compare_path([("fail", "pass")] * 6 + [("pass", "pass")] * 34)
    >>> compared.verdict, compared.decided_at, compared.smallest_drop
    ('better', 6, 0.0)
    >>> compare_path([("pass", "pass")] * 90, margin=0.05).verdict
    'no_different'
    """
    in_range(alpha, margin)
    threshold = pair_threshold(alpha, horizon)
    if horizon is not None and len(pairs) > horizon:
        raise ValueError(
            f"a horizon is binding: got {len(pairs)} pairs after declaring {horizon}; start a new run from zero"
        )
    most, least, seen = _differences(pairs)
    return _compared(most, least, seen, alpha, margin, threshold, horizon, "pair")


def compare_cases(
    cases: Sequence[Sequence[tuple[str, str]]], alpha: float = 0.05, margin: float | None = None
) -> Compared:
    """The verdict about NEW cases when each case was run several times; the case is the unit.

    Bets on each case's mean difference: repeats sharpen a case but never count
    as cases, so 20 cases run 50 times prove no more than 20 cases can.

    Args:    cases: the pairs of each case, cases in the order drawn.
    Raises:  as `compare_path`; a case without a pair.
    Assumes: cases drawn from one population, pairs per case not decided by its outcomes.

    >>> case = [("fail", "pass"), ("pass", "pass")]
    >>> compare_cases([case] * 30).verdict, compare_cases([case * 50]).verdict
    ('better', 'undecided')
    """
    in_range(alpha, margin)
    ranges = []
    for i, case in enumerate(cases):
        if not case:
            raise ValueError(f"case {i + 1} has no pair; run it or leave it out before any case was looked at")
        most, least, seen = _differences(case)
        ranges.append((most.mean(), least.mean(), seen[~np.isnan(seen)].mean() if not np.isnan(seen).all() else np.nan))
    most, least, seen = np.array(ranges, np.float64).reshape(-1, 3).T
    return _compared(most, least, seen, alpha, margin, -math.log(alpha), None, "case")


def compare_scores(pairs: Sequence[tuple[float, float]], alpha: float = 0.05, margin: float | None = None) -> Compared:
    """`compare_path` for graded scores in 0...1, 1 being perfect; threshold log(1 / alpha).

    What is missing from 1 takes the place of the failure rate: a negative difference is better here too.

    Raises:  ValueError: a score outside 0...1, alpha or margin out of range.

    >>> compare_scores([(0.5, 0.75)] * 30).verdict, compare_scores([(0.5, 0.75)]).difference.value
    ('better', -0.25)
    """
    in_range(alpha, margin)
    scores = np.asarray(pairs, np.float64).reshape(-1, 2)
    if not np.all((scores >= 0) & (scores <= 1)):
        odd = scores[~((scores >= 0) & (scores <= 1))][0]
        raise ValueError(f"scores must lie in 0...1, got {odd:g}; scale them first")
    d = scores[:, 0] - scores[:, 1]
    return _compared(d, d, d, alpha, margin, -math.log(alpha), None, "pair")


def _compared(
    most: Floats,
    least: Floats,
    seen: Floats,
    alpha: float,
    margin: float | None,
    threshold: float,
    horizon: int | None,
    unit: Literal["pair", "case"],
) -> Compared:
    """The first crossing over differences, each as large and as small as its invalid outcomes allow."""
    n, plain = len(most), -math.log(alpha)
    ups, downs = np.cumsum(stakes(most), axis=0), np.cumsum(stakes(-least), axis=0)  # for "better", for "worse"
    none = np.zeros_like(stakes(0.0))
    up, down = (ups[-1], downs[-1]) if n else (none, none)
    better, worse = sign_log_e(ups), sign_log_e(downs)
    alike = None
    if margin is not None:
        # Each side stays shown once it was: a false "no different" needs the false side to cross.
        looks = np.arange(1, n + 1)
        below, above = (np.maximum.accumulate(log_e_below(sums, looks, margin)) for sums in (ups, downs))
        alike = np.minimum(below, above)
    shown: dict[CompareVerdict, Bools] = {"better": better >= threshold, "worse": worse >= threshold}
    if alike is not None:
        shown["no_different"] = alike >= plain
    verdict: CompareVerdict = "undecided"
    decided_at = None
    for word, at in shown.items():
        if at.any() and (decided_at is None or np.argmax(at) + 1 < decided_at):
            verdict, decided_at = word, int(np.argmax(at)) + 1
    then = (decided_at or n) - 1
    half = plain + math.log(2)  # alpha / 2 a side
    low, high = _ends(down, up, n, half)
    # As for the verdict, what nobody could judge counts against it: the differences at their worst for each end.
    changed = verdict != "undecided" and _changed(
        verdict, *_ends(stakes(-most).sum(axis=0), stakes(least).sum(axis=0), n, half), margin
    )
    if changed:  # the runs do not have one difference: what is left is less, never more
        verdict = "undecided"
    judged = seen[~np.isnan(seen)]
    return Compared(
        verdict=verdict,
        difference=Est(
            float(judged.mean()) if judged.size else None,
            low,
            high,
            n,
        ),
        log_e_better=float(better[then]) if n else 0.0,
        log_e_worse=float(worse[then]) if n else 0.0,
        threshold=threshold,
        alpha=alpha,
        margin=margin,
        smallest_drop=_smallest_drop(verdict, up, n, plain, margin),
        pairs_needed=0 if decided_at else _needed(up, down, n, threshold, margin, plain, horizon),
        decided_at=None if changed else decided_at,
        n=n,
        horizon=horizon,
        unit=unit,
        log_e_no_different=None if alike is None else float(alike[then]) if n else 0.0,
        threshold_no_different=None if margin is None else plain,
    )


def _ends(down: Floats, up: Floats, n: int, threshold: float) -> tuple[float, float]:
    """Between which mean differences the truth lies, by the summed stakes for either direction."""
    return -float(upper_end(down, n, threshold)), float(upper_end(up, n, threshold))


def _changed(verdict: CompareVerdict, low: float, high: float, margin: float | None) -> bool:
    """Whether all pairs together refute a verdict that fell earlier: then the difference was not one throughout.

    low, high: the ends of the difference where each invalid outcome is what speaks for that end.
    """
    if verdict == "no_different" and margin is not None:
        return low >= margin or high <= -margin
    return (verdict == "better" and low > 0) or (verdict == "worse" and high < 0)


def _smallest_drop(verdict: str, up: Floats, n: int, plain: float, margin: float | None) -> float | None:
    if verdict == "worse" or not n:
        return None
    if verdict == "better":
        return 0.0
    limit = max(0.0, float(upper_end(up, n, plain)))
    return min(limit, margin) if verdict == "no_different" and margin is not None else limit


def _needed(
    up: Floats, down: Floats, n: int, threshold: float, margin: float | None, plain: float, horizon: int | None
) -> int | None:
    """Further units until a claim is shown, if every unit brings what the mean one brought so far."""
    if not n:
        return None

    def wait(sums: Floats, m: float | None, level: float) -> float:
        def reached(more: int) -> bool:
            grown = sums * ((n + more) / n)
            now = sign_log_e(grown) if m is None else log_e_below(grown, n + more, m)
            return float(now) >= level

        found = first_reached(reached, _FAR)
        return math.inf if found is None else found

    waits = [wait(up, None, threshold), wait(down, None, threshold)]
    if margin is not None:
        waits.append(max(wait(up, margin, plain), wait(down, margin, plain)))
    least = max(1, min(waits))
    left = math.inf if horizon is None else horizon - n
    return int(least) if least <= left and least < math.inf else None


# ---------------------------------------------------------------- helpers

_AT_LEAST = {"pass": 0.0, "invalid": 0.0, "fail": 1.0}
_AT_MOST = {"pass": 0.0, "invalid": 1.0, "fail": 1.0}


def _differences(pairs: Sequence[tuple[str, str]]) -> tuple[Floats, Floats, Floats]:
    """B failed minus A failed, each (N,): at most, at least, and as judged (NaN where either is invalid)."""
    for pair in pairs:
        if len(pair) != 2 or pair[0] not in _AT_MOST or pair[1] not in _AT_MOST:
            raise ValueError(f"a pair is two outcomes, each pass, fail or invalid, got {pair!r}")
    most = np.array([_AT_MOST[b] - _AT_LEAST[a] for a, b in pairs], np.float64)
    least = np.array([_AT_LEAST[b] - _AT_MOST[a] for a, b in pairs], np.float64)
    return most, least, np.where(most == least, most, np.nan)


def in_range(alpha: float, margin: float | None = None) -> None:
    """Raises: ValueError for an alpha or a margin that none can be."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
    if margin is not None and not 0 < margin < 1:
        raise ValueError(f"margin must lie strictly between 0 and 1, got {margin!r}; leave it out to ask for none")
