"""Whether wordings differ, and the shares of the variance: exact where a round can be enumerated, else seeded."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from reroll.evidence import Evidence
from reroll.variation import predicted_log_odds, round_log_e, variance_shares, wordings_differ


def rounds_of(fails: np.ndarray) -> list[list[str]]:
    return [["fail" if f else "pass" for f in row] for row in fails]


# ---------------------------------------------------------------- a round


@pytest.mark.parametrize("size", range(6))
def test_over_all_sets_of_a_size_the_mean_of_e_is_1_whatever_the_odds(size: int) -> None:
    odds = np.array([-3.0, 0.5, 0.0, 4.0, -1.0])
    sets = np.array([fail for fail in itertools.product([False, True], repeat=5) if sum(fail) == size])
    assert np.exp(round_log_e(sets, np.broadcast_to(odds, sets.shape))).mean() == pytest.approx(1)


def test_a_round_in_which_none_or_all_failed_says_nothing() -> None:
    odds = np.array([1.0, -1.0, 2.0])
    assert round_log_e(np.zeros(3, bool), odds) == round_log_e(np.ones(3, bool), odds) == 0


def test_many_wordings_with_extreme_odds_do_not_overflow() -> None:
    odds = np.repeat([-9.2, 9.2], 200)
    fail = odds > 0
    assert round_log_e(fail, odds) == pytest.approx(math.log(math.comb(400, 200)), abs=0.1)
    assert np.isfinite(round_log_e(~fail, odds))


def test_predictions_use_each_wordings_past_and_the_common_rate() -> None:
    odds = predicted_log_odds(np.array([0.0, 5.0]), np.array([5.0, 5.0]), 1.0)
    assert odds[0] < 0 < odds[1]
    assert predicted_log_odds(np.zeros(2), np.zeros(2), 3.0) == pytest.approx([0.0, 0.0])
    near = predicted_log_odds(np.array([0.0, 5.0]), np.array([5.0, 5.0]), 1000.0)
    assert np.abs(near).max() < 0.1


# ---------------------------------------------------------------- the verdict


def test_the_process_has_mean_1_over_every_outcome_of_two_rounds_that_drift() -> None:
    mean = 0.0
    for fails in itertools.product([False, True], repeat=8):
        table = np.array(fails).reshape(2, 4)
        chance = 1.0
        for row, p in zip(table, (0.1, 0.7), strict=True):
            chance *= p ** row.sum() * (1 - p) ** (4 - row.sum())
        mean += chance * math.exp(wordings_differ(rounds_of(table), alpha=1e-9).log_e)
    assert mean == pytest.approx(1)


def test_wordings_that_differ_are_found_and_the_verdict_keeps_its_evidence() -> None:
    rng = np.random.default_rng(1)
    rates = np.array([0.02, 0.05, 0.6, 0.1, 0.5])
    result = wordings_differ(rounds_of(rng.random((60, 5)) < rates))
    assert result.verdict == "differ"
    assert result.decided_at is not None
    assert result.decided_at <= 150
    assert result.decided_at % 5 == 0
    assert result.log_e >= math.log(20)
    assert result.calls == 300
    assert [rate.low <= p <= rate.high for rate, p in zip(result.rates, rates, strict=True)] == [True] * 5


def test_alike_wordings_are_rarely_said_to_differ_even_if_every_hour_is_another() -> None:
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(60):
        hours = rng.choice([0.02, 0.2, 0.9], size=(25, 1))
        wrong += wordings_differ(rounds_of(rng.random((25, 6)) < hours)).verdict == "differ"
    assert wrong <= 6  # 3 are allowed on average, about 1 is seen


def test_a_lasting_bad_hour_is_no_difference() -> None:
    assert wordings_differ([["pass"] * 4] * 30 + [["fail"] * 4] * 30).log_e == 0


def test_invalid_outcomes_never_give_more_evidence_than_any_outcome_they_hide() -> None:
    hidden = ["pass", "fail"]
    seen = [["fail", "pass", "pass", "pass"]] * 3 + [["fail", "invalid", "pass", "invalid"]]
    least = min(wordings_differ([*seen[:3], ["fail", a, "pass", b]], alpha=1e-9).log_e for a in hidden for b in hidden)
    assert wordings_differ(seen, alpha=1e-9).log_e <= least + 1e-12
    assert wordings_differ([["invalid"] * 4] * 40).verdict == "undecided"
    result = wordings_differ(seen)
    assert result.rates[1].n == 4
    assert result.rates[1].value == 0
    assert result.rates[1].high == result.rates[3].high > result.rates[2].high


def test_one_wording_that_always_times_out_is_not_shown_to_differ() -> None:
    # Its hidden outcomes might have been those of the others.
    assert wordings_differ([["invalid", "pass", "pass", "pass"]] * 40).verdict == "undecided"


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        ([], "at least 2 wordings"),
        ([["pass"]], "at least 2 wordings"),
        ([["pass", "fail"], ["pass"]], r"rounds of \[1, 2\]"),
        ([["pass", "timeout"]], "pass, fail or invalid, got 'timeout'"),
    ],
)
def test_rounds_that_cannot_be_are_refused(rounds: list[list[str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wordings_differ(rounds)
    with pytest.raises(ValueError, match="alpha"):
        wordings_differ([["pass", "fail"]], alpha=math.nan)


# ---------------------------------------------------------------- shares


def binomial_cells(rng: np.random.Generator, rates: np.ndarray, runs: int) -> list[list[Evidence]]:
    return [[Evidence(int(f), runs) for f in row] for row in rng.binomial(runs, rates)]


def test_the_mean_squares_are_unbiased_for_every_source() -> None:
    rng = np.random.default_rng(3)
    version, wording = np.array([-0.1, 0.0, 0.1]), np.linspace(-0.15, 0.15, 4)
    rates = 0.4 + version[:, None] + wording[None, :] + 0.03 * np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 0, 0]])
    found = [[s.variance for s in variance_shares(binomial_cells(rng, rates, 5))] for _ in range(250)]
    rest = rates - rates.mean(1, keepdims=True) - rates.mean(0, keepdims=True) + rates.mean()
    both = (rest**2).sum() / 6
    expected = [
        rates.mean(1).var(ddof=1) - both / 4,
        rates.mean(0).var(ddof=1) - both / 3,
        both,
        (rates * (1 - rates)).mean(),
    ]
    error = np.std(found, axis=0) / math.sqrt(len(found))
    assert np.all(np.abs(np.mean(found, axis=0) - expected) <= 4 * error)


def test_one_version_splits_into_wording_and_draw_as_the_textbook_says() -> None:
    counts, m = np.array([0, 1, 1, 2, 5, 0, 3, 1, 0, 2, 4, 1]), 5
    wording, sampling = variance_shares([[Evidence(int(f), m) for f in counts]])
    within = np.mean(counts / m * (1 - counts / m)) * m / (m - 1)
    assert sampling.variance == pytest.approx(within)
    assert wording.variance == pytest.approx(np.var(counts / m, ddof=1) - within / m)
    assert wording.share == pytest.approx(wording.variance / (wording.variance + within))
    assert (wording.levels, sampling.levels, wording.largest) == (12, 60, None)


def test_few_levels_are_compared_and_given_no_share() -> None:
    rng = np.random.default_rng(4)
    rates = np.repeat([[0.05], [0.1], [0.6]], 12, axis=1)
    sources = {s.name: s for s in variance_shares(binomial_cells(rng, rates, 5))}
    version = sources["version"]
    assert version.share is None
    assert version.largest is not None
    assert 0 < version.largest.low <= 0.55 <= version.largest.high
    assert sum(s.share for s in sources.values() if s.share is not None) == pytest.approx(1)
    assert sources["wording"].largest is None
    few = variance_shares(binomial_cells(rng, np.full((1, 4), 0.3), 5))
    assert [s.share for s in few] == [None, None]


def test_a_comparison_of_alike_versions_includes_no_difference() -> None:
    rng = np.random.default_rng(5)
    for _ in range(15):
        version = variance_shares(binomial_cells(rng, np.full((3, 12), 0.2), 4))[0]
        assert version.largest is not None
        assert version.largest.low == 0


def test_invalid_samples_leave_the_rates_and_widen_the_comparison() -> None:
    clean = variance_shares([[Evidence(1, 10), Evidence(5, 10)]])[0]
    torn = variance_shares([[Evidence(1, 12, 2), Evidence(5, 12, 2)]])[0]
    assert torn.variance == pytest.approx(clean.variance)
    assert torn.largest.high > clean.largest.high
    assert torn.largest.low <= clean.largest.low


def test_a_single_version_or_wording_is_left_out() -> None:
    assert [s.name for s in variance_shares([[Evidence(1, 5)], [Evidence(3, 5)]])] == ["version", "sampling"]
    assert [s.share for s in variance_shares([[Evidence(0, 5)] * 12])] == [None, None]  # nothing varies


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([], "at least 2 cells"),
        ([[Evidence(1, 5)]], "at least 2 cells"),
        ([[Evidence(1, 5)] * 2, [Evidence(1, 5)]], r"rows of \[1, 2\]"),
        ([[Evidence(1, 5), Evidence(0, 3, 2)]], "at least 2 judged samples, got one with 1"),
    ],
)
def test_tables_that_cannot_be_split_are_refused(cells: list[list[Evidence]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        variance_shares(cells)
    with pytest.raises(ValueError, match="alpha"):
        variance_shares([[Evidence(1, 5)] * 2], alpha=0)
