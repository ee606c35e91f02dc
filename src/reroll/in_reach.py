"""Whether a verdict on a fix is still in reach of the calls that are left, and how much of a batch they pay for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from reroll.reduction import Pairs
from reroll.scorecard import ClaimState, ClaimWord, Rules, SetWord, more_needed, until_refuted

__all__ = ["ENOUGH", "SLACK", "USUAL", "affordable", "nearest_end", "out_of_reach"]

SLACK = 3  # a forecast may be wrong by so much
ENOUGH = 128  # pairs on neighbours: from here on it is asked whether going on can decide
USUAL: dict[SetWord, tuple[float, float]] = {
    "case": (0.5, 0.1),
    "neighbour": (0.5, 0.1),
    "lookalike": (0.03, 0.03),
    "control": (0.02, 0.02),
}
_EARLY = 0.25  # of all calls: before so many are spent, a forecast of where the rest would lead is mostly luck
_BESIDE = 5 / 3  # pairs to a pair of a neighbour: the case takes its share, as `next_pairs` has it
_LESS = 0.7  # of a batch that is too dear, again and again
_LEAST_SHARE = 0.05

Set = TypeVar("Set", bound=str)


def out_of_reach(
    pairs: Mapping[SetWord, Pairs], rules: Rules, states: Mapping[ClaimWord, ClaimState], left: int, each: int
) -> bool:
    """True where neither acceptance nor rejection is in reach of the calls that are left, if all goes on as so far.

    Only asked while it is open whether it helps at all, and of enough pairs to tell, once a quarter of the calls is
    spent; a fix that helps is measured on. Where no end is in sight the forecast knows too little, and it is False.

    Args:  left: calls; each: calls that a pair takes.

    >>> from reroll.scorecard import claim_states, expected
    >>> pairs = {"case": expected(64, 0.5, 0.1), "neighbour": expected(128, 0.5, 0.34)}
    >>> states = claim_states(pairs, rules := Rules())
    >>> [out_of_reach(pairs, rules, states, left, each=2) for left in (50, 5_000)]
    [True, False]
    """
    spent = each * sum(one.n for one in pairs.values())
    open_now = "open" in (states["helps"], states["generalises"], states["cures"])
    if not open_now or pairs.get("neighbour", Pairs()).n < ENOUGH or spent < _EARLY * (spent + left):
        return False
    end = nearest_end(pairs, rules, [word for word, state in states.items() if state == "open"])
    return end is not None and end * each > SLACK * left


def nearest_end(pairs: Mapping[SetWord, Pairs], rules: Rules, still: Collection[ClaimWord]) -> int | None:
    """Further pairs of all sets until it is accepted, or rejected as little help, whichever is nearer.

    None where no end is in sight.

    Args:  still: the claims that are open.
    """
    more, refuted = more_needed(pairs, rules, still, USUAL), until_refuted(pairs, rules)
    ends = [sum(more.values())] if more is not None else []
    ends += [round(_BESIDE * refuted)] if refuted else []
    return min(ends, default=None)


def affordable(more: Mapping[Set, int], price: Callable[[Mapping[Set, int]], int], left: int) -> dict[Set, int]:
    """As many of these pairs as the calls that are left pay for, in about the same proportion; empty where none.

    >>> affordable({"case": 10, "neighbour": 20}, lambda more: sum(more.values()), left=16)
    {'case': 4, 'neighbour': 9}
    """
    out, share = dict(more), 1.0
    while out and price(out) > left and share > _LEAST_SHARE:
        share *= _LESS
        out = {of: int(n * _LESS) for of, n in out.items() if int(n * _LESS)}
    return out
