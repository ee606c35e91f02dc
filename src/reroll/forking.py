"""The words of a search for a fork: the failing completion, what may be drawn, what came back.

Positions are 1...L; the prefix of length i is the prompt and the first i tokens.  A position
is a token, or, for chats and agents, a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Draw", "Failing", "Forks", "Outcome", "Place", "Rollout", "Unit", "Why"]

Outcome = Literal["pass", "fail", "invalid"]
Unit = Literal["token", "sentence", "turn"]
Why = Literal["stored", "triage", "search", "certify", "alternatives"]


@dataclass(frozen=True, slots=True)
class Failing:
    """One failing completion, and what might have stood at each position instead.

    probs:  of each token under the distribution that is really sampled from (after temperature, top-p and
            top-k); None where the server shows none: then nothing can be forced either.
    others: per position the alternatives that the server listed, with their probabilities, the sampled token
            left out. What probs and others leave of 1 is unlisted: it cannot be forced, and widens intervals.
    tail:   expected tokens of a rollout from each prefix, 0...L; None: as many as are left of this completion.

    Raises:  ValueError: no position, other lengths, or probabilities that are none.

    >>> failing = Failing(("I", " think"), (1.0, 0.6), ((), ((" know", 0.3),)))
    >>> round(failing.unlisted(2), 3), failing.tier
    (0.1, 'A')
    """

    tokens: tuple[str, ...]
    probs: tuple[float, ...] | None = None
    others: tuple[tuple[tuple[str, float], ...], ...] = ()
    unit: Unit = "token"
    tail: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        length = len(self.tokens)
        if not length:
            raise ValueError("an empty completion has no fork; there is nothing to search")
        if self.probs is not None and (len(self.probs) != length or len(self.others) != length):
            raise ValueError(f"{length} tokens need {length} probabilities and {length} lists of alternatives")
        if self.tail is not None and len(self.tail) != length + 1:
            raise ValueError(f"{length} tokens have {length + 1} prefixes, got expected lengths for {len(self.tail)}")
        for token, p, others in zip(self.tokens, self.probs or (), self.others, strict=self.probs is not None):
            if not 0 < p <= 1 + 1e-9 or any(not 0 <= q <= 1 for _, q in others):
                raise ValueError(f"probabilities lie in (0, 1], got {p!r} and {others!r} at {token!r}")
            if p + sum(q for _, q in others) > 1 + 1e-6:
                raise ValueError(f"the probabilities at {token!r} sum to more than 1; leave it out of its alternatives")
            if any(other == token for other, _ in others):
                raise ValueError(f"the sampled token {token!r} is listed among its own alternatives")

    @property
    def length(self) -> int:
        return len(self.tokens)

    @property
    def tier(self) -> Literal["A", "B"]:
        """A: probabilities and prefixes; B: prefixes only."""
        return "B" if self.probs is None else "A"

    def listed(self, position: int) -> float:
        """The probability of the alternatives at a position that can be forced."""
        return sum(q for _, q in self.others[position - 1])

    def unlisted(self, position: int) -> float:
        """The probability at a position of tokens that the server did not list."""
        if self.probs is None:
            return 0.0
        return max(0.0, 1 - self.probs[position - 1] - self.listed(position))

    def cost(self, prefix: int) -> float:
        """Expected generated tokens of one rollout from the prefix; at least 1."""
        return max(1.0, self.tail[prefix] if self.tail is not None else self.length - prefix)


@dataclass(frozen=True, slots=True)
class Place:
    """Positions first...last that are looked at as one; mostly a single one."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Draw:
    """Continue so many times from the prefix of that length; with `token`, after it at the next position."""

    prefix: int
    count: int
    why: Why
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """What one draw brought.

    left_at: the first position at which it differs from the failing completion, L + 1 if at none; None: not
             known. For a forced token it is the forced position.
    tokens:  generated, the forced one not counted; 0 for a stored sample, which costs nothing.
    """

    prefix: int
    outcome: Outcome
    why: Why
    token: str | None = None
    left_at: int | None = None
    tokens: int = 0


class Forks(Protocol):
    """Anything that can continue a completion: a model, a recording of forks, an exact world.

    Both return `n` rollouts drawn independently; a rollout that could not be judged is `invalid`, not left out.
    `force` is asked only for tokens that the failing completion lists as alternatives at the position.
    """

    def continue_from(self, prefix: int, n: int) -> Sequence[tuple[Outcome, int | None, int]]:
        """(outcome, left_at, generated tokens) of n continuations of the prompt and the first `prefix` tokens."""
        ...

    def force(self, position: int, token: str, n: int) -> Sequence[tuple[Outcome, int]]:
        """(outcome, generated tokens) of n continuations of the first position - 1 tokens and then `token`."""
        ...
