"""Counts into e-values, thresholds and intervals: against exact recursion, scipy and each other."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reroll.calibrate import (
    NEVER,
    met_boundary,
    not_met_boundary,
    operating_characteristics,
    thresholds,
)
from reroll.evidence import (
    Evidence,
    graded_interval,
    interval,
    interval_array,
    interval_of,
    lower_limit,
    met_log_e,
    not_met_log_e,
    refuted_from,
    upper_limit,
)

counts = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
rates = st.floats(1e-4, 0.5)


# ---------------------------------------------------------------- Evidence


@pytest.mark.parametrize(
    ("failures", "n", "invalid", "estimate", "passes", "at_worst"),
    [(0, 0, 0, None, 0, 0), (1, 10, 0, 0.1, 9, 1), (1, 12, 2, 0.1, 9, 3), (0, 3, 3, None, 0, 3)],
)
def test_the_estimate_leaves_invalid_samples_out_but_n_keeps_them(
    failures: int, n: int, invalid: int, estimate: float | None, passes: int, at_worst: int
) -> None:
    evidence = Evidence(failures, n, invalid)
    assert (evidence.estimate, evidence.passes, evidence.at_worst) == (estimate, passes, at_worst)


@pytest.mark.parametrize(("failures", "n", "invalid"), [(-1, 2, 0), (3, 2, 0), (1, 2, 2), (0, -1, 0)])
def test_impossible_counts_are_refused_with_what_was_got(failures: int, n: int, invalid: int) -> None:
    with pytest.raises(ValueError, match="got"):
        Evidence(failures, n, invalid)


def test_evidence_adds_up_in_any_order() -> None:
    a, b = Evidence(1, 4, 1), Evidence(2, 9)
    assert a + b == b + a == Evidence(3, 13, 1)
    assert Evidence().add("fail").add("pass").add("invalid") == Evidence.of(["fail", "pass", "invalid"])
    with pytest.raises(ValueError, match="'timeout'"):
        Evidence.of(["pass", "timeout"])
    with pytest.raises(ValueError, match="'timeout'"):
        Evidence().add("timeout")


# ---------------------------------------------------------------- e-values


@given(rate=rates, n=st.integers(0, 30))
def test_under_the_null_an_e_value_has_mean_one(rate: float, n: int) -> None:
    f = np.arange(n + 1)
    chance = stats.binom.pmf(f, n, rate)
    for log_e in (met_log_e, not_met_log_e):
        mean = sum(p * math.exp(log_e(int(k), n, rate)) for k, p in zip(f, chance, strict=True))
        assert mean == pytest.approx(1, rel=1e-9)


@given(counts, rates)
def test_a_failure_lowers_met_and_raises_not_met_and_a_pass_does_the_reverse(fn: tuple[int, int], rate: float) -> None:
    f, n = fn
    assert met_log_e(f + 1, n + 1, rate) < met_log_e(f, n, rate) < met_log_e(f, n + 1, rate)
    assert not_met_log_e(f + 1, n + 1, rate) > not_met_log_e(f, n, rate) > not_met_log_e(f, n + 1, rate)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_cannot_be_tested_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        met_log_e(0, 1, rate)


# ---------------------------------------------------------------- thresholds


def test_the_thresholds_for_99_percent_are_the_exact_ones() -> None:
    c = thresholds(0.01, 0.05)
    assert math.exp(c.met) == pytest.approx(19.95, abs=0.01)
    assert math.exp(c.not_met) == pytest.approx(9.41, abs=0.01)


@pytest.mark.parametrize(
    ("rate", "alpha", "horizon"),
    [
        (0.01, 0.05, None),
        (0.01, 0.05, 1000),
        (0.01, 0.01, None),
        (0.01, 0.1, 700),
        (0.02, 0.05, None),
        (0.05, 0.001, None),
        (0.1, 0.05, None),
        (0.1, 0.2, 60),
        (0.3, 0.05, None),
        (0.5, 0.05, None),
        (0.5, 0.01, 40),
        (0.003, 0.05, 2000),
    ],
)
def test_the_chance_of_ever_crossing_is_at_most_alpha_on_both_sides(
    rate: float, alpha: float, horizon: int | None
) -> None:
    n = horizon or int(200 / rate)  # beyond the calibration's own walk
    met = met_boundary(rate, alpha, horizon, n)
    not_met = not_met_boundary(rate, alpha, horizon, n)
    for p in (rate, min(1.0, 1.3 * rate)):
        assert operating_characteristics(p, met, None, n).met <= alpha
    for p in (rate, 0.7 * rate):
        assert operating_characteristics(p, None, not_met, n).not_met <= alpha


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_hardly_any_of_alpha_is_left_unspent(rate: float) -> None:
    n = int(200 / rate)
    met = operating_characteristics(rate, met_boundary(rate, 0.05, None, n), None, n)
    not_met = operating_characteristics(rate, None, not_met_boundary(rate, 0.05, None, n), n)
    assert met.met > 0.048
    assert not_met.not_met > 0.049


@settings(max_examples=25, deadline=None)
@given(
    rate=st.floats(1e-4, 0.5),
    alpha=st.floats(0.001, 0.2),
    horizon=st.one_of(st.none(), st.integers(1, 100_000)),
)
def test_thresholds_never_exceed_the_plain_one_and_boundaries_never_fall(
    rate: float, alpha: float, horizon: int | None
) -> None:
    c = thresholds(rate, alpha, horizon)
    assert 0 < c.met <= -math.log(alpha)
    assert 0 < c.not_met <= -math.log(alpha)
    met, not_met = met_boundary(rate, alpha, horizon, 500), not_met_boundary(rate, alpha, horizon, 500)
    assert (np.diff(met) >= 0).all()
    assert (np.diff(met) <= 1).all()
    assert (np.diff(not_met[not_met < NEVER]) >= 0).all()
    assert (met < not_met).all()


@pytest.mark.parametrize(("rate", "alpha"), [(0.01, 0.05), (0.2, 0.01)])
def test_boundaries_are_where_the_log_e_crosses(rate: float, alpha: float) -> None:
    c = thresholds(rate, alpha)
    met, not_met = met_boundary(rate, alpha, None, 600), not_met_boundary(rate, alpha, None, 600)
    for n in (1, 2, 3, 16, 17, 40, 354, 355, 356, 600):
        certify = [f for f in range(n + 1) if met_log_e(f, n, rate) >= c.met]
        refuse = [f for f in range(n + 1) if not_met_log_e(f, n, rate) >= c.not_met]
        assert met[n] == max(certify, default=-1)
        assert not_met[n] == min(refuse, default=NEVER)


@pytest.mark.parametrize(("horizon", "calls"), [(None, 355), (1000, 317), (400, 299)])
def test_zero_failures_certify_99_percent_after_exactly_so_many_calls(horizon: int | None, calls: int) -> None:
    boundary = met_boundary(0.01, 0.05, horizon, 400)
    assert int(np.argmax(boundary >= 0)) == calls


@pytest.mark.parametrize(
    ("p", "bound_ratio"),
    [(0.0, 1.20), (0.001, 1.20), (0.002, 1.20), (0.005, 1.20), (0.02, 1.21), (0.05, 1.20), (0.20, 1.50)],
)
def test_expected_calls_stay_near_the_limit_of_any_method(p: float, bound_ratio: float) -> None:
    n = 16_000
    result = operating_characteristics(p, met_boundary(0.01, 0.05, None, n), not_met_boundary(0.01, 0.05, None, n), n)
    kl = (p * math.log(p / 0.01) if p else 0) + (1 - p) * math.log((1 - p) / 0.99)
    assert result.expected_calls <= bound_ratio * math.log(20) / kl


@pytest.mark.parametrize(("p", "calls"), [(0.05, 84), (0.20, 10)])
def test_a_bad_system_is_refused_after_few_calls(p: float, calls: int) -> None:
    n = 4000
    result = operating_characteristics(p, met_boundary(0.01, 0.05, None, n), not_met_boundary(0.01, 0.05, None, n), n)
    assert result.expected_calls == pytest.approx(calls, abs=0.5)
    assert result.not_met > 0.9999


@pytest.mark.parametrize("rate", [0.0001, 0.01, 0.5])
def test_thresholds_are_quick(rate: float) -> None:
    thresholds.cache_clear()
    start = time.process_time()
    thresholds(rate, 0.0499)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(("alpha", "horizon"), [(0.0, None), (1.0, None), (0.05, 0)])
def test_impossible_calibrations_are_refused(alpha: float, horizon: int | None) -> None:
    with pytest.raises(ValueError, match="got"):
        thresholds(0.01, alpha, horizon)


# ---------------------------------------------------------------- the exact walk


def test_the_exact_walk_agrees_with_a_seeded_simulation() -> None:
    n, p, rate = 400, 0.03, 0.05
    met, not_met = met_boundary(rate, 0.05, None, n), not_met_boundary(rate, 0.05, None, n)
    exact = operating_characteristics(p, met, not_met, n)
    rng = np.random.default_rng(7)
    failures = np.cumsum(rng.random((4000, n)) < p, axis=1)
    crossed_met, crossed_not = failures <= met[1:], failures >= not_met[1:]
    first_met = np.where(crossed_met.any(1), crossed_met.argmax(1), n)
    first_not = np.where(crossed_not.any(1), crossed_not.argmax(1), n)
    assert np.mean(first_met < first_not) == pytest.approx(exact.met, abs=0.025)
    assert np.mean(first_not < first_met) == pytest.approx(exact.not_met, abs=0.015)
    calls = np.minimum(np.minimum(first_met, first_not) + 1, n)
    assert calls.mean() == pytest.approx(exact.expected_calls, rel=0.03)


def test_the_exact_walk_without_boundaries_never_decides() -> None:
    result = operating_characteristics(0.3, None, None, 50)
    assert (result.undecided, result.expected_calls) == pytest.approx((1, 50))
    assert result.quantile(0.5) is None
    with pytest.raises(ValueError, match=r"in 0\.\.\.1"):
        operating_characteristics(1.2, None, None, 5)
    with pytest.raises(ValueError, match="reach the budget"):
        operating_characteristics(0.1, met_boundary(0.01, 0.05, None, 10), None, 50)


# ---------------------------------------------------------------- intervals


def test_the_interval_ever_misses_the_rate_with_chance_at_most_alpha() -> None:
    n_max, alpha = 300, 0.05
    n = np.arange(n_max + 1)
    low, high = interval_array(n[None, :], np.maximum(n[:, None], n[None, :]), alpha)  # (n, failures)
    reachable = n[None, :] <= n[:, None]
    for p in (0.003, 0.01, 0.05, 0.2, 0.5, 0.9):
        below = np.where(reachable & (high < p), n[None, :], -1).max(axis=1)
        above = np.where(reachable & (low > p), n[None, :], NEVER).min(axis=1)
        result = operating_characteristics(p, below, above, n_max)
        assert result.met + result.not_met <= alpha, p


@pytest.mark.parametrize("n", [10, 30, 100, 300, 1000, 3000])
def test_at_zero_failures_the_interval_is_at_most_a_quarter_wider_than_clopper_pearson(n: int) -> None:
    fixed = stats.binomtest(0, n).proportion_ci(0.95, "exact")
    low, high = interval(0, n)
    assert low == 0
    assert high / fixed.high <= 1.25


@pytest.mark.parametrize(("n", "ratio"), [(30, 1.7), (100, 1.7), (300, 1.7), (3000, 1.85)])
@pytest.mark.parametrize("p", [0.01, 0.05, 0.2, 0.5])
def test_the_mean_width_stays_near_clopper_pearson(n: int, ratio: float, p: float) -> None:
    f = np.arange(n + 1)
    chance = stats.binom.pmf(f, n, p)
    low, high = interval_array(f, n, 0.05)
    fixed_low = np.nan_to_num(stats.beta.ppf(0.025, f, n - f + 1))
    fixed_high = np.nan_to_num(stats.beta.ppf(0.975, f + 1, n - f), nan=1.0)
    assert ((high - low) * chance).sum() / ((fixed_high - fixed_low) * chance).sum() <= ratio


@settings(deadline=None)
@given(counts)
def test_an_interval_holds_the_estimate_and_moves_with_the_counts(fn: tuple[int, int]) -> None:
    f, n = fn
    low, high = interval(f, n)
    assert 0 <= low <= high <= 1
    assert n == 0 or low <= f / n <= high
    assert interval(f, n, alpha=0.01)[0] <= low
    assert lower_limit(f, n) >= low
    assert upper_limit(f, n) <= high
    if f < n:
        assert interval(f + 1, n)[0] >= low
        assert interval(f + 1, n)[1] >= high
    assert interval(f, n + 1)[1] <= high


def test_without_samples_nothing_is_known() -> None:
    assert interval(0, 0) == (0.0, 1.0)
    assert (lower_limit(0, 0), upper_limit(0, 0), refuted_from(0, 0)) == (0.0, 1.0, 1.0)


@settings(deadline=None)
@given(counts, st.integers(0, 20))
def test_invalid_samples_widen_the_interval_both_ways(fn: tuple[int, int], invalid: int) -> None:
    f, n = fn
    low, high = interval_of(Evidence(f, n + invalid, invalid))
    assert low == interval(f, n + invalid)[0]
    assert high == interval(f + invalid, n + invalid)[1]


@settings(deadline=None)
@given(st.lists(st.integers(0, 1), max_size=60))
def test_graded_scores_of_zero_and_one_give_the_count_interval(scores: list[int]) -> None:
    assert graded_interval(scores) == pytest.approx(interval(sum(scores), len(scores)), abs=1e-9)


def test_the_graded_interval_ever_misses_a_mean_rarely() -> None:
    rng = np.random.default_rng(11)
    looks = (1, 2, 4, 8, 16, 32, 64)
    misses = 0
    for _ in range(150):
        scores = rng.beta(0.3, 2.7, 64).tolist()  # mean 0.1
        ends = [graded_interval(scores[:n]) for n in looks]
        misses += any(not low <= 0.1 <= high for low, high in ends)
    assert misses / 150 <= 0.05
    with pytest.raises(ValueError, match=r"in 0\.\.\.1"):
        graded_interval([0.5, 1.5])


@settings(deadline=None)
@given(counts)
def test_every_rate_above_the_refuted_one_is_refuted_too(fn: tuple[int, int]) -> None:
    f, n = fn
    limit = refuted_from(f, n)
    if limit < 1:
        for rate in np.linspace(limit, 1, 7, endpoint=False):
            assert met_log_e(f, n, float(rate)) >= math.log(20) - 1e-6
