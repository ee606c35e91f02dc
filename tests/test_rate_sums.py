"""Weighted sums of success rates: their ranges hold what is true, at every look, whatever was drawn next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reroll.evidence import Evidence, interval
from reroll.rate_sums import FEW, Measured, more_until, next_counts, sum_ranges

counted = st.integers(0, 60).flatmap(
    lambda n: st.tuples(st.integers(0, n), st.just(n)).map(lambda c: Measured(Evidence(c[0], c[1])))
)


def rated(*pairs: tuple[int, int]) -> list[Measured]:
    return [Measured(Evidence(failures, n)) for failures, n in pairs]


@settings(max_examples=40, deadline=None)
@given(st.lists(counted, min_size=2, max_size=4), st.data())
def test_a_range_holds_its_estimate_and_is_inside_what_the_single_rates_allow(
    rates: list[Measured], data: st.DataObject
) -> None:
    weights = data.draw(st.lists(st.floats(-1, 1), min_size=len(rates), max_size=len(rates)))
    (found,) = sum_ranges([weights], rates, 0.1)
    assert found.low is not None
    assert found.high is not None
    box = [interval(r.seen.failures, r.seen.n, 0.05 / len(rates)) for r in rates]
    least = sum(w * (1 - (high if w > 0 else low)) for w, (low, high) in zip(weights, box, strict=True))
    most = sum(w * (1 - (low if w > 0 else high)) for w, (low, high) in zip(weights, box, strict=True))
    assert least - 1e-9 <= found.low <= found.high <= most + 1e-9
    if found.value is not None:
        assert found.low <= found.value <= found.high


def test_several_middling_rates_make_a_narrower_sum_than_their_own_intervals_would() -> None:
    rates = rated((100, 200), (100, 200), (100, 200), (100, 200))
    (found,) = sum_ranges([[0.5, 0.5, -0.5, -0.5]], rates)
    assert found.low is not None
    assert found.high is not None
    box = 4 * 0.5 * (interval(100, 200, 0.05 / 4)[1] - interval(100, 200, 0.05 / 4)[0])
    assert found.high - found.low < 0.85 * box


def test_the_range_reaches_every_set_of_rates_that_the_bets_leave_standing() -> None:
    """Held against a grid: where all bets together won less than 2 / alpha, and each rate is inside its own range."""
    rates, weights, alpha = rated((3, 12), (9, 20)), np.array([0.7, -0.4]), 0.1
    grid = np.linspace(1e-6, 1 - 1e-6, 801)
    s, t = np.meshgrid(grid, grid, indexing="ij")

    def won(rate: np.ndarray, m: Measured) -> np.ndarray:
        q = (np.arange(20_000) + 0.5) / 20_000
        half = 1 / (np.pi * np.sqrt(q * (1 - q)))
        likely = float((half * q**m.seen.passes * (1 - q) ** m.seen.failures).mean())
        return np.asarray(np.log(0.5 * likely) - m.seen.passes * np.log(rate) - m.seen.failures * np.log1p(-rate))

    inside = won(s, rates[0]) + won(t, rates[1]) < np.log(2 / alpha)
    for axis, m in ((s, rates[0]), (t, rates[1])):
        low, high = interval(m.seen.failures, m.seen.n, alpha / 4)
        inside &= (axis > 1 - high) & (axis < 1 - low)
    sums = (weights[0] * s + weights[1] * t)[inside]
    (found,) = sum_ranges([weights.tolist()], rates, alpha)
    assert found.low == pytest.approx(sums.min(), abs=0.01)
    assert found.high == pytest.approx(sums.max(), abs=0.01)


def test_ranges_hold_at_every_look_though_the_next_run_goes_where_it_tells_most() -> None:
    rng = np.random.default_rng(5)
    alpha, missed = 0.2, 0
    for _ in range(25):
        true = rng.choice([0.0, 0.05, 0.5, 0.95, 1.0], size=4)
        rows = [[-0.6, -0.4, 0.3, 0.7], [0.1, -0.1, 0.1, -0.1]]
        seen = [Evidence()] * 4
        wrong = False
        for _ in range(4):
            given_ = next_counts(rows, [Measured(e) for e in seen], 24)
            for k, n in enumerate(given_):
                fails = int((rng.random(n) >= true[k]).sum())
                seen[k] = seen[k] + Evidence(fails, n)
            for row, found in zip(rows, sum_ranges(rows, [Measured(e) for e in seen], alpha), strict=True):
                assert found.low is not None
                assert found.high is not None
                wrong |= not found.low - 1e-9 <= float(np.dot(row, true)) <= found.high + 1e-9
        missed += wrong
    assert missed <= 25 * alpha


def test_what_is_known_without_a_run_has_no_width_and_what_could_not_be_judged_counts_both_ways() -> None:
    known = Measured(sure=1.0)
    (found,) = sum_ranges([[0.3]], [known])
    assert (found.value, found.low, found.high) == (0.3, 0.3, 0.3)
    clean, torn = Measured(Evidence(0, 40)), Measured(Evidence(0, 40, invalid=10))
    (a,), (b,) = sum_ranges([[1.0]], [clean]), sum_ranges([[1.0]], [torn])
    assert a.low is not None
    assert b.low is not None
    assert b.low < a.low - 0.1
    assert b.high == a.high == 1.0


def test_without_a_run_anything_may_be() -> None:
    (found,) = sum_ranges([[0.6, -0.4]], [Measured(), Measured()])
    assert found.value is None
    assert found.low == pytest.approx(-0.4)
    assert found.high == pytest.approx(0.6)


def test_every_rate_gets_a_few_runs_before_the_widest_gets_the_rest() -> None:
    given_ = next_counts([[0.5, 0.5]], rated((0, 0), (0, 0)), 2 * FEW)
    assert given_ == [FEW, FEW]
    assert next_counts([[0.5, 0.5]], rated((0, 50), (25, 50)), 4) == [0, 4]
    assert next_counts([[0.5, 0.0]], rated((1, 9), (0, 0)), 4) == [4, 0]
    assert next_counts([[1.0]], [Measured(sure=0.0)], 4) == [0]


def test_how_many_more_runs_would_tell_falls_to_none_needed_and_has_no_end_where_nothing_differs() -> None:
    weights = [1.0, -1.0]
    assert more_until(weights, rated((0, 60), (60, 60)), 0.05) == 0
    few = more_until(weights, rated((4, 20), (10, 20)), 0.05)
    assert few is not None
    assert few > 0
    (later,) = sum_ranges([weights], rated((4 + few // 10, 20 + few // 2), (10 + few // 4, 20 + few // 2)), 0.05)
    assert later.low is not None
    assert later.low > -0.05, "about so many do tell"
    assert more_until(weights, rated((10, 20), (10, 20)), 0.05) is None
    assert more_until(weights, rated((0, 60), (60, 60)), 0.05, (-2.0, 0.0)) is None


def test_rows_of_another_length_and_impossible_alphas_are_refused() -> None:
    with pytest.raises(ValueError, match="weight for each"):
        sum_ranges([[1.0]], rated((0, 1), (0, 1)))
    with pytest.raises(ValueError, match="alpha"):
        sum_ranges([[1.0]], rated((0, 1)), 1.0)
