"""Small language models whose every probability is known exactly: state machines that draw tokens until they end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from reroll.enumeration import Enumeration
from reroll.noise import EXACT
from reroll.sample import Token
from reroll.sampler import PLAIN, Sampling
from reroll.tree import Ended
from reroll.ways import next_move

END_KEYS = {"\x00#0"}
LETTERS = [chr(0x61 + i) for i in range(26)] + [chr(0x100 + i) for i in range(400)]


def drawn_with(logits: Any, sampling: Sampling) -> Any:
    """What a server draws from, by definition, in float64: the whole vocabulary, step by step."""
    if sampling.temperature == 0:
        return (np.arange(len(logits)) == np.argmax(logits)).astype(float)
    z = np.array(logits, dtype=float)
    for step in sampling.order:
        p = np.exp(z - z.max())
        p /= p.sum()
        order = np.argsort(-p, kind="stable")
        if step == "temperature":
            z = z / sampling.temperature
        elif step == "top_k" and sampling.top_k:
            z[order[sampling.top_k :]] = -np.inf
        elif step == "top_p" and sampling.top_p < 1:
            before = np.concatenate([[0.0], np.cumsum(p[order])[:-1]])
            z[order[before >= sampling.top_p]] = -np.inf
        elif step == "min_p" and sampling.min_p:
            z[p < sampling.min_p * p.max()] = -np.inf
    p = np.exp(z - z.max())
    return p / p.sum()


def log_softmax(logits: Any) -> Any:
    z = np.array(logits, dtype=float)
    z -= z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


@dataclass
class World:
    """logits: (Q, V); moves: (Q, V) the next state; token 0 ends the completion in state q, which fails if bad[q].

    What is not ended after `most` tokens is cut, and fails. A server lists the `top` likeliest tokens.
    """

    logits: Any
    moves: Any
    bad: Any
    most: int
    top: int = 20
    sampling: Sampling = PLAIN
    wobble: float = 0.0  # how far each logit may be off in what one call lists
    rng: Any = None
    tokens: int = 0  # generated so far
    listed: dict[tuple[int, int], Token] = field(default_factory=dict)

    @cached_property
    def chances(self) -> Any:
        return np.array([drawn_with(row, self.sampling) for row in self.logits])

    @cached_property
    def values(self) -> tuple[Any, Any]:
        """(most + 1, Q) chance to fail, and mean number of further tokens, with so many tokens written."""
        p, size = self.chances, len(self.bad)
        fails, left = np.ones((self.most + 1, size)), np.zeros((self.most + 1, size))
        for t in range(self.most - 1, -1, -1):
            go = p[:, 1:]
            fails[t] = p[:, 0] * self.bad + (go * fails[t + 1][self.moves[:, 1:]]).sum(1)
            left[t] = 1 + (go * left[t + 1][self.moves[:, 1:]]).sum(1)
        return fails, left

    @property
    def failure_rate(self) -> float:
        return float(self.values[0][0, 0])

    @property
    def length(self) -> float:
        return float(self.values[1][0, 0])

    def state(self, ids: Any) -> int:
        q = 0
        for token in ids:
            q = int(self.moves[q, token])
        return q

    def listing(self, q: int, token: int) -> Token:
        if not self.wobble:
            if (q, token) not in self.listed:
                self.listed[q, token] = self._listing(q, token)
            return self.listed[q, token]
        return self._listing(q, token)

    def _listing(self, q: int, token: int) -> Token:
        logits = self.logits[q]
        if self.wobble:
            logits = logits + self.rng.uniform(-self.wobble, self.wobble, len(logits))
        lp = log_softmax(logits)
        order = [int(i) for i in np.argsort(-lp, kind="stable")[: self.top]]
        return Token(
            self.name(token), float(lp[token]), tuple((self.name(i), float(lp[i])) for i in order), token, tuple(order)
        )

    @staticmethod
    def name(token: int) -> str:
        return "" if token == 0 else LETTERS[token - 1]

    def outcome(self, ids: Any) -> str:
        if not len(ids) or ids[-1] != 0:
            return "fail"
        return "fail" if self.bad[self.state(ids[:-1])] else "pass"

    def complete(self, before: Any, rng: Any = None) -> tuple[list[Token], Ended, str]:
        """Tokens after these ids, greedily or drawn, how they ended, and the outcome of the whole."""
        ids, out = list(before), []
        q = self.state(ids)
        while len(ids) < self.most:
            row = self.chances[q]
            token = int(np.argmax(self.logits[q])) if rng is None else int(rng.choice(len(row), p=row))
            out.append(self.listing(q, token))
            ids.append(token)
            q = int(self.moves[q, token])
            if token == 0:
                break
        self.tokens += len(out)
        return out, "end" if ids and ids[-1] == 0 else "cut", self.outcome(ids)

    def told(self, ids: Any) -> list[Token]:
        """What a server lists for these tokens, whoever drew them."""
        q, out = 0, []
        for token in ids:
            out.append(self.listing(q, token))
            q = int(self.moves[q, token])
        return out

    def probability(self, ids: Any) -> float:
        q, p = 0, 1.0
        for token in ids:
            p *= self.chances[q, token]
            q = int(self.moves[q, token])
        return p


def random_world(seed: int, **given: Any) -> World:
    """Some world: sharp or flat, short or long, rarely or often failing."""
    rng = np.random.default_rng(seed)
    states, size = int(rng.integers(2, 7)), int(rng.integers(3, 12))
    logits = rng.normal(size=(states, size)) * rng.choice([0.5, 2.0, 5.0])
    logits[:, 0] += rng.choice([-2.0, 0.0, 1.0])
    moves = rng.integers(states, size=(states, size))
    bad = rng.random(states) < rng.choice([0.2, 0.5])
    return World(logits, moves, bad, given.pop("most", int(rng.integers(2, 9))), rng=rng, **given)


def flat_world(seed: int, most: int, size: int = 30, failing: float = 0.1) -> World:
    """Long and flat: every token is about as likely as every other, no completion is ever seen twice."""
    rng = np.random.default_rng(seed)
    states = 8
    logits = rng.normal(size=(states, size)) * 0.5
    logits[:, 0] = math.log(2 * size / most)
    moves = rng.integers(states, size=(states, size))
    return World(logits, moves, rng.random(states) < failing, most, rng=rng)


def form_world(
    length: int = 20, turns: tuple[tuple[int, float], ...] = ((4, 0.3), (11, 0.1)), odd: float = 1e-3
) -> World:
    """Fills in a form, as a model that answers in JSON does: sure of every token, but for a few forks."""
    states, size = 2 * length, 12
    p = np.full((states, size), odd / (size - 2))
    moves = np.tile(np.minimum(np.arange(states) + 1, states - 1)[:, None], (1, size))
    p[:, 1] = 1 - odd
    for at, wrong in turns:
        p[at, 1], p[at, 2], moves[at, 2] = (1 - odd) * (1 - wrong), (1 - odd) * wrong, length + at + 1
    for last in (length - 1, states - 1):
        p[last], moves[last] = odd / (size - 1), last
        p[last, 0] = 1 - odd
    p /= p.sum(1, keepdims=True)
    return World(np.log(p), moves, np.arange(states) >= length, 2 * length)


def enumerated(world: World, width: float) -> tuple[Enumeration, str]:
    """Enumerate until the planner says otherwise."""
    found = Enumeration(world.sampling, EXACT, vocabulary=world.logits.shape[1], end_keys=END_KEYS)
    while (move := next_move(found, width)) == "enumerate":
        follow(world, found)
    return found, move


def follow(world: World, found: Enumeration) -> None:
    """The next prefix completed greedily, the root first."""
    prefix = found.next_prefix() if found.history else None
    ids = [i or 0 for i in prefix.ids] if prefix else []
    if prefix is not None and prefix.ended:
        found.add([], prefix.ended, world.outcome(ids), prefix)
    else:
        found.add(*world.complete(ids), prefix)
