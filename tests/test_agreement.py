"""Plain draws tell whether a server draws from the probabilities that it lists."""

from __future__ import annotations

import numpy as np

from reroll.agreement import Agreement, agreement
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
