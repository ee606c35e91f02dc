"""What is read from a server's probabilities holds the exact truth, in worlds small enough to know it."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reroll.enumeration import Enumeration
from reroll.futures import Futures
from reroll.noise import EXACT, Noise
from reroll.sample import Token
from reroll.sampler import GREEDY, PLAIN, Sampling
from tests.worlds import END_KEYS, World, random_world

SAMPLINGS = [
    PLAIN,
    GREEDY,
    Sampling(temperature=0.6),
    Sampling(temperature=1.5, top_p=0.9),
    Sampling(top_k=3, min_p=0.1),
]


def search(world: World, calls: int, noise: Noise = EXACT, **options: Any) -> Enumeration:
    """An enumeration after so many greedy calls."""
    found = Enumeration(world.sampling, noise, vocabulary=world.logits.shape[1], **options)
    tokens, ended, outcome = world.complete([])
    found.add(tokens, ended, outcome)
    for _ in range(calls - 1):
        if (prefix := found.next_prefix()) is None:
            break
        ids = [i for i in prefix.ids if i is not None]
        if prefix.ended:
            found.add([], prefix.ended, world.outcome(ids), prefix)
        else:
            found.add(*world.complete(ids), prefix)
    return found


def holds(futures: Futures, truth: float, slack: float = 1e-9) -> bool:
    low, high = futures.failure_rate.low, futures.failure_rate.high
    assert low is not None
    assert high is not None
    return low - slack <= truth <= high + slack


def adds_up(f: Futures) -> None:
    total = f.known_failure + f.known_success + f.known_invalid + f.unexplored + f.outside_top_k + f.noise
    assert total == pytest.approx(1, abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    calls=st.integers(1, 25),
    top=st.integers(1, 12),
    sampling=st.sampled_from(SAMPLINGS),
    end_keys=st.sampled_from([frozenset(), frozenset({"\x00#0"})]),
)
def test_the_true_failure_rate_lies_in_the_bracket(
    seed: int, calls: int, top: int, sampling: Sampling, end_keys: frozenset[str]
) -> None:
    world = random_world(seed, top=top, sampling=sampling)
    futures = search(world, calls, Noise(rounding=1e-12), end_keys=end_keys).futures(0)
    adds_up(futures)
    assert holds(futures, world.failure_rate)
    assert futures.known_success <= 1 - world.failure_rate + 1e-9
    for future in futures.completions:
        ids = [0 if c == "" else 1 + "abcdefghijklmnop".index(c) for c in future.text] + [0] * (future.ended == "end")
        assert future.low - 1e-9 <= world.probability(ids) <= future.high + 1e-9
        assert future.outcome == world.outcome(ids)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), calls=st.integers(2, 20))
def test_an_unsteady_server_widens_the_bracket_by_what_was_seen(seed: int, calls: int) -> None:
    world = random_world(seed, wobble=0.02)
    futures = search(world, calls, Noise(body=0.08, tail=0.08)).futures()
    adds_up(futures)
    assert holds(futures, world.failure_rate)


def test_a_world_that_is_followed_to_its_end_is_known_exactly() -> None:
    world = random_world(7, most=3, top=12)
    found = search(world, 3000, end_keys=END_KEYS)
    futures = found.futures()
    assert found.next_prefix() is None
    assert futures.known_failure == pytest.approx(world.failure_rate, abs=1e-6)
    assert futures.unexplored + futures.outside_top_k < 1e-6


def test_completions_come_in_order_of_probability_and_the_likeliest_are_complete() -> None:
    world = random_world(3, most=4, top=12)
    futures = search(world, 60).futures()
    probs = [f.prob for f in futures.completions]
    assert probs == sorted(probs, reverse=True)
    assert len({f.text for f in futures.completions if f.ended == "end"}) == sum(
        f.ended == "end" for f in futures.completions
    )
    wrong = futures.could_go_wrong(1e-4)
    assert {f.outcome for f in wrong} <= {"fail"}
    assert all(f.prob >= 1e-4 for f in wrong)


def test_prefixes_are_given_out_likeliest_first_once_and_again_after_a_failed_call() -> None:
    found = search(random_world(5, most=6), 4)
    given_out = [found.next_prefix() for _ in range(6)]
    probs = [p.prob for p in given_out if p]
    assert all(a >= b for a, b in pairwise(probs))
    assert len({(p.node, p.key) for p in given_out if p}) == 6
    first = given_out[0]
    assert first is not None
    found.put_back(first)
    assert found.next_prefix() == first


def test_a_floor_keeps_the_search_from_what_hardly_ever_happens() -> None:
    found = search(random_world(9, most=8, top=12), 10_000, floor=1e-2)
    assert found.calls < 100
    assert found.next_prefix() is None
    assert found.futures().unexplored > 0


def test_drawn_samples_reveal_what_they_passed_and_are_counted() -> None:
    world = random_world(11, top=12)
    rng = np.random.default_rng(0)
    found = Enumeration(noise=EXACT)
    for _ in range(200):
        tokens, ended, outcome = world.complete([], rng)
        found.add(tokens, ended, outcome, drawn=True)
    assert found.calls == 0
    assert found.tree.nodes[0].samples == 200
    futures = found.futures()
    adds_up(futures)
    assert holds(futures, world.failure_rate)
    assert futures.known_failure + futures.known_success > 0.3


def test_the_same_asked_twice_tells_the_noise_and_all_masses_are_taken_anew() -> None:
    world = random_world(13, wobble=0.05, most=6)
    found = search(world, 8)
    before = found.unknown
    tokens, ended, outcome = world.complete([])
    assert found.add(tokens, ended, outcome) == 0
    futures = found.futures()
    assert futures.server_noise.repeats == len(tokens)
    assert 0 < futures.server_noise.body <= 0.4
    assert found.unknown > before
    adds_up(futures)
    assert holds(futures, world.failure_rate)


def test_the_same_text_by_other_tokens_is_one_future_of_two_ways() -> None:
    lp = math.log(0.5)
    found = Enumeration(noise=EXACT)
    found.add([Token("ab", lp, (("ab", lp), ("a", lp))), Token("", 0.0, (("", 0.0),))], "end", "pass")
    prefix = found.next_prefix()
    assert prefix is not None
    found.add([Token("b", 0.0, (("b", 0.0),)), Token("", 0.0, (("", 0.0),))], "end", "pass", prefix)
    (future,) = found.futures().completions
    assert (future.text, future.ways, future.prob) == ("ab", 2, pytest.approx(1.0))


def test_an_end_that_the_server_did_not_list_stays_unknown() -> None:
    found = Enumeration(noise=EXACT)
    found.add([Token("a", -0.1, (("a", -0.1),))], "unknown", "pass")
    futures = found.futures()
    assert futures.known_success == 0
    assert futures.failure_rate.high == 1
    adds_up(futures)


def test_a_token_that_may_be_the_end_is_not_sent_before_it_is_known_to_be_one() -> None:
    lp = math.log(0.4)
    found = Enumeration(noise=EXACT)
    first = Token("a", lp, (("a", lp), ("</s>", lp - 0.1), ("b", lp - 1)))
    found.add([first], "cut", "fail")
    prefix = found.next_prefix()
    assert prefix is not None
    assert prefix.text == "b"
    assert found.next_prefix() is None
    found.add([Token("</s>", lp, (("</s>", lp),))], "end", "pass", prefix)
    after = found.next_prefix()
    assert after is not None
    assert (after.text, after.ended) == ("", "end")


def test_what_the_token_limit_cuts_is_known_without_a_call() -> None:
    world = random_world(3, most=4, top=12)
    by_calls, found = search(world, 10_000, floor=1e-4), search(world, 10_000, floor=1e-4, limit=4)
    assert found.calls < by_calls.calls
    assert found.futures().completions == by_calls.futures().completions
    assert any(f.ended == "cut" for f in found.futures().completions)


def test_bad_numbers_are_refused_before_anything_changes() -> None:
    found = Enumeration()
    with pytest.raises(ValueError, match="above 0"):
        found.add([Token("a", 0.7)], "cut", "pass")
    assert len(found.tree.nodes) == 1


def test_verdicts_need_the_whole_bracket_on_one_side() -> None:
    world = random_world(7, most=3, top=12)
    futures = search(world, 3000, end_keys=END_KEYS).futures()
    rate = world.failure_rate
    assert futures.verdict(1 - rate - 0.01) == "met"
    assert futures.verdict(min(0.9999, 1 - rate + 0.01)) == "not_met"
    assert search(world, 1).futures().verdict(1 - rate) == "undecided"


def test_twelve_calls_of_250_tokens_take_less_than_a_second_besides_the_calls() -> None:
    rng = np.random.default_rng(0)
    world = World(rng.normal(size=(9, 60)) * 4, rng.integers(9, size=(9, 60)), rng.random(9) < 0.3, 250, rng=rng)
    world.logits[:, 0] = -9
    answers = [world.complete([])]
    found = Enumeration()
    spent = 0.0
    for _ in range(12):
        started = time.process_time()
        found.add(*answers[-1], prefix if found.calls else None)  # noqa: F821
        prefix = found.next_prefix()
        spent += time.process_time() - started
        assert prefix is not None
        answers.append(world.complete([i for i in prefix.ids if i is not None]))
    started = time.process_time()
    found.futures()
    spent += time.process_time() - started
    assert sum(1 for _ in found.frontier()) > 50_000
    assert spent < 1, spent
