"""Retry arithmetic against brute-force simulation, exact moments and the worst corner."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from reroll.beta import clopper_pearson
from reroll.evidence import Evidence
from reroll.retry import (
    _gauss_jacobi,
    beside,
    deliver,
    deliver_range,
    ever_more,
    floor,
    next_try_works,
    passes_within,
)

RUNS = 400_000


def pipeline(p: float, tpr: float, fpr: float, retries: int, icc: float, rng: np.random.Generator) -> list[float]:
    """Bad, refused and attempts of the pipeline itself, request by request."""
    total = math.inf if icc == 0 else 1 / icc - 1
    mine = np.full(RUNS, p) if icc == 0 else rng.beta(p * total, (1 - p) * total, RUNS)
    waiting, bad, attempts = np.ones(RUNS, bool), np.zeros(RUNS, bool), np.zeros(RUNS)
    for _ in range(retries + 1):
        attempts += waiting
        is_bad = rng.random(RUNS) < mine
        flagged = rng.random(RUNS) < np.where(is_bad, tpr, fpr)
        bad |= waiting & is_bad & ~flagged
        waiting &= flagged
    return [float(bad.mean()), float(waiting.mean()), float(attempts.mean())]


@pytest.mark.parametrize(
    ("p", "tpr", "fpr", "retries", "icc"),
    [
        (0.05, 0.8, 0.05, 0, 0.0),
        (0.05, 0.8, 0.05, 3, 0.3),
        (0.2, 0.95, 0.02, 1, 0.3),
        (0.3, 0.2, 0.6, 2, 0.8),  # a detector worse than a coin
        (0.5, 1.0, 0.0, 5, 0.1),
    ],
)
def test_the_formula_is_what_the_pipeline_does(p: float, tpr: float, fpr: float, retries: int, icc: float) -> None:
    told = deliver(p, tpr, fpr, retries, icc)
    bad, refused, attempts = pipeline(p, tpr, fpr, retries, icc, np.random.default_rng(11))
    assert told.bad == pytest.approx(bad, abs=0.004)
    assert told.refused == pytest.approx(refused, abs=0.004)
    assert told.attempts == pytest.approx(attempts, abs=0.01)
    assert told.bad + told.good + told.refused == pytest.approx(1)


def test_the_numbers_of_the_research_are_met() -> None:
    told = deliver(0.05, 0.8, 0.05, 3)
    assert (round(told.bad, 4), round(told.refused, 5), round(told.attempts, 3)) == (0.0110, 0.00006, 1.096)
    told = deliver(0.05, 0.8, 0.05, 3, icc=0.3)
    assert (round(told.bad, 4), round(told.refused, 4)) == (0.0148, 0.0024)


def test_retries_remove_refusals_and_never_misses() -> None:
    more = [deliver(0.2, 0.8, 0.05, k, icc=0.3) for k in range(8)]
    for one, next_ in itertools.pairwise(more):
        assert next_.refused < one.refused
        assert next_.bad > one.bad
        assert next_.bad_if_delivered is not None
        assert one.bad_if_delivered is not None
        assert next_.bad_if_delivered > one.bad_if_delivered


def test_no_number_of_retries_gets_below_the_floor_of_alike_inputs() -> None:
    least = floor(0.05, 0.8, 0.05)
    assert least == pytest.approx(0.05 * 0.2 / (0.05 * 0.2 + 0.95 * 0.95))
    for k in (0, 1, 5, 200):
        assert deliver(0.05, 0.8, 0.05, k).bad_if_delivered == pytest.approx(least)


@pytest.mark.parametrize("icc", [0.1, 0.3, 1.0])
def test_with_unlike_inputs_retries_lead_away_from_the_floor(icc: float) -> None:
    limit = ever_more(0.05, 0.8, 0.05, icc)
    assert deliver(0.05, 0.8, 0.05, 200, icc).bad_if_delivered == pytest.approx(limit, rel=1e-3)
    assert floor(0.05, 0.8, 0.05, icc) == pytest.approx(floor(0.05, 0.8, 0.05))
    assert floor(0.05, 0.8, 0.05, icc) < limit


def test_a_detector_worse_than_a_coin_gets_to_its_floor_by_retries_only() -> None:
    assert floor(0.3, 0.2, 0.6, 0.5) == ever_more(0.3, 0.2, 0.6, 0.5)
    shares = [deliver(0.3, 0.2, 0.6, k, 0.5).bad_if_delivered for k in (0, 1, 5, 50)]
    assert all(share is not None and share >= floor(0.3, 0.2, 0.6, 0.5) for share in shares)


@pytest.mark.parametrize("shape", [(0.1, 2.0), (0.5, 0.5), (1, 1), (0.3, 0.7), (1e-5, 2.3), (3, 40)])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 100])
def test_quadrature_over_inputs_is_exact_for_polynomials(shape: tuple[float, float], count: int) -> None:
    a, b = shape
    nodes, weights = _gauss_jacobi(a, b, count)
    for power in (0, 1, 2 * count - 1):
        exact = math.prod((a + i) / (a + b + i) for i in range(power))
        assert float(weights @ nodes**power) == pytest.approx(exact, abs=1e-12)


def test_a_detector_that_errs_never_needs_only_tries() -> None:
    for icc in (0.0, 0.3, 1.0):
        assert 1 - deliver(0.2, 1, 0, 2, icc).refused == pytest.approx(passes_within(0.2, 3, icc))
        assert deliver(0.2, 1, 0, 2, icc).bad == 0


def test_a_second_try_works_less_often_where_inputs_differ() -> None:
    works = [next_try_works(0.2, icc) for icc in (0, 0.1, 0.3, 0.7, 1)]
    assert works == sorted(works, reverse=True)
    assert (works[0], works[-1]) == pytest.approx((0.8, 0.0))
    assert next_try_works(0.2, 0.3, failed=0) == 0.8
    both = 1 - passes_within(0.2, 2, 0.3)
    assert both == pytest.approx(0.2 * (1 - next_try_works(0.2, 0.3)))


def test_ranges_from_counts_are_those_of_random_draws() -> None:
    found = deliver_range(Evidence(10, 200), Evidence(4, 20), Evidence(9, 180), retries=2)
    rng = np.random.default_rng(3)
    p, missed, fpr = (rng.beta(f + 0.5, n - f + 0.5, 1_000_000) for f, n in ((10, 200), (4, 20), (9, 180)))
    flagged = p * (1 - missed) + (1 - p) * fpr
    bad = p * missed * (1 + flagged + flagged**2)
    for est, drawn in ((found.bad, bad), (found.refused, flagged**3), (found.attempts, 1 + flagged + flagged**2)):
        assert (est.low, est.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.03 * drawn.std())


def test_ranges_with_unlike_inputs_are_those_of_random_draws() -> None:
    found = deliver_range(Evidence(10, 200), Evidence(4, 20), Evidence(9, 180), retries=3, icc=0.3)
    rng = np.random.default_rng(4)
    shapes = ((10.5, 190.5), (4.5, 16.5), (9.5, 171.5))
    drawn = [deliver(p, 1 - m, f, 3, 0.3).bad for p, m, f in zip(*(rng.beta(*s, 10_000) for s in shapes), strict=True)]
    assert (found.bad.low, found.bad.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.0015)


def test_the_limit_for_certain_lies_above_the_likely_range_and_every_ingredient_pushes_it_up() -> None:
    def limit(bad: int, missed: int, alarms: int, planned: bool = True) -> float:
        parts = Evidence(bad, 200), Evidence(missed, 20), Evidence(alarms, 180)
        return deliver_range(*parts, retries=2, icc=0.2, planned=planned).bad_at_most

    base = limit(10, 4, 9)
    likely = deliver_range(Evidence(10, 200), Evidence(4, 20), Evidence(9, 180), 2, icc=0.2).bad
    assert likely.high is not None
    assert base > likely.high
    assert min(limit(11, 4, 9), limit(10, 5, 9), limit(10, 4, 10)) > base
    assert limit(10, 4, 9, planned=False) > base, "looks at any time cost something"


@pytest.mark.parametrize("icc", [0.0, 0.3, 1.0])
def test_bad_deliveries_rise_with_each_ingredient_even_for_a_detector_worse_than_a_coin(icc: float) -> None:
    """What makes the worst corner the worst."""
    for p, tpr, fpr, k in itertools.product((0.1, 0.5, 0.9), (0.1, 0.5, 0.9), (0.1, 0.5, 0.9), (0, 1, 6)):
        base = deliver(p, tpr, fpr, k, icc).bad
        assert deliver(p + 0.05, tpr, fpr, k, icc).bad >= base - 1e-12
        assert deliver(p, tpr - 0.05, fpr, k, icc).bad >= base - 1e-12
        assert deliver(p, tpr, fpr + 0.05, k, icc).bad >= base - 1e-12


def test_invalid_ones_count_for_the_worse_at_each_end() -> None:
    clean = deliver_range(Evidence(10, 200), Evidence(4, 20), Evidence(9, 180), 2)
    worse = deliver_range(Evidence(10, 200, 5), Evidence(4, 20, 2), Evidence(9, 180, 5), 2)
    for before, after in ((clean.bad, worse.bad), (clean.refused, worse.refused), (clean.attempts, worse.attempts)):
        assert after.low is not None
        assert after.high is not None
        assert before.high is not None
        assert before.low is not None
        assert after.low <= before.low + 1e-9
        assert after.high > before.high
    assert worse.bad_at_most > clean.bad_at_most


def test_outputs_on_which_the_detector_could_not_tell_lower_and_raise_the_refusals() -> None:
    clean = deliver_range(Evidence(60, 200), Evidence(10, 60), Evidence(9, 180), 2)
    found = deliver_range(Evidence(60, 200), Evidence(10, 60, 20), Evidence(9, 180), 2)
    more_missed = deliver_range(Evidence(60, 200), Evidence(30, 60), Evidence(9, 180), 2)
    for name in ("refused", "attempts"):
        assert getattr(found, name).low == pytest.approx(getattr(more_missed, name).low)
        assert getattr(found, name).high == pytest.approx(getattr(clean, name).high)
    assert (found.bad.low, found.bad.high) == pytest.approx((clean.bad.low, more_missed.bad.high))


def test_the_limit_for_certain_is_the_corner_of_three_limits_that_share_alpha() -> None:
    found = deliver_range(Evidence(10, 200), Evidence(4, 20), Evidence(9, 180), 2, icc=0.2, alpha=0.06, planned=True)
    p, missed, fpr = (clopper_pearson(f, n, 0.02)[1] for f, n in ((10, 200), (4, 20), (9, 180)))
    assert found.bad_at_most == pytest.approx(deliver(p, 1 - missed, fpr, 2, icc=0.2).bad)


def test_where_nothing_bad_was_seen_the_range_still_allows_some() -> None:
    found = deliver_range(Evidence(0, 200), Evidence(0, 20), Evidence(0, 180), 2)
    assert found.bad.value == 0
    assert found.bad.high is not None
    assert found.bad.high > 0.0005


def test_without_counts_nothing_is_known() -> None:
    found = deliver_range(Evidence(), Evidence(), Evidence(), 1)
    assert found.bad.value is None
    assert (found.bad.low, found.bad.high, found.bad_at_most) == (0, 1, 1)


def test_measuring_the_pipeline_decides_where_it_contradicts_the_arithmetic() -> None:
    computed = deliver_range(Evidence(10, 200), Evidence(4, 20), Evidence(9, 180), 2)
    assert beside(computed, Evidence()).agree is None
    assert beside(computed, Evidence(4, 400)).agree
    worse = beside(computed, Evidence(120, 400))
    assert worse.agree is False
    assert "delivers more bad answers than the arithmetic allows" in worse.words
    sure = deliver_range(Evidence(100, 200), Evidence(50, 100), Evidence(2, 100), 2)
    assert "delivers fewer" in beside(sure, Evidence(0, 2000)).words


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: deliver(1.2, 0.5, 0.5, 1), "p is a chance in 0...1, got 1.2"),
        (lambda: deliver(0.1, math.nan, 0.5, 1), "tpr is a chance in 0...1, got nan"),
        (lambda: deliver(0.1, 0.5, -0.1, 1), "fpr is a chance"),
        (lambda: deliver(0.1, 0.5, 0.1, 1, icc=2), "icc is a chance"),
        (lambda: deliver(0.1, 0.5, 0.1, -1), "retries must lie in 0...200, got -1"),
        (lambda: deliver(0.1, 0.5, 0.1, 5000), "retries must lie in 0...200, got 5000"),
        (lambda: floor(0.1, 1, 1), "flags every attempt"),
        (lambda: passes_within(0.1, 0), "tries must lie in 1...200, got 0"),
        (lambda: next_try_works(0.1, failed=-1), "failed must lie in 0...200"),
        (lambda: deliver_range(Evidence(), Evidence(), Evidence(), 1, alpha=1), "alpha must lie strictly"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(call: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace(".", r"\.")):
        call()  # type: ignore[operator]
