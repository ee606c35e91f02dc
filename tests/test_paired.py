"""Pairs into evidence: the coin's threshold is exact, margins and limits hold at every look."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from reroll.calibrate import operating_characteristics
from reroll.paired import (
    below_log_e,
    better_log_e,
    difference_interval,
    difference_interval_array,
    difference_limit,
    log_e_below,
    pair_boundary,
    pair_threshold,
    sign_log_e,
    stakes,
    upper_end,
)


def ever(alpha: float, horizon: int, theta: float = 0.5) -> float:
    """The chance that `better_log_e` ever reaches the threshold, path by path, asking it at every single pair."""
    threshold = pair_threshold(alpha, horizon)
    alive, hit = {0: 1.0}, 0.0
    for n in range(1, horizon + 1):
        grown: dict[int, float] = {}
        for lost, chance in alive.items():
            grown[lost] = grown.get(lost, 0.0) + chance * theta
            grown[lost + 1] = grown.get(lost + 1, 0.0) + chance * (1 - theta)
        crossed = [lost for lost in grown if better_log_e(n - lost, lost) >= threshold]
        hit += sum(grown.pop(lost) for lost in crossed)
        alive = grown
    return hit


# ---------------------------------------------------------------- is B better


@pytest.mark.parametrize(("alpha", "horizon"), [(0.05, 5), (0.05, 20), (0.05, 90), (0.01, 60), (0.2, 40), (0.0125, 60)])
def test_with_a_horizon_the_chance_of_a_false_better_is_alpha_or_just_below(alpha: float, horizon: int) -> None:
    chance = ever(alpha, horizon)
    assert chance <= alpha
    # Whole pairs leave gaps that no threshold can use.
    assert chance >= (0.9 if horizon >= 60 else 0.6) * alpha


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.2])
def test_open_ended_the_chance_of_a_false_better_is_alpha_however_long_one_looks(alpha: float) -> None:
    far = 3000
    boundary = pair_boundary(alpha, None, far)
    spent = operating_characteristics(0.5, boundary, None, far).met
    assert 0.94 * alpha <= spent <= alpha


def test_a_losing_coin_crosses_less_often_than_a_fair_one() -> None:
    assert ever(0.05, 60, theta=0.45) < 0.03 < ever(0.05, 60)


def test_the_exact_threshold_is_lower_than_one_over_alpha_and_lower_still_with_a_horizon() -> None:
    levels = [math.exp(pair_threshold(0.05, horizon)) for horizon in (10, 50, 200, 1000, None)]
    assert levels == sorted(levels)
    assert levels[0] < 8 < 15 < levels[-1] < 18 < 20


def test_six_wins_without_a_loss_are_needed_and_enough_at_five_percent() -> None:
    assert better_log_e(5, 0) < pair_threshold(0.05) <= better_log_e(6, 0)
    assert better_log_e(5, 0) >= pair_threshold(0.05, 5)


def test_what_crosses_would_also_pass_mcnemars_exact_test_at_one_look() -> None:
    boundary = pair_boundary(0.05, None, 120)
    for n in range(6, 121):
        worst = int(boundary[n])
        assert stats.binomtest(n - worst, n, alternative="greater").pvalue <= 0.05


def test_the_boundary_never_falls_and_says_what_the_evidence_says() -> None:
    boundary = pair_boundary(0.05, None, 200)
    assert np.all(np.diff(boundary) >= 0)
    for n in (6, 30, 200):
        lost = int(boundary[n])
        assert better_log_e(n - lost, lost) >= pair_threshold(0.05) > better_log_e(n - lost - 1, lost + 1)


@pytest.mark.parametrize("n", [1, 7, 40])
def test_on_a_fair_coin_the_evidence_is_worth_one_on_average(n: int) -> None:
    lost = np.arange(n + 1)
    values = [math.exp(better_log_e(n - k, k)) for k in lost.tolist()]
    assert math.isclose(float(stats.binom.pmf(lost, n, 0.5) @ values), 1.0, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("a_only", "b_only"), [(0.18, 0.08), (0.12, 0.02), (0.27, 0.12), (0.07, 0.02), (0.04, 0.01), (0.13, 0.03)]
)
def test_mean_pairs_stay_within_1_15_times_the_limit(a_only: float, b_only: float) -> None:
    differ, theta = a_only + b_only, a_only / (a_only + b_only)
    limit = math.log(20) / (theta * math.log(2 * theta) + (1 - theta) * math.log(2 * (1 - theta))) / differ
    walk = operating_characteristics(1 - theta, pair_boundary(0.05, None, 2000), None, 2000)
    assert walk.met > 0.9999
    assert walk.expected_calls / differ <= 1.15 * limit


# ---------------------------------------------------------------- by how much


@pytest.mark.parametrize("margin", [-0.3, 0.0, 0.05, 0.4])
@pytest.mark.parametrize("differ", [0.45, 0.7, 1.0])
def test_a_true_difference_at_the_margin_makes_the_evidence_worth_one_on_average(margin: float, differ: float) -> None:
    won, lost, n = (differ - margin) / 2, (differ + margin) / 2, 9
    total = 0.0
    for w, l in itertools.product(range(n + 1), repeat=2):
        if w + l <= n:
            chance = stats.multinomial.pmf([w, l, n - w - l], n, [won, lost, 1 - won - lost])
            total += chance * math.exp(below_log_e(w, l, n, margin))
    assert math.isclose(total, 1.0, rel_tol=1e-9)


def test_ties_show_that_two_variants_are_alike_but_never_that_one_is_better() -> None:
    assert below_log_e(0, 0, 90, 0.05) > math.log(20)
    assert better_log_e(0, 0) == pytest.approx(0.0)


def test_an_end_of_the_interval_is_where_the_evidence_reaches_its_threshold() -> None:
    low, high = difference_interval(30, 12, 200, alpha=0.1)
    assert below_log_e(30, 12, 200, high) == pytest.approx(math.log(20), abs=1e-6)
    assert below_log_e(12, 30, 200, -low) == pytest.approx(math.log(20), abs=1e-6)
    assert below_log_e(30, 12, 200, high + 0.01) > math.log(20)


def test_the_interval_mirrors_when_a_and_b_change_places() -> None:
    low, high = difference_interval(12, 2, 100)
    assert difference_interval(2, 12, 100) == (-high, -low)


@pytest.mark.parametrize(("won", "lost", "n"), [(0, 0, 0), (0, 0, 1000), (0, 5000, 5000), (7, 0, 7), (500, 500, 1000)])
def test_the_interval_is_never_empty_never_of_zero_width_and_holds_the_estimate(won: int, lost: int, n: int) -> None:
    low, high = difference_interval(won, lost, n)
    assert -1 <= low < high <= 1
    assert low <= ((lost - won) / n if n else 0) <= high
    assert difference_limit(won, lost, n) <= high


def test_arrays_of_counts_give_the_same_ends() -> None:
    low, high = difference_interval_array([1, 12], [0, 2], [10, 100], 0.05)
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == [
        difference_interval(1, 0, 10),
        difference_interval(12, 2, 100),
    ]


@pytest.mark.parametrize("shares", [(0.02, 0.02), (0.12, 0.02), (0.3, 0.45), (0.0, 0.01)])
def test_the_true_difference_is_rarely_ever_outside_looking_after_every_pair(shares: tuple[float, float]) -> None:
    rng = np.random.default_rng(11)
    runs, n = 600, 800
    seen = np.cumsum(rng.multinomial(1, [*shares, 1 - sum(shares)], size=(runs, n)), axis=1)
    true, looks = shares[1] - shares[0], np.arange(1, n + 1)
    missed = np.zeros(runs, bool)
    for side, (a, b) in ((1, (0, 1)), (-1, (1, 0))):
        # The limit falls below the truth exactly when the evidence against the truth reaches the threshold.
        sums = seen[..., a, None] * stakes(-1.0) + seen[..., b, None] * stakes(1.0)
        missed |= (log_e_below(sums, looks, side * true) >= math.log(40)).any(axis=1)
    assert missed.mean() <= 0.05
    low, high = difference_interval_array(seen[:, -1, 0], seen[:, -1, 1], n, 0.05)
    assert not np.any(((true < low) | (true > high)) & ~missed)


@pytest.mark.parametrize(("a_only", "b_only", "times"), [(0.1, 0.1, 1.85), (0.12, 0.02, 1.85), (0.3, 0.3, 1.85)])
def test_the_interval_is_less_than_twice_as_wide_as_one_for_a_single_look(
    a_only: float, b_only: float, times: float
) -> None:
    for n in (300, 3000):
        low, high = difference_interval(round(a_only * n), round(b_only * n), n)
        once = 2 * 1.96 * math.sqrt((a_only + b_only - (a_only - b_only) ** 2) / n)
        assert once < high - low < times * once


# ---------------------------------------------------------------- graded differences


def test_graded_differences_are_worth_at_most_one_on_average_at_the_margin() -> None:
    d, chance = np.array([-0.8, -0.1, 0.0, 0.3, 1.0]), np.array([0.1, 0.3, 0.2, 0.2, 0.2])
    margin = float(d @ chance)
    total = 0.0
    for path in itertools.product(range(5), repeat=4):
        total += math.prod(chance[list(path)]) * math.exp(float(log_e_below(stakes(d[list(path)]).sum(0), 4, margin)))
    assert math.isclose(total, 1.0, rel_tol=1e-9)


def test_zero_one_differences_give_the_counts_evidence() -> None:
    sums = stakes([-1, 1, 0, -1, 0]).sum(axis=0)
    assert float(sign_log_e(sums)) == pytest.approx(better_log_e(2, 1))
    assert float(log_e_below(sums, 5, 0.1)) == pytest.approx(below_log_e(2, 1, 5, 0.1))
    assert float(upper_end(sums, 5, math.log(20))) == pytest.approx(difference_limit(2, 1, 5))


# ---------------------------------------------------------------- bad input


def test_impossible_questions_are_refused_in_one_sentence() -> None:
    for wrong in (
        lambda: better_log_e(-1, 0),
        lambda: below_log_e(3, 3, 5, 0.1),
        lambda: below_log_e(1, 1, 5, 1.0),
        lambda: below_log_e(1, 1, 5, math.nan),
        lambda: difference_interval(1, 1, 5, alpha=0.0),
        lambda: difference_limit(1, 5, 5),
        lambda: pair_threshold(1.0),
        lambda: pair_threshold(math.nan),
    ):
        with pytest.raises(ValueError, match="got"):
            wrong()


def test_a_horizon_within_which_nothing_can_be_shown_names_the_least_one() -> None:
    with pytest.raises(ValueError, match="declare 5 or more"):
        pair_threshold(0.05, 4)
    with pytest.raises(ValueError, match="declare 3 or more"):
        pair_threshold(0.25, 1)
    assert pair_boundary(0.26, 2, 2).tolist() == [-1, -1, 0]
