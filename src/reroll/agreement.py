"""Whether a server draws from the probabilities that it lists: plain draws held against what was read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

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


def doubt_of_texts(chances: Sequence[float], other: float, said: Sequence[int | None]) -> float:
    """The most evidence, in nats, after any of these runs, that they say things more or less often than they should.

    For runs of which the text alone is known. Each bet spreads 1 otherwise over the known texts and all others: hotter,
    colder, or more on what is not known. What it wins is divided by the largest chance that a text may have, so the
    mean over the bets reaches log(1 / alpha) with chance alpha at most, if the probabilities are true.

    Args:    chances: of each known text, at most; other: of all others together, at most; said: of each run, in the
             order drawn, which text it was; None: another one.
    Source:  Ville 1939; a mean of test martingales is one.

    >>> doubt_of_texts([0.99], 0.02, [0] * 20) < 1, round(doubt_of_texts([0.99], 0.02, [0, None, None]), 1)
    (True, 4.0)
    """
    if not said:
        return 0.0
    p = np.clip(np.array([*chances, other], np.float64), 1e-9, 1.0)
    bets = [p**power / (p**power).sum() for power in _POWERS]
    bets += [np.append(p[:-1] / max(p[:-1].sum(), 1e-9) * (1 - share), share) for share in _SHARES]
    at = [len(chances) if k is None else k for k in said]
    won = np.log(np.maximum(np.array(bets), 1e-300))[:, at] - np.log(p)[at]
    total = won.cumsum(1)
    top = total.max(0)
    return max(0.0, float((top + np.log(np.exp(total - top).mean(0))).max()))


_POWERS = (0.3, 0.5, 0.7, 1.5, 2.0, 3.0)  # of every chance: hotter, then colder
_SHARES = (0.5, 0.2, 0.05, 0.01)  # of what is not known


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
