"""Control calls are spent only as the case needs them, and a reference that shrinks meanwhile stays valid."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from benchmarks.luck import one_report
from hypothesis import given
from hypothesis import strategies as st

from reroll.balance import REFERENCE_RATES, controls_wanted, reference_limit
from reroll.calibrate import met_boundary, not_met_boundary
from reroll.evidence import Evidence, upper_limit
from reroll.verdict import not_worse_rate


@pytest.mark.parametrize(("alpha", "horizon"), [(0.05, None), (0.05, 400)])
def test_the_boundaries_move_one_way_with_the_reference(alpha: float, horizon: int | None) -> None:
    # This is what makes a reference that shrinks during a run valid: see the module.
    end = 400
    worse = [not_met_boundary(rate, alpha, horizon, end)[1:] for rate in REFERENCE_RATES]
    not_worse = [met_boundary(not_worse_rate(rate), alpha, horizon, end)[1:] for rate in REFERENCE_RATES]
    for lower, higher in pairwise(worse):
        assert (higher >= lower).all(), "a higher reference asks for at least as many failures"
    for lower, higher in pairwise(not_worse):
        assert (higher >= lower).all(), "a higher reference allows at least as many failures"


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_limit_is_rounded_up_never_down(failures: int, passes: int) -> None:
    n = failures + passes
    limit = reference_limit(Evidence(failures, n), 0.05)
    if n and limit is not None:
        assert limit >= upper_limit(failures, n, 0.05)
        assert limit in REFERENCE_RATES
    if limit is None and n:
        assert upper_limit(failures, n, 0.05) > REFERENCE_RATES[-1]


@given(st.lists(st.sampled_from(["pass", "fail", "invalid"]), max_size=40), st.integers(0, 5), st.integers(0, 100))
def test_never_more_control_calls_than_allowed(outcomes: list[str], failures: int, passes: int) -> None:
    controls = Evidence(failures, failures + passes)
    assert 0 <= controls_wanted(outcomes, controls, most=100) <= max(0, 100 - controls.n)


def test_nothing_is_spent_on_controls_before_the_case_was_looked_at() -> None:
    assert controls_wanted([], Evidence(), most=100) == 0
    assert controls_wanted(["pass", "fail", "pass"], Evidence(), most=100) == 0


def test_a_case_that_always_fails_needs_few_controls_and_a_rare_failure_many() -> None:
    assert controls_wanted(["fail", "fail"], Evidence(), most=100) <= 15
    assert controls_wanted(["pass"] * 9 + ["fail"], Evidence(), most=100) >= 40


def test_what_looks_like_luck_is_held_against_a_tight_reference() -> None:
    assert controls_wanted(["pass"] * 12, Evidence(0, 30), most=100) > 0
    assert controls_wanted(["pass"] * 12, Evidence(0, 100), most=100) == 0


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_a_case_like_its_controls_is_rarely_called_worse(rate: float) -> None:
    rng, runs = random.Random(11), 120
    verdicts = [one_report(rate, rate, rng, upfront=False)[0] for _ in range(runs)]
    wrong = verdicts.count("worse_than_reference") / runs
    assert wrong <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


def test_a_first_report_about_a_case_that_always_fails_costs_few_calls() -> None:
    verdict, case_calls, control_calls = one_report(1.0, 0.0, random.Random(1), upfront=False)
    assert verdict == "worse_than_reference"
    assert case_calls + control_calls <= 16
