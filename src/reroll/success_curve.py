"""How the chance of success moved along one failing completion, from any mixture of rollouts.

With s_i = P(success | first i tokens), p_k = P(token k) and a_k = P(success | first k - 1
tokens, then another token than the k-th), the law of total probability says

    s_{k-1} = p_k s_k + (1 - p_k) a_k,    so the drop at k is  d_k = (1 - p_k)(a_k - s_k).

The completion failed, so s_L = 0 and the drops sum to s_0; and d_k <= 1 - p_k: a token that
was nearly certain cannot have cost much.  The unknown a_k given s_k is equal to it, or near
it, or anything; a forward and a backward pass over a grid of rates make the posterior exact
up to the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Counts",
    "CurveModel",
    "Curves",
    "Floats",
    "Grader",
    "Ints",
    "Prior",
    "curve_model",
    "drops",
    "marginals",
    "no_counts",
    "sample_curves",
    "steps_of",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_EDGE = 2e-3  # rates of 0 and 1 on the grid are taken as nearly so: no single rollout may exclude a curve


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of a_k given s_k before any rollout: equal, near (normal), or anything (flat).

    Left to itself a model takes less of "anything" the more positions are open. At 8,303 branching positions of a
    Llama-3-8B it was .88 equal, .11 near with sd .14, .01 flat; these leave more room, because a belief that is
    too sure that nothing matters has to be argued away where something does.

    Raises:  ValueError: weights that are not a distribution, or a spread that is not positive.
    """

    equal: float = 0.6
    near: float = 0.3
    spread: float = 0.12

    def __post_init__(self) -> None:
        if not (self.equal > 0 and self.near >= 0 and self.equal + self.near < 1 and self.spread > 0):
            raise ValueError(
                f"a prior needs equal > 0, near >= 0, equal + near < 1 and spread > 0, got {self.equal:g}, "
                f"{self.near:g}, {self.spread:g}"
            )


@dataclass(frozen=True, slots=True)
class Grader:
    """A checker's own errors, as rates: bad completions that it passes, good ones that it fails.

    `end_passes`: the chance that the failing completion was good in truth (0 where a person confirmed it).

    Raises:  ValueError: a rate outside 0...1, or a checker that is no better than a coin.
    """

    false_pass: float = 0.0
    false_fail: float = 0.0
    end_passes: float = 0.0

    def __post_init__(self) -> None:
        for rate in (self.false_pass, self.false_fail, self.end_passes):
            if not 0 <= rate < 1:
                raise ValueError(f"a grader's error rate lies in 0...1, got {rate!r}")
        if self.sharpness <= 0:
            raise ValueError(
                f"a checker with false_pass {self.false_pass:g} and false_fail {self.false_fail:g} says nothing: "
                "their sum must be below 1"
            )

    @property
    def sharpness(self) -> float:
        """What remains of a true difference between two success rates when this checker measures it."""
        return 1 - self.false_pass - self.false_fail


@dataclass(frozen=True, slots=True)
class CurveModel:
    """One completion cut into K steps, with the tables that the passes over the grid need.

    first, last: (K,) positions 1...L that a step covers; more than one where none of them can hold a drop of
                 the size looked for.
    stay:        (K,) probability of staying on the completion through the step; 0 everywhere where
                 probabilities are unknown: then a_k stands for s_{k-1} itself.
    single:      (K,) whether the step is one token that may hold such a drop.
    step_of:     (L + 1,) the step of each position; 0 at position 0.
    """

    first: Ints
    last: Ints
    stay: Floats
    single: npt.NDArray[np.bool_]
    step_of: Ints
    known: bool
    grid: Floats
    prior: Floats  # (G, G): P(a | s)
    grader: Grader
    end: Floats  # (G,): P(s_L)
    source: tuple[Ints, ...]  # per step: index s_k * G + a_k of each entry, sorted by the s_{k-1} it leads to
    weight: tuple[Floats, ...]  # per step: the share of the entry that goes there (linear interpolation)
    start: tuple[Ints, ...]  # per step: (G + 1,) where the entries of each s_{k-1} begin

    @property
    def steps(self) -> int:
        return len(self.stay)

    @property
    def nodes(self) -> Ints:
        """(K + 1,) lengths of the prefixes between the steps: 0 ... L."""
        return np.concatenate([[0], self.last])


@dataclass(frozen=True, slots=True)
class Counts:
    """Rollouts seen, as counts: those known to have left at a step (K,), those only known to pass a node (K + 1,)."""

    left: Ints
    left_passed: Ints
    through: Ints
    through_passed: Ints


@dataclass(frozen=True, slots=True)
class Curves:
    """S curves drawn from the posterior: success (S, K + 1) at the nodes, away (S, K) = a_k, drop (S, K).

    Each obeys the identities exactly: the drops of a curve sum to its s_0 - s_L.
    """

    success: Floats
    away: Floats
    drop: Floats


def drops(probs: npt.ArrayLike, success: npt.ArrayLike, away: npt.ArrayLike) -> Floats:
    """What each token cost: d_k = (1 - p_k)(a_k - s_k), (L,), of which the sum is s_0 - s_L.

    Args:    probs, away: (L,); success: (L + 1,), s_0 ... s_L.

    >>> drops([0.5, 0.9], [0.45, 0.1, 0.0], [0.8, 1.0]).round(2).tolist()
    [0.35, 0.1]
    """
    p, s, a = (np.asarray(x, np.float64) for x in (probs, success, away))
    return (1 - p) * (a - s[1:])


def steps_of(probs: npt.ArrayLike, least_drop: float) -> list[tuple[int, int]]:
    """Positions 1...L grouped: neighbours that cannot hold a drop of `least_drop` each share a step.

    Nothing is lost for the search, because d_k <= 1 - p_k. A group ends before it could hold 2.5 times as much.

    >>> steps_of([0.99, 0.98, 0.4, 1.0], least_drop=0.1)
    [(1, 2), (3, 3), (4, 4)]
    """
    groups: list[tuple[int, int]] = []
    stayed = 1.0
    mergeable = False
    for k, p in enumerate(np.asarray(probs, np.float64), 1):
        small = 1 - p < least_drop
        if small and mergeable and stayed * p > 1 - 2.5 * least_drop:
            groups[-1] = (groups[-1][0], k)
            stayed *= p
        else:
            groups.append((k, k))
            stayed = p
        mergeable = small
    return groups


def curve_model(
    probs: Sequence[float] | None,
    length: int,
    least_drop: float = 0.1,
    prior: Prior | None = None,
    grader: Grader | None = None,
    points: int = 21,
) -> CurveModel:
    """The tables for one failing completion of `length` tokens (or turns).

    Args:    probs: probability of each token under the distribution that is sampled from; None: unknown, then
             every position may hold any jump and the prior is thinned so that a few jumps are expected in all;
             least_drop: positions with less alternative mass share a step; points: G, grid points in 0...1.
    Raises:  ValueError: no positions, a probability outside (0, 1], or fewer than 5 grid points.

    >>> curve_model([0.99, 0.98, 0.4], 3).nodes.tolist()
    [0, 2, 3]
    """
    if length < 1:
        raise ValueError("a completion without a token has no fork; there is nothing to search")
    if points < 5:
        raise ValueError(f"a grid needs at least 5 points, got {points}")
    known = probs is not None
    p = np.zeros(length) if probs is None else np.asarray(probs, np.float64)
    if p.shape != (length,) or (known and not np.all((p > 0) & (p <= 1 + 1e-9))):
        raise ValueError(f"a completion of {length} positions needs as many probabilities in (0, 1]")
    p = np.minimum(p, 1.0)
    grader = grader or Grader()
    groups = steps_of(p, least_drop) if known else [(k, k) for k in range(1, length + 1)]
    if prior is None:
        prior = _default_prior(sum(p[i - 1] <= 1 - least_drop for i, _ in groups), length, known=known)
    first, last = (np.array(side, np.int64) for side in zip(*groups, strict=True))
    stay = np.array([float(np.prod(p[i - 1 : j])) for i, j in groups])
    step_of = np.zeros(length + 1, np.int64)
    for step, (i, j) in enumerate(groups):
        step_of[i : j + 1] = step
    grid = np.linspace(0, 1, points)
    end = np.zeros(points)
    end[0], end[-1] = 1 - grader.end_passes, grader.end_passes
    tables = [_table(float(x), grid) for x in stay]
    return CurveModel(
        first=first,
        last=last,
        stay=stay,
        single=(first == last) & (1 - stay >= least_drop),
        step_of=step_of,
        known=known,
        grid=grid,
        prior=_prior_table(prior, grid),
        grader=grader,
        end=end,
        source=tuple(t[0] for t in tables),
        weight=tuple(t[1] for t in tables),
        start=tuple(t[2] for t in tables),
    )


def no_counts(model: CurveModel) -> Counts:
    """The counts before any rollout."""
    k = model.steps
    return Counts(*(np.zeros(n, np.int64) for n in (k, k, k + 1, k + 1)))


def sample_curves(model: CurveModel, counts: Counts, size: int, rng: np.random.Generator) -> Curves:
    """`size` independent curves from the posterior given these rollouts.

    Args:    rng: the only source of chance.
    Assumes: rollouts that left at a step pass with chance a_k, those through a node with chance s_i,
             each seen through the grader.
    """
    points = len(model.grid)
    back, flows = _backward(model, counts)
    cumulated = np.cumsum(back[0])
    state = np.minimum(np.searchsorted(cumulated, rng.random(size) * cumulated[-1], side="right"), points - 1)
    success = np.empty((size, model.steps + 1), np.int64)
    away = np.empty((size, model.steps), np.int64)
    success[:, 0] = state
    chance = rng.random((model.steps, size))
    for i, flow in enumerate(flows):
        start = model.start[i]
        low = start[state]
        at = np.searchsorted(flow, np.take(np.concatenate([[0.0], flow]), low) + chance[i], side="right")
        entry = model.source[i][np.clip(at, low, start[state + 1] - 1)]
        state = entry // points
        success[:, i + 1], away[:, i] = state, entry % points
    return _exact(model, success, away)


def marginals(model: CurveModel, counts: Counts) -> Floats:
    """(K + 1, G): the exact posterior of the success rate at each node, without any random draw."""
    back, _ = _backward(model, counts)
    points = len(model.grid)
    seen = _likelihood(model, counts.left, counts.left_passed)
    out = np.empty((model.steps + 1, points))
    out[0] = back[0]
    for i in range(model.steps):
        joint = (back[i + 1][:, None] * model.prior * seen[i]).ravel()[model.source[i]] * model.weight[i]
        into = np.repeat(np.arange(points), np.diff(model.start[i]))
        arrived = np.add.reduceat(joint, model.start[i][:-1])
        # back[i] holds the node's own likelihood already: share out what is known to be at each state
        scale = np.divide(out[i], arrived, out=np.zeros(points), where=arrived > 0)
        out[i + 1] = np.bincount(model.source[i] // points, joint * scale[into], points)
        out[i + 1] /= out[i + 1].sum()
    return out


# ---------------------------------------------------------------- helpers


def _backward(model: CurveModel, counts: Counts) -> tuple[Floats, list[Floats]]:
    """Per node (K + 1, G) what all rollouts at it and after it say; per step the running sums to draw from.

    The running sum of a step grows by 1 over the entries of each state, so that rare states keep their precision.
    """
    points, steps = len(model.grid), model.steps
    seen = _likelihood(model, counts.left, counts.left_passed)
    nodes = _likelihood(model, counts.through, counts.through_passed)
    back = np.empty((steps + 1, points))
    back[steps] = model.end * nodes[steps]
    flows: list[Floats] = []
    for i in range(steps - 1, -1, -1):
        joint = (back[i + 1][:, None] * model.prior * seen[i]).ravel()[model.source[i]] * model.weight[i]
        start = model.start[i]
        arrived = np.add.reduceat(joint, start[:-1])
        into = np.repeat(arrived, np.diff(start))
        flows.append(np.cumsum(np.divide(joint, into, out=np.zeros_like(joint), where=into > 0)))
        here = arrived * nodes[i]
        back[i] = here / here.sum()
    return back, flows[::-1]


def _exact(model: CurveModel, success: Ints, away: Ints) -> Curves:
    """The curves without the grid's rounding: s_{k-1} anew from s_k and a_k, and a_k = s_k where it was drawn so."""
    grid = model.grid
    s, a = np.empty(success.shape), grid[away]
    s[:, -1] = grid[success[:, -1]]
    equal = away == success[:, 1:]
    for i in range(model.steps - 1, -1, -1):
        a[equal[:, i], i] = s[equal[:, i], i + 1]
        s[:, i] = model.stay[i] * s[:, i + 1] + (1 - model.stay[i]) * a[:, i]
    return Curves(s, a, s[:, :-1] - s[:, 1:])


def _likelihood(model: CurveModel, n: Ints, passed: Ints) -> Floats:
    """(len(n), G): how well each true rate explains the counts, as the grader reports them; 1 at the best."""
    true = np.clip(model.grid, _EDGE, 1 - _EDGE)
    graded = model.grader.false_pass + model.grader.sharpness * true
    log = passed[:, None] * np.log(graded) + (n - passed)[:, None] * np.log1p(-graded)
    likelihood: Floats = np.exp(log - log.max(axis=1, keepdims=True))
    return likelihood


def _default_prior(open_positions: int, length: int, *, known: bool) -> Prior:
    """A few tokens that matter in all, however long the completion: more positions make each less suspect.

    With one prior for all lengths, a completion of 200 tokens without a dud took twice as many rollouts.
    """
    if not known:  # about 8 jumps a completion, 2 of them of any size
        return Prior(1 - 8 / (length + 8), 6 / (length + 8))
    flat = min(0.1, 3 / (open_positions + 12))
    return Prior(1 - 4 * flat, 3 * flat)


def _prior_table(prior: Prior, grid: Floats) -> Floats:
    apart = grid[None, :] - grid[:, None]
    near = np.exp(-0.5 * (apart / prior.spread) ** 2)
    near /= near.sum(axis=1, keepdims=True)
    flat = 1 - prior.equal - prior.near
    table: Floats = prior.equal * np.eye(len(grid)) + prior.near * near + flat / len(grid)
    return table


def _table(stay: float, grid: Floats) -> tuple[Ints, Floats, Ints]:
    """Where each (s_k, a_k) leads: source, weight and start of `CurveModel` for one step."""
    points = len(grid)
    before = stay * grid[:, None] + (1 - stay) * grid[None, :]
    x = (before * (points - 1)).ravel()
    low = np.minimum(np.floor(x + 1e-9).astype(np.int64), points - 2)
    share = np.clip(x - low, 0.0, 1.0)
    index = np.arange(points * points)
    source = np.concatenate([index, index])
    target = np.concatenate([low, low + 1])
    weight = np.concatenate([1 - share, share])
    used = weight > 1e-12
    source, target, weight = source[used], target[used], weight[used]
    order = np.argsort(target, kind="stable")
    start = np.searchsorted(target[order], np.arange(points + 1))
    return source[order], weight[order], start.astype(np.int64)
