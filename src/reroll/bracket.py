"""The failure rate's bounds over every distribution that the listed chances allow, taken over the tree as a whole.

Adding up the least chance of every completion found gives a bound too, but no distribution has them all at once: where
one token is drawn less often, another is drawn more often.  At a place whose every continuation succeeds it does not
matter how unsure its chances are.  So each place is asked for the worst that its chances allow, from the leaves up:

    worst(place) = max over p of sum_v p(v) worst(v),    low(v) <= p(v) <= high(v),    sum_v p(v) = 1

with 1 for what nobody followed or the server did not list; and for the best in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from reroll.odds import Odds
from reroll.tree import CUT, ROOT, STOP, Tree

__all__ = ["failure_bracket"]

Floats = npt.NDArray[np.float64]

RATES = {"fail": (1.0, 1.0), "pass": (0.0, 0.0)}
ANYTHING = (0.0, 1.0)


def failure_bracket(tree: Tree, chances: Mapping[int, Odds]) -> tuple[float, float]:
    """(low, high) of the failure rate, if every token's chance lies within its bounds, at each place by itself.

    Args:    chances: by node what may come next, for each node whose list is known.
    Source:  extreme points of interval probabilities (de Campos, Huete and Moral 1994), node by node.

    >>> from reroll.sample import Token
    >>> tree = Tree()
    >>> for text in ("yes", "sure"):
    ...     _ = tree.grow([Token(text)], "cut", outcome="pass")
    >>> unsure = Odds(("yes", "sure"), ("yes", "sure"), (None, None), (0.4, 0.4), (0.6, 0.6), 0.0, 0.01, 0, 2)
    >>> failure_bracket(tree, {0: unsure})  # the least chances alone would leave 20 % open
    (0.0, 0.01)
    """
    rates: dict[int, tuple[float, float]] = {}
    by_depth: dict[int, list[int]] = {}
    for place, node in enumerate(tree.nodes):
        leaf = next((node.children[key] for key in (CUT, STOP) if key in node.children), place)
        if (outcome := tree.nodes[leaf].outcome) is not None:
            rates[place] = RATES.get(outcome, ANYTHING)
        elif place in chances:
            by_depth.setdefault(node.depth, []).append(place)
    for depth in sorted(by_depth, reverse=True):
        places = by_depth[depth]
        rates.update(zip(places, _extremes(tree, chances, places, rates), strict=True))
    return rates.get(ROOT, ANYTHING)


def _extremes(
    tree: Tree, chances: Mapping[int, Odds], places: Sequence[int], rates: Mapping[int, tuple[float, float]]
) -> list[tuple[float, float]]:
    """The least and the largest failure rate from each of these places on, from those below."""
    width = 1 + max(len(chances[place].keys) for place in places)
    low, high, best = (np.zeros((len(places), width)) for _ in range(3))
    worst = np.ones((len(places), width))
    for i, place in enumerate(places):
        here = chances[place]
        n = len(here.keys)
        low[i, :n], high[i, :n] = here.low, here.high
        low[i, -1], high[i, -1] = here.outside_low, here.outside_high
        for key, child in tree.nodes[place].children.items():
            if child in rates and key in here.keys:
                best[i, here.keys.index(key)], worst[i, here.keys.index(key)] = rates[child]
    return list(zip((1 - _most(1 - best, low, high)).tolist(), _most(worst, low, high).tolist(), strict=True))


def _most(value: Floats, low: Floats, high: Floats) -> Floats:
    """(S,) the largest mean of `value` (S, K): what is left over the least chances goes to the largest values first."""
    order = np.argsort(-value, axis=1)
    room = np.take_along_axis(np.maximum(high - low, 0), order, 1)
    left = np.maximum(1 - low.sum(1, keepdims=True), 0)
    given = np.clip(left - (room.cumsum(1) - room), 0, room)
    over = np.maximum(left[:, 0] - given.sum(1), 0)  # by rounding: counted as the worst
    mean: Floats = (low * value).sum(1) + (given * np.take_along_axis(value, order, 1)).sum(1) + over
    return mean.clip(0.0, 1.0)
