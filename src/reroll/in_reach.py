"""Whether a verdict on a fix is still in reach of the calls that are left, and how much of a batch they pay for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from reroll.reduction import Pairs
from reroll.scorecard import ClaimState, ClaimWord, Rules, SetWord, more_needed, until_refuted

__all__ = ["ENOUGH", "SLACK", "USUAL", "affordable", "out_of_reach"]

SLACK = 3  # a forecast may be wrong by so much
ENOUGH = 128  # pairs on neighbours: from here on it is asked whether going on can decide
USUAL: dict[SetWord, tuple[float, float]] = {
    "case": (0.5, 0.1),
    "neighbour": (0.5, 0.1),
    "lookalike": (0.03, 0.03),
    "control": (0.02, 0.02),
}
_LESS = 0.7  # of a batch that is too dear, again and again
_LEAST_SHARE = 0.05

Set = TypeVar("Set", bound=str)


def out_of_reach(
    pairs: Mapping[SetWord, Pairs], rules: Rules, states: Mapping[ClaimWord, ClaimState], left: int, each: int
) -> bool:
    """True where neither acceptance nor rejection is in reach of the calls that are left, if all goes on as so far.

    Only asked while it is open whether it helps at all, and of enough pairs to tell; a fix that helps is measured on.
    Where no end is in sight the forecast knows too little, and it is False.

    Args:  left: calls; each: calls that a pair takes.

    >>> from reroll.scorecard import claim_states, expected
    >>> pairs = {"case": expected(64, 0.5, 0.1), "neighbour": expected(128, 0.5, 0.34)}
    >>> states = claim_states(pairs, rules := Rules())
    >>> [out_of_reach(pairs, rules, states, left, each=2) for left in (50, 5_000)]
    [True, False]
    """
    open_now = "open" in (states["helps"], states["generalises"], states["cures"])
    if not open_now or pairs.get("neighbour", Pairs()).n < ENOUGH:
        return False
    more = more_needed(pairs, rules, [word for word, state in states.items() if state == "open"], USUAL)
    refuted = until_refuted(pairs, rules)
    near = [sum(more.values())] if more is not None else []
    near += [round(1.5 * refuted)] if refuted is not None else []  # half as many case pairs go beside the neighbours
    return bool(near) and min(near) * each > SLACK * left


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
