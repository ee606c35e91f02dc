"""What one token says against the probabilities that were read: bets on other settings, or on another request.

Each alternative is a distribution over the listed tokens and "any other", made from the listing before the
token is looked at.  Its probability of what came, over the largest that the listing allows, has a mean of at
most 1 if the listing is true.  So products along a path, and means over alternatives, are evidence that
reaches 1 / alpha with chance alpha at most (Ville 1939).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reroll.odds import Odds

__all__ = ["ALTERNATIVES", "added", "bets", "chances", "log_mean", "log_ratios"]

Floats = npt.NDArray[np.float64]

HEATS = (0.5, 0.7, 0.85, 1.2, 1.5, 2.0, 3.0, 5.0)  # temperatures, times the one asked for
NUCLEI = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)  # 0: the likeliest token always
MIXED = (0.5, 0.1)  # share of drawing any token, each as often

ALTERNATIVES: tuple[str, ...] = (
    *(f"a temperature of about {heat:g} times the one asked for" for heat in HEATS),
    "the likeliest token always",
    *(f"a top_p of about {share:g}" for share in NUCLEI[1:]),
    *("probabilities of another prompt, model or sampler" for _ in MIXED),
)


def chances(listings: Sequence[Odds]) -> Floats:
    """(S, n + 1) of the listed tokens and, last, of any other, rows adding up to 1; from listings alone."""
    width = max(len(found.keys) for found in listings)
    p = np.zeros((len(listings), width + 1))
    for row, found in zip(p, listings, strict=True):
        row[: len(found.keys)] = [0.5 * (a + b) for a, b in zip(found.low, found.high, strict=True)]
        row[-1] = 0.5 * (found.outside_low + found.outside_high)
    total = p.sum(1, keepdims=True)
    p[total[:, 0] <= 0, -1] = 1.0
    return np.divide(p, np.where(total > 0, total, 1.0))


def bets(p: Floats) -> Floats:
    """(A, S, n + 1) the alternatives to chances p: distributions over the same tokens."""
    rows = []
    with np.errstate(divide="ignore"):
        logs = np.log(p) - np.log(p.max(1, keepdims=True))
    for heat in HEATS:
        rows.append(np.exp(logs / heat))
    order = np.argsort(-p, axis=1, kind="stable")
    rising = np.take_along_axis(p, order, 1).cumsum(1)
    before = np.empty_like(p)
    np.put_along_axis(before, order, np.concatenate([np.zeros((len(p), 1)), rising[:, :-1]], 1), 1)
    rows += [np.where(before < max(share, 1e-12), p, 0.0) for share in NUCLEI]
    possible = p > 0
    rows += [(1 - share) * p + share * possible / possible.sum(1, keepdims=True) for share in MIXED]
    q = np.array(rows)
    out: Floats = q / q.sum(2, keepdims=True)
    return out


def log_ratios(listings: Sequence[Odds], keys: Sequence[str]) -> Floats:
    """(S, A) log of what each alternative gave to the token that came, over the most that the listing allows.

    Args:  listings: made without knowing what came (`listing_only`); keys: what came at each.
    """
    if not listings:
        return np.zeros((0, len(ALTERNATIVES)))
    q = bets(chances(listings))
    out = np.empty((len(listings), len(ALTERNATIVES)))
    with np.errstate(divide="ignore"):
        for i, (found, key) in enumerate(zip(listings, keys, strict=True)):
            place = found.keys.index(key) if key in found.keys else -1
            most = min(1.0, found.outside_high if place == -1 else found.high[place])
            # A token that the settings rule out refutes them, whatever else was bet.
            out[i] = np.log(q[:, i, place]) - math.log(most) if most > 0 else math.inf
    return out


def added(total: Floats, more: Floats) -> Floats:
    """Sums of logs, over the rows of `more`; what was ruled out outweighs a bet that was lost."""
    with np.errstate(invalid="ignore"):
        out = total + more.sum(0)
    return np.where(np.isnan(out) | (more == np.inf).any(0) | (total == np.inf), np.inf, out)


def log_mean(logs: Floats) -> float:
    """log of the mean of exp(logs)."""
    top = float(logs.max())
    if not math.isfinite(top):
        return top
    return top + math.log(float(np.exp(logs - top).mean()))
