"""Whether a server draws from the probabilities that it lists: plain draws held against what was read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from reroll.doubt import ALTERNATIVES, added, bets, chances, log_mean, log_ratios
from reroll.enumeration import Enumeration
from reroll.tree import CUT, ROOT, STOP, UNKNOWN

__all__ = ["Agreement", "agreement", "doubt_of_texts"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What plain draws say about the probabilities that were read.

    agrees:  no evidence against them reached 1 / alpha; true probabilities are refuted with chance alpha
             at most, however many draws there are.
    log_e:   the most evidence against them, after any of the draws, in nats; inf: a token came that the
             sampler's settings rule out.
    suspect: what would explain the draws best, if they are refuted.
    sees:    what so many draws would have shown, with about even chance or better; no other departure is denied.
    """

    agrees: bool
    draws: int
    tokens: int
    log_e: float
    alpha: float
    suspect: str | None
    sees: tuple[str, ...]


def agreement(search: Enumeration, leaves: Iterable[int], alpha: float = 0.01) -> Agreement:
    """Whether these draws, in the order drawn, may come from the probabilities that the search holds.

    Every draw is followed through the tree as long as its tokens' chances are known there.

    Args:    leaves: the last node of each plain draw of the request, that was added to the search.
    """
    total = np.zeros(len(ALTERNATIVES))
    most, draws, tokens = 0.0, 0, 0
    threshold = math.log(1 / alpha)
    nodes = search.tree.nodes
    for leaf in leaves:
        draws += 1
        listings, keys = [], []
        for node, child in pairwise(search.tree.path(leaf)):
            found = search.odds.get(node)
            if found is None or nodes[child].key in (CUT, STOP, UNKNOWN):
                break
            listings.append(found)
            keys.append(nodes[child].key)
        total = added(total, log_ratios(listings, keys))
        tokens += len(keys)
        most = max(most, log_mean(total))
    agrees = most < threshold
    return Agreement(
        agrees,
        draws,
        tokens,
        most,
        alpha,
        None if agrees or math.isinf(most) else ALTERNATIVES[int(np.argmax(total))],
        _sees(search, draws, threshold),
    )


def doubt_of_texts(known: float, listed: Sequence[bool]) -> float:
    """The most evidence, in nats, after any of these runs, that they say more often what is not listed than they may.

    A bet at fixed odds on "not listed": it reaches log(1 / alpha) with chance alpha at most, if the probabilities are
    true. For runs of which the text alone is known.

    Args:    known: how probable the completions that were found are together, at least; listed: of each run, in the
             order drawn, whether it said one of them.

    >>> doubt_of_texts(0.99, [True] * 20), round(doubt_of_texts(0.99, [True, False, False]), 1)
    (0.0, 5.8)
    """
    other = max(1 - known, 1e-9)
    bet = max(0.2, min(1.0, 2 * other))
    if bet >= 1 or other >= 1:
        return 0.0
    steps = [math.log1p(-bet) - math.log1p(-other) if one else math.log(bet / other) for one in listed]
    return max([0.0, *accumulate(steps)])


def _sees(search: Enumeration, draws: int, threshold: float) -> tuple[str, ...]:
    """The alternatives whose mean evidence over so many draws from them reaches the threshold."""
    nodes = search.tree.nodes
    places = sorted(search.odds)  # parents come before their children
    if not places:
        return ()
    p = chances([search.odds[place] for place in places])
    q = bets(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        told = np.where(q > 0, q * np.log(q / p), 0.0).sum(2)  # (A, S) what a token drawn so says in the mean
    reach = {ROOT: np.ones(len(ALTERNATIVES))}
    gain = np.zeros(len(ALTERNATIVES))
    for i, place in enumerate(places):
        if (mass := reach.get(place)) is None:
            continue
        gain += mass * told[:, i]
        keys = search.odds[place].keys
        for key, child in nodes[place].children.items():
            if key in keys:
                reach[child] = mass * q[:, i, keys.index(key)]
    needed = threshold + math.log(len(ALTERNATIVES))
    seen = [name for name, g in zip(ALTERNATIVES, gain, strict=True) if draws * g >= needed]
    return tuple(dict.fromkeys(seen))
