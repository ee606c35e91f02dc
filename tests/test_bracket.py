"""The bracket of the failure rate is the best that chances allow at each place, and holds for an unsteady server."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reroll.bracket import failure_bracket
from reroll.noise import Noise
from reroll.odds import Odds
from reroll.sample import Token
from reroll.tree import Tree
from tests.test_futures import search
from tests.worlds import END_KEYS, random_world


def chances(low: list[float], high: list[float], outside: tuple[float, float]) -> Odds:
    names = tuple("abcdef"[: len(low)])
    return Odds(names, names, (None,) * len(low), tuple(low), tuple(high), *outside, 0, len(low))


def by_vertices(low: np.ndarray, high: np.ndarray, value: np.ndarray) -> float:
    """The largest mean over all corners of the box that add up to 1: all but one chance stand at an end of theirs."""
    best = -np.inf
    for free in range(len(low)):
        others = [i for i in range(len(low)) if i != free]
        for ends in itertools.product((0, 1), repeat=len(others)):
            p = np.zeros(len(low))
            p[others] = [high[i] if up else low[i] for i, up in zip(others, ends, strict=True)]
            p[free] = 1 - p.sum()
            if low[free] - 1e-12 <= p[free] <= high[free] + 1e-12:
                best = max(best, float(p @ value))
    return best


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 5))
def test_one_place_gives_what_the_best_corner_of_its_chances_gives(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(size + 1))
    low, high = p * rng.uniform(0.5, 1, size + 1), np.minimum(1, p * rng.uniform(1, 2, size + 1))
    tree, outcomes = Tree(), rng.choice(["pass", "fail", "invalid", "not followed"], size)
    for name, outcome in zip("abcdef", outcomes, strict=False):
        if outcome != "not followed":
            tree.grow([Token(name)], "cut", outcome=str(outcome))
    found = failure_bracket(tree, {0: chances(low[:-1].tolist(), high[:-1].tolist(), (low[-1], high[-1]))})
    worst = np.array([{"pass": 0.0}.get(str(o), 1.0) for o in outcomes] + [1.0])
    best = np.array([{"fail": 1.0}.get(str(o), 0.0) for o in outcomes] + [0.0])
    assert found[1] == pytest.approx(by_vertices(low, high, worst), abs=1e-9)
    assert found[0] == pytest.approx(1 - by_vertices(low, high, 1 - best), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), calls=st.integers(1, 25), wobble=st.sampled_from([0.0, 0.03]))
def test_the_true_rate_lies_in_it_and_it_is_never_wider_than_what_is_known_for_sure(
    seed: int, calls: int, wobble: float
) -> None:
    world = random_world(seed, wobble=wobble)
    found = search(world, calls, Noise(body=4 * wobble, tail=4 * wobble), end_keys=END_KEYS)
    low, high = found.bracket()
    assert low - 1e-9 <= world.failure_rate <= high + 1e-9
    assert low >= found.known("fail") - 1e-9
    assert high <= 1 - found.known("pass") + 1e-9


def test_where_every_way_succeeds_unsure_chances_leave_nothing_open() -> None:
    tree = Tree()
    for first, second in itertools.product("ab", repeat=2):
        tree.grow([Token(first), Token(second)], "cut", outcome="pass")
    unsure = chances([0.3, 0.3], [0.7, 0.7], (0.0, 0.0))
    odds = {0: unsure} | dict.fromkeys(tree.nodes[0].children.values(), unsure)
    assert failure_bracket(tree, odds) == (0.0, pytest.approx(0.0, abs=1e-12))


def test_of_a_tree_without_a_list_nothing_is_known() -> None:
    assert failure_bracket(Tree(), {}) == (0.0, 1.0)
