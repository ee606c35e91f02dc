"""Cases heard together: what shrinkage says of each, how often it is right, and when it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reroll.evidence import Evidence
from reroll.shrinkage import LEAST_LEVELS, flag_worse, shrink, spread, worse_than


def population(
    rng: np.random.Generator, mean: float, icc: float, cases: int, runs: int
) -> tuple[np.ndarray, list[Evidence]]:
    strength = 1 / icc - 1
    rates = rng.beta(mean * strength, (1 - mean) * strength, cases)
    return rates, [Evidence(int(f), runs) for f in rng.binomial(runs, rates)]


def test_a_case_is_drawn_towards_the_others_the_more_the_fewer_its_runs() -> None:
    others = [Evidence(1, 20)] * 8 + [Evidence(4, 20)] * 4
    few, many = (shrink([*others, case])[-1].rate.value for case in (Evidence(2, 4), Evidence(50, 100)))
    assert few is not None
    assert many is not None
    assert 0.09 < few < 0.3 < many < 0.5


def test_shrunken_rates_are_nearer_the_truth_than_raw_ones_and_their_ranges_hold() -> None:
    rng = np.random.default_rng(3)
    raw, ours, held = 0.0, 0.0, []
    for _ in range(6):
        rates, cases = population(rng, 0.05, 0.2, 50, 5)
        shrunk = shrink(cases)
        raw += sum((case.failures / case.n - p) ** 2 for case, p in zip(cases, rates, strict=True))
        ours += sum((case.rate.value - p) ** 2 for case, p in zip(shrunk, rates, strict=True))
        held += [case.rate.low <= p <= case.rate.high for case, p in zip(shrunk, rates, strict=True)]
    assert ours < 0.8 * raw
    assert np.mean(held) > 0.92
    assert all(case.rate.low == 0 for case, e in zip(shrunk, cases, strict=True) if e.failures == 0)


def test_ranges_never_collapse_where_the_likeliest_icc_is_0() -> None:
    for case in shrink([Evidence(1, 5)] * 6):
        assert case.rate.low < 0.1 < 0.2 < case.rate.high
    for case in shrink([Evidence(0, 5)] * 6):
        assert case.rate.low == 0
        assert case.rate.high > 0.05
    assert shrink([*[Evidence(5, 10)] * 10, Evidence(0, 5)])[-1].rate.low == 0
    assert shrink([*[Evidence(5, 10)] * 10, Evidence(5, 5)])[-1].rate.high == 1


def test_invalid_samples_widen_the_range_both_ways_and_stay_in_n() -> None:
    sure = [Evidence(1, 10)] * 11
    clean, torn = shrink([*sure, Evidence(2, 10)])[-1], shrink([*sure, Evidence(2, 10, 5)])[-1]
    assert torn.rate.n == 10
    assert torn.rate.low <= clean.rate.low
    assert torn.rate.high > clean.rate.high
    assert worse_than([*sure, Evidence(2, 10, 5)], 0.3)[-1] == worse_than([*sure, Evidence(2, 10)], 0.3)[-1]
    assert spread([*sure, Evidence(2, 10, 5)]).mean.high > spread([*sure, Evidence(2, 10)]).mean.high


def test_the_icc_has_a_range_that_holds_and_none_from_few_levels() -> None:
    rng = np.random.default_rng(4)
    held = []
    for _ in range(20):
        _, cases = population(rng, 0.2, 0.3, 24, 5)
        icc = spread(cases).icc
        assert icc is not None
        held.append(icc.low <= 0.3 <= icc.high)
    assert np.mean(held) >= 0.8
    few = spread([Evidence(1, 10)] * (LEAST_LEVELS - 1))
    assert few.icc is None
    assert "12 levels, got 11" in str(few.too_few)
    assert few.mean.value == pytest.approx(0.1, abs=0.02)


def test_alike_cases_may_have_an_icc_of_0() -> None:
    assert spread([Evidence(2, 10)] * 15).icc.low == 0
    quiet = spread([Evidence(0, 10)] * 15)
    assert (quiet.mean.low, quiet.mean.high < 0.1) == (0, True)


def test_few_flags_are_wrong() -> None:
    rng = np.random.default_rng(5)
    flags = wrong = 0
    for _ in range(40):
        rates, cases = population(rng, 0.05, 0.2, 50, 10)
        for i in flag_worse(cases, 0.2):
            flags, wrong = flags + 1, wrong + (rates[i] <= 0.2)
    assert flags > 20
    assert wrong <= 0.2 * flags


def test_flags_need_five_runs_of_every_case() -> None:
    with pytest.raises(ValueError, match="at least 5 runs of every case, got one with 4"):
        flag_worse([Evidence(4, 5), Evidence(4, 4)], 0.2)
    assert flag_worse([Evidence(0, 5), Evidence(0, 5), Evidence(5, 5)], 0.2) == (2,)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, math.nan])
def test_numbers_out_of_range_are_refused(bad: float) -> None:
    cases = [Evidence(1, 5)] * 3
    with pytest.raises(ValueError, match="alpha"):
        shrink(cases, bad)
    with pytest.raises(ValueError, match="alpha"):
        spread(cases, bad)
    with pytest.raises(ValueError, match="worse than"):
        worse_than(cases, bad)
    with pytest.raises(ValueError, match="sure"):
        flag_worse(cases, 0.2, bad)
