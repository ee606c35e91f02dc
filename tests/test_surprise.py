"""A text is as surprising as its request makes it; another request needs a bet that is won, or an exact sum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reroll.doubt import bets, chances, log_ratios
from reroll.evidence import Est
from reroll.noise import EXACT, Noise
from reroll.odds import Odds, listing_only, odds, token_key
from reroll.sample import Token
from reroll.sampler import PLAIN, Sampling
from reroll.surprise import (
    Scored,
    at_least_this_surprising,
    enumerated_surprise,
    score,
    surprise_verdict,
)
from tests.test_futures import search
from tests.worlds import World, random_world


def odd_world(seed: int = 0) -> World:
    """Thirty tokens, mostly sure of themselves, as a model that answers in JSON is."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(10, 25)) * 3
    logits[np.arange(10), rng.integers(1, 25, 10)] += 8
    logits[:, 0] = -2
    return World(logits, rng.integers(10, size=(10, 25)), rng.random(10) < 0.3, 30, top=20, rng=rng)


def scored_in(world: World, ids: list[int], ended: bool) -> Scored:
    return score(world.told(ids), world.sampling, EXACT, world.logits.shape[1], ended=ended)


@pytest.mark.parametrize("sampling", [PLAIN, Sampling(temperature=0.8), Sampling(temperature=1.2, top_k=10)])
def test_the_stated_log_probability_is_the_exact_one(sampling: Sampling) -> None:
    for seed in range(20):
        world = random_world(seed, top=25, sampling=sampling)
        tokens, ended, _ = world.complete([], np.random.default_rng(seed))
        scored = score(tokens, sampling, vocabulary=world.logits.shape[1], ended=ended == "end")
        assert scored.log_prob == pytest.approx(math.log(world.probability([t.id for t in tokens])), abs=1e-6)
        assert scored.low <= scored.log_prob <= scored.high


@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 12),
    temperature=st.sampled_from([0.7, 1.0, 1.4]),
)
@settings(max_examples=60, deadline=None)
def test_no_bet_pays_more_than_one_in_the_mean_if_the_listing_is_true(seed: int, k: int, temperature: float) -> None:
    world = random_world(seed, top=k, sampling=Sampling(temperature=temperature))
    mean: np.ndarray | float = 0.0
    for token, p in enumerate(world.chances[0]):
        drawn = world.listing(0, token)
        noise = Noise(rounding=1e-12)  # what is missing to 1 is known to the last digit only
        found = odds(listing_only([drawn], k), world.sampling, noise, world.logits.shape[1], asked=k)
        mean = mean + p * np.exp(log_ratios(found, [token_key(drawn.text, token)])[0])
    assert np.max(mean) <= 1 + 1e-9


def test_alternatives_are_distributions() -> None:
    found: Odds = odds([odd_world().listing(3, 2)], PLAIN, EXACT)[0]
    rows = bets(chances([found]))[:, 0]
    assert rows.sum(1) == pytest.approx(np.ones(len(rows)))
    assert rows.min() >= 0


def test_the_request_itself_departs_a_millionfold_hardly_ever() -> None:
    world, rng = odd_world(), np.random.default_rng(1)
    departures = []
    for _ in range(300):
        tokens, ended, _ = world.complete([], rng)
        departures.append(scored_in(world, [t.id or 0 for t in tokens], ended == "end").departure)
    for level in (0.1, 0.01):
        assert np.mean(np.array(departures) <= level) <= level


def test_a_text_of_another_model_is_told_without_a_single_sample() -> None:
    world, other = odd_world(0), odd_world(5)
    tokens, ended, _ = other.complete([], np.random.default_rng(2))
    scored = scored_in(world, [t.id or 0 for t in tokens], ended == "end")
    nothing = Est(None, 0.0, 1.0, 0)
    assert surprise_verdict(scored, nothing, checked=True) == "other_request"
    assert surprise_verdict(scored, nothing) == "undecided", "nothing was checked"
    assert len(scored.left_at) > 3


def test_how_often_is_counted_among_samples_and_ties_count_as_surprising() -> None:
    world, rng = odd_world(), np.random.default_rng(3)
    draws = [
        scored_in(world, [t.id or 0 for t in s[0]], s[1] == "end")
        for s in (world.complete([], rng) for _ in range(200))
    ]
    fresh = [(d.low, d.high) for d in draws[1:]]
    usual = max(draws, key=lambda d: d.log_prob)
    assert surprise_verdict(usual, at_least_this_surprising(usual, fresh), checked=True) == "usual"
    odd = min(draws, key=lambda d: d.log_prob)
    found = at_least_this_surprising(odd, [(d.low, d.high) for d in draws if d is not odd])
    assert surprise_verdict(odd, found, checked=True) == "rare"
    assert at_least_this_surprising(odd, [(odd.low, odd.high)]).value == 1
    assert at_least_this_surprising(odd, []) == Est(None, 0.0, 1.0, 0)


def test_the_interval_holds_the_exact_share() -> None:
    world = random_world(4, top=12)
    truth_rng = np.random.default_rng(0)
    lps = [math.log(world.probability([t.id for t in world.complete([], truth_rng)[0]])) for _ in range(1000)]
    missed = 0
    for run in range(25):
        rng = np.random.default_rng(run)
        tokens, ended, _ = world.complete([], rng)
        reported = score(tokens, vocabulary=12, ended=ended == "end")
        samples = [world.complete([], rng) for _ in range(40)]
        scores = [score(t, vocabulary=12, ended=e == "end") for t, e, _ in samples]
        est = at_least_this_surprising(reported, [(s.low, s.high) for s in scores])
        share = float(np.mean(np.array(lps) <= reported.log_prob + 1e-6))
        assert est.low is not None
        assert est.high is not None
        missed += not est.low - 0.02 <= share <= est.high + 0.02
    assert missed <= 2


def test_an_enumeration_bounds_the_share_without_chance() -> None:
    world = random_world(5, most=4, top=12)
    found = search(world, 200)
    tokens, ended, _ = world.complete([])
    reported = score(tokens, noise=EXACT, vocabulary=12, ended=ended == "end")
    est = enumerated_surprise(found, reported)
    rng = np.random.default_rng(1)
    lps = [math.log(world.probability([t.id for t in world.complete([], rng)[0]])) for _ in range(2000)]
    share = float(np.mean(np.array(lps) <= reported.log_prob + 1e-9))
    assert est.low is not None
    assert est.high is not None
    assert est.low - 0.04 <= share <= est.high + 0.04


def test_a_token_whose_chance_the_server_hides_leaves_an_upper_limit() -> None:
    scored = score([Token("z", None, (("a", math.log(0.9)), ("b", math.log(0.08))))])
    assert scored.bound_only
    assert scored.log_prob == scored.high == pytest.approx(math.log(0.02), abs=1e-4)
    assert scored.tokens[0].rank is None
    assert scored.left_at == (0,)


def test_an_empty_text_is_no_surprise_by_itself() -> None:
    scored = score([])
    assert (scored.log_prob, scored.departure) == (0, 1)
