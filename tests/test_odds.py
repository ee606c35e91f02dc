"""Bounds of the chances that tokens are drawn with hold the truth, computed with the whole vocabulary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reroll.noise import EXACT, Noise
from reroll.odds import END, Odds, listing_problem, odds
from reroll.sample import Token
from reroll.sampler import GREEDY, ORDERS, PLAIN, Sampling, Unreadable, sampling_of
from tests.worlds import drawn_with, log_softmax


def listed(logits: Any, k: int, drawn: int | None = None, *, known: bool = True, single: bool = False) -> Token:
    """What a server lists for this step: the k likeliest, and the drawn one."""
    lp = log_softmax(logits)
    if single:
        lp = np.asarray(lp, dtype=np.float32).astype(float)
    order = [int(i) for i in np.argsort(-lp, kind="stable")[:k]]
    drawn = order[0] if drawn is None else drawn
    top = tuple((f"t{i}", float(lp[i])) for i in order)
    return Token(f"t{drawn}", float(lp[drawn]) if known or drawn in order else None, top, drawn, tuple(order))


def held(found: Odds, truth: Any, slack: float = 1e-12) -> None:
    named = [int(text[1:]) for text in found.texts]
    for place, token in enumerate(named):
        assert found.low[place] - slack <= truth[token] <= found.high[place] + slack, (place, token)
    outside = 1 - truth[named].sum()
    assert found.outside_low - 1e-9 <= outside <= found.outside_high + 1e-9


SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.2, 0.7, 1.0, 1.3, 3.0]),
    top_k=st.sampled_from([0, 1, 3, 8, 20]),
    top_p=st.sampled_from([1.0, 0.99, 0.9, 0.5, 0.05]),
    min_p=st.sampled_from([0.0, 0.02, 0.1, 0.6]),
    order=st.sampled_from(sorted(set(ORDERS.values()))),
)


@settings(max_examples=250, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(2, 40),
    spread=st.sampled_from([0.0, 0.3, 2.0, 6.0]),
    k=st.integers(0, 40),
    known=st.booleans(),
    single=st.booleans(),
    sampling=SAMPLINGS,
)
@example(seed=1, size=30, spread=2.0, k=5, known=True, single=False, sampling=Sampling(1.3, 8, 0.9, 0.02))
def test_the_truth_lies_in_the_bounds(
    seed: int, size: int, spread: float, k: int, known: bool, single: bool, sampling: Sampling
) -> None:
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=size)
    if spread == 0:  # ties everywhere: a cut among equals is the sampler's own choice, so only whole ones are held
        sampling = Sampling(temperature=sampling.temperature or 1.0, min_p=sampling.min_p)
    token = listed(logits, k, int(rng.integers(size)), known=known, single=single)
    (found,) = odds([token], sampling, Noise() if single else Noise(rounding=1e-12), vocabulary=size)
    held(found, drawn_with(logits, sampling))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 12), sampling=SAMPLINGS)
def test_bounds_widened_by_noise_hold_a_server_that_moved(seed: int, k: int, sampling: Sampling) -> None:
    rng = np.random.default_rng(seed)
    logits = 2.5 * rng.normal(size=12)
    moved = logits + rng.uniform(-0.05, 0.05, size=12)  # log-odds move by at most 0.1
    (found,) = odds([listed(logits, k)], sampling, Noise(1e-9, body=0.1, tail=0.1), vocabulary=12)
    held(found, drawn_with(moved, sampling))


def test_without_settings_the_chances_are_the_listed_ones_and_the_rest_is_outside() -> None:
    (found,) = odds([Token("a", math.log(0.7), (("a", math.log(0.7)), ("b", math.log(0.2))))], PLAIN, EXACT)
    assert found.low == pytest.approx((0.7, 0.2))
    assert found.high == pytest.approx((0.7, 0.2))
    assert found.outside_low == pytest.approx(0.1)
    assert found.outside_high == pytest.approx(0.1)


@pytest.mark.parametrize("sampling", [Sampling(top_k=2), Sampling(top_p=0.85), Sampling(min_p=0.2), GREEDY])
def test_a_cut_inside_the_list_leaves_exactly_nothing_outside(sampling: Sampling) -> None:
    token = Token("a", math.log(0.7), (("a", math.log(0.7)), ("b", math.log(0.2)), ("c", math.log(0.05))))
    (found,) = odds([token], sampling)
    assert found.outside_high == 0
    assert sum(found.high) == pytest.approx(1, abs=1e-5)


def test_a_low_temperature_shrinks_what_is_outside_and_a_high_one_is_bounded_by_the_vocabulary() -> None:
    token = Token("a", math.log(0.9), (("a", math.log(0.9)), ("b", math.log(0.09))))
    cold, plain, hot, hot_small = (
        odds([token], s, EXACT, v)[0].outside_high
        for s, v in (
            (Sampling(temperature=0.5), None),
            (PLAIN, None),
            (Sampling(temperature=2), None),
            (Sampling(temperature=2), 100),
        )
    )
    assert plain == pytest.approx(0.01)
    assert cold < 0.0012 < plain < hot_small < 0.5 < hot < 1


def test_a_drawn_token_of_unknown_chance_is_less_likely_than_what_is_listed() -> None:
    (found,) = odds([Token("z", -9999.0, (("a", math.log(0.5)), ("b", math.log(0.3))))], PLAIN, EXACT)
    assert found.chosen == 2
    assert found.low[2] == 0
    assert found.high[2] == pytest.approx(0.2)


def test_a_drawn_token_that_was_appended_to_the_list_says_nothing_about_those_between() -> None:
    a, b, z = (math.log(x) for x in (0.5, 0.3, 1e-6))
    (found,) = odds([Token("z", z, (("a", a), ("b", b), ("z", z)))], Sampling(top_p=0.95), EXACT, asked=2)
    assert (found.chosen, found.listed) == (2, 2)
    assert found.outside_high > 0.15, "likelier tokens stand between b and z"


def test_the_end_is_one_token_however_it_is_spelled() -> None:
    token = Token("", -0.1, (("", -0.1), ("x", -2.5)), 1, (1, 7))
    assert odds([token], PLAIN, end_keys={"\x00#1"})[0].keys == (END, "x")
    other = Token("x", -0.1, (("x", -0.1), ("", -2.5)), 7, (7, 1))
    assert odds([other], PLAIN, end_keys={"\x00#1"})[0].keys == ("x", END)


def test_numbers_that_are_no_probabilities_are_refused() -> None:
    assert listing_problem(Token("a", 0.5)) == "a log probability is above 0 or no number"
    with pytest.raises(ValueError, match=r"token 2: the listed probabilities add up to 1\.8"):
        odds([Token("a", -0.1), Token("b", -0.1, (("b", -0.1), ("c", -0.1)))], PLAIN)


# -- parameters --------------------------------------------------------------------------------------------------------


def test_parameters_are_read_in_the_order_of_the_server() -> None:
    found = sampling_of(
        {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1}, "llama.cpp"
    )
    assert found == Sampling(0.8, 40, 0.95, 0.05, ("top_k", "top_p", "min_p", "temperature"))
    own = sampling_of({"samplers": ["temperature", "top_k", "top_p", "min_p"], "temperature": 1}, "llama.cpp")
    assert isinstance(own, Sampling)
    assert own.order[0] == "temperature"
    assert own.top_k == 40, "llama.cpp's own default"
    assert "top_k" in own.unsure


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"frequency_penalty": 0.1}, "`frequency_penalty`"),
        ({"mirostat": 2}, "`mirostat`"),
        ({"logit_bias": {"50256": -100}}, "`logit_bias` changes the chances"),
        ({"response_format": {"type": "json_object"}}, "`response_format` forbids tokens"),
        ({"samplers": ["top_k"]}, "`samplers`"),
        ({"temperature": "warm"}, "`temperature` is 'warm'"),
        ({"top_p": 0}, "top_p in (0, 1]"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(params: dict[str, Any], says: str) -> None:
    found = sampling_of(params, "llama.cpp")
    assert isinstance(found, Unreadable)
    assert says in found.why


def test_a_server_that_lists_what_it_draws_from_may_bias_and_mask() -> None:
    found = sampling_of({"logit_bias": {"7": 5}, "json_schema": {"a": 1}}, "vllm", drawn_from=True)
    assert isinstance(found, Sampling)
    assert found.plain
    assert isinstance(sampling_of({"repetition_penalty": 1.1}, "vllm", drawn_from=True), Unreadable)


def test_unknown_parameters_and_those_left_to_the_server_are_named() -> None:
    found = sampling_of({"temperature": 1, "warp_factor": 9}, "vllm")
    assert isinstance(found, Sampling)
    assert found.unsure == ("top_k", "top_p", "min_p", "repetition_penalty", "warp_factor")
