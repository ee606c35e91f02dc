"""By what share a change lowers a failure rate: bets that hold at every look, against exact computation."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from reroll.reduction import (
    Pairs,
    difference_log_e,
    generalisation,
    generalisation_log_e,
    pairs_of,
    reduction,
    reduction_log_e,
)
from reroll.scorecard import expected

ALPHA = 0.05


def drawn(rng: np.random.Generator, before: float, after: float, n: int) -> list[tuple[str, str]]:
    word = np.array(["pass", "fail"])
    return list(zip(word[(rng.random(n) < before).astype(int)], word[(rng.random(n) < after).astype(int)], strict=True))


@pytest.mark.parametrize("side", ["above", "below"])
@pytest.mark.parametrize(("before", "share"), [(0.5, 0.25), (0.3, 0.6), (0.8, -0.2), (0.1, 0.0)])
def test_on_the_border_of_a_claim_the_bets_win_nothing_on_average(before: float, share: float, side: str) -> None:
    after = before * (1 - share)
    chance = {("pass", "pass"): (1 - before) * (1 - after), ("pass", "fail"): (1 - before) * after}
    chance |= {("fail", "pass"): before * (1 - after), ("fail", "fail"): before * after}
    mean = 0.0
    for path in product(chance, repeat=4):
        mean += math.prod(chance[pair] for pair in path) * math.exp(reduction_log_e(pairs_of(path), share, side))  # type: ignore[arg-type]
    assert mean == pytest.approx(1.0, abs=1e-9)


def test_a_border_is_crossed_in_as_few_runs_as_alpha_allows_however_often_one_looks() -> None:
    rng = np.random.default_rng(1)
    crossed = 0
    for _ in range(300):
        pairs = drawn(rng, 0.5, 0.375, 200)
        looks = [reduction_log_e(pairs_of(pairs[:n]), 0.25, "above") for n in range(8, 201, 16)]
        crossed += max(looks) >= -math.log(ALPHA)
    assert crossed / 300 <= ALPHA + 0.025


@pytest.mark.parametrize("side", ["above", "below"])
@pytest.mark.parametrize(("gain", "share"), [(0.9, 0.5), (0.4, 0.5), (1.0, 0.5), (0.6, 1.0)])
def test_generalisation_on_its_border_is_claimed_in_as_few_runs_as_alpha_allows(
    gain: float, share: float, side: str
) -> None:
    rng = np.random.default_rng(2)
    crossed = 0
    for _ in range(150):
        case = drawn(rng, 0.6, 0.6 * (1 - gain), 60)
        neighbours = drawn(rng, 0.5, 0.5 * (1 - share * gain), 120)
        looks = [
            generalisation_log_e(pairs_of(case[:n]), pairs_of(neighbours[: 2 * n]), share, side)  # type: ignore[arg-type]
            for n in range(8, 61, 13)
        ]
        crossed += max(looks) >= -math.log(ALPHA)
    assert crossed / 150 <= ALPHA + 0.035


def test_the_product_of_two_bets_is_one_on_average_where_the_claim_is_just_wrong() -> None:
    """For the case's true reduction the product is a bet whose mean is 1; the least over all of them is no more."""
    case_chance, neighbour_chance = (0.5, 0.1), (0.5, 0.3)  # 0.8 and 0.4: half of it

    def of(rates: tuple[float, float], n: int) -> list[tuple[float, Pairs]]:
        x, y = rates
        cells = [(1 - x) * (1 - y), (1 - x) * y, x * (1 - y), x * y]
        words = [("pass", "pass"), ("pass", "fail"), ("fail", "pass"), ("fail", "fail")]
        ways: dict[Pairs, float] = {}
        for path in product(range(4), repeat=n):
            pairs = pairs_of(words[i] for i in path)
            ways[pairs] = ways.get(pairs, 0.0) + math.prod(cells[i] for i in path)
        return [(chance, pairs) for pairs, chance in ways.items()]

    for side in ("above", "below"):
        mean = sum(
            p * q * math.exp(generalisation_log_e(case, neighbour, 0.5, side))  # type: ignore[arg-type]
            for p, case in of(case_chance, 3)
            for q, neighbour in of(neighbour_chance, 3)
        )
        assert mean <= 1.0


def test_limits_are_the_shares_where_the_bets_reach_their_threshold() -> None:
    pairs = expected(200, 0.5, 0.1)
    found = reduction(pairs, ALPHA)
    assert found.low is not None
    assert found.high is not None
    level = math.log(2 / ALPHA)
    assert (
        reduction_log_e(pairs, found.low - 1e-3, "above") >= level > reduction_log_e(pairs, found.low + 1e-3, "above")
    )
    assert (
        reduction_log_e(pairs, found.high + 1e-3, "below") >= level > reduction_log_e(pairs, found.high - 1e-3, "below")
    )


def test_limits_cover_the_truth_at_every_look() -> None:
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(120):
        pairs = drawn(rng, 0.4, 0.1, 160)
        for n in range(10, 161, 30):
            found = reduction(pairs_of(pairs[:n]), ALPHA)
            if not (found.low or -1) <= 0.75 <= (found.high or 1):
                missed += 1
                break
    assert missed / 120 <= ALPHA + 0.03


def test_an_invalid_run_counts_against_whatever_is_claimed() -> None:
    sure, with_invalid = [("fail", "pass")] * 20, [("fail", "pass")] * 20 + [("fail", "invalid")] * 10
    failed = [("fail", "pass")] * 20 + [("fail", "fail")] * 10
    above = [reduction_log_e(pairs_of(pairs), 0.5, "above") for pairs in (sure, with_invalid, failed)]
    assert above[1] == above[2] < above[0]
    below = [reduction_log_e(pairs_of(pairs), 0.9, "below") for pairs in (sure + [("fail", "pass")] * 10, with_invalid)]
    assert below[0] == below[1]
    assert pairs_of(with_invalid).after == pytest.approx(1 / 6)


def test_a_special_case_and_a_general_fix_are_told_apart() -> None:
    case, general, special = expected(40, 0.55, 0.0), expected(80, 0.5, 0.05), expected(80, 0.5, 0.45)
    assert generalisation_log_e(case, general, 0.5, "above") >= -math.log(ALPHA)
    assert generalisation_log_e(case, special, 0.5, "below") >= -math.log(ALPHA)
    wide = generalisation(case, special)
    assert wide.high is not None
    assert wide.high < 0.5
    assert generalisation(expected(40, 0.5, 0.5), general).high is None, "the case may gain next to nothing"


def test_a_rise_above_or_below_a_margin_is_what_differences_say() -> None:
    assert difference_log_e(expected(400, 0.03, 0.03), 0.1, "below") >= -math.log(ALPHA)
    assert difference_log_e(expected(400, 0.03, 0.3), 0.1, "above") >= -math.log(ALPHA)
    assert difference_log_e(expected(400, 0.03, 0.03), 0.1, "above") < 0


def test_the_border_of_a_harm_is_crossed_as_seldom_as_alpha_allows() -> None:
    rng = np.random.default_rng(4)
    crossed = {"below": 0, "above": 0}
    for _ in range(200):
        pairs = drawn(rng, 0.05, 0.15, 300)
        for side in ("below", "above"):
            looks = [difference_log_e(pairs_of(pairs[:n]), 0.1, side) for n in range(10, 301, 29)]  # type: ignore[arg-type]
            crossed[side] += max(looks) >= -math.log(ALPHA)
    assert max(crossed.values()) / 200 <= ALPHA + 0.03


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        generalisation_log_e(Pairs(), Pairs(), -0.5, "above")
