"""What a retry step would deliver is foretold from runs without it, and the truth lies in the range told."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from reroll.beta import Floats
from reroll.retry import deliver
from reroll.retry_forecast import Flags, after_retries, foretell_retry

World = Callable[[np.random.Generator, int], Floats]
WORLDS: dict[str, World] = {
    "every input alike": lambda rng, size: np.full(size, 0.1),
    "spread over inputs": lambda rng, size: rng.beta(0.1, 0.9, size),
    "a tenth of inputs always": lambda rng, size: (rng.random(size) < 0.1).astype(float),
    "a fifth of inputs half the time": lambda rng, size: np.where(rng.random(size) < 0.2, 0.5, 0.0),
}


def delivered(p: Floats, tpr: float, fpr: float, times: int) -> Floats:
    """The share of bad answers at inputs of these chances, the last try delivered whatever it looks like."""
    flagged = p * tpr + (1 - p) * fpr
    bad = sum((p * (1 - tpr) * flagged**j for j in range(times + 1)), start=np.zeros_like(p))
    out: Floats = bad + flagged**times * p * tpr
    return out


def runs(rng: np.random.Generator, p: Floats, n: int, tpr: float, fpr: float) -> list[Flags]:
    found = []
    for chance in p:
        bad = rng.binomial(n, chance)
        caught, false = rng.binomial(bad, tpr), rng.binomial(n - bad, fpr)
        found.append(Flags(caught, bad - caught, false, n - bad - false))
    return found


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("tpr", "fpr"), [(1.0, 0.0), (0.8, 0.05)])
def test_the_truth_lies_in_the_range_nine_times_in_ten(world: str, tpr: float, fpr: float) -> None:
    rng = np.random.default_rng(7)
    truth = delivered(WORLDS[world](np.random.default_rng(1), 400_000), tpr, fpr, 2).mean()
    covered = these = 0
    for _ in range(60):
        p = WORLDS[world](rng, 20)
        after = foretell_retry(runs(rng, p, 10, tpr, fpr), times=2).after
        assert after.low is not None
        assert after.high is not None
        covered += after.low <= truth <= after.high
        these += after.low <= delivered(p, tpr, fpr, 2).mean() <= after.high
    assert covered >= 54
    assert these >= 54


def calls_taken(p: Floats, tpr: float, fpr: float, times: int) -> float:
    flagged = p * tpr + (1 - p) * fpr
    return float(sum((flagged**j for j in range(times + 1)), start=np.zeros_like(p)).mean())


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("tpr", "fpr"), [(1.0, 0.0), (0.8, 0.05), (0.3, 0.0)])
def test_the_calls_lie_in_their_range_nine_times_in_ten(world: str, tpr: float, fpr: float) -> None:
    rng = np.random.default_rng(11)
    truth = calls_taken(WORLDS[world](np.random.default_rng(1), 400_000), tpr, fpr, 2)
    covered = 0
    for _ in range(60):
        calls = foretell_retry(runs(rng, WORLDS[world](rng, 20), 10, tpr, fpr), times=2).calls
        covered += (calls.low or 0.0) <= truth <= (calls.high or 0.0)
    assert covered >= 54


def test_inputs_that_were_not_seen_may_always_be_asked_again() -> None:
    """Exact: a tenth of all inputs always fails, a flag is never wrong, and 20 inputs hold 0 to 20 such ones."""
    held = 0.0
    for k in range(21):
        calls = foretell_retry([Flags(bad_flagged=10)] * k + [Flags(good_through=10)] * (20 - k), times=2).calls
        inside = (calls.low or 0.0) <= 1.2 <= (calls.high or 0.0)
        held += math.comb(20, k) * 0.1**k * 0.9 ** (20 - k) * inside
    assert held >= 0.95


def test_one_input_is_foretold_for_itself() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        after = foretell_retry(runs(rng, np.array([0.3]), 40, 0.9, 0.02), times=1).after
        covered += (after.low or 0.0) <= delivered(np.array([0.3]), 0.9, 0.02, 1)[0] <= (after.high or 1.0)
    assert covered >= 90


@pytest.mark.parametrize("icc", [0.0, 0.2, 1.0])
def test_with_a_guard_behind_it_is_what_retry_computes(icc: float) -> None:
    known = deliver(0.1, 0.8, 0.05, retries=3, icc=icc)
    held = after_retries(0.1, 0.8, 0.05, times=3, icc=icc) - known.bad
    assert 0 < held <= known.refused


def test_the_figures_of_known_worlds() -> None:
    """The last try is delivered, so a perfect detector leaves p to the power of all tries."""
    assert after_retries(0.1, 1, 0, times=2) == pytest.approx(0.001)
    assert after_retries(0.1, 1, 0, times=3) == pytest.approx(0.0001)
    assert after_retries(0.1, 1, 0, times=2, icc=0.5) == pytest.approx(0.0385)  # Beta(.1, .9)
    assert after_retries(0.1, 1, 0, times=20, icc=1) == pytest.approx(0.1)
    assert after_retries(0.1, 0, 0, times=5) == pytest.approx(0.1)  # a detector that sees nothing


def test_more_tries_promise_less_where_inputs_differ() -> None:
    alike = [Flags(bad_flagged=1, good_through=9)] * 20
    apart = [Flags(bad_flagged=10)] * 2 + [Flags(good_through=10)] * 18
    first, second = foretell_retry(alike, 3), foretell_retry(apart, 3)
    assert first.before.value == pytest.approx(second.before.value or 0, abs=0.03)
    assert (first.after.high or 1) < (second.after.value or 0)
    assert (first.spread or 0) < 0.1 < 0.8 < (second.spread or 0)


def test_inputs_that_ran_once_leave_open_whether_trying_again_helps() -> None:
    once = [Flags(bad_flagged=1)] * 4 + [Flags(good_through=1)] * 16
    found = foretell_retry(once, times=3)
    assert found.spread is None
    assert (found.after.low or 0) < 0.01
    assert (found.after.high or 0) > 0.2


def test_no_failure_seen_is_no_failure_promised() -> None:
    found = foretell_retry([Flags(good_through=10)] * 10, times=2)
    assert found.after.low == 0
    assert 0.1 < (found.after.high or 0) < 0.4  # one input in ten may always fail, and was not among these


def test_calls_and_refusals_are_told_too() -> None:
    found = foretell_retry([Flags(bad_flagged=500, good_through=500)], times=2)
    assert found.calls.value == pytest.approx(1.75, abs=0.05)
    assert found.refused.value == pytest.approx(0.125, abs=0.02)
    assert found == foretell_retry([Flags(bad_flagged=500, good_through=500)], times=2)


@pytest.mark.parametrize(
    ("inputs", "times", "words"),
    [([], 1, "no runs"), ([Flags()], 1, "no runs"), ([Flags(1)], 0, "1...20"), ([Flags(1)], 21, "1...20")],
)
def test_what_cannot_be_foretold_is_said(inputs: list[Flags], times: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        foretell_retry(inputs, times)


def test_counts_are_not_negative() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Flags(bad_flagged=-1)
