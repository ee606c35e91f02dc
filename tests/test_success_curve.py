"""The posterior over success curves: exact against enumeration, its identities, and its intervals on exact worlds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from benchmarks._worlds import worlds
from hypothesis import given, settings
from hypothesis import strategies as st

from reroll.fork_search import counted
from reroll.forking import Rollout
from reroll.success_curve import (
    Counts,
    Grader,
    Prior,
    curve_model,
    drops,
    marginals,
    no_counts,
    sample_curves,
    steps_of,
)


def test_on_exact_worlds_the_drops_sum_to_the_success_rate_at_the_start_and_none_exceeds_its_open_mass() -> None:
    for world in worlds(30, 60, -1, 2, seed=3):
        d = drops(world.probs, world.success, world.away)
        assert d == pytest.approx(world.drops, abs=1e-9)
        assert d.sum() == pytest.approx(world.success[0], abs=1e-9)
        assert world.success[:-1] == pytest.approx(
            world.probs * world.success[1:] + (1 - world.probs) * world.away, abs=1e-9
        )
        assert (d <= 1 - world.probs + 1e-9).all()


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=40), st.floats(0.02, 0.3))
def test_steps_cover_every_position_once_and_merge_only_what_cannot_hold_the_drop(probs: list[float], d: float) -> None:
    steps = steps_of(probs, d)
    assert [k for i, j in steps for k in range(i, j + 1)] == list(range(1, len(probs) + 1))
    for i, j in steps:
        if i < j:
            assert all(1 - p < d for p in probs[i - 1 : j])
            assert np.prod(probs[i - 1 : j]) > 1 - 2.5 * d


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.05, 0.99), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_every_drawn_curve_obeys_the_identities(probs: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = curve_model(probs, len(probs))
    k = model.steps
    n = rng.integers(0, 9, (2, k))
    counts = Counts(n[0], rng.binomial(n[0], 0.5), np.append(n[1], 0), np.append(rng.binomial(n[1], 0.5), 0))
    curves = sample_curves(model, counts, 50, rng)
    assert np.abs(curves.drop.sum(axis=1) - curves.success[:, 0]).max() < 1e-9
    assert (curves.drop <= 1 - model.stay + 1e-9).all()
    assert curves.success.min() >= 0
    assert curves.success.max() <= 1


def by_enumeration(probs: list[float], counts: Counts, prior: Prior, grader: Grader, points: int) -> np.ndarray:
    """P(s_0) on the grid, every combination of a_1 ... a_L and of the rounding at every position written out."""
    grid = np.linspace(0, 1, points)
    near = np.exp(-0.5 * ((grid[None, :] - grid[:, None]) / prior.spread) ** 2)
    near /= near.sum(axis=1, keepdims=True)
    table = prior.equal * np.eye(points) + prior.near * near + (1 - prior.equal - prior.near) / points

    def seen(i: int, n: np.ndarray, passed: np.ndarray, at: int) -> float:
        rate = grader.false_pass + grader.sharpness * min(max(grid[i], 2e-3), 1 - 2e-3)
        return float(rate ** passed[at] * (1 - rate) ** (n[at] - passed[at]))

    length, found = len(probs), np.zeros(points)
    last = [(0, 1 - grader.end_passes), (points - 1, grader.end_passes)]
    for (s, weight), aways in itertools.product(last, itertools.product(range(points), repeat=length)):
        ways = {s: weight * seen(s, counts.through, counts.through_passed, length)}
        for k in range(length - 1, -1, -1):
            then: dict[int, float] = {}
            for state, w in ways.items():
                w *= table[state, aways[k]] * seen(aways[k], counts.left, counts.left_passed, k)
                x = (probs[k] * grid[state] + (1 - probs[k]) * grid[aways[k]]) * (points - 1)
                low = min(int(x + 1e-9), points - 2)
                for to, share in ((low, 1 - (x - low)), (low + 1, x - low)):
                    then[to] = then.get(to, 0.0) + w * share * seen(to, counts.through, counts.through_passed, k)
            ways = then
        for state, w in ways.items():
            found[state] += w
    return found / found.sum()


@pytest.mark.parametrize("grader", [Grader(), Grader(0.1, 0.05, 0.02)], ids=["sure", "erring"])
def test_the_posterior_is_that_of_full_enumeration(grader: Grader) -> None:
    probs, prior = [0.6, 0.3, 0.75], Prior(0.5, 0.3, 0.15)
    counts = Counts(np.array([3, 4, 0]), np.array([3, 1, 0]), np.array([2, 0, 5, 0]), np.array([1, 0, 1, 0]))
    model = curve_model(probs, 3, least_drop=0.1, prior=prior, grader=grader, points=7)
    exact = by_enumeration(probs, counts, prior, grader, 7)
    assert marginals(model, counts)[0] == pytest.approx(exact, abs=1e-9)


def test_drawn_curves_agree_with_the_exact_posterior_to_the_grids_rounding() -> None:
    counts = Counts(np.array([3, 4, 0]), np.array([3, 1, 0]), np.array([2, 0, 5, 0]), np.array([1, 0, 1, 0]))
    model = curve_model([0.6, 0.3, 0.75], 3)
    curves = sample_curves(model, counts, 20000, np.random.default_rng(1))
    assert curves.success.mean(axis=0) == pytest.approx(marginals(model, counts) @ model.grid, abs=0.015)


def test_rollouts_pull_the_curve_to_what_they_show() -> None:
    model = curve_model([0.5, 0.99, 0.5], 3)
    left = [Rollout(0, "pass", "search", "x") for _ in range(30)]
    fell = [Rollout(2, "fail", "search", "y") for _ in range(30)]
    counts = counted(model, no_counts(model), left + fell)
    curves = sample_curves(model, counts, 400, np.random.default_rng(2))
    assert curves.drop[:, 0].mean() > 0.4
    assert abs(curves.drop[:, 2]).mean() < 0.05


def test_a_rollout_counts_where_it_left_whatever_its_prefix_and_an_invalid_one_says_nothing() -> None:
    model = curve_model([0.5, 0.5, 0.5], 3)
    stored = [
        Rollout(0, "pass", "stored", left_at=3),
        Rollout(2, "fail", "stored", left_at=3),
        Rollout(0, "invalid", "stored", left_at=1),
        Rollout(0, "fail", "stored", left_at=4),  # the failing completion once more: known already
        Rollout(1, "pass", "stored"),
    ]
    counts = counted(model, no_counts(model), stored)
    assert counts.left.tolist() == [0, 0, 2]
    assert counts.left_passed.tolist() == [0, 0, 1]
    assert counts.through.tolist() == [0, 1, 0, 0]


def test_without_probabilities_any_position_may_hold_any_jump() -> None:
    model = curve_model(None, 20)
    assert model.steps == 20
    before = [Rollout(9, "pass", "search") for _ in range(30)]
    after = [Rollout(10, "fail", "search") for _ in range(30)]
    curves = sample_curves(model, counted(model, no_counts(model), before + after), 300, np.random.default_rng(3))
    assert curves.drop[:, 9].mean() > 0.8


def test_a_probable_token_is_never_a_suspect_however_the_rollouts_fall() -> None:
    model = curve_model([0.95, 0.4, 0.97], 3, least_drop=0.1)
    assert model.first[model.single].tolist() == [2]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: curve_model([], 0), "without a token"),
        (lambda: curve_model([0.5], 2), "as many probabilities"),
        (lambda: curve_model([0.0], 1), "as many probabilities"),
        (lambda: Grader(0.6, 0.4), "says nothing"),
        (lambda: Prior(0.9, 0.2), "equal"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(build: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()  # type: ignore[operator]


def test_the_bands_of_the_curve_hold_the_truth_about_as_often_as_they_say() -> None:
    held = []
    for seed, world in enumerate(worlds(40, 40, -1, 2, seed=5)):
        world.reset(seed)
        model = curve_model(world.probs.tolist(), 40)
        rollouts = [Rollout(0, o, "triage", left_at=k) for o, k, _ in world.continue_from(0, 40)]
        counts = counted(model, no_counts(model), rollouts)
        curves = sample_curves(model, counts, 200, np.random.default_rng(seed))
        low, high = np.quantile(curves.success, [0.05, 0.95], axis=0)
        truth = world.success[model.nodes]
        held.append(np.mean((low - 0.01 <= truth) & (truth <= high + 0.01)))
    assert np.mean(held) >= 0.85
