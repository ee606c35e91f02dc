"""Plain draws tell whether a server draws from the probabilities that it lists."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reroll.agreement import Agreement, agreement, doubt_of_texts
from reroll.sampler import Sampling
from tests.test_futures import search
from tests.test_surprise import odd_world
from tests.worlds import World


def drawn(listing: World, drawing: World, draws: int, seed: int) -> Agreement:
    """Draws of one world held against the probabilities that another one lists."""
    found = search(listing, 12)
    rng = np.random.default_rng(seed)
    leaves = []
    for _ in range(draws):
        tokens, ended, outcome = drawing.complete([], rng)
        ids = [t.id or 0 for t in tokens]
        found.add(listing.told(ids), ended, outcome, drawn=True)
        leaves.append(_leaf(found, ids))
    return agreement(found, leaves)


def _leaf(found: object, ids: list[int]) -> int:
    tree = found.tree  # type: ignore[attr-defined]
    place = 0
    for token in ids:
        node = tree.nodes[place]
        place = next(c for c in node.children.values() if tree.nodes[c].token_id == token)
    cut = [c for c in tree.nodes[place].children.values() if tree.nodes[c].ended]
    return cut[0] if cut and tree.nodes[place].ended is None else place


def flatter() -> World:
    world = odd_world()
    world.logits = world.logits * 0.4
    return world


def as_drawn_with(sampling: Sampling) -> World:
    world = flatter()
    world.sampling = sampling
    return world


def test_true_probabilities_are_refuted_less_often_than_alpha() -> None:
    refuted = sum(not drawn(flatter(), flatter(), 12, seed).agrees for seed in range(15))
    assert refuted <= 1


def test_another_temperature_or_cut_off_is_seen_within_forty_draws_and_named() -> None:
    for sampling, word in (
        (Sampling(temperature=0.7), "temperature of about 0.7"),
        (Sampling(temperature=1.5), "temperature of about 1.5"),
        (Sampling(top_p=0.9), "top_p of about 0.9"),
        (Sampling(temperature=0.0), "likeliest token always"),
    ):
        found = drawn(flatter(), as_drawn_with(sampling), 40, 1)
        assert not found.agrees, sampling
        assert found.suspect is not None
        assert word in found.suspect


def test_a_token_that_the_settings_rule_out_refutes_them_at_once() -> None:
    cut = as_drawn_with(Sampling(top_k=2))
    found = drawn(cut, flatter(), 3, 0)
    assert not found.agrees
    assert found.log_e == float("inf")
    assert found.suspect is None


def test_what_so_many_draws_would_show_grows_with_them() -> None:
    few, many = drawn(flatter(), flatter(), 2, 0), drawn(flatter(), flatter(), 60, 0)
    assert set(few.sees) < set(many.sees)
    assert any("0.7" in name for name in many.sees)
    assert agreement(search(flatter(), 3), []).agrees


def noticed(truth: list[float], listed: list[float], runs: int, trials: int = 2000) -> float:
    """How often runs from the truth contradict the listed chances, the last of both being all others together."""
    rng = np.random.default_rng(7)
    last, found = len(listed) - 1, 0
    for _ in range(trials):
        said = [None if k == last else int(k) for k in rng.choice(len(truth), size=runs, p=truth)]
        found += doubt_of_texts(listed[:-1], listed[-1], said) >= math.log(100)
    return found / trials


@pytest.mark.parametrize("listed", [[0.9, 0.08, 0.02], [0.5, 0.3, 0.1, 0.1], [0.999, 0.001], [0.55, 0.45]])
def test_texts_that_come_as_often_as_listed_are_doubted_in_at_most_one_case_of_a_hundred(listed: list[float]) -> None:
    assert noticed(listed, listed, 60) <= 0.01
    wider = [*(min(1.0, 1.1 * p) for p in listed[:-1]), min(1.0, 1.5 * listed[-1])]
    assert noticed(listed, wider, 60) <= 0.01


def test_texts_that_come_hotter_colder_or_from_elsewhere_are_doubted() -> None:
    assert noticed([0.7, 0.2, 0.1], [0.97, 0.029, 0.001], 60) > 0.99, "hotter"
    assert noticed([0.999, 0.0005, 0.0005], [0.8, 0.15, 0.05], 60) > 0.95, "colder"
    assert noticed([0.9, 0.1], [0.9999, 0.0001], 60) > 0.97, "one in ten is none of them"
    assert noticed([0.99, 0.01], [0.9999, 0.0001], 60) < 0.7, "one in a hundred is often not met in 60 runs"


def test_without_runs_there_is_no_doubt() -> None:
    assert doubt_of_texts([0.9], 0.1, []) == 0.0
