"""How low a threshold may be, and where it lies in counts: exact, by walking every path of (n, failures).

Ville's threshold 1 / alpha is valid but wasteful: an e-value jumps past it.
Here the chance of ever crossing is computed exactly at the tested rate, the
worst case, and the threshold lowered until it is alpha.  Because a boundary
never falls in n, coupling carries the guarantee to every rate on the null's
side.  0/1 outcomes only; graded scores keep 1 / alpha.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from reroll.evidence import Mixture, log_e, met_mixture, not_met_mixture

__all__ = [
    "NEVER",
    "Characteristics",
    "Ints",
    "Thresholds",
    "met_boundary",
    "met_levels",
    "not_met_boundary",
    "not_met_levels",
    "operating_characteristics",
    "thresholds",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NEVER = 1 << 30
"""In a not-met boundary: no number of failures refuses at this n."""

# The recursion ends where the null expects this many failures.  Later
# crossings are covered by Ville's bound on what is still alive there, so a
# longer walk would change the thresholds in the fourth digit only.
_MET_FAILURES = 160
_NOT_MET_FAILURES = 120
_HALVINGS = 18  # of log(1 / alpha): thresholds exact to about 1e-5
_AT_ONCE = 1 << 12  # levels looked for together: a long walk must not need its memory at once
_MARGIN = 1e-9  # keeps rounding from moving a boundary between here and a verdict


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What log e must reach before "met" or "not met" may be said, in nats; never above log(1 / alpha)."""

    met: float
    not_met: float


@dataclass(frozen=True, slots=True)
class Characteristics:
    """What a pair of boundaries does at one true failure rate: exact, not simulated.

    met, not_met:     chance of each claim within the budget.
    expected_calls:   mean calls, undecided runs costing the whole budget.
    met_by, not_met_by: (budget + 1,) chance of the claim by call n.
    """

    met: float
    not_met: float
    undecided: float
    expected_calls: float
    met_by: Floats
    not_met_by: Floats

    def quantile(self, share: float) -> int | None:
        """Calls by which this share of runs has decided; None if fewer ever do."""
        decided = self.met_by + self.not_met_by
        return int(np.searchsorted(decided, share)) if decided[-1] >= share else None


@lru_cache(maxsize=1024)
def thresholds(rate: float, alpha: float = 0.05, horizon: int | None = None) -> Thresholds:
    """The lowest thresholds whose chance of EVER being crossed at `rate` is at most alpha, each side.

    The two claims exclude each other, so each side spends all of alpha.
    With a horizon only crossings at n <= horizon count, which is cheaper
    and binding; without one the guarantee is for ever.

    Args:    rate: failure rate tested, in (0, 1); alpha: in (0, 1); horizon: calls.
    Returns: nats; 10 to 300 ms, cached.
    Raises:  ValueError: an argument out of range.
    Assumes: given the past, each sample fails with a chance on the null's side.
    Source:  docs/statistics.md, "Thresholds"; recursion as in Armitage, McPherson & Rowe 1969.

    >>> [round(math.exp(c), 2) for c in (thresholds(0.01).met, thresholds(0.01).not_met)]
    [19.95, 9.41]
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
    if horizon is not None and horizon < 1:
        raise ValueError(f"horizon must be at least 1 call, got {horizon}")
    met, not_met = met_mixture(rate), not_met_mixture(rate)

    def met_error(c: float, end: int) -> tuple[float, Floats]:
        return _met_crossing(_met_levels(met, rate, c, end), rate, end)

    def not_met_error(c: float, end: int) -> tuple[float, Floats]:
        return _not_met_crossing(_not_met_levels(not_met, rate, c, end), rate, end)

    return Thresholds(
        _lowest(met, met_error, math.ceil(_MET_FAILURES / rate), alpha, horizon),
        _lowest(not_met, not_met_error, math.ceil(_NOT_MET_FAILURES / rate), alpha, horizon),
    )


def met_boundary(rate: float, alpha: float, horizon: int | None, n_max: int) -> Ints:
    """The most failures that still certify at each n: (n_max + 1,) int, -1 where none does; never falls.

    >>> b = met_boundary(0.01, 0.05, None, 400)
    >>> int(np.argmax(b >= 0))
    355
    """
    first = met_levels(rate, alpha, horizon, n_max)
    boundary: Ints = np.searchsorted(first, np.arange(n_max + 1), side="right") - 1
    return boundary


def not_met_boundary(rate: float, alpha: float, horizon: int | None, n_max: int) -> Ints:
    """The fewest failures that refuse at each n: (n_max + 1,) int, NEVER where none does; never falls.

    >>> not_met_boundary(0.01, 0.05, None, 4)[1:] == [NEVER, 2, 2, 2]
    array([ True,  True,  True,  True])
    """
    last = not_met_levels(rate, alpha, horizon, n_max)
    n = np.arange(n_max + 1)
    boundary = np.searchsorted(last, n, side="left").astype(np.int64)
    return np.where((boundary > n) | (n == 0), NEVER, boundary)


def met_levels(rate: float, alpha: float, horizon: int | None, n_max: int) -> Ints:
    """`met_boundary` by its steps: for F = 0, 1, ... the first n <= n_max at which F failures certify.

    >>> met_levels(0.01, 0.05, None, 600).tolist()
    [355]
    """
    return _met_levels(met_mixture(rate), rate, thresholds(rate, alpha, horizon).met, n_max)


def not_met_levels(rate: float, alpha: float, horizon: int | None, n_max: int) -> Ints:
    """`not_met_boundary` by its steps: for F = 0, 1, ... the last n at which F failures refuse (below F: none).

    The last entry is n_max or more, or there is one for every F up to n_max.

    >>> not_met_levels(0.01, 0.05, None, 3).tolist()[:3]
    [-1, 0, 3]
    """
    return _not_met_levels(not_met_mixture(rate), rate, thresholds(rate, alpha, horizon).not_met, n_max)


def operating_characteristics(p: float, met: Ints | None, not_met: Ints | None, budget: int) -> Characteristics:
    """What happens at true failure rate p when looking after every call, exactly.

    A plain walk over n, one call at a time: it shares no code with the
    calibration and so referees it.

    Args:    met, not_met: boundaries of at least budget + 1, or None for a side that is not used.
    Raises:  ValueError: p outside 0...1, or a boundary shorter than the budget.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"a failure rate lies in 0...1, got {p!r}")
    for boundary in (met, not_met):
        if boundary is not None and len(boundary) <= budget:
            raise ValueError(f"a boundary must reach the budget {budget}, got {len(boundary) - 1}")
    met_at, not_at = np.zeros(budget + 1), np.zeros(budget + 1)
    alive, base = np.ones(1), 0  # alive[i] = P(undecided with base + i failures)
    for n in range(1, budget + 1):
        grown = np.empty(len(alive) + 1)
        grown[:-1] = (1 - p) * alive
        grown[-1] = 0.0
        grown[1:] += p * alive
        low = 0 if met is None else max(0, int(met[n]) + 1 - base)
        high = len(grown) if not_met is None else min(len(grown), max(low, int(not_met[n]) - base))
        met_at[n], not_at[n] = grown[:low].sum(), grown[high:].sum()
        alive, base = grown[low:high], base + low
        if not len(alive):
            break
        while len(alive) > 1 and alive[-1] < 1e-18:
            alive = alive[:-1]
    met_by, not_by = np.cumsum(met_at), np.cumsum(not_at)
    still = 1 - met_by - not_by
    return Characteristics(
        float(met_by[-1]), float(not_by[-1]), float(max(0.0, still[-1])), float(still[:-1].sum()), met_by, not_by
    )


# ---------------------------------------------------------------- calibration


def _lowest(
    mixture: Mixture,
    error: Callable[[float, int], tuple[float, Floats]],
    far: int,
    alpha: float,
    horizon: int | None,
) -> float:
    """The smallest log threshold whose crossing chance, with the remainder beyond the walk, is <= alpha."""
    end = far if horizon is None else min(far, horizon)

    def valid(c: float) -> bool:
        hit, alive = error(c, end)
        if horizon != end:
            f = np.arange(len(alive))
            later = np.minimum(0.0, log_e(mixture, f, end - f) - c)
            hit += float((alive * np.exp(later)).sum())
        return hit <= alpha * (1 - 1e-9)

    low, high = 0.0, -math.log(alpha)  # the upper end is Ville's: always valid
    for _ in range(_HALVINGS):
        mid = 0.5 * (low + high)
        low, high = (low, mid) if valid(mid) else (mid, high)
    return min(high + _MARGIN, -math.log(alpha))


def _met_levels(mixture: Mixture, rate: float, c: float, end: int) -> Ints:
    """For F = 0, 1, ...: the first n <= end at which F failures certify; strictly increasing."""
    f = np.arange(int(end * rate) + 2)  # certifying needs F < n * rate
    first = _first(f, end, lambda f, n: log_e(mixture, f, n - f) >= c)
    return first[first <= end]


def _not_met_levels(mixture: Mixture, rate: float, c: float, end: int) -> Ints:
    """For F = 0, 1, ...: the last n at which F failures refuse (F - 1: none); up to the first beyond end."""
    count = int(1.3 * end * rate + 4 * (c + 8)) + 20
    while True:
        f = np.arange(min(count, end + 1))
        last = _first(f, end, lambda f, n: log_e(mixture, f, n - f) < c) - 1
        if last[-1] >= end or len(f) > end:
            return last
        count *= 2


def _first(f: Ints, end: int, holds: Callable[[Ints, Ints], npt.NDArray[np.bool_]]) -> Ints:
    """The first n in f...end at which `holds(f, n)`, end + 1 where it never does; `holds` stays true once true."""
    found = [_first_of(f[i : i + _AT_ONCE], end, holds) for i in range(0, len(f), _AT_ONCE)]
    return found[0] if len(found) == 1 else np.concatenate(found)


def _first_of(f: Ints, end: int, holds: Callable[[Ints, Ints], npt.NDArray[np.bool_]]) -> Ints:
    low, high = f.astype(np.int64), np.full(len(f), end + 1)
    while np.any(low < high):
        mid = (low + high) // 2
        yes = holds(f, mid) | (mid > end)
        low, high = np.where(yes, low, np.minimum(mid + 1, high)), np.where(yes, mid, high)
    return high


def _met_crossing(first: Ints, rate: float, end: int) -> tuple[float, Floats]:
    """P(ever certified by `end`) at `rate`, and P(not certified, F failures at `end`) for F = 0, 1, ...

    A path can only cross where the boundary rises, at (first[F], F): between
    two rises nothing is decided, so whole stretches are walked at once.
    """
    hit, at, alive = 0.0, 0, np.ones(1)  # alive[i]: level + i failures
    for n in first:
        alive = np.convolve(alive, _binomial(int(n) - at, rate))
        hit, at = hit + float(alive[0]), int(n)
        alive = _trimmed(alive[1:])
    alive = np.convolve(alive, _binomial(end - at, rate))
    return hit, np.concatenate([np.zeros(len(first)), alive])


def _not_met_crossing(last: Ints, rate: float, end: int) -> tuple[float, Floats]:
    """P(ever refused by `end`) at `rate`, and P(not refused, F failures at `end`) for F = 0, 1, ...

    F failures have been refused exactly if F failures are there at last[F],
    the last n at which they refuse; so only these n need a look.
    """
    hit, at, alive = 0.0, 0, np.ones(1)
    for f in range(1, len(last)):
        n = min(int(last[f]), end)
        if n < f:
            continue
        alive = np.convolve(alive, _binomial(n - at, rate))
        hit, at = hit + float(alive[f:].sum()), n
        alive = alive[:f]
        if n == end:
            break
    return hit, np.convolve(alive, _binomial(end - at, rate))


def _binomial(n: int, p: float) -> Floats:
    """Binomial(n, p) probabilities of 0, 1, ... up to where less than 1e-18 is left."""
    mean = n * p
    top = min(n, int(mean + 10 * math.sqrt(mean) + 25))
    x = np.arange(top)
    log_odds = math.log(p) - math.log1p(-p)
    steps = np.cumsum(np.log((n - x) / (x + 1)) + log_odds)
    chances: Floats = np.exp(n * math.log1p(-p) + np.concatenate([[0.0], steps]))
    return chances


def _trimmed(alive: Floats) -> Floats:
    keep = len(alive)
    while keep > 1 and alive[keep - 1] < 1e-20:
        keep -= 1
    return alive[:keep]
