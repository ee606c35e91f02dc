"""Rounds of wordings: what is set aside, when a verdict falls, how often it is wrong, and what the spread covers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from reroll.evidence import Evidence
from reroll.wording_rounds import MEANING, spread_of, standing


def rounds(rng: np.random.Generator, rates: list[float], n: int) -> list[list[str]]:
    found: list[list[str]] = np.where(rng.random((n, len(rates))) < rates, "fail", "pass").tolist()
    return found


def looked_at(words: list[list[str]], alpha: float = 0.05, margin: float | None = None) -> Any:
    """The first verdict that falls when looking after 4, 8, 12, ... rounds, else what stands at the end."""
    for n in range(4, len(words) + 1, 4):
        found = standing(words[:n], alpha, margin)
        if found.verdict != "undecided":
            return found
    return found


def test_wordings_alike_are_hardly_ever_said_to_differ_and_hardly_ever_set_aside() -> None:
    rng = np.random.default_rng(1)
    found = [looked_at(rounds(rng, [p] * 6, 24)) for p in (0.1, 0.5, 0.8) for _ in range(100)]
    assert sum(one.verdict == "differ" for one in found) <= 15
    assert sum(bool(one.aside) for one in found) <= 3


def test_one_that_never_works_is_set_aside_and_makes_no_verdict_of_itself() -> None:
    rng = np.random.default_rng(2)
    found = [looked_at(rounds(rng, [0.3, 0.3, 0.3, 1.0, 0.3], 24)) for _ in range(100)]
    assert sum(one.verdict == "differ" for one in found) <= 5
    assert all(set(one.aside) == {3} for one in found if one.verdict == "undecided")


def test_what_was_asked_defines_the_meaning_and_is_never_set_aside() -> None:
    words = [["fail", "pass", "pass"]] * 12
    found = standing(words)
    assert (found.verdict, found.aside, found.kept) == ("differ", {}, (0, 1, 2))


def test_no_verdict_falls_while_a_wording_has_not_passed_and_is_not_set_aside() -> None:
    words = [["pass", "fail", "fail"], ["pass", "fail", "pass"]] * 2
    early = standing(words)
    assert (early.verdict, early.pending) == ("undecided", (1,))


def test_an_invalid_run_is_no_sign_of_another_meaning() -> None:
    words = [["pass", "invalid", "pass"]] * 30
    found = standing(words)
    assert (found.verdict, found.aside, found.pending) == ("undecided", {}, (1,))
    late = standing([["pass", "invalid", "pass"], *[["pass", "fail", "pass"]] * 30])
    assert set(late.aside) == {1}


def test_the_bet_on_another_meaning_is_fair_for_every_number_of_failures() -> None:
    """Exact: over all ways in which T of J may have failed, the mean factor of a wording is at most 1."""
    stake = 0.9
    for width, failing in itertools.product(range(2, 7), range(7)):
        if failing <= width:
            chance = failing / width
            gain = 1 - stake + stake * width / failing if failing else 1.0
            assert chance * gain + (1 - chance) * (1 - stake) <= 1 + 1e-12


def test_no_different_falls_with_a_margin_only_and_is_hardly_ever_wrong_at_the_margin() -> None:
    rng = np.random.default_rng(3)
    alike = rounds(rng, [0.1] * 3, 240)
    assert standing(alike, margin=0.2).verdict == "no_different"
    assert standing(alike).verdict == "undecided"
    wrong = [looked_at(rounds(rng, [0.1, 0.1, 0.3], 100), margin=0.2) for _ in range(100)]
    assert sum(one.verdict == "no_different" for one in wrong) <= 5


def test_one_that_passes_after_all_is_counted_again() -> None:
    words = [["pass", "fail", "pass"]] * 12
    assert set(standing(words).aside) == {1}
    late = standing([*words, ["pass", "pass", "pass"]])
    assert (late.aside, late.verdict) == ({}, "differ")


def test_alpha_is_shared_so_that_one_covers_setting_aside_and_the_verdict() -> None:
    found = standing([["pass", "pass"]], alpha=0.05)
    assert found.needs == pytest.approx(-math.log(0.05 * (1 - MEANING)))


def test_the_spread_covers_the_truth_and_is_corrected_for_re_runs() -> None:
    rng = np.random.default_rng(4)
    rates = np.array([0.2, 0.4, 0.6, 0.3])
    true, values, covered = float(rates.std(ddof=1)), [], 0
    for _ in range(100):
        cells = [Evidence(int(f), 40) for f in rng.binomial(40, rates)]
        found = spread_of(cells)
        assert found is not None
        values.append(found.between.value or 0.0)
        covered += found.between.low <= true <= found.between.high
    assert covered >= 95
    assert float(np.mean(values)) == pytest.approx(true, abs=0.02)
    alike = [spread_of([Evidence(int(f), 40) for f in rng.binomial(40, [0.4] * 8)]) for _ in range(100)]
    assert np.mean([one.observed for one in alike if one]) == pytest.approx(
        np.mean([one.chance for one in alike if one]), rel=0.1
    )
    assert sum(one is not None and one.between.low == 0 for one in alike) >= 95


def test_the_ends_of_the_spread_are_the_least_and_the_greatest_that_the_ranges_allow() -> None:
    from reroll.wording_rounds import _deviation_ends

    rng = np.random.default_rng(5)
    for _ in range(20):
        low = rng.random(4) * 0.6
        high = low + rng.random(4) * 0.4
        least, most = _deviation_ends(low, high)
        inside = low + rng.random((4000, 4)) * (high - low)
        assert least <= inside.std(axis=1, ddof=1).min() + 1e-9
        corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
        assert most == pytest.approx(corners.std(axis=1, ddof=1).max(), abs=1e-9)


def test_bad_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        standing([["pass"]])
    with pytest.raises(ValueError, match="margin"):
        standing([["pass", "pass"]], margin=1.5)
    assert spread_of([Evidence(1, 1), Evidence(0, 5)]) is None
