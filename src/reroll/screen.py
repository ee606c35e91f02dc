"""Which set of factors carries a failure: a posterior over sets from calls with some factors neutral.

Hypotheses: nothing does; one factor; two or three of them together (AND), any of two
or three (OR), two that add up.  Each fails at a low rate where its condition is not
met and at a high rate where it is (half-way in log odds where one of two that add up
is there).  Whatever is neutral may in addition break the request: each factor has a
chance of its own to do so, learned from the same calls.  One call per design: a
design not yet seen tells of every factor, a repeat of few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Hypotheses", "Logic", "Screen"]

Floats = npt.NDArray[np.float64]
Small = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Logic = Literal["one", "and", "or", "additive"]

_HIGH = (0.06, 0.1, 0.16, 0.24, 0.34, 0.46, 0.6, 0.74, 0.87, 0.97)
_LOW = (0.005, 0.02, 0.05, 0.1, 0.17, 0.27, 0.38)
_FLAT = np.array([0.01, 0.02, 0.035, 0.05, 0.07, 0.09, 0.12, 0.15, 0.19, 0.24, 0.29, 0.34, 0.4, 0.46, 0.53, 0.6,
                  0.67, 0.74, 0.81, 0.87, 0.92, 0.96, 0.985])  # fmt: skip
_CARRIES = 2.5  # who carries the failure multiplies its rate by this at least
_GRID = np.array(
    [(lo, hi, 1 / sum(_CARRIES * x <= hi for x in _LOW)) for hi in _HIGH for lo in _LOW if _CARRIES * lo <= hi]
)
_LO, _HI = _GRID[:, 0], _GRID[:, 1]
_MID = 1 / (1 + np.exp(-(np.log(_LO / (1 - _LO)) + np.log(_HI / (1 - _HI))) / 2))
# Many points of the grid share a rate: what is worked out of one is worked out once.
_LO_ONCE, _LO_AT = np.unique(_LO, return_inverse=True)
_HI_ONCE, _HI_AT = np.unique(_HI, return_inverse=True)
_LOG_GRID = np.log(_GRID[:, 2] / _GRID[:, 2].sum())
_SHARE = {"none": 0.4, "one": 0.32, "and": 0.1, "or": 0.1, "additive": 0.04, "and3": 0.025, "or3": 0.015}
_BREAKS = np.array([0.0, 0.06, 0.15, 0.35, 0.65, 0.95])  # chance that making a factor neutral breaks the request
_TINY = 0.35  # standard deviation, in log odds, of the effect of each factor where all have a tiny one
_DIFFUSE = 0.2  # of "none": that share is "nothing but tiny effects"
# Chance of each neutral factor to break the request, the same for all, besides its own; and what it must explain, nats.
_LEAKS = {0.0: 0.0, 0.02: -1.5, 0.06: -2.0}
_FRAIL_WEIGHT = 0.5  # factors that break the request, as many as the prior counts for
_DENSE = 0.55  # share of factors neutral
_GROWN = 12  # pairs that are tried with every third factor
_SOLID = 20
_MOST = 160  # hypotheses looked at when choosing designs


class Hypotheses(NamedTuple):
    """The likeliest sets, best first: which factors, how they act, how probable, and their rates (lo, mid, hi)."""

    members: tuple[tuple[int, ...], ...]
    logics: tuple[str, ...]
    mass: Floats
    rates: Floats

    def fails(self, present: Bools) -> Floats:
        """Failure rate of each design (rows) under each hypothesis (columns), before anything breaks."""
        n = present.shape[1]
        ends = np.array([True, False])  # a set of fewer than three is filled with what changes nothing
        padded = np.concatenate([present, np.broadcast_to(ends, (len(present), 2))], 1)
        either = np.array([logic == "or" for logic in self.logics])
        index = np.repeat(np.where(either, n + 1, n)[:, None], 3, 1)
        for j, m in enumerate(self.members):
            index[j, : len(m)] = m
        x = padded[:, index.T]  # designs, 3, hypotheses
        on = np.where(either, x[:, 0] | x[:, 1] | x[:, 2], x[:, 0] & x[:, 1] & x[:, 2])
        lo, mid, hi = self.rates.T
        out = np.where(on, hi, lo)
        adds = np.flatnonzero([logic == "additive" for logic in self.logics])
        if adds.size:
            there = x[:, 0, adds].astype(np.int8) + x[:, 1, adds]
            out[:, adds] = np.where(there == 2, hi[adds], np.where(there == 1, mid[adds], lo[adds]))
        nothing = [j for j, m in enumerate(self.members) if not m]
        out[:, nothing] = hi[nothing]
        return np.asarray(out)


@lru_cache(maxsize=16)
def _pairs(n: int) -> Ints:
    return np.array(list(combinations(range(n), 2)), np.int64).reshape(-1, 2)


class _Family(NamedTuple):
    """All sets that act by one logic: (H, k) members, (H, G) log likelihood with the grid's prior, (H,) log prior."""

    logic: str
    sets: Ints
    like: Small
    prior: Floats


class Screen:
    """The posterior over sets of `n` factors, given calls with designs; and the designs that would tell most.

    Args:    n: factors screened; weights: (n,) relative suspicion, 1 the usual;
             breaks: (n,) prior chance that making a factor neutral breaks the request.
    Assumes: outcomes independent given the design.
    """

    def __init__(self, n: int, weights: Floats, breaks: Floats) -> None:
        self.n, self.breaks = n, breaks
        self.present: Bools = np.zeros((0, n), bool)
        self.failed: Bools = np.zeros(0, bool)
        self._frail, self._leak, self._settled = 1.0, 0.0, 0
        self._tiny: dict[bytes, float] = {}  # Bayes factors of tiny effects, by the calls that they rest on
        self.survival: Floats = np.ones(n)  # chance that a factor can be made neutral without breaking anything
        self._prior_survival()
        pairs = _pairs(n)
        log_w = np.log(weights)
        self._log_w = log_w
        self._pair_prior = log_w[pairs].sum(1) if n > 1 else np.zeros(0)
        if n > 1:
            self._pair_prior -= _logsum(self._pair_prior)
        self._one_prior = log_w - _logsum(log_w)
        self._both = np.zeros((0, len(pairs)), np.float32)
        self.top, self._evidence = self._summarise()

    def _prior_survival(self) -> None:
        self.survival = 1 - self.breaks * _BREAKS[1:].mean()

    def add(self, present: Bools, failed: Bools) -> None:
        """Calls with these designs (rows; True: as reported) that failed or passed."""
        pairs = _pairs(self.n)
        self._tiny = {}
        self.present = np.concatenate([self.present, present])
        self.failed = np.concatenate([self.failed, failed])
        both = (present[:, pairs[:, 0]] & present[:, pairs[:, 1]]).astype(np.float32)
        self._both = np.concatenate([self._both, both])

    def settle(self) -> None:
        """Bring the posterior up to date with all calls."""
        # Where no call ever passed, a broken request looks like any other: nothing is learned of what breaks.
        if not self.present.all() and not self.failed.all():
            own = (self.top.fails(self.present) * self.top.mass).sum(1) / self.top.mass.sum()
            for _ in range(2):
                self._learn_breaks(own)
        self.top, evidence = self._summarise()
        self._settled += 1
        if self._settled % 3 == 1:
            kept = (evidence + _LEAKS[self._leak], self._leak, self.top)
            for leak in _LEAKS:
                if leak != kept[1]:
                    self._leak = leak
                    top, evidence = self._summarise()
                    kept = max(kept, (evidence + _LEAKS[leak], leak, top), key=lambda t: t[0])
            evidence, self._leak, self.top = kept[0] - _LEAKS[kept[1]], kept[1], kept[2]
        self._evidence = evidence

    def doubts(self, share: float) -> bool:
        """Whether "none" falls below `share` once it is left open how much neutral factors break.

        Then the posterior is left at the supposition that speaks loudest against "none", so that
        the next designs look into it.
        """
        supposed, weights, none, tops = self._leak, [], [], []
        settled = self.top
        for leak in _LEAKS:
            self._leak = leak
            self.top, evidence = (settled, self._evidence) if leak == supposed else self._summarise()
            weights.append(evidence + _LEAKS[leak])
            none.append(self.nothing)
            tops.append(self.top)
        w = np.exp(np.array(weights) - max(weights))
        if float(w @ np.array(none)) / float(w.sum()) >= share:
            self._leak, self.top = supposed, tops[list(_LEAKS).index(supposed)]
            return False
        loudest = int(np.argmax(w * (1 - np.array(none))))
        self._leak, self.top = list(_LEAKS)[loudest], tops[loudest]
        return True

    # ------------------------------------------------------------ what breaks

    def _learn_breaks(self, own: Floats) -> None:
        """Mean-field: each factor's chance to break the request, the others and the hypotheses held as they are.

        own: (calls,) the failure rate of each under the hypotheses, before anything breaks.
        """
        dropped = ~self.present
        whole = self._whole() * (1 - own)  # chance to pass
        bad = self.failed
        passes = dropped[~bad].sum(0)
        others = np.minimum(whole[bad, None] / self.survival, 1.0)  # chance to pass but for this factor
        log_like = passes[:, None] * np.log(np.maximum(1 - _BREAKS, 1e-9))
        fails = np.log(np.maximum(1 - others[:, :, None] * (1 - _BREAKS), 1e-9))
        log_like = log_like + np.einsum("ri,riv->iv", dropped[bad], fails)
        k = len(_BREAKS) - 1
        chance = np.clip(self.breaks * self._frail, 1e-4, 0.9)[:, None]
        post = np.log(np.concatenate([1 - chance, np.repeat(chance / k, k, 1)], 1)) + log_like
        post = np.exp(post - post.max(1, keepdims=True))
        post /= post.sum(1, keepdims=True)
        self.survival = 0.5 * self.survival + 0.5 * (post @ (1 - _BREAKS))
        # How frail the request is as a whole, is learned from all factors together.
        found = float((1 - post[:, 0]).sum())
        self._frail = (_FRAIL_WEIGHT + found) / (_FRAIL_WEIGHT + float(self.breaks.sum()))

    # ------------------------------------------------------------ the posterior

    def _tables(self) -> tuple[Small, Small, Small, Floats]:
        """Log likelihood of each call at the low rate, its gain at the middle and high one, and of the flat ones."""
        s = self._whole()[:, None]
        bad = self.failed

        def log_like(rate: Floats) -> Floats:
            passes = (1 - rate) * s
            out = np.empty_like(passes)
            out[bad] = np.log1p(-passes[bad])
            out[~bad] = np.log(passes[~bad])
            return out

        low = np.ascontiguousarray(log_like(_LO_ONCE)[:, _LO_AT])
        mid, high = log_like(_MID) - low, np.ascontiguousarray(log_like(_HI_ONCE)[:, _HI_AT]) - low
        return low.astype(np.float32), mid.astype(np.float32), high.astype(np.float32), log_like(_FLAT)

    def _summarise(self) -> tuple[Hypotheses, float]:
        n, pairs = self.n, _pairs(self.n)
        low, mid, high, flat = self._tables()
        x = self.present.astype(np.float32)
        base = low.sum(0) + _LOG_GRID.astype(np.float32)
        one, half = x.T @ high, x.T @ mid
        both, both_half = self._both.T @ high, self._both.T @ mid
        a, b = pairs[:, 0], pairs[:, 1]
        families: list[_Family] = [
            _Family("one", np.arange(n)[:, None], base + one, self._one_prior + math.log(_SHARE["one"])),
            *(
                _Family(logic, pairs, like, self._pair_prior + math.log(_SHARE[logic]))
                for logic, like in (
                    ("and", base + both),
                    ("or", base + one[a] + one[b] - both),
                    ("additive", base + half[a] + half[b] - 2 * both_half + both),
                )
            ),
        ]
        scores = [_logsum_rows(f.like) + f.prior for f in families]
        if n > 2:
            for logic, score in (("and", scores[1]), ("or", scores[2])):
                sets, like = self._triples(logic, score, base, high)
                prior = math.log(_SHARE[logic + "3"] / math.comb(n, 3)) + self._log_w[sets].sum(1)
                families.append(_Family(logic, sets, like, prior))
                scores.append(_logsum_rows(like) + prior)
        return _best_of(families, scores, flat.sum(0), self._tiny_effects())

    def _tiny_effects(self) -> float:
        """Log Bayes factor of tiny effects of every factor against none at all (Laplace, ridge logistic)."""
        rows = self._whole() > 0.5
        y = self.failed[rows].astype(np.float64)
        if len(y) < 2 * _SOLID:
            return 0.0
        if (known := self._tiny.get(rows.tobytes())) is not None:  # suppositions often leave the same calls
            return known
        dropped = (~self.present[rows]).astype(np.float64)
        level = math.log((y.sum() + 0.5) / (len(y) - y.sum() + 0.5))
        out = []
        for x in (np.ones((len(y), 1)), np.concatenate([np.ones((len(y), 1)), dropped], 1)):
            precision = np.full(x.shape[1], 1 / _TINY**2)
            precision[0] = 0.25
            beta = np.zeros(x.shape[1])
            beta[0] = level
            start = beta.copy()
            for _ in range(4):
                p = 1 / (1 + np.exp(-(x @ beta)))
                curve = (x * (p * (1 - p))[:, None]).T @ x + np.diag(precision)
                beta = beta + np.linalg.solve(curve, x.T @ (y - p) - precision * (beta - start))
            eta = x @ beta
            fit = float(y @ eta - np.logaddexp(0, eta).sum())
            penalty = 0.5 * float(precision @ (beta - start) ** 2)
            out.append(fit - penalty + 0.5 * float(np.log(precision).sum() - np.linalg.slogdet(curve)[1]))
        self._tiny[rows.tobytes()] = out[1] - out[0]
        return out[1] - out[0]

    def _whole(self) -> Floats:
        """(calls,) chance that what was neutral broke nothing."""
        return self._survives(self.present)

    def _survives(self, present: Bools) -> Floats:
        per_factor = np.log(np.maximum(self.survival, 1e-4)) + math.log1p(-self._leak)
        return np.asarray(np.exp((~present) @ per_factor))

    def _triples(self, logic: str, score: Floats, base: Small, high: Small) -> tuple[Ints, Small]:
        """The likeliest pairs, each with every third factor."""
        n = self.n
        seeds = np.repeat(_pairs(n)[np.argpartition(-score, min(_GROWN, len(score)) - 1)[:_GROWN]], n, 0)
        third = np.resize(np.arange(n), len(seeds))
        sets = np.sort(np.column_stack([seeds, third])[(seeds != third[:, None]).all(1)], 1)
        _, first = np.unique(sets @ np.array([n * n, n, 1]), return_index=True)
        sets = sets[first]
        by_factor = np.ascontiguousarray(self.present.T)
        a, b, c = (by_factor[sets[:, k]] for k in range(3))
        on = (a & b & c if logic == "and" else a | b | c).astype(np.float32)
        return sets, base + on @ high

    # ------------------------------------------------------------ what it says

    @property
    def nothing(self) -> float:
        """Posterior chance that no set of factors carries the failure."""
        return float(sum(m for s, m in zip(self.top.members, self.top.mass, strict=True) if not s))

    def by_set(self) -> list[tuple[tuple[int, ...], float, str]]:
        """Sets (never the empty one), the likeliest first, with their posterior chance and likeliest logic."""
        total: dict[tuple[int, ...], float] = {}
        logic: dict[tuple[int, ...], tuple[float, str]] = {}
        for s, word, m in zip(self.top.members, self.top.logics, self.top.mass, strict=True):
            if s:
                total[s] = total.get(s, 0.0) + float(m)
                logic[s] = max(logic.get(s, (0.0, "one")), (float(m), word))
        return [(s, total[s], logic[s][1]) for s in sorted(total, key=lambda s: -total[s])]

    def progress(self, sure: float) -> tuple[float, float]:
        """Log odds that the likeliest answer has gained since the start, and those it lacks to be `sure`."""
        prior, now = _SHARE["none"], self.nothing
        for _, mass, _ in self.by_set()[:1]:
            if mass > now:
                prior, now = _SHARE["one"] / self.n, mass
        odds = _log_odds(now)
        return odds - _log_odds(prior), _log_odds(sure) - odds

    def involved(self) -> Floats:
        """(n,) posterior chance of each factor to be in the set."""
        out = np.zeros(self.n)
        for s, m in zip(self.top.members, self.top.mass, strict=True):
            out[list(s)] += m
        return out

    def leans(self, members: Sequence[int]) -> float:
        """By how many standard errors calls fail less often the more of these factors are neutral, or where any is."""
        rows = self._whole() > 0.5
        y = self.failed[rows].astype(np.float64)
        neutral = (~self.present[rows][:, list(members)]).mean(1)
        best = 0.0
        for x in (neutral, (neutral > 0).astype(np.float64)):
            spread = float(x.std() * y.std())
            if spread > 0:
                best = max(best, -float(((x - x.mean()) * (y - y.mean())).mean()) / spread * math.sqrt(len(y)))
        return best

    # ------------------------------------------------------------ what to ask next

    def designs(self, k: int, rng: np.random.Generator) -> Bools:
        """(k, n) designs that are expected to tell most about the set, in random order."""
        count = 64
        density = np.resize([0.06, 0.15, 0.3, 0.5, 0.7, 0.85], count)[:, None]
        present = rng.random((count, self.n)) >= density * np.clip(self.survival, 0.05, 1)
        picks = rng.choice(len(self.top.mass), size=count // 2, p=self.top.mass / self.top.mass.sum())
        for r, j in enumerate(picks):
            for i in self.top.members[j]:
                present[r, i] = rng.random() < 0.5
        gain = self._gain(present)
        # Where much is neutral at once, much can break at once: such designs are never the bulk of what is known.
        best = np.argsort(-gain)
        dense = (~present).mean(1)[best] > _DENSE
        best = best[~dense | (np.cumsum(dense) <= max(1, k // 4))][:k]
        chosen: Bools = present[rng.permutation(best)]
        return chosen

    def _gain(self, present: Bools) -> Floats:
        mass = self.top.mass / self.top.mass.sum()
        s = self._survives(present)[:, None]
        p = np.clip(1 - (1 - self.top.fails(present)) * s, 1e-6, 1 - 1e-6)
        gain: Floats = _entropy(p @ mass) - _entropy(p) @ mass
        return gain

    def smallest_visible(self, sure: float) -> float | None:
        """The smallest drop of the failure rate that these calls would have shown for one factor in four of five.

        None where not even a full cure would have shown.  By the normal approximation to the
        log likelihood ratio of one factor against none, mean E and variance 2 E; a call counts
        as far as what was neutral in it is likely to have broken nothing.
        """
        whole, full = self._whole(), self.present.all(1)
        sound = whole > 0.5
        rate = (self.failed[sound].sum() + 0.5) / (sound.sum() + 1)
        if full.any():
            rate = max(rate, (self.failed[full].sum() + 0.5) / (full.sum() + 1))
        with_ = self.present.mean(1)  # share of the factors that a call had as reported
        without = 1 - with_
        needed = math.log(_SHARE["none"] * self.n / _SHARE["one"]) + math.log(sure / (1 - sure))

        def shown(drop: float) -> bool:
            low = max(rate - drop, 1e-6)
            mean = rate - (rate - low) * float(without @ whole) / float(whole.sum())
            none = 1 - (1 - mean) * whole
            one_in, one_out = _divergence(1 - (1 - rate) * whole, none), _divergence(1 - (1 - low) * whole, none)
            e = float(with_ @ one_in + without @ one_out)
            return e - 0.84 * math.sqrt(max(0.0, 2 * e)) >= needed

        steps = np.linspace(0.01, 1.0, 100) * rate
        return next((float(d) for d in steps if shown(float(d))), None)


def _best_of(families: list[_Family], scores: list[Floats], flat: Floats, tiny: float) -> tuple[Hypotheses, float]:
    """The likeliest hypotheses of all families and "none", with their posterior mass and mean rates."""
    share = np.exp(flat - flat.max())
    log_none = float(flat.max()) + math.log(share.mean()) + math.log(_SHARE["none"])
    log_none += float(np.logaddexp(math.log1p(-_DIFFUSE), math.log(_DIFFUSE) + tiny))
    rate = float(share @ _FLAT / share.sum())
    every = np.concatenate([np.array([log_none]), *scores])
    total = _logsum(every)
    best = np.argsort(-every)[:_MOST]
    starts = np.cumsum([1, *(len(s) for s in scores)])
    members: list[tuple[int, ...]] = [()] * len(best)
    logics = ["none"] * len(best)
    rates = np.full((len(best), 3), rate)
    for f, family in enumerate(families):
        at = np.flatnonzero((best >= starts[f]) & (best < starts[f + 1]))
        if not at.size:
            continue
        rows = best[at] - starts[f]
        post = np.exp(family.like[rows] - family.like[rows].max(1, keepdims=True))
        post /= post.sum(1, keepdims=True)
        rates[at] = np.stack([post @ _LO, post @ _MID, post @ _HI], 1)
        for j, s in zip(at.tolist(), family.sets[rows].tolist(), strict=True):
            members[j], logics[j] = tuple(s), family.logic
    return Hypotheses(tuple(members), tuple(logics), np.exp(every[best] - total), rates), total


def _log_odds(p: float) -> float:
    p = min(max(p, 1e-9), 1 - 1e-9)
    return math.log(p / (1 - p))


def _divergence(p: Floats, q: Floats) -> Floats:
    p, q = np.clip(p, 1e-6, 1 - 1e-6), np.clip(q, 1e-6, 1 - 1e-6)
    return np.asarray(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def _entropy(p: Floats) -> Floats:
    return np.asarray(-(p * np.log(p) + (1 - p) * np.log1p(-p)))


def _logsum(x: Floats) -> float:
    top = float(x.max())
    return top + math.log(float(np.exp(x - top).sum()))


def _logsum_rows(x: Small) -> Floats:
    if not len(x):
        return np.zeros(0)
    top = x.max(1)
    return np.asarray(top + np.log(np.exp(x - top[:, None]).sum(1)), np.float64)
