"""Halves of neighbours: equal, decided by content, and never moved by a newcomer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reroll.case import Case
from reroll.halves import halves, kind_of

KINDS = ("", "~entity-", "~number-", "~format-")


def cases_of(drawn: list[tuple[int, str]]) -> list[Case]:
    return [
        Case(id=f"c{i}{kind}{i if kind else ''}", input={"request": f"words {words}"})
        for i, (words, kind) in enumerate(drawn)
    ]


drawn_cases = st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(KINDS)), max_size=40, unique_by=lambda d: d[0])


@given(drawn_cases)
def test_halves_are_equal_or_one_apart_and_hold_every_case_once(drawn: list[tuple[int, str]]) -> None:
    cases = cases_of(drawn)
    choosing, sealed = halves(cases)
    assert abs(len(choosing) - len(sealed)) <= 1
    assert sorted(c.id for c in (*choosing, *sealed)) == sorted(c.id for c in cases)
    assert halves(cases) == (choosing, sealed)


@given(drawn_cases, st.integers(10_001, 20_000), st.sampled_from(KINDS))
def test_a_case_that_is_added_moves_no_other(drawn: list[tuple[int, str]], words: int, kind: str) -> None:
    before, after = halves(cases_of(drawn)), halves(cases_of([*drawn, (words, kind)]))
    for old, new in zip(before, after, strict=True):
        assert {c.content_id for c in old} <= {c.content_id for c in new}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 1000))
def test_each_kind_is_parted_evenly_where_kinds_stand_together(sizes: list[int], salt: int) -> None:
    cases = [
        Case(id=f"c~{'abcdef'[k]}-{i}", input={"request": f"{salt} {k} {i}"})
        for k, size in enumerate(sizes)
        for i in range(size)
    ]
    choosing, sealed = halves(cases)
    for k in range(len(sizes)):
        mine = [sum(kind_of(c.id) == "abcdef"[k] for c in half) for half in (choosing, sealed)]
        assert abs(mine[0] - mine[1]) <= 2


def test_copies_of_one_input_are_never_on_both_sides() -> None:
    cases = [Case(id=f"c{i}", input={"request": f"words {i // 2}"}) for i in range(12)]
    choosing, sealed = halves(cases)
    assert not {c.content_id for c in choosing} & {c.content_id for c in sealed}
    assert len(choosing) == len(sealed) == 6


def test_either_half_may_come_first() -> None:
    first = {bool(halves([Case(id="c", input={"n": n})])[0]) for n in range(20)}
    assert first == {True, False}
