"""What a fix copies from the reported case is found, and what it says in general is not taken for a copy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.case import Case
from reroll.check import Check
from reroll.copying import RUN, copied, copies, literals_of
from reroll.fix import Fix

LUNCH = Case(
    id="next-friday",
    input={"request": "Lunch with Ana next Friday at noon"},
    checks=(
        Check.of("json", {"date": "2026-11-27", "duration_min": 60, "attendees": ["Ana"], "sure": True}),
        Check.of("not", {"contains": "sorry to say"}),
    ),
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("If it says lunch with Ana, next FRIDAY: think.", ["lunch with Ana, next FRIDAY"]),
        ("next Friday at noon", []),
        ("Ana's dates are 2026-11-27.", ["Ana's", "2026-11-27"]),
        ("Meetings with Ana are long.", ["Ana"]),
        ("Banana", []),
        ("A meeting takes 60 minutes, and it is true.", []),
        ("Never say sorry to say.", []),
        ("'next Friday' is the Friday of next week.", []),
        ("", []),
    ],
)
def test_five_words_in_a_row_or_a_value_of_the_case_are_a_copy(text: str, found: list[str]) -> None:
    assert copied(text, LUNCH) == found


def test_the_longest_run_is_quoted_once() -> None:
    text = "Lunch with Ana next Friday at noon! I say: lunch with ana next friday at noon."
    assert copied(text, LUNCH) == ["Lunch with Ana next Friday at noon", "lunch with ana next friday at noon"]


def test_what_the_program_says_already_is_no_copy() -> None:
    assert copied("Today is 2026-11-27. Ana", LUNCH, known="Today is 2026-11-27.") == ["Ana"]


def test_settings_are_read_as_well_as_the_text() -> None:
    case = LUNCH
    special = Fix(fix="f", kind="patch.special_case", when={"input": "next Friday"}, set={"date": "2026-11-27"})
    checked = Fix(fix="g", kind="sample.verify", checks=[{"json": {"date": "2026-11-27"}}], times=2)
    assert copies(special, case) == copies(checked, case) == ["2026-11-27"]
    assert copies(Fix(fix="h", kind="sample.verify", checks=[{"schema": True}], times=2), case) == []


def test_scripts_without_spaces_are_read_by_character() -> None:
    case = Case(id="c", input={"request": "来週の金曜日に昼食"})
    assert copied("「来週の金曜日」とは", case) == ["来週の金曜日"]
    assert copied("金曜日", case) == []


def test_numbers_of_the_answer_count_where_they_are_specific() -> None:
    case = Case(id="c", input={"n": 7}, expected={"sum": 1250, "share": 0.5, "many": 60})
    assert literals_of(case) == ("1250", "0.5")
    assert copied("Answer 1250, or 0.5, or 60.", case) == ["1250", "0.5"]


WORDS = st.lists(st.sampled_from("ab cd ef gh ij".split()), min_size=1, max_size=12)


@given(WORDS, WORDS)
def test_a_copy_is_found_exactly_where_one_is(said: list[str], source: list[str]) -> None:
    case = Case(id="c", input={"request": " ".join(["begin", *source, "end"])})
    runs = {tuple(source[k : k + RUN]) for k in range(len(source) - RUN + 1)}
    there = any(tuple(said[k : k + RUN]) in runs for k in range(len(said) - RUN + 1))
    assert bool(copied(" ".join(said), case)) == there
