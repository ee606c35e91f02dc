"""By what share a change lowers a failure rate: bets on pairs, valid at every look, as `paired` bets on differences.

With x and y whether the first and the second of a pair failed, "the rate falls by the share r or more" says that
the mean of y - (1 - r) x is at most 0.  That is a bounded mean, so it is betted on as `paired` bets on y - x: for each
r a supermartingale in the four counts of pairs alone, monotone in r, so that turning it round gives limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from reroll.evidence import Est
from reroll.paired import Floats, log_e_below, sign_log_e, stakes

__all__ = [
    "LEAST",
    "Pairs",
    "difference_log_e",
    "generalisation",
    "generalisation_log_e",
    "pairs_of",
    "reduction",
    "reduction_log_e",
]

LEAST = -1.0  # of a reduction: a rate that doubles; what is worse is not told apart here
_GRID, _ROUNDS = 65, 3  # limits exact to 1e-5

Outcome = Literal["pass", "fail", "invalid"]
_MOST_SHARE = 3.0  # of the case's reduction: beyond it nothing is told apart
_REDUCTIONS = np.linspace(LEAST, 1.0, 101)  # values that the case's may have
_IMPOSSIBLE = 1e6  # nats
_FINER = 41  # of them between the neighbours of the least
_BETWEEN = 0.01  # nats: more than evidence changes between two of those, even with thousands of pairs
_X = np.array([0.0, 0.0, 1.0, 1.0])  # whether the first failed, by cell
_Y = np.array([0.0, 1.0, 0.0, 1.0])  # whether the second did


@dataclass(frozen=True, slots=True)
class Pairs:
    """Counts of pairs (before, after): both passed, only after failed, only before failed, both failed.

    `kind` and `harsh` are the same pairs twice: an invalid one is taken in favour of the change in `kind`, against it
    in `harsh`. Each is (both passed, broken, cured, both failed).
    """

    kind: tuple[int, int, int, int] = (0, 0, 0, 0)
    harsh: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def n(self) -> int:
        return sum(self.kind)

    @property
    def before(self) -> float | None:
        """The failure rate before, an invalid run left out of neither: the middle of both readings; None: no pairs."""
        return None if not self.n else 0.5 * (_rate(self.kind, _X) + _rate(self.harsh, _X))

    @property
    def after(self) -> float | None:
        return None if not self.n else 0.5 * (_rate(self.kind, _Y) + _rate(self.harsh, _Y))

    def __add__(self, other: Pairs) -> Pairs:
        def sum_of(a: Sequence[int], b: Sequence[int]) -> tuple[int, int, int, int]:
            return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]

        return Pairs(sum_of(self.kind, other.kind), sum_of(self.harsh, other.harsh))


def pairs_of(outcomes: Iterable[tuple[str, str]]) -> Pairs:
    """Pairs of outcome words (before, after), counted.

    >>> pairs_of([("fail", "pass"), ("pass", "pass"), ("pass", "invalid")]).harsh
    (1, 1, 1, 0)
    """
    kind, harsh = [0, 0, 0, 0], [0, 0, 0, 0]
    for before, after in outcomes:
        kind[2 * (before != "pass") + (after == "fail")] += 1
        harsh[2 * (before == "fail") + (after != "pass")] += 1
    return Pairs((kind[0], kind[1], kind[2], kind[3]), (harsh[0], harsh[1], harsh[2], harsh[3]))


def reduction_log_e(pairs: Pairs, share: float, side: Literal["above", "below"]) -> float:
    """Evidence that the failure rate falls by more (`above`) or less (`below`) than this share of itself, in nats.

    Whatever the truth, if the claim is wrong it ever reaches log(1 / alpha) with chance at most alpha. A negative
    share is a rise.

    Raises:  ValueError: a share outside -1...1.
    Assumes: given the past, the next pair's mean of after - (1 - share) * before keeps its sign.
    Source:  as `paired`: Waudby-Smith & Ramdas 2024 bets, on y - c x instead of y - x.

    >>> full = pairs_of([("fail", "pass")] * 20 + [("pass", "pass")] * 20)
    >>> round(reduction_log_e(full, 0.5, "above"), 1), round(reduction_log_e(full, 0.5, "below"), 1)
    (6.3, -3.3)
    """
    return float(_log_e(_counts(pairs, side), np.array([1 - share]), side)[0])


def reduction(pairs: Pairs, alpha: float = 0.05) -> Est:
    """By what share of itself the failure rate falls; both limits hold at every look, alpha / 2 a side.

    `value` is None where nothing failed before. The upper limit is never above 1, and the lower one not below `LEAST`.

    >>> found = reduction(pairs_of([("fail", "pass")] * 30 + [("fail", "fail")] * 10 + [("pass", "pass")] * 40))
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (0.75, 0.52, 0.95)
    """
    level = math.log(2 / alpha)
    before, after = pairs.before, pairs.after
    value = 1 - after / before if before and after is not None else None
    return Est(value, _limit(pairs, level, "above"), _limit(pairs, level, "below"), pairs.n)


def generalisation_log_e(case: Pairs, neighbour: Pairs, share: float, side: Literal["above", "below"]) -> float:
    """Evidence that the neighbours' reduction is more (`above`) or less (`below`) than this share of the case's, nats.

    What the case's reduction is, is not known: for each value that it may have the evidence against that value is
    multiplied by the evidence that the neighbours gain more (less) than the share of it, and the least of these
    products counts.  For the true value it is a product of two bets on runs of their own, so that it ever reaches
    log(1 / alpha) with chance at most alpha where the claim is wrong.

    Raises:  ValueError: a share outside 0...1.
    Assumes: pairs of the case and of the neighbours are independent, as of different inputs.

    >>> cured, half = pairs_of([("fail", "pass")] * 40), pairs_of([("fail", "pass")] * 10 + [("fail", "fail")] * 70)
    >>> round(generalisation_log_e(cured, cured, 0.5, "above"), 1), round(
    ...     generalisation_log_e(cured, half, 0.5, "below"), 1)
    (13.8, 16.4)
    """
    if not 0 <= share <= _MOST_SHARE:
        raise ValueError(f"the share must lie in 0...{_MOST_SHARE:g}, got {share!r}")

    def product(first: float, last: float, count: int) -> Floats:
        sides = [_betted(_counts(case, word), _bets(first, last, count, 1.0, word)) for word in ("above", "below")]
        there = _betted(_counts(neighbour, side), _bets(first, last, count, share, side))
        if side == "below":  # nothing falls by more than all of itself
            there = np.where(share * np.linspace(first, last, count) > 1, _IMPOSSIBLE, there)
        return np.logaddexp(*sides) - math.log(2) + there

    least = int(np.argmin(product(LEAST, 1.0, len(_REDUCTIONS))))
    near = _REDUCTIONS[max(0, least - 1)], _REDUCTIONS[min(len(_REDUCTIONS) - 1, least + 1)]
    return float(product(float(near[0]), float(near[1]), _FINER).min()) - _BETWEEN


def generalisation(case: Pairs, neighbour: Pairs, alpha: float = 0.05) -> Est:
    """The neighbours' reduction over the case's; both limits hold at every look, alpha / 2 a side.

    1: neighbours gain as much as the case; 0: a special case. `value` is None where the case gains nothing, `high`
    where it may gain next to nothing.

    >>> case = pairs_of([("fail", "pass")] * 28 + [("fail", "fail")] * 2 + [("pass", "pass")] * 20)
    >>> found = generalisation(case, case + case)
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (1.0, 0.8, 1.5)
    """
    a, b = reduction(case, alpha), reduction(neighbour, alpha)
    value = b.value / a.value if b.value is not None and a.value is not None and a.value > 0 else None
    level = math.log(2 / alpha)

    def surely(share: float, side: Literal["above", "below"]) -> bool:
        return generalisation_log_e(case, neighbour, share, side) >= level

    low, high = 0.0, _MOST_SHARE
    if surely(0.0, "above"):
        low = _bisected(lambda g: surely(g, "above"), 0.0, _MOST_SHARE)
    known = surely(_MOST_SHARE, "below")
    if known:
        high = _bisected(lambda g: surely(g, "below"), _MOST_SHARE, 0.0)
    return Est(value, low, high if known else None, min(case.n, neighbour.n))


def _bisected(shown: Callable[[float], bool], inside: float, outside: float) -> float:
    """The last value that is not shown, on the way from one that is to one that is not, rounded outwards."""
    for _ in range(14):
        mid = 0.5 * (inside + outside)
        inside, outside = (mid, outside) if shown(mid) else (inside, mid)
    return inside


def _rate(cells: Sequence[int], failed: Floats) -> float:
    return float(np.asarray(cells) @ failed) / sum(cells)


def _counts(pairs: Pairs, side: str) -> Floats:
    """Each claim is held to the reading of the invalid ones that speaks against it."""
    return np.asarray(pairs.harsh if side == "above" else pairs.kind, np.float64)


def _log_e(counts: Floats, c: Floats, side: str) -> Floats:
    """Evidence against a mean of 0 or more of y - c x (`above`) or c x - y (`below`); c is (M,), the result too."""
    return _betted(counts, _stakes(c, side))


def _betted(counts: Floats, bets: Floats) -> Floats:
    """What bets (M, cells, J) have brought on so many pairs of each cell, (M,) nats."""
    return sign_log_e(counts @ bets)


def _stakes(c: Floats, side: str) -> Floats:
    """(M, cells, J) what a pair of each cell does to each bet."""
    d = _Y - c[:, None] * _X
    d = d if side == "above" else -d
    return stakes(d / np.maximum(1.0, c)[:, None])  # stakes are for -1...1


@lru_cache(maxsize=128)
def _bets(first: float, last: float, count: int, share: float, side: str) -> Floats:
    """The stakes where a rate falls by this share of each of so many reductions; a trial asks for the same again."""
    found = _stakes(np.maximum(0.0, 1 - share * np.linspace(first, last, count)), side)
    found.setflags(write=False)
    return found


def _limit(pairs: Pairs, level: float, side: str) -> float:
    """The last share that is not refuted: from below for `above`, from above for `below`."""
    counts = _counts(pairs, side)
    low, high = 0.0, 1 - LEAST
    for _ in range(_ROUNDS):  # evidence rises with c for `above`, falls with it for `below`: narrowed, outwards
        c = np.linspace(low, high, _GRID)
        shown = _log_e(counts, c, side) >= level
        if side == "above":
            if not shown[-1]:
                return LEAST
            first = int(np.argmax(shown))
            low, high = float(c[max(0, first - 1)]), float(c[first])
        else:
            if not shown[0]:
                return 1.0
            last = _GRID - 1 - int(np.argmax(shown[::-1]))
            low, high = float(c[last]), float(c[min(_GRID - 1, last + 1)])
    return 1 - high if side == "above" else 1 - low


def difference_log_e(pairs: Pairs, margin: float, side: Literal["below", "above"]) -> float:
    """Evidence that the failure rate rises by less (`below`) or more (`above`) than the margin, in nats.

    >>> round(difference_log_e(pairs_of([("pass", "pass")] * 81), 0.05, "below"), 2)
    3.04
    """
    cells = pairs.harsh if side == "below" else pairs.kind
    sums, m = _sums(cells, side), margin if side == "below" else -margin
    return float(log_e_below(sums, pairs.n, m))


def _sums(cells: Sequence[float], side: str) -> Floats:
    won, lost = (cells[2], cells[1]) if side == "below" else (cells[1], cells[2])
    return won * stakes(-1.0) + lost * stakes(1.0)
