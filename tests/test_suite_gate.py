"""The gate of a test suite: exact boundaries, red shared by all tests, and what a run comes to at each true rate."""

from __future__ import annotations

import random
from math import comb

import numpy as np
import pytest

from reroll.calibrate import NEVER
from reroll.evidence import Evidence
from reroll.suite_gate import Gate, Rule, first_shown, gate, outlook, problem, soonest, spoilt, stand

SMALL = Rule(target=0.9, unacceptable=0.6, alpha=0.1, budget=14)


def walked(bounds: Gate, failing: float) -> tuple[float, float, float]:
    """P(green), P(red) and mean trials by going through every sequence of outcomes: nothing shared with the code."""
    green = red = mean = 0.0
    alive = {0: 1.0}  # by failures
    for n in range(1, bounds.rule.budget + 1):
        mean += sum(alive.values())
        grown: dict[int, float] = {}
        for failures, chance in alive.items():
            for more, p in ((0, 1 - failing), (1, failing)):
                grown[failures + more] = grown.get(failures + more, 0.0) + chance * p
        green += sum(p for f, p in grown.items() if f <= bounds.green[n])
        red += sum(p for f, p in grown.items() if f >= bounds.red[n])
        alive = {f: p for f, p in grown.items() if bounds.green[n] < f < bounds.red[n]}
    return green, red, mean


@pytest.mark.parametrize("tests", [1, 10, 100])
def test_an_unacceptable_test_goes_green_and_a_healthy_one_red_as_seldom_as_promised(tests: int) -> None:
    bounds = gate(Rule(), tests)
    assert outlook(bounds, 0.80).met <= 0.05
    assert outlook(bounds, 0.95).not_met <= 0.05 / tests


def test_a_suite_of_a_hundred_holds_the_four_numbers() -> None:
    bounds = gate(Rule(), 100)
    healthy, regressed, good = (outlook(bounds, rate) for rate in (0.95, 0.75, 0.99))
    assert 1 - (1 - healthy.not_met) ** 100 <= 0.05
    assert 100 * healthy.not_met <= 0.05, "and so whatever the tests have to do with one another"
    assert regressed.not_met >= 0.90
    assert good.expected_calls <= 30
    single = 1 - 0.95**100
    assert single == pytest.approx(0.994, abs=1e-3)


@pytest.mark.parametrize("failing", [0.01, 0.1, 0.25, 0.4])
def test_the_outlook_is_that_of_a_walk_which_shares_no_code_with_it(failing: float) -> None:
    for bounds in (gate(Rule(), 100), gate(SMALL, 3)):
        found = outlook(bounds, 1 - failing)
        assert (found.met, found.not_met, found.expected_calls) == pytest.approx(walked(bounds, failing), abs=1e-9)


def test_a_simulated_suite_agrees_with_the_outlook() -> None:
    bounds, rng = gate(Rule(), 100), random.Random(11)
    shown, runs = {"green": 0, "red": 0}, 3000
    for _ in range(runs):
        outcomes = ["fail" if rng.random() < 0.25 else "pass" for _ in range(120)]
        first = first_shown(bounds, outcomes)
        if first:
            shown[first[0]] += 1
    found = outlook(bounds, 0.75)
    assert shown["red"] / runs == pytest.approx(found.not_met, abs=0.01)
    assert shown["green"] / runs == pytest.approx(found.met, abs=0.01)


def test_boundaries_never_fall_so_that_each_guarantee_holds_for_every_better_or_worse_rate() -> None:
    for rule in (Rule(), SMALL):
        bounds = gate(rule, 7)
        assert (np.diff(bounds.green) >= 0).all()
        assert (np.diff(bounds.red[bounds.red < NEVER]) >= 0).all()


def test_green_cannot_come_sooner_than_any_method_allows() -> None:
    first = int(np.argmax(gate(Rule()).green >= 0))
    assert 0.8**first <= 0.05
    assert first <= 16


def test_the_red_of_one_trial_in_a_small_suite_is_what_the_binomial_says() -> None:
    bounds = gate(SMALL, 1)
    two = int(bounds.red[2])
    assert sum(comb(2, k) * 0.1**k * 0.9 ** (2 - k) for k in range(two, 3)) <= 0.1


def test_an_invalid_trial_counts_against_green_and_never_for_red() -> None:
    bounds = gate(Rule())
    assert first_shown(bounds, ["pass"] * 15 + ["invalid"]) is None
    passes = next(n for n in range(120) if first_shown(bounds, ["invalid"] + ["pass"] * n))
    assert passes == next(n for n in range(120) if first_shown(bounds, ["fail"] + ["pass"] * n)) > 16
    assert first_shown(bounds, ["invalid"] * 120) is None


def test_the_soonest_end_is_the_one_that_going_on_finds() -> None:
    bounds, rng = gate(Rule(), 5), random.Random(3)
    for _ in range(60):
        outcomes = [rng.choice(["pass"] * 6 + ["fail", "invalid"]) for _ in range(rng.randrange(40))]
        if first_shown(bounds, outcomes):
            continue
        k = soonest(bounds, Evidence.of(outcomes))
        ends = [first_shown(bounds, outcomes + [word] * n) for word in ("pass", "fail") for n in (k - 1, k)]
        assert (ends[0], ends[2]) == (None, None)
        assert ends[1] or ends[3] or len(outcomes) + k == bounds.rule.budget


def test_a_verdict_stands_whatever_comes_after_it() -> None:
    bounds = gate(Rule())
    assert stand(bounds, ["pass"] * 16 + ["fail"] * 4).shade == "green"
    assert stand(bounds, ["pass"] * 16 + ["invalid"] * 3).shade == "green"
    assert stand(bounds, ["invalid"] * 3 + ["pass"] * 60).shade == "invalid"


def test_what_a_green_test_could_have_missed_is_the_way_from_its_target_to_its_lower_limit() -> None:
    few, many = (stand(gate(Rule(budget=400)), ["pass"] * n) for n in (30, 300))
    assert few.at_least
    assert few.smallest_drop == pytest.approx(0.95 - few.at_least)
    assert many.smallest_drop is not None
    assert few.smallest_drop is not None
    assert many.smallest_drop < few.smallest_drop
    assert stand(gate(Rule()), ["fail"] * 4).smallest_drop is None


def test_three_invalid_in_a_row_or_more_than_a_fifth_spoil_a_test() -> None:
    assert spoilt(["pass"] * 50 + ["invalid"] * 3) == 53
    assert spoilt(["invalid", "pass", "invalid", "pass", "pass", "invalid"]) == 6
    assert spoilt((["pass"] * 9 + ["invalid"]) * 6) is None
    assert spoilt(["invalid", "invalid"]) is None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(target=0.8, unacceptable=0.8), "target (0.8) must lie above unacceptable (0.8)"),
        (Rule(target=95), "target is a success rate between"),
        (Rule(unacceptable=0), "unacceptable is a success rate between"),
        (Rule(alpha=0.7), "alpha is a chance between 0 and 0.5"),
        (Rule(budget=0), "budget is a number of trials"),
        (Rule(budget=13), "14 trials or more are needed to show better than 80 %"),
        (Rule(budget=True), "budget is a number of trials"),
        (Rule(target="high"), "target is a success rate"),  # type: ignore[arg-type]
    ],
)
def test_a_rule_that_makes_no_sense_is_told_in_words(rule: Rule, words: str) -> None:
    assert words in (problem(rule) or "")
    with pytest.raises(ValueError):
        gate(rule)


def test_a_run_has_a_test() -> None:
    with pytest.raises(ValueError, match="at least 1 test"):
        gate(Rule(), 0)
