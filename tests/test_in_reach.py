"""Whether going on can decide: what is given up, what is not, and how a batch is cut to the calls that are left."""

from __future__ import annotations

import pytest

from reroll.in_reach import ENOUGH, SLACK, USUAL, affordable, nearest_end, out_of_reach
from reroll.reduction import Pairs
from reroll.scorecard import Rules, SetWord, claim_states, expected, more_needed, until_refuted

RULES = Rules()


def halfway(n: int = 400, after: float = 0.36) -> dict[SetWord, Pairs]:
    """A lever that helps others less than half as much as the case, yet not by much: neither end is near."""
    return {"case": expected(n // 2, 0.5, 0.1), "neighbour": expected(n, 0.5, after), "lookalike": expected(40, 0, 0)}


def asked(pairs: dict[SetWord, Pairs], left: int, each: int = 2) -> bool:
    return out_of_reach(pairs, RULES, claim_states(pairs, RULES), left, each)


def test_it_is_given_up_just_where_the_nearest_end_is_more_than_the_slack_away() -> None:
    pairs = halfway()
    states = claim_states(pairs, RULES)
    still = [word for word, state in states.items() if state == "open"]
    assert "generalises" in still
    end = nearest_end(pairs, RULES, still)
    assert end is not None
    just = end * 2 / SLACK
    assert asked(pairs, int(just) - 1)
    assert not asked(pairs, int(just) + 1)
    assert asked(pairs, int(just / 2) - 1, each=1), "a pair that shares its completion takes half of the calls"
    assert not asked(pairs, int(just / 2) + 1, each=1)


def test_the_nearest_end_is_the_one_that_comes_first() -> None:
    pairs = halfway()
    accept, refute = more_needed(pairs, RULES, ["generalises"], USUAL), until_refuted(pairs, RULES)
    assert accept is None, "as it goes now it never generalises"
    assert refute is not None
    assert nearest_end(pairs, RULES, ["generalises"]) == round(refute * 5 / 3)
    good: dict[SetWord, Pairs] = {"case": expected(60, 0.5, 0.05), "neighbour": expected(90, 0.5, 0.05)}
    assert nearest_end(good, RULES, ["spares_control"]) == sum(
        (more_needed(good, RULES, ["spares_control"], USUAL) or {}).values()
    )


def test_before_a_quarter_of_the_calls_is_spent_nothing_is_given_up() -> None:
    """What a lever does in the first calls is mostly luck."""
    pairs = halfway(after=0.345)
    spent = 2 * sum(one.n for one in pairs.values())
    end = nearest_end(pairs, RULES, ["generalises"])
    assert end is not None
    assert 2 * end > SLACK * 3 * spent, "far beyond what is left"
    assert asked(pairs, 3 * spent)
    assert not asked(pairs, 3 * spent + 1)


def test_too_few_neighbours_tell_nothing_and_a_fix_that_helps_is_measured_to_the_end() -> None:
    assert not asked(halfway(ENOUGH - 2), 0)
    helps: dict[SetWord, Pairs] = {"case": expected(100, 0.5, 0.05), "neighbour": expected(200, 0.5, 0.05)}
    states = claim_states(helps, RULES)
    assert {states["cures"], states["helps"], states["generalises"]} == {"shown"}
    assert not asked(helps, 0), "only harm is open: what is left goes into bounding it"


def test_where_no_end_is_in_sight_nothing_is_given_up() -> None:
    nothing: dict[SetWord, Pairs] = {"case": expected(100, 0, 0), "neighbour": expected(200, 0, 0)}
    assert not asked(nothing, 0)


@pytest.mark.parametrize(("left", "want"), [(1000, {"case": 10, "neighbour": 20}), (0, {}), (1, {})])
def test_a_batch_is_cut_to_what_is_left(left: int, want: dict[str, int]) -> None:
    found = affordable({"case": 10, "neighbour": 20}, lambda more: 2 * sum(more.values()), left)
    assert found == want


def test_what_remains_of_a_batch_is_never_dearer_than_what_is_left() -> None:
    for left in range(60):
        found = affordable({"case": 10, "neighbour": 20}, lambda more: 2 * sum(more.values()), left)
        assert 2 * sum(found.values()) <= left
        assert all(found.values())
