"""Populations of cases from counts: the likelihood, its maximum and its average, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import betaln

from reroll.evidence import Evidence
from reroll.population import COARSE, FINE, beta_cdf, densest_iccs, fit, posterior, rate_cdf, rate_mean, rate_quantile

COUNTS = [(0, 10), (1, 10), (8, 10), (1, 10), (3, 4), (0, 1), (2, 25)]


def likelihood(mean: float, icc: float, counts: list[tuple[int, int]]) -> float:
    strength = 1 / icc - 1
    return float(
        sum(
            stats.betabinom.logpmf(f, n, mean * strength, (1 - mean) * strength) - stats.binom.logpmf(f, n, 0.5)
            for f, n in counts
        )
    ) + sum(n for _, n in counts) * np.log(0.5)


def cases(counts: list[tuple[int, int]]) -> list[Evidence]:
    return [Evidence(f, n) for f, n in counts]


def test_the_incomplete_beta_is_scipys_for_large_and_for_tiny_shapes() -> None:
    rng = np.random.default_rng(0)
    x, a, b = rng.random(4000), 10 ** rng.uniform(-3, 4, 4000), 10 ** rng.uniform(-3, 4, 4000)
    assert np.abs(beta_cdf(x, a, b) - stats.beta.cdf(x, a, b)).max() < 1e-10
    assert beta_cdf(0, 2, 3) == 0
    assert beta_cdf(1, 2, 3) == 1


def test_the_fit_is_the_maximum_of_scipys_likelihood() -> None:
    best = fit(cases(COUNTS))
    assert best.log_likelihood == pytest.approx(likelihood(best.mean, best.icc, COUNTS), abs=1e-8)
    found = optimize.minimize(
        lambda x: -likelihood(x[0], x[1], COUNTS),
        [0.2, 0.2],
        bounds=[(1e-4, 1 - 1e-4)] * 2,
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10},
    )
    assert (best.mean, best.icc) == pytest.approx(tuple(found.x), abs=1e-4)
    assert best.log_likelihood >= -found.fun - 1e-9


def test_cases_that_vary_less_than_chance_have_no_icc() -> None:
    best = fit(cases([(2, 10)] * 8))
    assert (best.mean, best.icc) == (pytest.approx(0.2, abs=1e-9), 0)


def test_a_population_without_failures_fits_at_its_edge() -> None:
    assert (fit(cases([(0, 10)] * 3)).mean, fit(cases([(10, 10)] * 3)).mean) == (0, 1)


@pytest.mark.parametrize(
    ("counts", "words"), [([(1, 5)], "2 cases"), ([], "2 cases"), ([(1, 1), (0, 1), (0, 1)], "more than once")]
)
def test_too_little_is_refused_with_what_to_do(counts: list[tuple[int, int]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit(cases(counts))
    with pytest.raises(ValueError, match=words):
        posterior(counts)


def test_averages_over_populations_are_those_of_a_fine_quadrature() -> None:
    turn, iccs = np.linspace(0, np.pi / 2, 152)[1:-1], np.linspace(0, 1, 122)[1:-1]
    means = np.sin(turn) ** 2
    log = likelihoods(means[:, None], iccs[None, :], COUNTS)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    strength = 1 / iccs - 1
    a, b = means[:, None] * strength + 1, (1 - means[:, None]) * strength + 9
    for grid, near in ((COARSE, 0.01), (FINE, 0.003)):
        ours = posterior(COUNTS, grid)
        assert ours.weight.sum() == pytest.approx(1)
        assert float(ours.icc @ ours.weight) == pytest.approx((weight * iccs).sum(), abs=near)
        assert rate_mean(ours, 1, 10) == pytest.approx((weight * a / (a + b)).sum(), abs=near)
        chance = (weight * stats.beta.cdf(0.15, a, b)).sum()
        assert rate_cdf(ours, 1, 10, np.array([0.15]))[0] == pytest.approx(chance, abs=2 * near)


def likelihoods(mean: np.ndarray, icc: np.ndarray, counts: list[tuple[int, int]]) -> np.ndarray:
    strength = 1 / icc - 1
    a, b = mean * strength, (1 - mean) * strength
    return sum(betaln(a + f, b + n - f) - betaln(a, b) for f, n in counts)


def test_thousands_of_runs_are_resolved_as_well_as_ten() -> None:
    rng = np.random.default_rng(1)
    failed = rng.binomial(500, rng.beta(0.05 * 200, 0.95 * 200, 300))
    many = posterior([(int(f), 500) for f in failed])
    assert len(many.weight) > 30
    assert float(many.mean @ many.weight) == pytest.approx(failed.mean() / 500, rel=0.01)
    assert float(many.icc @ many.weight) == pytest.approx(1 / 201, rel=0.25)


def test_quantiles_are_rounded_away_from_the_middle() -> None:
    ours = posterior(COUNTS)
    for share in (0.025, 0.975):
        at = rate_quantile(ours, 1, 10, share)
        chance = rate_cdf(ours, 1, 10, np.array([at]))[0]
        assert chance == pytest.approx(share, abs=1e-3)
        assert (chance <= share) == (share < 0.5)


def test_the_range_of_the_icc_begins_at_0_where_cases_need_not_differ() -> None:
    assert densest_iccs(posterior([(2, 10)] * 15, FINE), 0.05)[0] == 0
    assert densest_iccs(posterior([(0, 10), (9, 10)] * 8, FINE), 0.05)[0] > 0.3
