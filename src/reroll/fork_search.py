"""Where the next rollout teaches most about which token, if any, was the dud.

What is sought is a decision: a place whose drop is large enough and within a hair of the
largest, or that there is none.  Each curve drawn from the posterior is labelled with the
decision that would be right if it were true; the worth of a rollout is its information
about that label, per token that it is expected to cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reroll.forking import Draw, Failing, Place, Rollout
from reroll.success_curve import Counts, CurveModel, Curves, Floats, Ints

__all__ = [
    "Standing",
    "alternative",
    "candidates",
    "counted",
    "drop_at",
    "exits",
    "information",
    "leaving",
    "next_search",
    "standing",
]

_FADES = 0.8  # what a second rollout of the same kind in one batch is worth, beside the first
_ENOUGH = 24  # labels told apart; what is left then is shared out by its largest drop


@dataclass(frozen=True, slots=True)
class Standing:
    """What the rollouts so far say about the decision.

    position: of the likeliest dud; place: it with the neighbours that it cannot be told from.
    share:    the chance that the place holds a drop of at least delta, within a hair of the largest.
    none:     the chance that no position has a drop that is a hair larger than delta.
    largest:  the middle 90 % of the largest drop.
    label:    (S,) index into the candidates, -1 for none.
    """

    position: int
    place: Place
    share: float
    none: float
    largest: tuple[float, float]
    label: Ints


def candidates(model: CurveModel) -> Ints:
    """The steps that may hold a dud: (C,) indices."""
    return np.flatnonzero(model.single) if model.known else np.arange(model.steps)


def counted(model: CurveModel, counts: Counts, rollouts: Sequence[Rollout]) -> Counts:
    """The counts with these rollouts added; invalid ones say nothing about success and are left to the intervals.

    A rollout whose first differing position is known counts there, whatever its prefix: up to there it is the
    failing completion, whose probabilities are known. So every stored sample that begins alike is a free rollout.
    """
    left, left_passed, through, through_passed = (
        getattr(counts, name).copy() for name in ("left", "left_passed", "through", "through_passed")
    )
    nodes = model.nodes
    for rollout in rollouts:
        if rollout.outcome == "invalid":
            continue
        passed = rollout.outcome == "pass"
        at = rollout.prefix + 1 if rollout.token is not None else rollout.left_at
        if model.known and at is not None:
            if at < len(model.step_of):  # else it is the failing completion once more: known already
                left[model.step_of[at]] += 1
                left_passed[model.step_of[at]] += passed
        else:
            node = int(np.searchsorted(nodes, rollout.prefix))
            through[node] += 1
            through_passed[node] += passed
    return Counts(left, left_passed, through, through_passed)


def drop_at(model: CurveModel, curves: Curves, place: Place) -> Floats:
    """(S,) what the place cost on each curve."""
    total: Floats = curves.drop[:, model.step_of[place.first] : model.step_of[place.last] + 1].sum(axis=1)
    return total


def standing(model: CurveModel, curves: Curves, delta: float, tie: float, reach: int = 0) -> Standing | None:
    """How the decision stands; None where no position can hold such a drop.

    Args:    tie: drops within it of the largest are as good; reach: a place may be so many tokens longer than
             one, if it takes that many to hold the dud with the most probable share.
    """
    among = candidates(model)
    if not len(among):
        return None
    drop = curves.drop[:, among]
    top = drop.max(axis=1)
    near = (drop >= top[:, None] - tie) & (top >= delta)[:, None]
    if reach:
        near = _widened(near, model.first[among], reach)
    small = top < delta + tie  # a curve in between is right both ways, so that nothing is spent on telling them apart
    label = _decisions(near, small, drop)
    mean = drop.mean(axis=0)
    leader = int(np.lexsort((mean, near.sum(axis=0)))[-1])
    share = float(near[:, leader].mean())
    position = int(model.first[among[leader]])
    low, high = np.quantile(top, [0.05, 0.95])
    dud = top >= delta
    inside = drop[dud].argmax(axis=1) if dud.any() else np.array([leader])
    return Standing(
        position=position,
        place=_narrowest(model.first[among][inside], position, reach),
        share=share,
        none=float(small.mean()),
        largest=(float(low), float(high)),
        label=label,
    )


def next_search(
    failing: Failing,
    model: CurveModel,
    curves: Curves,
    label: Ints,
    size: int,
    rng: np.random.Generator,
) -> tuple[Draw, ...]:
    """A batch of `size` rollouts that teaches most about the label per expected token.

    With known probabilities only rollouts that leave the completion are drawn: one that is continued from a
    prefix leaves at some k of known chance, and then says what one forced at k says; so the best k is at least
    as good, and its tokens before k need not be paid for.
    """
    kinds: list[tuple[str, int]] = []
    rates, cost = [], []
    nodes = model.nodes
    for i in range(model.steps):
        where = exits(failing, Place(int(model.first[i]), int(model.last[i]))) if model.known else ()
        if where:
            kinds.append(("leave", i))
            rates.append(curves.away[:, i])
            cost.append(sum(w * failing.cost(k) for k, w in where))
        else:
            kinds.append(("through", i))
            rates.append(curves.success[:, i])
            cost.append(failing.cost(int(nodes[i])))
    worth = information(np.stack(rates, axis=1), label, model) / np.array(cost)
    chosen: dict[int, int] = {}
    for _ in range(size):
        best = int(worth.argmax())
        chosen[best] = chosen.get(best, 0) + 1
        worth[best] *= _FADES
    draws: list[Draw] = []
    for index, count in chosen.items():
        kind, i = kinds[index]
        if kind == "through":
            draws.append(Draw(int(nodes[i]), count, "search"))
        else:
            draws += leaving(failing, Place(int(model.first[i]), int(model.last[i])), count, rng)
    return tuple(draws)


def exits(failing: Failing, place: Place) -> tuple[tuple[int, float], ...]:
    """Where a completion leaves that leaves at the place, by listed alternatives: (position, share) summing to 1.

    Empty where nothing is listed, or a quarter or more of what leaves there is not: what can be forced would say
    little of what happens, and continuing from just before the place says it all.
    """
    if failing.probs is None:
        return ()
    stayed, missing, weights = 1.0, 0.0, []
    for k in range(place.first, place.last + 1):
        weights.append((k, stayed * failing.listed(k)))
        missing += stayed * failing.unlisted(k)
        stayed *= failing.probs[k - 1]
    total = sum(w for _, w in weights)
    if total <= 0 or missing >= (total + missing) / 4:
        return ()
    return tuple((k, w / total) for k, w in weights if w > 0)


def leaving(failing: Failing, place: Place, count: int, rng: np.random.Generator) -> list[Draw]:
    """Draws that leave at the place: the position and then the token as the model would choose them."""
    where = exits(failing, place)
    positions = rng.choice([k for k, _ in where], size=count, p=[w for _, w in where])
    draws: dict[tuple[int, str], int] = {}
    for k in positions:
        key = (int(k), alternative(failing, int(k), rng))
        draws[key] = draws.get(key, 0) + 1
    return [Draw(k - 1, n, "search", token) for (k, token), n in draws.items()]


def alternative(failing: Failing, position: int, rng: np.random.Generator) -> str:
    """One listed alternative, drawn as the model would draw it were the sampled token forbidden."""
    tokens, probs = zip(*failing.others[position - 1], strict=True)
    p = np.array(probs)
    return str(tokens[int(rng.choice(len(tokens), p=p / p.sum()))])


def information(rates: Floats, label: Ints, model: CurveModel) -> Floats:
    """(X,) nats that one graded outcome of each rate (S, X) tells about the label (S,).

    Means within a label are drawn a little toward the common one: few curves carry a rare label.
    """
    seen = model.grader.false_pass + model.grader.sharpness * rates
    names, index = np.unique(label, return_inverse=True)
    member = np.zeros((len(names), len(label)))
    member[index, np.arange(len(label))] = 1.0
    size = member.sum(axis=1, keepdims=True)
    mean = seen.mean(axis=0)
    within = (member @ seen + 2 * mean) / (size + 2)
    told: Floats = _entropy(mean) - (size / len(label) * _entropy(within)).sum(axis=0)
    return np.maximum(told, 0.0)


# ---------------------------------------------------------------- helpers


def _entropy(p: Floats) -> Floats:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    h: Floats = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    return h


def _decisions(near: npt.NDArray[np.bool_], small: npt.NDArray[np.bool_], drop: Floats) -> Ints:
    """(S,) a right decision for each curve, as few different ones as a greedy cover finds; -1: none.

    Fewer decisions than largest drops: what need not be told apart costs nothing.
    """
    label = np.full(len(drop), -1)
    rest = np.ones(len(drop), np.bool_)
    options = np.concatenate([small[:, None], near], axis=1)
    mean = np.concatenate([[0.0], drop.mean(axis=0)])
    for _ in range(_ENOUGH):
        held = options[rest].sum(axis=0)
        best = int(np.lexsort((mean, held))[-1])
        if not held[best]:
            return label
        taken = rest & options[:, best]
        label[taken] = best - 1
        rest &= ~taken
    label[rest] = drop[rest].argmax(axis=1)
    return label


def _widened(near: npt.NDArray[np.bool_], first: Ints, reach: int) -> npt.NDArray[np.bool_]:
    """near (S, C), true also where a candidate within `reach` positions is."""
    sums = np.concatenate([np.zeros((len(near), 1), np.int64), np.cumsum(near, axis=1)], axis=1)
    low, high = np.searchsorted(first, first - reach), np.searchsorted(first, first + reach, side="right")
    wide: npt.NDArray[np.bool_] = sums[:, high] > sums[:, low]
    return wide


def _narrowest(positions: Ints, position: int, reach: int) -> Place:
    """The middle 95 % of the positions within reach of the leader, the leader included."""
    if not reach:
        return Place(position, position)
    inside = positions[np.abs(positions - position) <= reach]
    if not len(inside):
        return Place(position, position)
    low, high = np.quantile(inside, [0.025, 0.975], method="nearest")
    return Place(min(int(low), position), max(int(high), position))
