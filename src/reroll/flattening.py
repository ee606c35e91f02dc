"""What another wording does to the distribution at one place, and what that does to success.

The same text is scored under two wordings.  At one prefix the success rate is the sum over the
next tokens of p(v) s(v), so a change splits exactly:

    s_B - s_A  =  sum_v (p_B - p_A)(v) mean s(v)      the distribution moved at this fork
               +  sum_v mean p(v) (s_B - s_A)(v)      what follows changed

and along a whole path in the same way, with the chances of leaving it at each position.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reroll.evidence import Est

__all__ = [
    "Distribution",
    "Flattening",
    "PathSplit",
    "Range",
    "Screened",
    "Split",
    "flattening",
    "leaving_weights",
    "predicted_change",
    "screen",
    "split_change",
    "split_path",
]

Floats = npt.NDArray[np.float64]

_OTHERS = 2**18  # tokens of the largest vocabularies, about


@dataclass(frozen=True, slots=True)
class Range:
    """All that a number can be, where part of a distribution was not listed; both ends alike where all was."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


@dataclass(frozen=True, slots=True)
class Distribution:
    """What may stand at one place: listed tokens with their probabilities; the rest of 1 is unlisted.

    Raises:  ValueError: a probability outside 0...1, or more than 1 in all.

    >>> round(Distribution({"A": 0.6, "B": 0.3}).unlisted, 3)
    0.1
    """

    probs: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.probs or any(not 0 <= p <= 1 + 1e-9 for p in self.probs.values()):
            raise ValueError("a distribution needs tokens with probabilities in 0...1")
        if sum(self.probs.values()) > 1 + 1e-6:
            raise ValueError(f"the probabilities sum to {sum(self.probs.values()):.6f}, more than 1")

    @property
    def unlisted(self) -> float:
        return max(0.0, 1 - math.fsum(self.probs.values()))

    @property
    def margin(self) -> float:
        """log p of the likeliest listed token minus that of the next, in nats; infinite with one token alone.

        A flatter distribution has a smaller one.
        """
        ranked = sorted(self.probs.values(), reverse=True)
        if len(ranked) < 2 or ranked[1] == 0:
            return math.inf
        return math.log(ranked[0] / ranked[1])

    @property
    def entropy(self) -> Range:
        """In nats: least if the unlisted tokens are as likely as the rarest listed one, most if they are all alike.

        Assumes: the server listed the likeliest tokens, and has at most 2^18 others.
        """
        rest = self.unlisted
        known = -math.fsum(p * math.log(p) for p in self.probs.values() if p > 0)
        if rest <= 1e-12:
            return Range(known, known)
        rarest = min((p for p in self.probs.values() if p > 0), default=1.0)
        most = known - rest * math.log(rest / _OTHERS)
        return Range(min(most, known - rest * math.log(min(rarest, rest))), most)


@dataclass(frozen=True, slots=True)
class Flattening:
    """One place under two wordings, B beside A.

    entropy, margin: of A and of B; prob: of the watched token (the dud), None if it is not listed there.
    total_variation, jensen_shannon: how far apart the two are, 0...1 and 0...ln 2, with what is unlisted.
    """

    entropy: tuple[Range, Range]
    margin: tuple[float, float]
    prob: tuple[float | None, float | None]
    total_variation: Range
    jensen_shannon: Range

    @property
    def flatter(self) -> bool | None:
        """Whether B is flatter than A by entropy; None where the unlisted mass leaves it open."""
        a, b = self.entropy
        if b.low > a.high:
            return True
        return False if b.high < a.low else None


@dataclass(frozen=True, slots=True)
class Split:
    """The change in success at one fork: `moved` by the distribution there, `rest` by what follows; they sum to
    `change` exactly where everything is listed; `unknown` is the most that unlisted tokens may add either way."""

    change: float
    moved: float
    rest: float
    unknown: float
    by_token: tuple[tuple[str, float, float], ...]  # (token, its part of moved, its part of rest)


@dataclass(frozen=True, slots=True)
class PathSplit:
    """The change of s_0 along one path: per position, by where it is left and by what leaving there is worth.

    moved, rest: (L + 1,), the last for staying to the end; all together sum to `change`.
    """

    change: float
    moved: Floats
    rest: Floats


@dataclass(frozen=True, slots=True)
class Screened:
    """A wording's predicted change of success at the fork, from scoring alone. `confirmed` is always False:
    a prediction takes what follows each token as unchanged, and must be confirmed by running it."""

    wording: str
    predicted: Est
    confirmed: bool = False


def flattening(a: Distribution, b: Distribution, watched: str | None = None) -> Flattening:
    """The same place under wording A and wording B.

    >>> found = flattening(Distribution({"x": 0.9, "y": 0.1}), Distribution({"x": 0.5, "y": 0.5}), watched="y")
    >>> found.flatter, round(found.total_variation.high, 2), found.prob
    (True, 0.4, (0.1, 0.5))
    """
    tokens = sorted({*a.probs, *b.probs})
    p, q = (np.array([d.probs.get(t, 0.0) for t in tokens]) for d in (a, b))
    prob = (None, None) if watched is None else (a.probs.get(watched), b.probs.get(watched))
    return Flattening(
        entropy=(a.entropy, b.entropy),
        margin=(a.margin, b.margin),
        prob=prob,
        total_variation=_total_variation(a, b),
        jensen_shannon=_jensen_shannon(p, q, a.unlisted, b.unlisted),
    )


def split_change(
    a: Distribution, b: Distribution, success_a: Mapping[str, float], success_b: Mapping[str, float]
) -> Split:
    """The change in success between two wordings at one fork, split exactly in two.

    Args:    success_a, success_b: P(success) after each token, under each wording; a token without a rate in
             one of them takes the other's (so it adds nothing to `rest`), without any it counts as unlisted.
    Source:  Kitagawa 1955, decomposition of a difference between two rates.

    >>> a, b = Distribution({"x": 0.9, "y": 0.1}), Distribution({"x": 0.5, "y": 0.5})
    >>> split = split_change(a, b, {"x": 0.8, "y": 0.1}, {"x": 0.9, "y": 0.1})
    >>> round(split.change, 3), round(split.moved, 3), round(split.rest, 3)
    (-0.23, -0.3, 0.07)
    """
    rows, moved, rest = [], 0.0, 0.0
    left_a, left_b = 1.0, 1.0
    for token in sorted({*a.probs, *b.probs}):
        s_a = success_a.get(token, success_b.get(token))
        s_b = success_b.get(token, success_a.get(token))
        if s_a is None or s_b is None:
            continue
        p, q = a.probs.get(token, 0.0), b.probs.get(token, 0.0)
        here = ((q - p) * (s_a + s_b) / 2, (p + q) / 2 * (s_b - s_a))
        rows.append((token, *here))
        moved, rest = moved + here[0], rest + here[1]
        left_a, left_b = left_a - p, left_b - q
    rows.sort(key=lambda row: -abs(row[1]) - abs(row[2]))
    return Split(moved + rest, moved, rest, max(0.0, left_a, left_b), tuple(rows))


def leaving_weights(probs: npt.ArrayLike) -> Floats:
    """(L + 1,): the chance of leaving the path at each position, and last of staying on it to the end.

    >>> leaving_weights([0.5, 0.8]).round(2).tolist()
    [0.5, 0.1, 0.4]
    """
    p = np.asarray(probs, np.float64)
    reach = np.concatenate([[1.0], np.cumprod(p)])
    return np.concatenate([reach[:-1] * (1 - p), reach[-1:]])


def split_path(
    probs_a: npt.ArrayLike, away_a: npt.ArrayLike, probs_b: npt.ArrayLike, away_b: npt.ArrayLike, end: float = 0.0
) -> PathSplit:
    """The change of the whole success rate, by position: s_0 = sum_k w_k a_k + w_end end, split exactly.

    Args:    probs: (L,) of the path's tokens under each wording; away: (L,) success after leaving at each
             position; end: success of the path itself (0 for a failing completion).

    >>> round(split_path([0.5], [0.8], [0.9], [0.8]).change, 2)
    -0.32
    """
    w_a, w_b = leaving_weights(probs_a), leaving_weights(probs_b)
    s_a, s_b = (np.append(np.asarray(x, np.float64), end) for x in (away_a, away_b))
    if not len(w_a) == len(w_b) == len(s_a) == len(s_b):
        raise ValueError("both wordings must be scored on the same path, one probability and rate a position")
    moved, rest = (w_b - w_a) * (s_a + s_b) / 2, (w_a + w_b) / 2 * (s_b - s_a)
    return PathSplit(float((moved + rest).sum()), moved, rest)


def predicted_change(old: Distribution, new: Distribution, success: Mapping[str, Est]) -> Est:
    """What a wording would change at the fork if what follows each token stayed the same: sum_v dp(v) s(v).

    Args:    success: after each token under the old wording, with intervals; tokens without one may do anything.
    Returns: an `Est` of which the interval covers the intervals given and what is unlisted; n is the least n.

    >>> old, new = Distribution({"x": 0.5, "y": 0.5}), Distribution({"x": 0.9, "y": 0.1})
    >>> predicted_change(old, new, {"x": Est(0.8, 0.7, 0.9, 20), "y": Est(0.1, 0.0, 0.2, 20)}).value
    0.28
    """
    value = low = high = 0.0
    known_old = known_new = 0.0
    n = []
    for token in {*old.probs, *new.probs}:
        rate = success.get(token)
        if rate is None or rate.value is None or rate.low is None or rate.high is None:
            continue
        p, q = old.probs.get(token, 0.0), new.probs.get(token, 0.0)
        known_old, known_new = known_old + p, known_new + q
        value += (q - p) * rate.value
        low += (q - p) * (rate.low if q > p else rate.high)
        high += (q - p) * (rate.high if q > p else rate.low)
        n.append(rate.n)
    # What is not known succeeds never or always, by chances of its own under each wording.
    low -= max(0.0, 1 - known_old)
    high += max(0.0, 1 - known_new)
    return Est(round(value, 12), max(-1.0, low), min(1.0, high), min(n, default=0))


def screen(
    old: Distribution, wordings: Mapping[str, Distribution], success: Mapping[str, Est], keep: int = 5
) -> tuple[Screened, ...]:
    """The most promising of many wordings, best first, without a single rollout.

    Each needs one scoring of the recorded prefix. On synthetic models the order agrees with the true change at the
    fork at a rank correlation of 0.9 (benchmarks/tokens.py): enough for a short list, never for a claim.
    """
    ranked = [Screened(name, predicted_change(old, new, success)) for name, new in wordings.items()]
    ranked.sort(key=lambda one: -(one.predicted.value or 0.0))
    return tuple(ranked[:keep])


# ---------------------------------------------------------------- helpers


def _total_variation(a: Distribution, b: Distribution) -> Range:
    """1 - overlap. Least overlap: nothing unlisted is shared; most: all that can be is."""
    shared = math.fsum(min(p, b.probs[t]) for t, p in a.probs.items() if t in b.probs)
    in_b = min(math.fsum(p for t, p in a.probs.items() if t not in b.probs), b.unlisted)  # A's own tokens, in B's rest
    in_a = min(math.fsum(p for t, p in b.probs.items() if t not in a.probs), a.unlisted)
    most = shared + in_b + in_a + min(a.unlisted - in_a, b.unlisted - in_b)
    return Range(max(0.0, 1 - most), min(1.0, max(0.0, 1 - shared)))


def _jensen_shannon(p: Floats, q: Floats, rest_a: float, rest_b: float) -> Range:
    """In nats. Listed parts count as they are; the unlisted ones as the same token (least), as different ones (most).

    Both are bounds where the same tokens are listed on both sides; else the lower one merges what may differ,
    which can only lower it (data processing).
    """
    known = (p > 0) & (q > 0)
    merged_p = np.append(p[known], p[~known].sum() + rest_a)
    merged_q = np.append(q[known], q[~known].sum() + rest_b)
    apart_p = np.concatenate([p, [rest_a, 0.0]])
    apart_q = np.concatenate([q, [0.0, rest_b]])
    return Range(_js(merged_p, merged_q), min(math.log(2), _js(apart_p, apart_q)))


def _js(p: Floats, q: Floats) -> float:
    m = (p + q) / 2

    def half(x: Floats) -> float:
        used = x > 0
        return float((x[used] * np.log(x[used] / m[used])).sum())

    return max(0.0, (half(p) + half(q)) / 2)
