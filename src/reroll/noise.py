"""How far off a server's log probabilities are: by rounding, and because the same is not computed alike twice."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reroll.sample import Token

__all__ = ["EXACT", "FLOAT32", "Noise", "drift_between"]


@dataclass(frozen=True, slots=True)
class Noise:
    """How far a server's numbers are off, in nats.

    rounding: of a log probability that is 0; it grows by a quarter of itself per nat, as float32 does.
    body:     how far the log-odds of a token move when the same is asked again (other batch, other replica),
              for tokens of at least `common` probability; tail: for the others, which move more.
    repeats:  how many steps were asked twice to find that; what lies beyond the largest move seen is not covered.
    """

    rounding: float = 1e-6
    body: float = 0.0
    tail: float = 0.0
    common: float = 1e-3
    repeats: int = 0


FLOAT32, EXACT = Noise(), Noise(rounding=0.0)


def drift_between(one: Token, other: Token, common: float = 1e-3) -> tuple[float, float]:
    """How far the log-odds of tokens moved between two listings of the same step: of common ones, and of others.

    Tokens so likely (above 99.99 %) that float32 does not hold their odds are left out: what moves
    them moves the others.

    >>> a, b = (Token("x", top=(("x", math.log(p)), ("y", math.log(1 - p)))) for p in (0.5, 0.52))
    >>> round(drift_between(a, b)[0], 3)
    0.08
    """
    body = tail = 0.0
    then = dict(_listed(one))
    for name, logprob in _listed(other):
        before = then.get(name)
        if before is None or max(before, logprob) > -1e-4 or min(before, logprob) < -40:
            continue
        moved = abs(_log_odds(before) - _log_odds(logprob))
        if max(before, logprob) >= math.log(common):
            body = max(body, moved)
        else:
            tail = max(tail, moved)
    return body, tail


def _listed(token: Token) -> list[tuple[str | int, float]]:
    """The listed tokens by id where that is known (several may look alike), else by text."""
    names: tuple[str | int, ...] = token.top_ids or tuple(text for text, _ in token.top)
    return [(name, lp) for name, (_, lp) in zip(names, token.top, strict=True)]


def _log_odds(logprob: float) -> float:
    return logprob - math.log(-math.expm1(logprob))
