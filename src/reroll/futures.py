"""A call's completions with their exact probabilities: what is known to fail, to succeed, and what is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reroll.evidence import Est
from reroll.noise import Noise
from reroll.tree import Ended

__all__ = ["Call", "Future", "Futures", "Prefix"]


@dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning of completions nobody has followed yet: send it, let the server complete it greedily.

    node, key:  its place in the tree; texts, ids: its tokens, the newest last.
    low, prob:  the chance that a completion begins like this: at least, and about.
    ended:      how its last token ends the completion, if it does: there is nothing to send, its text only needs
                judging. `end`: the token that ends one; `cut`: there is no room for another.
    """

    node: int
    key: str
    texts: tuple[str, ...]
    ids: tuple[int | None, ...]
    low: float
    prob: float
    ended: Ended | None

    @property
    def text(self) -> str:
        """What is written up to here; the token that ends a completion writes nothing."""
        return "".join(self.texts[:-1] if self.ended == "end" else self.texts)


@dataclass(frozen=True, slots=True)
class Future:
    """One completion that was found, its probability between `low` and `high`, and what its checks said.

    ways: by how many ways of splitting it into tokens; their probabilities add up. leaves: their node ids.
    """

    text: str
    outcome: str
    ended: Ended
    low: float
    prob: float
    high: float
    ways: int
    leaves: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Futures:
    """What is known of a call's distribution. The first six are probabilities and add up to 1.

    known_failure, known_success, known_invalid: of the completions found, at least.
    unexplored:    of completions that begin in listed ways nobody followed, at least.
    outside_top_k: of ways that the server did not list, at most.
    noise:         what is left: the width that rounding, cut-offs and an unsteady server leave,
                   completions whose end the server did not list, special tokens that cannot be sent.
    failure_rate:  in [low, high] with certainty, if the server's numbers are true (`noise`); every
                   completion that nobody could judge counts both ways. value: among those judged.
    completions:   the likeliest first, down to what was asked for.
    """

    known_failure: float
    known_success: float
    known_invalid: float
    unexplored: float
    outside_top_k: float
    noise: float
    failure_rate: Est
    calls: int
    tokens: int
    server_noise: Noise
    completions: tuple[Future, ...]

    def could_go_wrong(self, down_to: float = 1e-6) -> tuple[Future, ...]:
        """Completions that fail, the likeliest first, down to this probability."""
        return tuple(f for f in self.completions if f.outcome == "fail" and f.prob >= down_to)

    def verdict(self, target: float) -> Literal["met", "not_met", "undecided"]:
        """Whether the success rate reaches the target, without any chance of error but the server's word."""
        assert self.failure_rate.low is not None
        assert self.failure_rate.high is not None
        if self.failure_rate.high < 1 - target:
            return "met"
        return "not_met" if self.failure_rate.low > 1 - target else "undecided"


@dataclass(frozen=True, slots=True)
class Call:
    """One greedy completion: tokens generated, the probability of its prefix, what became known, what was not yet."""

    tokens: int
    prefix: float
    gained: float
    unknown: float
