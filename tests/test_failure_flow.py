"""Failures flowing along one completion: nothing gets lost, and what banning a unit brings is what it brings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reroll.failure_flow import failure_flow

FAILING = ["search", "pick", "book"]


def agent(rng: np.random.Generator, banned: str | None = None) -> tuple[list[str], str]:
    options = [("search", 0.8), ("ask", 0.2)]
    first = options[0][0] if rng.random() < 0.8 else options[1][0]
    if first == "ask":
        return [first], "pass" if rng.random() < 0.9 else "fail"
    second = "list" if banned == "pick" or rng.random() < 0.5 else "pick"
    third = "book"
    rate = 0.9 if second == "list" else 0.2
    return [first, second, third], "pass" if rng.random() < rate else "fail"


def test_every_failure_leaves_somewhere_or_stays_to_the_end() -> None:
    rng = np.random.default_rng(1)
    samples = [agent(rng) for _ in range(500)]
    flow = failure_flow(FAILING, samples)
    assert sum(step.left for step in flow) + flow[-1].through == pytest.approx(1)
    for step, after in itertools.pairwise(flow):
        assert step.through == pytest.approx(after.left + after.through)


def test_what_banning_a_unit_is_said_to_bring_is_what_it_brings() -> None:
    rng = np.random.default_rng(2)
    samples = [agent(rng) for _ in range(4000)]
    step = failure_flow(FAILING, samples)[1]
    before = np.mean([outcome == "pass" for _, outcome in samples])
    after = np.mean([outcome == "pass" for _, outcome in (agent(rng, banned="pick") for _ in range(4000))])
    assert step.avoidable == pytest.approx(after - before, abs=0.03)


def test_invalid_samples_count_in_no_rate_and_no_samples_give_no_numbers() -> None:
    step = failure_flow(FAILING, [(["search"], "invalid")])[0]
    assert (step.reached.value, step.avoidable, step.left) == (None, None, 0.0)
