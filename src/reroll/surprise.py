"""How surprising one completion is for its request, and whether that alone says that something else ran.

Two questions are kept apart.  How often does this request give a completion at least as improbable?  That is
counted among samples, or bounded by what was enumerated; a text of probability 1e-30 may be an ordinary one.
And does it depart from the chances along its own way so far that the request would do so less than once in
a million times?  That is a bet, valid without a single sample: it pays at most 1 in the mean if the
request's probabilities produced the text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reroll.doubt import ALTERNATIVES, added, log_mean, log_ratios
from reroll.enumeration import Enumeration
from reroll.evidence import Est, interval
from reroll.noise import FLOAT32, Noise
from reroll.odds import listing_only, odds, token_key
from reroll.sample import Token
from reroll.sampler import PLAIN, Sampling

__all__ = [
    "OTHER_REQUEST",
    "RARE",
    "Scored",
    "ScoredToken",
    "SurpriseVerdict",
    "at_least_this_surprising",
    "enumerated_surprise",
    "score",
    "surprise_verdict",
]

SurpriseVerdict = Literal["usual", "rare", "other_request", "undecided"]

RARE = 0.05
"""`rare`: fewer than one call in 20 gives a completion at least this surprising. At 10,000 calls a day that is
up to 500 a day: rare is no reason to look for another cause."""
OTHER_REQUEST = 1e-6
"""`other_request`: the request would depart so far from its own chances less than once in a million calls."""
_TIE = 1e-9  # nats; sums in another order differ by less
_LEFT = 0.05  # a token below this chance, where another was likelier, leaves the usual paths


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """One token of a text under a request. low, high: bounds of its chance; rank: 1 is the likeliest, None not listed.

    usual: the likeliest token there, with its chance `usual_prob`. left: it left the usual paths here.
    """

    text: str
    low: float
    prob: float
    high: float
    rank: int | None
    usual: str
    usual_prob: float
    left: bool


@dataclass(frozen=True, slots=True)
class Scored:
    """A text under a request: log probability in nats, -inf to `high` where the server did not say a token's.

    departure: at most so often does the request depart this far from its own chances; 1 if not at all.
    """

    log_prob: float
    low: float
    high: float
    tokens: tuple[ScoredToken, ...]
    departure: float

    @property
    def bound_only(self) -> bool:
        """Whether only an upper limit of the probability is known."""
        return self.low == -math.inf

    @property
    def left_at(self) -> tuple[int, ...]:
        """Where it left the usual paths, first position 0."""
        return tuple(i for i, t in enumerate(self.tokens) if t.left)


def score(
    tokens: Sequence[Token],
    sampling: Sampling = PLAIN,
    noise: Noise = FLOAT32,
    vocabulary: int | None = None,
    *,
    ended: bool = False,
    asked: int | None = None,
) -> Scored:
    """The tokens of a text as the request would draw them.

    Args:    tokens: each with what the server lists at its place for this request (teacher forcing);
             ended: the last one is the token that ends the completion; asked: see `odds`.
    Raises:  ValueError: numbers that are no probabilities.

    >>> top = (("yes", math.log(0.9)), ("no", math.log(0.1)))
    >>> scored = score([Token("no", math.log(0.1), top)])
    >>> round(math.exp(scored.log_prob), 6), scored.left_at, scored.tokens[0].rank
    (0.1, (), 2)
    """
    end = {token_key(tokens[-1].text, tokens[-1].id)} if ended and tokens else frozenset[str]()
    found = odds(tokens, sampling, noise, vocabulary, end, asked)
    rows, low, high, value = [], 0.0, 0.0, 0.0
    blind = odds(listing_only(tokens, asked), sampling, noise, vocabulary, end, asked)
    total = added(np.zeros(len(ALTERNATIVES)), log_ratios(blind, [here.keys[here.chosen] for here in found]))
    for token, here in zip(tokens, found, strict=True):
        at = here.chosen
        # Unchanged by a sampler the server's own number is better than the middle of its bounds.
        own = token.logprob if sampling.plain and here.low[at] > 0 and token.logprob is not None else None
        prob = here.value(at) if own is None else math.exp(min(own, 0.0))
        low, high = low + _log(here.low[at]), high + _log(here.high[at])
        value += _log(prob) if own is None else min(own, 0.0)
        listed = at < here.listed
        usual = (here.texts[0], here.value(0)) if here.listed else ("", 0.0)
        left = here.high[at] < _LEFT and usual[1] > prob
        rows.append(
            ScoredToken(token.text, here.low[at], prob, here.high[at], at + 1 if listed else None, *usual, left)
        )
    value = value if low > -math.inf else high
    return Scored(value, low, high, tuple(rows), math.exp(-max(0.0, log_mean(total))))


def at_least_this_surprising(reported: Scored, samples: Sequence[tuple[float, float]], alpha: float = 0.05) -> Est:
    """How often the request gives a completion at least as improbable as the reported one; valid after every look.

    Args:    samples: (low, high) log probabilities of fresh samples of the same request. One that may or
             may not be as surprising counts towards the upper end only; ties count towards both.
    Assumes: the samples were drawn afresh: the reported one was picked because it was odd, and is not among them.
    """
    n = len(samples)
    surely = sum(high <= reported.low + _TIE or (low, high) == (reported.low, reported.high) for low, high in samples)
    maybe = sum(low <= reported.high + _TIE for low, _ in samples)
    if not n:
        return Est(None, 0.0, 1.0, 0)
    middle = sum(0.5 * (low + high) <= reported.log_prob + _TIE for low, high in samples)
    return Est(min(maybe, max(surely, middle)) / n, interval(surely, n, alpha)[0], interval(maybe, n, alpha)[1], n)


def enumerated_surprise(search: Enumeration, reported: Scored) -> Est:
    """The same from what was enumerated, without chance: what is surely as improbable, and all that may be.

    Completions that nobody has found count as if they all were.
    """
    surely = likelier = 0.0
    for low, high in search.leaf_log_probs():
        if high <= reported.low + _TIE:
            surely += math.exp(low)
        elif low > reported.high + _TIE:
            likelier += math.exp(low)
    return Est(None, min(1.0, surely), max(0.0, 1 - likelier), 0)


def surprise_verdict(
    reported: Scored, counted: Est, enumerated: Est | None = None, *, checked: bool = False
) -> SurpriseVerdict:
    """What may be said of a surprising completion.

    Args:    counted: `at_least_this_surprising`; enumerated: `enumerated_surprise`;
             checked: the sampler's settings and the server's noise were held against plain draws
             (agreement.py): without it nothing is said about another request.

    `other_request` never comes from samples alone: none could show 1e-6. It needs the bet along the
    text's own way, or an enumeration that leaves less than that.
    """
    ends = [est for est in (counted, enumerated) if est is not None]
    low = max((est.low for est in ends if est.low is not None), default=0.0)
    high = min((est.high for est in ends if est.high is not None), default=1.0)
    exact = 1.0 if enumerated is None or enumerated.high is None else enumerated.high
    if checked and min(reported.departure, exact) < OTHER_REQUEST:
        return "other_request"
    if low >= RARE:
        return "usual"
    return "rare" if high < RARE else "undecided"


def _log(p: float) -> float:
    return math.log(p) if p > 0 else -math.inf
