"""What others do to name the factors of a failure: leave one out, ddmin, ProbDD, random designs. Written anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, Protocol

import numpy as np

ALPHA = 0.05
VOTES, MOST = 5, 1500
Method = Callable[["Planted", np.random.Generator], tuple[tuple[int, ...], int]]


class Planted(Protocol):
    """A world of `n` factors; `fails` gives the probability of a failure with these neutral, at this call."""

    n: int

    def fails(self, neutral: frozenset[int], call: int = 0, *, control: bool = False) -> float: ...


def logistic(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def leave_one_out(w: Planted, rng: np.random.Generator, k: int = 10) -> tuple[tuple[int, ...], int]:
    """Each factor neutral k times against 2k calls as reported; Fisher's test, Holm over the factors."""
    drawn = rng.random(2 * k)
    failed = int(sum(drawn[j] < w.fails(frozenset(), j) for j in range(2 * k)))
    ps = []
    for i in range(w.n):
        p = [w.fails(frozenset([i]), 2 * k + i * k + j) for j in range(k)]
        ps.append(fisher(int((rng.random(k) < np.array(p)).sum()), k, failed, 2 * k))
    return holm(ps), 2 * k + w.n * k


def random_ridge(w: Planted, rng: np.random.Generator, calls: int = 300) -> tuple[tuple[int, ...], int]:
    """Random designs of mixed density, a ridge logistic regression, one-sided z with Holm."""
    present = rng.random((calls, w.n)) >= np.resize([0.1, 0.3, 0.5], calls)[:, None]
    p = [w.fails(frozenset(np.flatnonzero(~x).tolist()), j) for j, x in enumerate(present)]
    y = (rng.random(calls) < np.array(p)).astype(float)
    x = np.concatenate([np.ones((calls, 1)), present - present.mean(0)], 1)
    ridge = np.diag([1e-3] + [1 / 1.5**2] * w.n)
    beta = np.zeros(w.n + 1)
    for _ in range(12):
        mean = logistic(x @ beta)
        curve = (x * np.maximum(mean * (1 - mean), 1e-6)[:, None]).T @ x + ridge
        beta = beta + np.clip(np.linalg.solve(curve, x.T @ (y - mean) - ridge @ beta), -3, 3)
    z = beta[1:] / np.sqrt(np.diag(np.linalg.inv(curve))[1:])
    return holm([0.5 * math.erfc(v / math.sqrt(2)) for v in z]), calls


def fisher(k1: int, n1: int, k2: int, n2: int) -> float:
    """One-sided p-value that the first rate is the lower one."""
    k = k1 + k2
    ways = [math.comb(n1, i) * math.comb(n2, k - i) for i in range(max(0, k - n2), k1 + 1)]
    return sum(ways) / math.comb(n1 + n2, k)


def holm(ps: list[float]) -> tuple[int, ...]:
    named: list[int] = []
    for rank, i in enumerate(np.argsort(ps)):
        if ps[i] > ALPHA / (len(ps) - rank):
            break
        named.append(int(i))
    return tuple(sorted(named))


class Votes:
    """The oracle that a minimiser asks: does the request with these factors kept still fail?

    An LLM answers differently each time, so the practice is a vote: five calls, and it "fails" when at least half
    as many fail as of the request as reported. Raises TimeoutError when `MOST` calls are spent.
    """

    def __init__(self, w: Planted, rng: np.random.Generator) -> None:
        self.w, self.rng, self.calls = w, rng, 0
        self.base = self._failed(frozenset(), 4 * VOTES) / 4

    def _failed(self, neutral: frozenset[int], runs: int) -> int:
        failed = 0
        for _ in range(runs):
            failed += bool(self.rng.random() < self.w.fails(neutral, self.calls))
            self.calls += 1
        return failed

    def fails(self, kept: Collection[int]) -> bool:
        if self.calls + VOTES > MOST:
            raise TimeoutError
        neutral = frozenset(range(self.w.n)) - frozenset(kept)
        return self._failed(neutral, VOTES) >= max(1.0, self.base / 2)


def ddmin(w: Planted, rng: np.random.Generator) -> tuple[tuple[int, ...], int]:
    """Zeller & Hildebrandt 2002, figure 8: a minimal request that still fails. Its premise: the empty one passes."""
    ask = Votes(w, rng)
    if not ask.base or ask.fails(()):
        return (), ask.calls
    kept, parts = list(range(w.n)), 2
    try:
        while len(kept) >= 2:
            chunks = [c.tolist() for c in np.array_split(kept, parts)]
            rest = [[i for i in kept if i not in set(c)] for c in chunks]
            if (smaller := next((c for c in chunks if ask.fails(c)), None)) is not None:
                kept, parts = smaller, 2
            elif parts > 2 and (smaller := next((c for c in rest if ask.fails(c)), None)) is not None:
                kept, parts = smaller, max(parts - 1, 2)
            elif parts >= len(kept):
                break
            else:
                parts = min(len(kept), 2 * parts)
    except TimeoutError:
        pass
    return tuple(sorted(kept)), ask.calls


def probdd(w: Planted, rng: np.random.Generator) -> tuple[tuple[int, ...], int]:
    """ProbDD (Wang et al. 2021): each factor's chance to be needed, learnt; removes what gains most in expectation."""
    ask = Votes(w, rng)
    if not ask.base or ask.fails(()):
        return (), ask.calls
    chance = dict.fromkeys(range(w.n), 0.1)
    try:
        while any(p < 0.999 for p in chance.values()):
            order = sorted((i for i, p in chance.items() if p < 0.999), key=lambda i: (chance[i], rng.random()))
            gains = np.arange(1, len(order) + 1) * np.cumprod([1 - chance[i] for i in order])
            out = order[: int(np.argmax(gains)) + 1]
            if ask.fails(set(chance) - set(out)):
                chance = {i: p for i, p in chance.items() if i not in set(out)}
            else:
                some = 1 - math.prod(1 - chance[i] for i in out)
                chance |= {i: min(1.0, chance[i] / some) for i in out}
    except TimeoutError:
        pass
    return tuple(sorted(chance)), ask.calls


PEERS: dict[str, Method] = {
    "leave one out, 10 each": leave_one_out,
    "random designs, ridge": random_ridge,
    "ddmin, 5 votes": ddmin,
    "ProbDD, 5 votes": probdd,
}
