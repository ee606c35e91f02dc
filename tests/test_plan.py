"""What to draw next: never past the decision by more than is useful, never past a cap."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reroll.calibrate import met_boundary, not_met_boundary
from reroll.plan import Plan, next_draws, stop_reason
from reroll.verdict import certify_path, luck_path

words = st.lists(st.sampled_from(["pass", "pass", "pass", "pass", "fail", "invalid"]), max_size=60)


def drawn(plan: Plan, outcome_of: Callable[[int], str]) -> list[str]:
    """A runner that waits for each batch."""
    outcomes: list[str] = []
    while count := next_draws(plan, outcomes):
        outcomes += [outcome_of(len(outcomes) + i) for i in range(count)]
    return outcomes


@pytest.mark.parametrize("concurrency", [1, 4, 64])
def test_a_perfect_system_is_certified_without_one_call_too_many(concurrency: int) -> None:
    plan = Plan("certify", target=0.99, concurrency=concurrency)
    outcomes = drawn(plan, lambda _: "pass")
    assert len(outcomes) == 355
    assert stop_reason(plan, outcomes) == "decided"


def test_one_call_at_a_time_stops_exactly_at_the_first_crossing() -> None:
    rng = np.random.default_rng(5)
    for p in (0.02, 0.2, 0.6):
        plan = Plan("certify", target=0.95, concurrency=1)
        outcomes = drawn(plan, lambda _, p=p: "fail" if rng.random() < p else "pass")
        assert certify_path(outcomes, 0.95).decided_at == len(outcomes)


def spread(failures: int, n: int) -> list[str]:
    """So many failures, evenly among passes."""
    return ["fail" if (i + 1) * failures // n > i * failures // n else "pass" for i in range(n)]


@cache
def batch(plan: Plan, failures: int, n: int) -> int:
    return next_draws(plan, spread(failures, n))


def exactly(plan: Plan, rate: float) -> tuple[float, float, float]:
    """Samples up to the decision or the budget, those after it, and batches waited for: exact means at this rate."""
    assert plan.target is not None
    assert plan.budget is not None
    tested, end = 1 - plan.target, plan.budget + 1
    met, not_met = met_boundary(tested, 0.05, None, end), not_met_boundary(tested, 0.05, None, end)
    needed = wasted = batches = 0.0
    states = {(0, 0): 1.0}
    while states:
        ahead: dict[tuple[int, int], float] = {}
        for (n, failures), chance in states.items():
            size = batch(plan, failures, n)
            batches += chance if size else 0
            alive = np.zeros(size + 1)
            alive[0] = chance
            for drawn_now in range(1, size + 1):
                needed += alive.sum()
                alive = alive * (1 - rate) + np.concatenate([[0.0], alive[:-1]]) * rate
                now, counts = n + drawn_now, failures + np.arange(size + 1)
                decided = (counts <= met[now]) | (counts >= not_met[now])
                wasted += alive[decided].sum() * (size - drawn_now)
                alive[decided] = 0
            for more in np.flatnonzero(alive > 1e-7) if size else ():
                place = (n + size, failures + int(more))
                ahead[place] = ahead.get(place, 0.0) + alive[more]
        states = ahead
    return needed, wasted, batches


def test_an_eighth_of_the_samples_at_most_comes_after_the_decision_on_average() -> None:
    plan = Plan("certify", target=0.9, concurrency=400, budget=80)
    for rate in (0.2, 0.3, 0.4, 0.6):
        needed, wasted, _ = exactly(plan, rate)
        assert wasted <= needed / 8, rate


def test_who_may_have_many_in_flight_waits_for_few_batches() -> None:
    needed, wasted, batches = exactly(Plan("certify", target=0.99, concurrency=400, budget=400), 0.0)
    assert (needed, wasted) == (355, 0)
    assert batches <= 9  # 24 where each may waste an eighth at most for sure


@settings(deadline=None)
@given(
    words,
    st.integers(0, 10),
    st.integers(1, 20),
    st.sampled_from([None, 0, 7, 50]),
    st.sampled_from([None, 7, 100]),
    st.sampled_from(["certify", "luck", "reference"]),
)
def test_caps_hold_and_a_stopped_plan_draws_nothing(
    outcomes: list[str], in_flight: int, concurrency: int, budget: int | None, horizon: int | None, question: str
) -> None:
    if horizon is not None:
        outcomes = outcomes[:horizon]
    plan = Plan(
        "certify" if question == "certify" else "luck",
        target=0.9 if question == "certify" else None,
        reference_rate=0.02 if question == "reference" else None,
        horizon=horizon,
        budget=budget,
        concurrency=concurrency,
    )
    count = next_draws(plan, outcomes, in_flight)
    assert count >= 0
    assert count == 0 or count + in_flight <= concurrency
    for cap in (budget, horizon):
        assert cap is None or count == 0 or len(outcomes) + in_flight + count <= cap
    assert (next_draws(plan, outcomes) == 0) == (stop_reason(plan, outcomes) is not None)


@pytest.mark.parametrize(
    ("plan", "outcomes", "reason"),
    [
        (Plan("certify", target=0.99), [], None),
        (Plan("certify", target=0.99), ["fail"] * 2, "decided"),
        (Plan("certify", target=0.99), ["fail"] * 2 + ["pass"] * 500, "decided"),
        (Plan("certify", target=0.99, budget=3), ["pass"] * 3, "budget"),
        (Plan("certify", target=0.99, horizon=3), ["pass"] * 3, "horizon"),
        (Plan("certify", target=0.99, horizon=300), ["pass"] * 299, "decided"),
        (Plan("certify", target=0.5, horizon=4), ["pass", "fail"], "out_of_reach"),
        (Plan("luck"), ["fail"], "out_of_reach"),
        (Plan("luck", budget=30), ["fail"], None),
        (Plan("luck", reference_rate=0.02), ["fail"], None),
        (Plan("luck"), ["pass"] * 70, "decided"),
    ],
)
def test_a_plan_stops_because(plan: Plan, outcomes: list[str], reason: str | None) -> None:
    assert stop_reason(plan, outcomes) == reason


def test_a_rate_without_a_reference_is_measured_until_the_budget() -> None:
    outcomes = drawn(Plan("luck", budget=30, concurrency=8), lambda i: "fail" if i % 2 else "pass")
    assert len(outcomes) == 30
    assert luck_path(outcomes).verdict == "undecided"


@pytest.mark.parametrize(
    "wrong",
    [
        {"question": "certify"},
        {"question": "certify", "target": 1.0},
        {"question": "luck", "reference_rate": 0.0},
        {"question": "why"},
        {"question": "luck", "concurrency": 0},
        {"question": "luck", "budget": -1},
        {"question": "luck", "horizon": 0},
        {"question": "luck", "alpha": 1.0},
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="got"):
        Plan(**wrong)  # type: ignore[arg-type]


def test_samples_cannot_be_in_flight_a_negative_number_of_times() -> None:
    with pytest.raises(ValueError, match="in_flight"):
        next_draws(Plan("luck"), [], in_flight=-1)
