"""Several cases together: every case weighs the same, repeats stand in for no case, rounds are looked at their ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reroll.evidence import Evidence, interval
from reroll.plan import Plan, next_draws, stop_reason
from reroll.suite import (
    case_pass_at_k,
    case_pass_hat_k,
    pass_at_k,
    pass_at_k_est,
    pass_hat_k,
    pass_hat_k_est,
    suite_estimate,
    suite_rate,
)
from reroll.verdict import certify_path


def test_pass_hat_k_and_pass_at_k_are_unbiased() -> None:
    n, k, p = 7, 3, 0.6
    chance = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    assert sum(w * pass_hat_k([(c, n)], k) for c, w in enumerate(chance)) == pytest.approx(p**k)
    assert sum(w * pass_at_k([(c, n)], k) for c, w in enumerate(chance)) == pytest.approx(1 - (1 - p) ** k)


@pytest.mark.parametrize(("counts", "k"), [([], 1), ([(1, 2)], 3), ([(3, 2)], 1), ([(1, 2)], 0)])
def test_pass_hat_k_and_pass_at_k_refuse_what_they_cannot_know(counts: list[tuple[int, int]], k: int) -> None:
    for rule in (pass_hat_k, pass_at_k):
        with pytest.raises(ValueError, match="got"):
            rule(counts, k)


def test_a_suite_weighs_its_cases_equally_and_says_when_pooling_would_not() -> None:
    even = suite_estimate([Evidence(0, 10), Evidence(5, 10)])
    assert (even.mean.value, even.pooled, even.runs_differ) == (0.25, 0.25, False)
    uneven = suite_estimate([Evidence(0, 10), Evidence(45, 90)])
    assert (uneven.mean.value, uneven.pooled, uneven.runs_differ) == (0.25, 0.45, True)


def test_repeats_do_not_narrow_what_is_known_about_new_cases() -> None:
    few = suite_estimate([Evidence(0, 1)] * 5).mean
    many = suite_estimate([Evidence(0, 1000)] * 5).mean
    assert (few.low, few.high) == (many.low, many.high) == pytest.approx(interval(0, 5))
    assert few.n == 5


def test_cases_that_could_not_be_judged_stay_in_the_interval() -> None:
    judged = suite_estimate([Evidence(0, 4)] * 9).mean
    partly = suite_estimate([Evidence(0, 4)] * 9 + [Evidence(0, 4, 4)]).mean
    assert partly.value == judged.value == 0
    assert judged.high is not None
    assert partly.high is not None
    assert partly.high > judged.high
    nothing = suite_estimate([])
    assert (nothing.mean.value, nothing.mean.low, nothing.mean.high, nothing.pooled) == (None, 0.0, 1.0, None)


# ---------------------------------------------------------------- pass^k and pass@k with their intervals


def test_one_case_s_chance_of_k_passes_is_its_rate_carried_through() -> None:
    low, high = interval(2, 20)
    all_of, any_of = case_pass_hat_k(Evidence(2, 20), 3), case_pass_at_k(Evidence(2, 20), 3)
    assert (all_of.low, all_of.high) == pytest.approx(((1 - high) ** 3, (1 - low) ** 3))
    assert (any_of.low, any_of.high) == pytest.approx((1 - high**3, 1 - low**3))
    assert all_of.value == pytest.approx(pass_hat_k([(18, 20)], 3))
    assert any_of.value == pytest.approx(pass_at_k([(18, 20)], 3))
    assert case_pass_hat_k(Evidence(0, 2), 3).value is None


def test_invalid_runs_widen_pass_hat_k_both_ways() -> None:
    clean = pass_hat_k_est([Evidence(0, 4)] * 20 + [Evidence(2, 4)] * 5, 2)
    open_ = pass_hat_k_est([Evidence(0, 4)] * 20 + [Evidence(0, 4, 2)] * 5, 2)
    assert open_.low == pytest.approx(clean.low)
    assert open_.high is not None
    assert clean.high is not None
    assert open_.high > clean.high


@pytest.mark.parametrize("k", [1, 4])
def test_the_intervals_of_pass_hat_k_and_pass_at_k_hold_at_every_look(k: int) -> None:
    """60 cases a run, rates from Beta(2, 1), looked at after each one: the truth is outside in few runs ever."""
    rng, runs, missed = np.random.default_rng(5), 60, np.zeros(2)
    truth = (2 / (k + 2), 1 - math.factorial(k) * 2 / math.factorial(k + 2))  # E p^k, 1 - E (1-p)^k
    for _ in range(runs):
        counts = rng.binomial(4, rng.beta(2, 1, 60))
        cases = [Evidence(4 - int(c), 4) for c in counts]
        ever = np.zeros(2, bool)
        for n in range(4, 61, 8):
            for i, est in enumerate((pass_hat_k_est(cases[:n], k), pass_at_k_est(cases[:n], k))):
                assert est.low is not None
                assert est.high is not None
                ever[i] |= not est.low - 1e-12 <= truth[i] <= est.high + 1e-12
        missed += ever
    assert missed.max() <= 0.05 * runs + 3  # 3 above alpha: two standard errors of 60 runs


# ---------------------------------------------------------------- rounds over a fixed suite


def test_only_complete_rounds_count_and_only_their_ends_are_looked_at() -> None:
    easy_first = ["pass"] * 399 + ["fail"]
    inside = certify_path(easy_first, 0.99)
    assert (inside.verdict, inside.decided_at) == ("met", 355)
    assert certify_path(easy_first, 0.99, round_size=400).verdict == "undecided"
    assert certify_path(easy_first[:399], 0.99, round_size=400).verdict == "undecided"


def test_rounds_are_held_to_the_plain_threshold_and_refuse_a_horizon() -> None:
    found = certify_path(["pass", "fail"] * 3, 0.9, round_size=2)
    assert found.threshold_not_met == found.threshold_met == pytest.approx(math.log(20))
    with pytest.raises(ValueError, match="horizon buys nothing"):
        certify_path([], 0.9, horizon=100, round_size=2)
    with pytest.raises(ValueError, match="rounds of 2 to 3"):
        suite_rate([Evidence(0, 2), Evidence(0, 3)])


def suite_runs(rates: list[float], rounds: int, seed: int) -> list[str]:
    hit = np.random.default_rng(seed).random((rounds, len(rates))) < np.array(rates)
    return ["fail" if x else "pass" for x in hit.ravel()]


@pytest.mark.parametrize("rates", [[0.0] * 9 + [0.5], [0.05] * 10, [0.1] * 5 + [0.0] * 5, [0.2, 0.0, 0.0, 0.0]])
def test_a_suite_exactly_at_its_target_is_seldom_declared_good_or_bad(rates: list[float]) -> None:
    runs = [suite_runs(rates, 800 // len(rates), seed) for seed in range(200)]
    found = [certify_path(outcomes, 0.95, round_size=len(rates)).verdict for outcomes in runs]
    assert max(found.count("met"), found.count("not_met")) <= 18  # 5 % of 200, and three standard errors


def test_a_fixed_suite_s_interval_holds_at_every_round_end() -> None:
    rates, missed = [0.0, 0.02, 0.3, 0.08], 0
    truth = sum(rates) / len(rates)
    for seed in range(60):
        outcomes = suite_runs(rates, 150, seed)
        rounds = [Evidence.of(outcomes[i : i + 4]) for i in range(0, 600, 4)]
        ends = [suite_rate(rounds[:n]) for n in range(1, 151, 14)]
        missed += any(e.low is None or e.high is None or not e.low <= truth <= e.high for e in ends)
    assert missed <= 8  # 5 % of 60, and three standard errors


def test_a_plan_for_rounds_draws_whole_rounds_and_stops_before_half_a_one() -> None:
    plan = Plan("certify", target=0.95, round_size=6, concurrency=16, budget=20)
    assert next_draws(plan, []) == 6
    assert next_draws(plan, ["pass"] * 12) == 6
    assert next_draws(plan, ["pass"] * 18) == 0
    assert stop_reason(plan, ["pass"] * 18) == "budget"
    decided = ["fail"] * 6
    assert stop_reason(plan, decided) == "decided"
    with pytest.raises(ValueError, match="luck is about one case"):
        Plan("luck", round_size=2)
