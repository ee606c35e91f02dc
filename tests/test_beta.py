"""Beta distributions against scipy, and functions of several chances against plain simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from reroll.beta import (
    SURELY_0,
    SURELY_1,
    beta_cdf,
    beta_quantile,
    clopper_pearson,
    jeffreys,
    jeffreys_interval,
    spread_limits,
)

SHAPES = [
    (0.5, 0.5),
    (0.5, 20.5),
    (20.5, 0.5),
    (1, 1),
    (1, 300),
    (300, 1),
    (37.5, 64.5),
    (1900.5, 100.5),
    (1e5, 1e6),
    (0.5, 1e6),
    (2.5, 3.5),
]
SHARES = np.array([1e-5, 0.001, 0.01, 0.025, 0.3, 0.5, 0.9, 0.975, 0.99, 0.9999])


@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_and_the_chances_below_them_are_those_of_scipy(shape: tuple[float, float]) -> None:
    exact = stats.beta.ppf(SHARES, *shape)
    assert np.abs(beta_quantile(SHARES, shape) - exact).max() < 1e-4 * stats.beta.std(*shape)
    assert np.abs(beta_cdf(exact, shape) - SHARES).max() < 2e-6


def test_a_chance_that_is_certain_has_no_spread() -> None:
    assert list(beta_quantile([0.0, 0.3, 1.0], SURELY_0)) == [0, 0, 0]
    assert list(beta_quantile([0.0, 0.3, 1.0], SURELY_1)) == [1, 1, 1]


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 299), (3, 20), (19, 20), (500, 1000)])
def test_each_clopper_pearson_limit_is_wrong_with_exactly_alpha_at_the_limit(hits: int, n: int) -> None:
    low, high = clopper_pearson(hits, n, alpha=0.05)
    assert low == 0 if hits == 0 else stats.binom.sf(hits - 1, n, low) == pytest.approx(0.05, rel=1e-4)
    assert high == 1 if hits == n else stats.binom.cdf(hits, n, high) == pytest.approx(0.05, rel=1e-4)


def test_jeffreys_interval_ends_at_0_and_1_where_nothing_else_was_seen() -> None:
    assert jeffreys_interval(0, 0) == (0, 1)
    assert jeffreys_interval(0, 20)[0] == 0
    assert jeffreys_interval(20, 20)[1] == 1
    assert jeffreys_interval(7, 20) == pytest.approx(stats.beta.ppf([0.025, 0.975], 7.5, 13.5), abs=1e-6)


PRODUCT_SUMS = [
    [(180.5, 1820.5), (45.5, 55.5), (1.5, 99.5)],
    [(20.5, 1980.5), (15.5, 6.5), (0.5, 100.5)],  # two small chances, one of them at 0
    [(500.5, 500.5), (1000.5, 0.5), (0.5, 1000.5)],  # one chance decides nearly alone
]


@pytest.mark.parametrize("shapes", PRODUCT_SUMS)
def test_limits_of_a_function_are_those_of_many_random_draws(shapes: list[tuple[float, float]]) -> None:
    def rate(q: Any, p: Any, f: Any) -> Any:
        return q * p + (1 - q) * f

    rng = np.random.default_rng(7)
    drawn = rate(*(rng.beta(a, b, 1_000_000) for a, b in shapes))
    wanted = np.quantile(drawn, [0.025, 0.975])
    assert np.abs(np.array(spread_limits(rate, shapes, 0.05)) - wanted).max() < 0.03 * drawn.std()


def test_limits_in_four_dimensions_and_of_nearly_nothing_are_right_too() -> None:
    shapes = [(180.5, 1820.5), (45.5, 55.5), (1.5, 99.5), (4.5, 1996.5)]

    def rate(q: Any, p: Any, f: Any, v: Any) -> Any:
        return v + (1 - v) * (q * p + (1 - q) * f)

    rng = np.random.default_rng(8)
    drawn = rate(*(rng.beta(a, b, 1_000_000) for a, b in shapes))
    wanted = np.quantile(drawn, [0.025, 0.975])
    assert np.abs(np.array(spread_limits(rate, shapes, 0.05)) - wanted).max() < 0.03 * drawn.std()


def test_the_same_counts_give_the_same_limits() -> None:
    one, two = (spread_limits(np.multiply, [(3.5, 7.5), (0.5, 9.5)], 0.1) for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: jeffreys(3, 2), "hits must lie in 0...n, got 3 of 2"),
        (lambda: jeffreys(float("nan"), 2), "hits must lie in 0...n"),
        (lambda: clopper_pearson(-1, 2), "hits must lie in 0...n, got -1 of 2"),
        (lambda: clopper_pearson(1, 2, alpha=0), "alpha must lie strictly between 0 and 1"),
        (lambda: jeffreys_interval(1, 2, alpha=float("nan")), "alpha must lie strictly between 0 and 1"),
        (lambda: beta_quantile(1.5, (1, 1)), "a share lies in 0...1"),
        (lambda: beta_cdf(0.5, (0.1, 1)), "must be 1/2 or more here"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(call: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace(".", r"\.")):
        call()  # type: ignore[operator]
