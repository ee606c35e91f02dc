"""Draws from the unexplored rest: intervals hold the exact rate at every look, for fewer tokens than sampling takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reroll.enumeration import Enumeration
from reroll.evidence import Evidence
from reroll.hybrid import Stratum, freeze, hybrid_rate, stratum_race
from reroll.noise import EXACT, Noise
from reroll.race import Race, first_crossing, side_shown
from reroll.sampler import Sampling
from reroll.verdict import certify_race
from reroll.ways import calls_for_width, next_move_to_decide
from tests.test_futures import search
from tests.worlds import END_KEYS, World, enumerated, flat_world, follow, form_world, random_world


def outcomes(world: World, found: Enumeration, stratum: Stratum, draws: int, seed: int) -> list[str]:
    """Rollouts from prefixes picked in proportion to their mass."""
    rng = np.random.default_rng(seed)
    said = []
    for _ in range(draws):
        prefix = found.prefix(*stratum.pick(rng.random()))
        ids = [i or 0 for i in prefix.ids]
        said.append(world.outcome(ids) if prefix.ended else world.complete(ids, rng)[2])
    return said


def left(known_failure: float, known_success: float, mass: float) -> Stratum:
    at = np.array([0])
    return Stratum(at, at, np.array([mass]), known_failure, known_success)


def test_the_interval_holds_the_exact_rate_whenever_one_looks() -> None:
    ever = runs = 0
    for seed in range(8):
        world = random_world(seed, most=7, top=4, sampling=Sampling(temperature=0.9))
        found = search(world, 3, Noise(rounding=1e-9), end_keys=END_KEYS)
        stratum = freeze(found)
        if not stratum.mass:
            continue
        for run in range(6):
            evidence, missed = Evidence(), False
            for n, outcome in enumerate(outcomes(world, found, stratum, 60, 100 * seed + run), 1):
                evidence = evidence.add(outcome)
                if n not in (1, 2, 3, 5, 8, 12, 20, 30, 45, 60):
                    continue
                rate = hybrid_rate(stratum, evidence, alpha=0.1)
                assert rate.low is not None
                assert rate.high is not None
                missed |= not rate.low - 1e-9 <= world.failure_rate <= rate.high + 1e-9
            ever, runs = ever + missed, runs + 1
    assert runs > 30
    assert ever <= 0.1 * runs


def test_prefixes_are_picked_in_proportion_to_their_probability() -> None:
    found = search(random_world(3, most=6), 4, end_keys=END_KEYS)
    stratum = freeze(found)
    picked = [found.prefix(*stratum.pick(u)).low for u in (np.arange(20_000) + 0.5) / 20_000]
    assert np.mean(picked) == pytest.approx(sum(m * m for _, _, m in found.frontier()) / stratum.mass, rel=0.02)
    assert stratum.error + stratum.mass + stratum.known_failure + stratum.known_success == pytest.approx(1)


def test_a_stratum_does_not_change_with_what_is_found_later() -> None:
    world = random_world(3, most=6)
    found = search(world, 4, end_keys=END_KEYS)
    stratum = freeze(found)
    first = [found.prefix(*stratum.pick(u)).text for u in (0.1, 0.5, 0.9)]
    rng = np.random.default_rng(0)
    for _ in range(50):
        found.add(*world.complete([], rng), drawn=True)
    assert [found.prefix(*stratum.pick(u)).text for u in (0.1, 0.5, 0.9)] == first


def test_invalid_draws_and_all_that_is_not_known_count_both_ways() -> None:
    rate = hybrid_rate(left(0.1, 0.6, 0.2), Evidence(n=50, invalid=50))
    assert rate.value is None
    assert rate.low == pytest.approx(0.1)
    assert rate.high == pytest.approx(0.4)
    assert hybrid_rate(left(0.1, 0.6, 0.2), Evidence()).high == pytest.approx(0.4)


def test_a_certificate_needs_few_draws_from_a_small_rest() -> None:
    race = stratum_race(left(0.001, 0.979, 0.02), target=0.99)
    assert isinstance(race, Race)
    assert race.met_rate == pytest.approx(0.45)
    crossing = first_crossing(race, ["pass"] * 20)
    assert crossing is not None
    assert crossing[0] == "met"
    assert crossing[1] <= 8


def test_what_is_known_alone_may_decide_or_leave_no_way() -> None:
    assert stratum_race(left(0.0, 0.995, 0.005), target=0.99) == "met"
    assert stratum_race(left(0.02, 0.5, 0.4), target=0.99) == "not_met"
    lost = stratum_race(left(0.0, 0.5, 0.45), target=0.99)
    assert isinstance(lost, Race)
    assert lost.met_rate is None, "five percent are outside: no draw can certify 99 %"
    assert stratum_race(left(0.0, 0.0, 0.005), target=0.99) is None


def test_long_flat_worlds_are_left_to_sampling_after_a_few_calls() -> None:
    for seed in range(4):
        world = flat_world(seed, 60)
        world.top = 30
        found, move = enumerated(world, 0.1)
        assert move in ("draw", "sample")
        assert found.tokens <= 0.1 * world.length * calls_for_width(0.1, 0.0)


def test_a_narrow_world_is_enumerated_for_a_hundredth_of_the_tokens() -> None:
    world = form_world()
    assert 0.02 < world.failure_rate < 0.98
    found, move = enumerated(world, 0.02)
    assert move in ("done", "draw")
    rest = freeze(found)
    draws = 0 if move == "done" else calls_for_width((0.02 - rest.error) / rest.mass, 0.5)
    assert found.tokens + draws * world.length <= 0.01 * world.length * calls_for_width(0.02, world.failure_rate)


def decided(world: World, target: float, instead: int = 355) -> tuple[Enumeration, str]:
    """Read until the planner says otherwise."""
    found = Enumeration(world.sampling, EXACT, vocabulary=world.logits.shape[1], end_keys=END_KEYS)
    while (move := next_move_to_decide(found, certify_race(target), instead)) == "enumerate":
        follow(world, found)
    return found, move


def test_a_narrow_world_is_certified_by_a_few_calls_and_never_wrongly() -> None:
    world = form_world(turns=((4, 0.002), (11, 0.001)), odd=1e-4)
    found, move = decided(world, 0.99)
    assert move == "done"
    assert found.calls <= 35
    assert side_shown(certify_race(0.99), *found.bracket()) == ("met" if world.failure_rate < 0.01 else "not_met")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), target=st.sampled_from([0.5, 0.9, 0.99]))
def test_what_is_read_decides_rightly_or_not_at_all_and_costs_at_most_a_tenth(seed: int, target: float) -> None:
    world = random_world(seed, most=30)
    found, move = decided(world, target)
    assert found.calls <= 36
    if move == "done":
        assert side_shown(certify_race(target), *found.bracket()) == (
            "met" if world.failure_rate < 1 - target else "not_met"
        )


def test_a_long_flat_world_is_given_up_after_a_few_calls() -> None:
    for seed in range(4):
        found, move = decided(flat_world(seed, 60), 0.99)
        assert move == "sample"
        assert found.calls <= 3


def test_a_width_that_no_interval_reaches_is_not_promised() -> None:
    assert calls_for_width(0.001, 0.5) >= 10**8
    assert calls_for_width(1.0, 0.5) == 0
