"""The path that is drawn crosses where the verdict fell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reroll.evidence import Evidence
from reroll.outcomes import Outcomes
from reroll.race import log_es
from reroll.verdict import certify_path, certify_race, luck_path
from reroll.walks import MOST, Walks, certify_walks, luck_walks


def drawn(rate: float, n: int, seed: int, invalid: float = 0.02) -> Outcomes:
    codes = np.random.default_rng(seed).choice(3, size=n, p=[1 - rate - invalid, rate, invalid])
    return Outcomes.of_codes(codes.astype(np.uint8).tobytes())


def crossing_of(walks: Walks) -> int | None:
    """The first drawn run at which either path has reached its threshold."""
    reached = [n for walk in walks.sides for n, value in walk.points if value >= walk.threshold]
    return min(reached, default=None)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("rate", "n"), [(0.0, 500), (0.004, 3000), (0.03, 900), (0.4, 60), (0.01, 20_000)])
def test_the_drawn_path_crosses_at_the_run_at_which_the_verdict_fell(rate: float, n: int, seed: int) -> None:
    outcomes = drawn(rate, n, seed, invalid=0.0 if seed % 2 else 0.001)
    found, walks = certify_path(outcomes, 0.99), certify_walks(outcomes, 0.99)
    assert walks.crossed_at == found.decided_at == crossing_of(walks)
    assert (walks.crossed or "undecided") == found.verdict
    luck, lucky = luck_path(outcomes, 0.02), luck_walks(outcomes, 0.02)
    assert lucky.crossed_at == luck.decided_at == crossing_of(lucky)


@pytest.mark.parametrize("seed", range(4))
def test_rounds_over_several_cases_are_looked_at_where_they_end(seed: int) -> None:
    outcomes = drawn(0.002, 4007, seed, invalid=0.0)
    found, walks = certify_path(outcomes, 0.98, round_size=5), certify_walks(outcomes, 0.98, round_size=5)
    assert walks.crossed_at == found.decided_at == crossing_of(walks)
    assert all(n % 5 == 0 for n, _ in walks.sides[0].points)
    assert walks.runs == 4005


def test_every_point_is_the_evidence_of_so_many_runs() -> None:
    outcomes, race = drawn(0.05, 700, 3), certify_race(0.95)
    for walk in certify_walks(outcomes, 0.95).sides:
        for n, value in walk.points[::37]:
            both = log_es(race, Evidence.of(outcomes[:n]))
            expected = both[0] if walk.side == "met" else both[1]
            assert expected is not None
            assert math.isclose(value, expected, abs_tol=1e-9)


@pytest.mark.parametrize("rate", [0.0, 0.0005, 0.3])
def test_a_long_path_is_thinned_and_keeps_its_ends_and_the_crossing(rate: float) -> None:
    outcomes = drawn(rate, 100_000, 1, invalid=0.0)
    walks = certify_walks(outcomes, 0.999)
    for walk in walks.sides:
        runs = [n for n, _ in walk.points]
        assert len(runs) <= MOST
        assert runs == sorted(set(runs))
        assert (runs[0], runs[-1]) == (0, 100_000)
        assert walks.crossed_at in runs
        assert walks.crossed_at is not None
        assert walks.crossed_at - 1 in runs


def test_without_a_reference_only_one_claim_walks_and_no_runs_are_a_path_of_one_point() -> None:
    assert [walk.side for walk in luck_walks([]).sides] == ["met"]
    assert luck_walks([]).sides[0].points == ((0, 0.0),)
    assert certify_walks(["pass"] * 3, 0.9, round_size=4).runs == 0
