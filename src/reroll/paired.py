"""What pairs of outcomes on the same cases say about which of two variants fails less often.

One bet serves every question.  With D = 1 where only B failed, -1 where only A
did, 0 for a tie, or any number between (the mean over the repeats of one case),

    E(m) = sum_j w_j prod_i (1 - s_j D_i) / (1 - s_j m)

is a non-negative supermartingale whenever the mean of D, given the past, is m
or more; it rises in m, so turning it round gives limits.  At m = 0 ties drop
out and it is a test of a coin: the wins of B among the pairs in which the two
differ.  There the threshold is lowered exactly; elsewhere it is 1 / alpha.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from reroll.calibrate import operating_characteristics
from reroll.evidence import Mixture, end_of, log_e

__all__ = [
    "Floats",
    "below_log_e",
    "better_log_e",
    "difference_interval",
    "difference_interval_array",
    "difference_limit",
    "log_e_below",
    "pair_boundary",
    "pair_threshold",
    "sign_log_e",
    "stakes",
    "upper_end",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# The shares of what may be staked: s = 1 loses everything at the first loss of B,
# small ones serve small differences.  The sign weights were fitted to the smallest
# worst ratio to the limit where B wins 66 to 87 % of the pairs that differ.
_S = np.array([0.0125, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
_SIGN_W = np.array([0.0, 0.0, 0.0, 0.05, 0.09, 0.13, 0.14, 0.12, 0.11, 0.11, 0.09, 0.10, 0.06])
_LIMIT_W = np.array([0.02, 0.03, 0.05, 0.09, 0.10, 0.10, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.22])
_LOG_ZERO = -1e30  # log(0) that survives a multiplication by 0
_WIN = np.log1p(_S)
_LOSS = np.where(_S < 1, np.log1p(-np.minimum(_S, 0.999)), _LOG_ZERO)
_USED = _SIGN_W > 0
_SIGN = Mixture(np.log(_SIGN_W[_USED] / _SIGN_W.sum()), _LOSS[_USED], _WIN[_USED])
_LOG_SIGN_W = np.where(_USED, np.log(np.maximum(_SIGN_W / _SIGN_W.sum(), 1e-300)), _LOG_ZERO)
_LOG_LIMIT_W = np.log(_LIMIT_W / _LIMIT_W.sum())

_FAR = 1000  # differing pairs walked one by one; crossings beyond are covered by Ville's bound
_HALVINGS = 18  # of log(1 / alpha): thresholds exact to about 1e-5
_ALMOST = 1 - 1e-9  # of alpha: room for rounding
_MARGIN = 1e-9  # keeps rounding from moving a boundary between here and a verdict


# ---------------------------------------------------------------- is B better


def better_log_e(won: int, lost: int) -> float:
    """Evidence against "B fails at least as often as A", in nats; ties do not matter.

    If B is no better, ever reaching `pair_threshold(alpha)` has probability at
    most alpha, under any stopping rule that looks only at the past.  exp of it
    is an e-value.  `better_log_e(lost, won)` is the evidence that B is worse.

    Args:    won: pairs in which only A failed; lost: pairs in which only B did.
    Raises:  ValueError: a negative count.
    Assumes: given the past, B wins the next pair at most as probably as it loses it.
    Source:  Robbins 1970 mixture on McNemar's differing pairs; as bets Waudby-Smith & Ramdas 2024.

    >>> round(better_log_e(won=6, lost=0), 2), round(better_log_e(won=6, lost=6), 2)
    (2.97, -1.3)
    """
    _check_pairs(won, lost, won + lost)
    return float(log_e(_SIGN, lost, won))


@lru_cache(maxsize=256)
def pair_threshold(alpha: float = 0.05, horizon: int | None = None) -> float:
    """The lowest threshold that `better_log_e` EVER reaches with chance at most alpha if B is not better.

    Exact: a fair coin's path through (won, lost) is walked pair by pair.  Only
    differing pairs can cross, and a horizon in pairs bounds their number.

    Args:    alpha: in (0, 1); horizon: declared binding end, in pairs.
    Returns: nats; at most 0.3 s, cached; never above log(1 / alpha).
    Raises:  ValueError: alpha out of range, or a horizon within which nothing could be shown.
    Assumes: as `better_log_e`; the losses that still show "better" never fall with the
             number of pairs, so coupling carries a fair coin's guarantee to any past-dependent one.
    Source:  recursion as in Armitage, McPherson & Rowe 1969; remainder by Ville 1939.

    >>> round(math.exp(pair_threshold(0.05)), 1), round(math.exp(pair_threshold(0.05, horizon=50)), 1)
    (17.0, 11.5)
    """
    _check_alpha(alpha)
    least = math.ceil(-math.log2(alpha * _ALMOST))  # so many wins in a row a fair coin brings with chance <= alpha
    if horizon is not None and horizon < least:
        raise ValueError(
            f"a horizon of {horizon} pairs is too short: at alpha {alpha:g} it takes at least {least} pairs "
            f"to show anything; declare {least} or more"
        )
    low, high = 0.0, -math.log(alpha)  # the upper end is Ville's: always valid
    for _ in range(_HALVINGS):
        mid = 0.5 * (low + high)
        low, high = (low, mid) if _ever(mid, horizon) <= alpha * _ALMOST else (mid, high)
    return min(high + _MARGIN, -math.log(alpha))


def pair_boundary(alpha: float, horizon: int | None, n_max: int) -> Ints:
    """The most losses of B that still show it better at each number of differing pairs; -1 where none does.

    (n_max + 1,) int, never falling: what `calibrate.operating_characteristics` walks.

    >>> pair_boundary(0.05, None, 8).tolist()
    [-1, -1, -1, -1, -1, -1, 0, 0, 0]
    """
    return _boundary(pair_threshold(alpha, horizon), n_max)


# ---------------------------------------------------------------- by how much


def below_log_e(won: int, lost: int, n: int, margin: float) -> float:
    """Evidence against "B's failure rate is A's plus `margin`, or more", in nats; threshold log(1 / alpha).

    Here ties speak too: they are what shows that two variants are alike.

    Args:    n: pairs, ties included; margin: strictly between -1 and 1.
    Raises:  ValueError: counts or margin out of range.
    Assumes: given the past, the mean difference (B failed - A failed) of the next pair is >= margin under the null.

    >>> round(math.exp(below_log_e(won=0, lost=0, n=81, margin=0.05)), 1)
    20.9
    """
    _check_pairs(won, lost, n)
    if not -1 < margin < 1:
        raise ValueError(f"margin must lie strictly between -1 and 1, got {margin!r}")
    return float(log_e_below(won * _WIN + lost * _LOSS, n, margin))


def difference_interval(won: int, lost: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Where B's failure rate minus A's lies; true after every look at once, except with chance alpha.

    Never of zero width, and wider than a test at one planned look would say.

    Args:    won, lost: pairs in which only A, only B failed; n: pairs, ties
             included; alpha: chance that the difference is EVER outside, half a side.
    Returns: (low, high) within [-1, 1]; below 0: B fails less often.
    Raises:  ValueError: counts or alpha out of range.
    Assumes: pairs with one mean difference, one case drawn at random for each.
    Source:  Waudby-Smith & Ramdas 2024 bets on D in {-1, 0, 1}, mixed and turned round in the mean.

    >>> [round(end, 3) for end in difference_interval(won=12, lost=2, n=100)]
    [-0.234, 0.015]
    """
    _check_pairs(won, lost, n)
    _check_alpha(alpha)
    low, high = difference_interval_array(won, lost, n, alpha)
    return float(low), float(high)


def difference_interval_array(
    won: npt.ArrayLike, lost: npt.ArrayLike, n: npt.ArrayLike, alpha: float
) -> tuple[Floats, Floats]:
    """`difference_interval` for arrays of counts (shapes broadcast); both results have that shape."""
    threshold = math.log(2 / alpha)
    w, l, total = (np.asarray(x, np.float64) for x in np.broadcast_arrays(won, lost, n))
    up, down = (a[..., None] * _WIN + b[..., None] * _LOSS for a, b in ((w, l), (l, w)))
    return -upper_end(down, total, threshold), upper_end(up, total, threshold)


def difference_limit(won: int, lost: int, n: int, alpha: float = 0.05) -> float:
    """B's failure rate minus A's is below this, after every look at once, except with chance alpha.

    One-sided: the upper end of `difference_interval` with all of alpha spent on it.

    >>> round(difference_limit(won=0, lost=0, n=100), 3)
    0.04
    """
    _check_pairs(won, lost, n)
    _check_alpha(alpha)
    return float(upper_end(won * _WIN + lost * _LOSS, n, -math.log(alpha)))


# ---------------------------------------------------------------- any differences in -1...1


def stakes(differences: npt.ArrayLike) -> Floats:
    """What each difference does to each bet on B: (..., J) nats, to be summed over pairs or cases.

    Give `-differences` for the bets on A.

    Args:    differences: loss of B minus loss of A, in -1...1, of one pair or the mean of one case.

    >>> bool(np.isclose(sign_log_e(stakes([-1, 0, -1, 1]).sum(axis=0)), better_log_e(won=2, lost=1)))
    True
    """
    d = np.asarray(differences, np.float64)[..., None]
    return np.where(_S * d < 1, np.log1p(-np.minimum(_S * d, 1 - 1e-16)), _LOG_ZERO)


def sign_log_e(sums: Floats) -> Floats:
    """`better_log_e` from summed stakes (..., J): against "the mean difference is 0 or more", in nats.

    With differences other than -1, 0, 1 hold it against log(1 / alpha), not against `pair_threshold`.
    """
    return _mixed(_LOG_SIGN_W + sums)


def log_e_below(sums: Floats, n: npt.ArrayLike, margin: npt.ArrayLike) -> Floats:
    """`below_log_e` from summed stakes (..., J): against "the mean difference is `margin` or more", in nats."""
    m = np.asarray(margin, np.float64)[..., None]
    return _mixed(_LOG_LIMIT_W + sums - np.asarray(n, np.float64)[..., None] * np.log1p(-_S * m))


def upper_end(sums: Floats, n: npt.ArrayLike, threshold: float) -> Floats:
    """The mean differences from here upwards are refuted by the summed stakes (..., J), rounded outwards."""
    total = np.asarray(n, np.float64)
    shape = np.broadcast_shapes(sums.shape[:-1], total.shape)
    # log e rises with the margin
    return end_of(lambda margin: log_e_below(sums, total, margin), threshold, shape, upper=True, lowest=-1.0)


# ---------------------------------------------------------------- helpers


def _ever(c: float, horizon: int | None) -> float:
    """The chance that a fair coin ever takes log e to c within the horizon."""
    end = _FAR if horizon is None else min(_FAR, horizon)
    boundary = _boundary(c, end)
    walk = operating_characteristics(0.5, boundary, None, end)
    if end == horizon:
        return walk.met
    # On a fair coin the mean of E stays 1, and paths only cross where the boundary
    # rises, on the boundary itself: what the crossings did not take is still out there.
    n = np.flatnonzero(boundary >= 0)
    chance = np.diff(walk.met_by)[n - 1]
    left = 1 - float((chance * np.exp(log_e(_SIGN, boundary[n], n - boundary[n]))).sum())
    return walk.met + max(0.0, left) * math.exp(-c)


def _boundary(c: float, n_max: int) -> Ints:
    lost = np.arange(n_max // 2 + 1)
    low, high = lost.copy(), np.full(len(lost), n_max + 1)
    while np.any(low < high):  # the first number of pairs at which so many losses still show "better"
        mid = (low + high) // 2
        shown = (log_e(_SIGN, lost, mid - lost) >= c) | (mid > n_max)
        low, high = np.where(shown, low, np.minimum(mid + 1, high)), np.where(shown, mid, high)
    boundary: Ints = np.searchsorted(high, np.arange(n_max + 1), side="right") - 1
    return boundary


def _mixed(terms: Floats) -> Floats:
    top = terms.max(axis=-1)
    total: Floats = top + np.log(np.exp(terms - top[..., None]).sum(axis=-1))
    return total


def _check_pairs(won: int, lost: int, n: int) -> None:
    if not (won >= 0 and lost >= 0 and won + lost <= n):
        raise ValueError(f"won and lost must be at least 0 and together at most n, got won={won}, lost={lost}, n={n}")


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
