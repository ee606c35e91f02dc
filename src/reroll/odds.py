"""Listed log probabilities into the chances that tokens are drawn with: bounds that hold, whatever is not listed.

A server lists some tokens of each step; how the rest of the probability is spread is not known.  Every
setting of the sampler is followed by interval arithmetic: each listed token has a least and a largest
weight, and so has everything unlisted together.  A token that a cut-off may keep or drop keeps both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reroll.noise import FLOAT32, Noise
from reroll.sample import Token
from reroll.sampler import Sampling

__all__ = ["END", "LARGEST_VOCABULARY", "Odds", "listing_only", "listing_problem", "odds", "token_key"]

Floats = npt.NDArray[np.float64]

END = "\x00end"
"""The key of the token that ends a completion, however the server spells it."""

LARGEST_VOCABULARY = 1 << 19  # no model known has more tokens (Gemma: 262,144)
_UNLISTED = -100.0  # servers write -9999, -inf and the like for "less than we show"
_CUT = 2e-6  # a server adds up probabilities in float32 before it cuts


@dataclass(frozen=True, slots=True)
class Odds:
    """One step: the chance of each token that the server named, and of all others together.

    keys, texts, ids: the listed tokens, likeliest first, then the one that was drawn if it was not listed.
    low, high:        bounds of their chances, as many; `value` lies between.
    outside_low, outside_high: bounds of the chance that a token which was not named is drawn.
    chosen:           place of the token that was drawn; listed: how many the server listed by itself.
    """

    keys: tuple[str, ...]
    texts: tuple[str, ...]
    ids: tuple[int | None, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    outside_low: float
    outside_high: float
    chosen: int
    listed: int

    def value(self, place: int) -> float:
        return 0.5 * (self.low[place] + self.high[place])


def token_key(text: str, token_id: int | None) -> str:
    """What a token is known by: its text, or its id where the text does not tell it from others.

    >>> token_key(" Fri", 12), token_key("", 2), token_key("\\ufffd", 311)
    (' Fri', '\\x00#2', '\\x00#311')
    """
    if (not text or "\ufffd" in text) and token_id is not None:
        return f"\x00#{token_id}"
    return text


def listing_problem(token: Token) -> str | None:
    """What is wrong with the numbers that a server lists for one step; None if nothing is.

    >>> listing_problem(Token("a", -0.1, (("a", -0.1), ("b", -0.2))))
    'the listed probabilities add up to 1.7236, which is more than 1'
    """
    numbers = [lp for _, lp in token.top]
    if any(math.isnan(x) or x > 1e-3 for x in numbers + ([] if token.logprob is None else [token.logprob])):
        return "a log probability is above 0 or no number"
    total = math.fsum(math.exp(x) for x in numbers)
    if total > 1 + 1e-3:
        return f"the listed probabilities add up to {total:.5g}, which is more than 1"
    return None


def odds(
    tokens: Sequence[Token],
    sampling: Sampling,
    noise: Noise = FLOAT32,
    vocabulary: int | None = None,
    end_keys: Set[str] = frozenset(),
    asked: int | None = None,
) -> list[Odds]:
    """The chances at every step of a path, from what the server listed on the way.

    Args:    tokens: as listed before sampling (`Sampling.drawn_from`: after); a `logprob` of None, or below
             -100, says only "less than what is listed"; vocabulary: how many tokens the model has, which
             bounds what a temperature above 1 makes of the unlisted ones;
             end_keys: what the tokens that end a completion are known by (`token_key`);
             asked: how many alternatives were asked for: some servers append the drawn token to them.
    Raises:  ValueError: numbers that are no probabilities (`listing_problem`).
    Assumes: what is not listed is no likelier than what is; ties across the end of the list are broken
             alike in the list and in the sampler.
    """
    if not tokens:
        return []
    for at, token in enumerate(tokens, 1):
        if problem := listing_problem(token):
            raise ValueError(f"token {at}: {problem}")
    most = min(len(t.top) for t in tokens) if asked is None else asked
    rows = [_row(t, end_keys, most) for t in tokens]
    state = _Weights([r.logs for r in rows], [r.extra for r in rows], noise, vocabulary or LARGEST_VOCABULARY)
    if sampling.temperature == 0 and not sampling.drawn_from:
        state.greedy()
    elif not sampling.plain:
        for step in sampling.order:
            state.apply(step, sampling)
    low, high, outside_low, outside_high = state.chances()
    out = []
    for i, row in enumerate(rows):
        columns = [*range(len(row.logs)), *([state.width] if row.extra is not None else [])]
        out.append(
            Odds(
                row.keys,
                row.texts,
                row.ids,
                tuple(low[i, columns].tolist()),
                tuple(high[i, columns].tolist()),
                float(outside_low[i]),
                float(outside_high[i]),
                row.chosen,
                len(row.logs),
            )
        )
    return out


def listing_only(tokens: Sequence[Token], asked: int | None = None) -> list[Token]:
    """The same listings as if the likeliest token had been drawn at each: nothing in them tells what was."""
    most = min((len(t.top) for t in tokens), default=0) if asked is None else asked
    out = []
    for token in tokens:
        first = max(range(len(token.top)), key=lambda i: token.top[i][1], default=None)
        if first is None:
            out.append(token)
            continue
        last = min(range(len(token.top)), key=lambda i: token.top[i][1])
        drop = (
            len(token.top) > most
            and _place(token, [t for t, _ in token.top], token.top_ids or [None] * len(token.top)) == last
        )
        keep = [i for i in range(len(token.top)) if not (drop and i == last)]
        ids = tuple(token.top_ids[i] for i in keep) if token.top_ids else ()
        (text, logprob), own = token.top[first], token.top_ids[first] if token.top_ids else None
        out.append(Token(text, logprob, tuple(token.top[i] for i in keep), own, ids))
    return out


@dataclass(slots=True)
class _Row:
    keys: tuple[str, ...]
    texts: tuple[str, ...]
    ids: tuple[int | None, ...]
    logs: list[float]
    extra: float | None  # of the drawn token, if it was not listed; nan: not known
    chosen: int


def _row(token: Token, end_keys: Set[str], most: int) -> _Row:
    """The listed tokens, likeliest first, each with a key of its own."""
    if token.top_ids and len(token.top_ids) != len(token.top):
        raise ValueError(f"{len(token.top)} alternatives came with {len(token.top_ids)} ids")
    ids: Sequence[int | None] = token.top_ids or (None,) * len(token.top)
    listed = [(lp, text, i) for (text, lp), i in zip(token.top, ids, strict=True) if lp >= _UNLISTED]
    listed.sort(key=lambda entry: -entry[0])
    texts, numbers = [text for _, text, _ in listed], [i for _, _, i in listed]
    own = token_key(token.text, token.id)
    own = END if own in end_keys else own
    place = _place(token, texts, numbers)
    keys: dict[str, int] = {}
    for at, (text, number) in enumerate(zip(texts, numbers, strict=True)):
        key = token_key(text, number)
        key = own if at == place else END if key in end_keys else key
        if key in keys or (key == own and at != place):  # two that look alike stay two
            key = f"{key}\x00{at}"
        keys[key] = at
    logs = [lp for lp, _, _ in listed]
    if place is not None:
        numbers[place] = token.id if numbers[place] is None else numbers[place]
        if place == len(logs) - 1 and len(logs) > most:  # appended because it was drawn: others may be likelier
            return _Row(tuple(keys), tuple(texts), tuple(numbers), logs[:-1], min(logs[-1], 0.0), place)
        return _Row(tuple(keys), tuple(texts), tuple(numbers), logs, None, place)
    unknown = token.logprob is None or token.logprob < _UNLISTED
    extra = math.nan if unknown or token.logprob is None else min(token.logprob, 0.0)
    return _Row((*keys, own), (*texts, token.text), (*numbers, token.id), logs, extra, len(logs))


def _place(token: Token, texts: Sequence[str], ids: Sequence[int | None]) -> int | None:
    """Where the drawn token stands in the list: by its id where both are known, else by its text."""
    for at, (text, number) in enumerate(zip(texts, ids, strict=True)):
        if number == token.id if None not in (number, token.id) else text == token.text:
            return at
    return None


class _Weights:
    """Bounds of the weights of S steps while the sampler works on them; relative to the likeliest token's.

    lo, hi: (S, K + 1), the last column the drawn token where it was not listed; rest_lo, rest_hi, top, most:
    (S,) of all unlisted tokens together, of the largest of them, and how many there are at most.
    """

    def __init__(self, logs: list[list[float]], extras: list[float | None], noise: Noise, vocabulary: int) -> None:
        self.width = width = max(len(row) for row in logs)
        self.n = np.array([len(row) for row in logs])
        lp = np.full((len(logs), width + 1), -np.inf)
        for i, row in enumerate(logs):
            lp[i, : len(row)] = np.minimum(row, 0.0)
        known = np.array([math.nan if e is None else e for e in extras])
        self.extra = np.array([e is not None for e in extras])
        lp[:, width] = np.where(np.isnan(known), -np.inf, known)
        finite = np.where(np.isfinite(lp), lp, 0.0)
        rounding = noise.rounding * (1 - finite / 4)
        drift = np.where(finite >= math.log(noise.common), noise.body / 2, noise.tail)
        self.half = rounding + drift  # of a log weight
        self.noisy = float(noise.body + noise.tail) > 0
        self.power = 1.0
        # Raw first: what is not listed is what is missing to 1.
        p_lo, p_hi = np.exp(lp - rounding), np.exp(lp + rounding)
        last = np.where(self.n > 0, p_hi[np.arange(len(logs)), np.maximum(self.n - 1, 0)], 1.0)
        rest_hi = np.where(self.n >= vocabulary, 0.0, np.clip(1 - p_lo.sum(1), 0, 1))
        rest_lo = np.minimum(np.clip(1 - p_hi.sum(1), 0, 1), rest_hi)
        unknown = self.extra & np.isnan(known)
        top = np.minimum(last, rest_hi)
        peak = np.where(self.n > 0, lp[:, 0], np.where(np.isnan(known), 0.0, known))
        scale = np.exp(-peak)
        far = float(max(noise.body / 2, noise.tail))
        self.lp = lp - peak[:, None]
        self.lo, self.hi = np.exp(self.lp - self.half), np.exp(self.lp + self.half)
        # A drawn token of unknown chance: nothing to all that one unlisted token can have.
        self.hi[unknown, width] = (top * scale)[unknown] * math.exp(far)
        self.rest_hi = rest_hi * scale * math.exp(far)
        self.rest_lo = np.where(unknown, np.maximum(rest_lo - top, 0), rest_lo) * scale * math.exp(-far)
        self.top = np.minimum(top * scale * math.exp(far), self.rest_hi)
        self.most = np.maximum(float(vocabulary) - self.n, 1.0)

    def apply(self, step: str, sampling: Sampling) -> None:
        if step == "temperature" and sampling.temperature != 1:
            self.temper(1 / sampling.temperature)
        elif step == "top_k" and sampling.top_k:
            self.keep_first(sampling.top_k)
        elif step == "top_p" and sampling.top_p < 1:
            self.keep_mass(sampling.top_p)
        elif step == "min_p" and sampling.min_p:
            self.keep_near(sampling.min_p)

    def temper(self, power: float) -> None:
        """Every weight to this power; what the unlisted add up to depends on how they share: convexity bounds it."""
        self.lo, self.hi = self.lo**power, self.hi**power
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            at_top = np.where(self.top > 0, self.top ** (power - 1), 0.0)  # q^power = q * q^(power - 1)
            spread_lo = np.where(self.rest_lo > 0, self.most * (self.rest_lo / self.most) ** power, 0.0)
            spread_hi = np.where(self.rest_hi > 0, self.most * (self.rest_hi / self.most) ** power, 0.0)
        concentrated_lo = self.rest_lo * at_top
        if power >= 1:
            self.rest_lo, self.rest_hi = np.minimum(spread_lo, concentrated_lo), self.rest_hi * at_top
        else:
            self.rest_lo, self.rest_hi = np.minimum(concentrated_lo, spread_lo), spread_hi
        self.top = np.minimum(self.top**power, self.rest_hi)
        self.power *= power

    def keep_first(self, k: int) -> None:
        """top_k: the k likeliest."""
        column = np.arange(self.width)
        full = self.n >= k
        near = 2 * self.half[:, : self.width]
        kth = self.lp[np.arange(len(self.n)), np.minimum(k, np.maximum(self.n, 1)) - 1]
        following = np.where(self.n > k, self.lp[:, min(k, self.width)], -np.inf)
        last = self.lp[np.arange(len(self.n)), np.maximum(self.n, 1) - 1]
        beyond = np.maximum(following, np.where(self.noisy & full, last, -np.inf))
        inside = column < k
        with np.errstate(invalid="ignore"):
            torn_in = inside & full[:, None] & (self.lp[:, : self.width] - beyond[:, None] <= near)
            torn_out = ~inside & (kth[:, None] - self.lp[:, : self.width] <= near)
        places = np.where(full, torn_in.sum(1) if self.noisy else 0, k - self.n).astype(float)
        self.lo[:, : self.width] = np.where(inside & ~torn_in, self.lo[:, : self.width], 0.0)
        self.hi[:, : self.width] = np.where(inside | torn_out, self.hi[:, : self.width], 0.0)
        # The drawn token stands somewhere behind the listed ones: as many as outweigh it may come before.
        with np.errstate(divide="ignore", invalid="ignore"):
            before = np.where(self.lo[:, self.width] > 0, np.floor(self.rest_hi / self.lo[:, self.width]), np.inf)
        self.lo[:, self.width] *= (~full) & (self.n + before + 1 <= k)
        self.hi[:, self.width] *= places > 0
        self.rest_hi = np.minimum(self.rest_hi, np.maximum(places, 0) * self.top)
        room = np.clip(np.where(full, 0, k - self.n - self.extra), 0, None)
        self.rest_lo = self.rest_lo * np.minimum(1.0, room / self.most)
        self.most = np.maximum(np.minimum(self.most, places), 1.0)
        self.top = np.minimum(self.top, self.rest_hi)

    def keep_mass(self, p: float) -> None:
        """top_p: from the likeliest on, until together they have the share p."""
        lo, hi = self.lo[:, : self.width], self.hi[:, : self.width]
        x_lo, x_hi = self.lo[:, self.width], self.hi[:, self.width]
        surely, maybe = self._before()
        sum_lo = np.concatenate([np.zeros((len(lo), 1)), lo.cumsum(1)], 1)
        sum_hi = np.concatenate([np.zeros((len(hi), 1)), hi.cumsum(1)], 1)
        rows = np.arange(len(lo))[:, None]
        first_lo = sum_lo[rows, surely]
        rest_of = sum_hi[:, -1:] - sum_hi[rows, surely] + (x_hi + self.rest_hi)[:, None]
        first_hi = sum_hi[rows, maybe] - hi  # all that may come before, without the token itself
        least = lo + sum_lo[:, -1:] - sum_lo[rows, maybe] + (x_lo + self.rest_lo)[:, None]
        before_lo, before_hi = _share(first_lo, rest_of), _share(first_hi, least)
        all_lo, all_hi = lo.sum(1), hi.sum(1)
        listed_lo = _share(all_lo, self.rest_hi + x_hi)
        listed_hi = _share(all_hi, self.rest_lo + x_lo)
        whole_hi = _share(all_hi + self.rest_hi, x_lo)
        enough, short = listed_lo >= p + _CUT, listed_hi < p - _CUT
        # The kept ones together have p, and not more than one token beyond it.
        slack = _CUT * (all_hi + x_hi + self.rest_hi)
        kept_hi = p * (self.rest_hi + x_hi) - (1 - p) * all_lo + self.top + slack
        kept_lo = p * (self.rest_lo + x_lo) - (1 - p) * all_hi - x_hi - slack
        self.rest_hi = np.where(enough, 0.0, np.clip(kept_hi, 0.0, self.rest_hi))
        self.rest_lo = np.where(short, np.clip(kept_lo, 0.0, self.rest_lo), 0.0)
        self.rest_lo = np.minimum(self.rest_lo, self.rest_hi)
        self.lo[:, : self.width] = np.where((before_hi < p - _CUT) | (before_hi == 0), lo, 0.0)
        self.hi[:, : self.width] = np.where(before_lo < p + _CUT, hi, 0.0)
        self.lo[:, self.width] = np.where(whole_hi < p - _CUT, x_lo, 0.0)
        self.hi[:, self.width] = np.where(enough, 0.0, x_hi)
        self.top = np.minimum(self.top, self.rest_hi)

    def keep_near(self, share: float) -> None:
        """min_p: those with at least this share of the likeliest one's weight."""
        floor = math.log(share)
        with np.errstate(divide="ignore"):
            least_log = np.where(self.lo > 0, self.power * (self.lp - self.half), -np.inf)
            most_log = np.log(self.hi)
        peak_lo, peak_hi = least_log.max(1), most_log.max(1)
        peak_hi = np.where(self.n > 0, peak_hi, np.inf)  # nothing is listed: the likeliest is not known
        self.lo = np.where(least_log - _CUT >= floor + peak_hi[:, None], self.lo, 0.0)
        self.hi = np.where(most_log + _CUT >= floor + peak_lo[:, None], self.hi, 0.0)
        least = share * self.lo[:, : self.width].max(1, initial=0.0) * (1 - _CUT)
        gone = self.top < least
        self.rest_hi = np.where(gone, 0.0, self.rest_hi)
        self.rest_lo = np.zeros_like(self.rest_lo)
        with np.errstate(divide="ignore", invalid="ignore"):
            fit = np.where(least > 0, np.floor(self.rest_hi / least) + 1, self.most)
        self.most = np.maximum(np.minimum(self.most, fit), 1.0)
        self.top = np.minimum(self.top, self.rest_hi)

    def greedy(self) -> None:
        """Temperature 0: the likeliest token, or one of those that cannot be told apart."""
        gap = -self.lp
        first = np.zeros_like(gap, dtype=bool)
        first[:, 0] = True
        tie = gap <= self.half + self.half[:, :1]
        alone = tie.sum(1) == 1
        self.lo = np.where(first & (alone & (self.n > 0))[:, None], 1.0, 0.0)
        self.hi = np.where(tie, 1.0, 0.0)
        self.hi[:, self.width] = np.where((self.n == 0) & self.extra, 1.0, 0.0)
        self.rest_hi = np.where(self.n > 0, 0.0, 1.0)
        self.rest_lo = np.zeros_like(self.rest_hi)

    def chances(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Bounds of every token's share of the whole, and of the unlisted ones' share: (S, K + 1) twice, (S,) twice."""
        sum_lo, sum_hi = self.lo.sum(1, keepdims=True), self.hi.sum(1, keepdims=True)
        low = _share(self.lo, np.maximum(sum_hi - self.hi, 0) + self.rest_hi[:, None])
        high = _share(self.hi, np.maximum(sum_lo - self.lo, 0) + self.rest_lo[:, None])
        return low, high, _share(self.rest_lo, sum_hi[:, 0]), _share(self.rest_hi, sum_lo[:, 0])

    def _before(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(S, K) how many listed tokens surely come before each, and up to which place they may."""
        surely = np.empty((len(self.lp), self.width), dtype=np.int64)
        maybe = np.empty_like(surely)
        for i, row in enumerate(self.lp[:, : self.width]):
            near = 2 * float(self.half[i, : max(int(self.n[i]), 1)].max())
            surely[i] = np.searchsorted(-row, -row - near, "left")
            maybe[i] = np.searchsorted(-row, -row + near, "right")
        return surely, maybe


def _share(part: Floats, others: Floats) -> Floats:
    """part / (part + others), 0 of nothing."""
    whole = part + others
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
