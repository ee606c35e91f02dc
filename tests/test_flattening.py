"""Two wordings at one fork: the splits are exact, and what is not listed widens instead of vanishing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks._worlds import Model, worlds
from hypothesis import given
from hypothesis import strategies as st

from reroll.evidence import Est
from reroll.flattening import (
    Distribution,
    flattening,
    leaving_weights,
    predicted_change,
    screen,
    split_change,
    split_path,
)

simplex = st.lists(st.floats(0.001, 1.0), min_size=4, max_size=4).map(lambda x: [v / sum(x) for v in x])
rates = st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4)
NAMES = ["a", "b", "c", "d"]


def named(values: list[float]) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))


@given(simplex, simplex, rates, rates)
def test_the_split_at_a_fork_is_exact(p: list[float], q: list[float], s: list[float], t: list[float]) -> None:
    split = split_change(Distribution(named(p)), Distribution(named(q)), named(s), named(t))
    assert split.change == pytest.approx(float(np.dot(q, t) - np.dot(p, s)), abs=1e-9)
    assert split.moved + split.rest == pytest.approx(split.change, abs=1e-12)
    assert split.unknown < 1e-9


def rewritten(model: Model, rng: np.random.Generator) -> Model:
    logits = np.log(model.chance + 1e-9) * 0.7 + rng.normal(0, 0.5, model.chance.shape)
    chance = np.exp(logits)
    return Model(chance / chance.sum(axis=2, keepdims=True), model.to, model.begin)


def test_the_split_of_a_whole_path_is_exact_on_exact_worlds() -> None:
    rng = np.random.default_rng(4)
    for world in worlds(10, 40, -1, 2, seed=9):
        other = rewritten(world.model, rng)
        at = np.arange(world.length)
        chance = other.chance[at, world.states[:-1]]
        after = other.success[at[:, None] + 1, other.to[at, world.states[:-1]]]
        probs = chance[at, world.path]
        others = chance.copy()
        others[at, world.path] = 0
        away = (others * after).sum(axis=1) / others.sum(axis=1)
        split = split_path(world.probs, world.away, probs, away)
        true = other.success[0, world.states[0]] - world.success[0]
        assert split.change == pytest.approx(true, abs=1e-9)
        assert split.moved.sum() + split.rest.sum() == pytest.approx(true, abs=1e-9)


def test_a_path_is_left_somewhere_or_kept() -> None:
    assert leaving_weights([0.5, 0.9, 0.2]).sum() == pytest.approx(1, abs=1e-12)


@given(simplex, simplex, st.integers(1, 3), st.integers(1, 3))
def test_distances_bracket_the_truth_when_only_the_likeliest_tokens_are_listed(
    p: list[float], q: list[float], keep_p: int, keep_q: int
) -> None:
    def listed(values: list[float], keep: int) -> Distribution:
        top = sorted(named(values).items(), key=lambda x: -x[1])[:keep]
        return Distribution(dict(top))

    whole = flattening(Distribution(named(p)), Distribution(named(q)))
    part = flattening(listed(p, keep_p), listed(q, keep_q))
    assert whole.total_variation.low == pytest.approx(0.5 * sum(abs(x - y) for x, y in zip(p, q, strict=True)))
    assert part.total_variation.low - 1e-9 <= whole.total_variation.low <= part.total_variation.high + 1e-9
    assert part.jensen_shannon.low - 1e-9 <= whole.jensen_shannon.low <= part.jensen_shannon.high + 1e-9
    a = part.entropy[0]
    assert a.low - 1e-9 <= whole.entropy[0].low <= a.high + 1e-9


def test_a_flatter_distribution_is_called_flatter_and_unlisted_mass_leaves_it_open() -> None:
    sharp, flat = Distribution({"x": 0.97, "y": 0.03}), Distribution({"x": 0.5, "y": 0.5})
    assert flattening(sharp, flat).flatter is True
    assert flattening(flat, sharp).flatter is False
    assert flattening(Distribution({"x": 0.5}), flat).flatter is None
    assert Distribution({"x": 1.0}).margin == math.inf


def test_what_has_no_rate_may_do_anything() -> None:
    old, new = Distribution({"x": 0.6, "y": 0.4}), Distribution({"x": 0.7, "y": 0.3})
    change = predicted_change(old, new, {"x": Est(0.9, 0.8, 1.0, 20)})
    assert change.low is not None
    assert change.high is not None
    for y in (0.0, 1.0):  # the rate after y under the old wording, and under the new one
        for z in (0.0, 1.0):
            assert change.low <= 0.1 * 0.9 + 0.3 * z - 0.4 * y <= change.high


def test_a_screen_shortlists_the_wording_that_avoids_the_dud_and_confirms_nothing() -> None:
    old = Distribution({"good": 0.4, "dud": 0.6})
    success = {"good": Est(0.9, 0.7, 1.0, 20), "dud": Est(0.05, 0.0, 0.2, 20)}
    wordings = {"same": old, "worse": Distribution({"good": 0.2, "dud": 0.8}), "better": Distribution({"good": 1.0})}
    best = screen(old, wordings, success, keep=2)
    assert [one.wording for one in best] == ["better", "same"]
    assert not any(one.confirmed for one in best)
    assert best[0].predicted.value == pytest.approx(0.6 * 0.85)


@pytest.mark.parametrize("probs", [{}, {"x": 1.2}, {"x": 0.7, "y": 0.7}])
def test_a_distribution_that_is_none_is_refused(probs: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Distribution(probs)
