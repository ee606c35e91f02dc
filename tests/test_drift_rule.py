"""When it is an alarm: the stated run length is kept, exactly where it can be enumerated, else by seeded simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reroll.drift_rule import (
    BASELINES,
    FAILURES,
    LEAST_BASELINE,
    ODDS,
    RATIOS,
    WEIGHTS,
    DriftRule,
    baseline_limit,
    drift_rule,
)


def factors(baseline: float) -> tuple[np.ndarray, np.ndarray]:
    """L_j after a failure and after a pass, from the definition of the likelihood ratio."""
    odds = np.array(ODDS) * baseline / (1 - baseline)
    q = odds / (1 + odds)
    return q / baseline, (1 - q) / (1 - baseline)


def mean_at_alarm(rule: DriftRule, runs: int, seed: int) -> tuple[float, float]:
    """Mean of S at the first alarm at the baseline, which is the run length, and its standard error."""
    rng = np.random.default_rng(seed)
    up, down = factors(rule.baseline)
    bets, ended = np.zeros((runs, len(up))), []
    while len(bets):
        passes = rng.geometric(rule.baseline, len(bets))[:, None] - 1
        limit = down / (1 - down)
        bets = (limit + (bets - limit) * down**passes + 1) * up
        s = bets @ WEIGHTS
        ended.append(s[s >= rule.threshold])
        bets = bets[s < rule.threshold]
    at = np.concatenate(ended)
    return float(at.mean()), float(at.std() / math.sqrt(runs))


@pytest.mark.parametrize("run_length", [6, 7, 9])
def test_every_stream_of_coin_flips_enumerated_the_run_length_is_kept(run_length: int) -> None:
    rule = drift_rule(0.5, run_length)
    assert rule.tuned
    up, down = factors(0.5)
    bets, mean, depth = np.zeros((1, len(up))), 0.0, 17
    for t in range(depth):
        mean += len(bets) / 2**t  # P(no alarm in the first t calls)
        failed, passed = (bets + 1) * up, (bets + 1) * down
        bets = np.concatenate([failed[failed @ WEIGHTS < rule.threshold], passed])
    assert mean >= run_length


@pytest.mark.parametrize(
    ("baseline", "run_length"),
    [
        (0.01, 10_000),
        (0.001, 10_000),
        (0.002, 20_000),
        (0.015, 2500),
        (0.05, 1000),
        (0.13, 300),
        (0.3, 400),
        (1e-5, 3e5),
        (0.1, 10_000),
        (0.02, 200_000),
    ],
)
def test_the_run_length_is_kept_and_not_by_far_too_much(baseline: float, run_length: float) -> None:
    rule = drift_rule(baseline, run_length)
    mean, error = mean_at_alarm(rule, 4000, seed=1)
    assert rule.tuned
    assert mean + 3 * error >= run_length
    assert mean <= 1.4 * run_length


@given(st.floats(1e-7, 0.999), st.floats(1, 1e9))
def test_a_threshold_is_below_the_run_length_only_where_that_was_checked(baseline: float, run_length: float) -> None:
    rule = drift_rule(baseline, run_length)
    assert 0 < rule.threshold <= run_length
    inside = LEAST_BASELINE <= baseline <= BASELINES[-1] and FAILURES[0] <= baseline * run_length <= FAILURES[1]
    assert rule.tuned == inside
    assert drift_rule(baseline, run_length, "loss").threshold == run_length


def test_the_table_has_a_row_for_every_band() -> None:
    assert len(RATIOS) == len(BASELINES)
    assert all(400 < entry < 1000 for row in RATIOS for entry in row)
    assert math.fsum(WEIGHTS) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("failures", "n"), [(0, 1), (0, 300), (3, 1000), (40, 400), (299, 300), (2000, 100_000)])
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
def test_the_baseline_limit_is_clopper_and_pearsons(failures: int, n: int, confidence: float) -> None:
    limit = baseline_limit(failures, n, confidence)
    assert limit == pytest.approx(stats.beta.ppf(confidence, failures + 1, n - failures), rel=1e-7)


def test_a_rule_from_an_estimated_baseline_keeps_its_run_length_as_often_as_stated() -> None:
    # The limit is at or above the true rate with the confidence; a higher baseline only makes alarms rarer.
    for n, rate in ((300, 0.01), (1000, 0.01), (200, 0.1)):
        fails = np.arange(n)
        above = [baseline_limit(int(f), n, 0.9) >= rate for f in fails[: int(4 * n * rate) + 5]]
        chance = stats.binom.pmf(fails[: len(above)], n, rate)
        assert 1 - (chance * ~np.array(above)).sum() >= 0.9


@pytest.mark.parametrize("baseline", [0, 1, -0.1, 1.5, math.nan])
def test_a_baseline_must_be_a_rate(baseline: float) -> None:
    with pytest.raises(ValueError, match=r"baseline lies strictly between 0 and 1, got .*give the rate"):
        drift_rule(baseline)


@pytest.mark.parametrize("run_length", [0, 0.5, -3, math.inf, math.nan])
def test_a_run_length_must_be_a_number_of_calls(run_length: float) -> None:
    with pytest.raises(ValueError, match="number of calls between false alarms"):
        drift_rule(0.01, run_length)


def test_other_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="watches fail, invalid, loss, got 'pass'"):
        drift_rule(0.01, watches="pass")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threshold lies in"):
        DriftRule(0.01, 100, "fail", 101)
    for failures, n in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match="failures must lie in"):
            baseline_limit(failures, n)
    with pytest.raises(ValueError, match="no worse rate"):
        baseline_limit(5, 5)
    with pytest.raises(ValueError, match="confidence"):
        baseline_limit(1, 5, math.nan)
