"""Is the rate back below a limit?  A claim that is wrong with a chance of at most alpha, however often one looks.

While every call, given the past, is lost with a chance of at least the limit, each bet that the rate is lower loses on
average.  Bets are begun at every call, the k-th with a stake of 1 / k(k + 1): all stakes together are at most 1, so the
bets are worth 1 / alpha at any time with a chance of at most alpha (Ville 1939).  As they are begun anew at every call,
what was lost before the rate came back costs little.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ALPHA", "SHARES", "Recovery", "recovered", "recovery_step"]

ALPHA = 0.05
SHARES = (0.05, 0.25, 0.5, 0.75)  # of the limit: the rates that are bet on


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the calls since an alarm have to say. below: the limit; n, losses: calls since then."""

    below: float
    n: int = 0
    losses: float = 0.0
    bets: tuple[float, ...] = (0.0,) * len(SHARES)


def recovery_step(state: Recovery, loss: float) -> Recovery:
    """The state after one more call, with a loss in 0...1.

    >>> state = Recovery(0.2)
    >>> for _ in range(60): state = recovery_step(state, 0.0)
    >>> recovered(state)
    True
    """
    n = state.n + 1
    stake = 1 / (n * (n + 1) * len(SHARES))
    # As a likelihood ratio of the lower rate to the limit: linear in the loss, and 1 on average at the limit.
    bets = tuple(
        (bet + stake) * (1 + (loss - state.below) * (share - 1) / (1 - state.below))
        for bet, share in zip(state.bets, SHARES, strict=True)
    )
    return Recovery(state.below, n, state.losses + loss, bets)


def recovered(state: Recovery) -> bool:
    """Whether the rate is shown to have come back below the limit."""
    return sum(state.bets) >= 1 / ALPHA
