"""Small language models whose success rates are known exactly, to hold the search for a dud against.

A token moves a hidden quality up or down; a token near the end commits to an answer that is right
with a chance that rises with the quality.  Most positions are nearly certain, some are decoys (open,
but without consequence), some drift, up to two are pivots after which the quality may collapse.
Success rates of every prefix follow by dynamic programming, so no estimate stands in for the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reroll.forking import Failing, Outcome

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
TOKENS, LEVELS, GOOD = 6, 41, 18


@dataclass
class Model:
    """chance (L, Q, V) of each token in each state, to (L, Q, V) the state it leads to, success (L + 1, Q)."""

    chance: Floats
    to: Ints
    begin: int
    success: Floats = field(init=False)
    cumulated: Floats = field(init=False)

    def __post_init__(self) -> None:
        length = len(self.chance)
        self.success = np.empty((length + 1, LEVELS))
        self.success[length] = np.arange(LEVELS) >= GOOD
        for t in range(length - 1, -1, -1):
            self.success[t] = (self.chance[t] * self.success[t + 1][self.to[t]]).sum(axis=1)
        self.cumulated = np.cumsum(self.chance, axis=2)
        self.cumulated[:, :, -1] = 1.0

    def walk(self, t: int, state: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Tokens (n, L - t) and final states (n,) of one sample from each state at position t."""
        length = len(self.chance)
        tokens = np.empty((len(state), length - t), np.int64)
        for j in range(t, length):
            v = (rng.random(len(state))[:, None] > self.cumulated[j, state]).sum(axis=1)
            tokens[:, j - t] = v
            state = self.to[j, state, v]
        return tokens, state


def random_model(rng: np.random.Generator, length: int = 60) -> Model:
    """One model as described above; lengths from 6 on."""
    levels = np.arange(LEVELS)
    kind = rng.random(length)
    open_mass = np.where(kind < 0.70, rng.beta(1, 60, length), rng.uniform(0.05, 0.25, length))
    open_mass = np.where((kind >= 0.70) & (kind < 0.92), rng.uniform(0.25, 0.70, length), open_mass)
    pivots = rng.choice(np.arange(2, length - 1), size=rng.integers(0, 3), replace=False)
    open_mass[pivots] = rng.uniform(0.25, 0.75, len(pivots))
    base = np.empty((length, TOKENS))
    base[:, 0] = 1 - open_mass
    base[:, 1:] = open_mass[:, None] * rng.dirichlet(np.full(TOKENS - 1, 0.5), length)
    logits = np.log(base[:, None, :] + 1e-9) + rng.normal(0, 0.25, (length, LEVELS, TOKENS))
    chance = np.exp(logits)
    chance /= chance.sum(axis=2, keepdims=True)
    shift = np.zeros((length, TOKENS), np.int64)
    for t in np.flatnonzero(rng.random(length) < 0.5):
        shift[t] = rng.integers(-2, 3, TOKENS)
        shift[t, 0] = rng.choice([0, 0, 0, 1, -1])
    for t in pivots:
        likely = np.argsort(-base[t])[:3]
        bad = rng.choice(likely, size=rng.integers(1, 3), replace=False)
        shift[t, bad] = -rng.integers(5, 18, len(bad))
    to = np.clip(levels[None, :, None] + shift[:, None, :], 0, LEVELS - 1)
    commit = length - 1 - int(rng.integers(0, max(2, length // 12)))
    right = 1 / (1 + np.exp(-(levels - GOOD) / 4.0))
    chance[commit, :, 0] = right
    chance[commit, :, 1:] = (1 - right)[:, None] * rng.dirichlet(np.full(TOKENS - 1, 0.4))
    to[commit, :, 0], to[commit, :, 1:] = LEVELS - 1, 0
    to[commit + 1 :] = levels[None, :, None]  # nothing matters after the answer
    return Model(chance, to, int(GOOD + rng.integers(-4, 12)))


class World:
    """One failing completion of a model: exact truth, and the `Forks` that a search may draw from.

    success: (L + 1,) s_i; probs, drops: (L,). `temperature` misreports the probabilities; `flip` is the chance
    that the grader turns an outcome round. `tokens` and `calls` count what was drawn since `reset`.
    """

    def __init__(self, model: Model, tokens: Ints, states: Ints) -> None:
        self.model, self.path, self.states = model, tokens, states
        self.length = len(tokens)
        at = np.arange(self.length)
        self.success = model.success[np.arange(self.length + 1), states]
        self.table = model.chance[at, states[:-1]]  # (L, V)
        self.probs = self.table[at, tokens]
        self.drops = self.success[:-1] - self.success[1:]
        self.after = model.success[at[:, None] + 1, model.to[at, states[:-1]]]  # (L, V): success after each token
        others = self.table.copy()
        others[at, tokens] = 0
        self.away = (others * self.after).sum(axis=1) / others.sum(axis=1)
        self.entropy = -(self.table * np.log(self.table + 1e-12)).sum(axis=1)
        self.reset(0)

    def reset(self, seed: int, flip: float = 0.0) -> None:
        self.rng = np.random.default_rng([seed, 5])
        self.flip = flip
        self.tokens = self.calls = 0

    def failing(self, *, probs: bool = True, unit: str = "token", temperature: float = 1.0) -> Failing:
        """What is known of the completion before any rollout; at another temperature its probabilities are wrong."""
        names = tuple(map(str, self.path))
        if not probs:
            return Failing(names, unit=unit)  # type: ignore[arg-type]
        table = self.table ** (1 / temperature)
        table /= table.sum(axis=1, keepdims=True)
        others = tuple(
            tuple((str(v), float(row[v])) for v in np.argsort(-row) if v != x)
            for row, x in zip(table, self.path, strict=True)
        )
        return Failing(names, tuple(float(row[x]) for row, x in zip(table, self.path, strict=True)), others)

    def continue_from(self, prefix: int, n: int) -> list[tuple[Outcome, int | None, int]]:
        if prefix == self.length:
            return [("fail", self.length + 1, 0)] * n
        tokens, end = self.model.walk(prefix, np.full(n, self.states[prefix]), self.rng)
        differs = tokens != self.path[prefix:]
        left = np.where(differs.any(axis=1), prefix + 1 + differs.argmax(axis=1), self.length + 1)
        self._pay(n, self.length - prefix)
        return [(o, int(k), self.length - prefix) for o, k in zip(self._graded(end), left, strict=True)]

    def force(self, position: int, token: str, n: int) -> list[tuple[Outcome, int]]:
        state = self.model.to[position - 1, self.states[position - 1], int(token)]
        _, end = self.model.walk(position, np.full(n, state), self.rng)
        self._pay(n, self.length - position)
        return [(o, self.length - position) for o in self._graded(end)]

    def _pay(self, n: int, tokens: int) -> None:
        self.calls += n
        self.tokens += n * tokens

    def _graded(self, end: Ints) -> list[Outcome]:
        passed = end >= GOOD
        if self.flip:
            passed = passed ^ (self.rng.random(len(end)) < self.flip)
        return ["pass" if p else "fail" for p in passed]


def failing_world(rng: np.random.Generator, length: int = 60, tries: int = 400) -> World | None:
    """A new model and the first of its samples that fails; None if none of `tries` does."""
    model = random_model(rng, length)
    for _ in range(tries):
        tokens, states = np.empty(length, np.int64), np.empty(length + 1, np.int64)
        states[0] = model.begin
        for t in range(length):
            tokens[t] = (rng.random() > model.cumulated[t, states[t]]).sum()
            states[t + 1] = model.to[t, states[t], tokens[t]]
        if states[-1] < GOOD:
            return World(model, tokens, states)
    return None


def worlds(n: int, length: int, low: float, high: float, seed: int) -> list[World]:
    """`n` failing completions whose largest drop lies in [low, high)."""
    rng = np.random.default_rng(seed)
    found: list[World] = []
    while len(found) < n:
        world = failing_world(rng, length)
        if world is not None and low <= world.drops.max() < high:
            found.append(world)
    return found
