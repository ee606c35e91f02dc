"""What carries a failure is marked where it was blamed, not wherever its words happen to stand."""

from __future__ import annotations

from typing import Any

import pytest

from reroll.answer import NamedFactor
from reroll.case import Case
from reroll.evidence import Est
from reroll.factor import groups_of
from reroll.factors import factors_of
from reroll.program import Program
from reroll.web.blamed import request_with

EST = Est(0.5, 0.1, 0.8, 20)
PROGRAM = Program.model_validate(
    {
        "program": "meetings",
        "model": "function",
        "system": {"role": "Book meetings.", "hint": "People say next Friday, noon or later."},
        "documents": {"policy": "No meeting at noon."},
        "history": [{"role": "user", "content": "next Friday?"}, {"role": "assistant", "content": "Which?"}],
        "user": "{request}",
    }
)
CASE = Case(id="a", input={"request": "Lunch with Ana & Bo next Friday at noon"})


def marks(*named: tuple[str, str]) -> list[tuple[str, str]]:
    """Role and marked words of every message in which something is marked."""
    factors = [NamedFactor(id, "user", words, EST) for id, words in named]
    messages: Any = PROGRAM.render(CASE.input, CASE.history).body["messages"]
    said = request_with(PROGRAM, CASE, messages, factors)
    for one, message in zip(said, messages, strict=True):
        assert str(one.text.striptags()).split() == message["content"].split()  # nothing is lost or added
    found = [(one.role, piece.partition("</mark>")[0]) for one in said for piece in str(one.text).split("<mark")[1:]]
    assert [one.blamed for one in said] == ["<mark" in str(one.text) for one in said]
    return [(role, piece.partition(">")[2]) for role, piece in found]


@pytest.mark.parametrize(
    ("id", "words", "where"),
    [
        ("user.1", "next Friday", [("user", "next Friday")]),
        ("user.1", "Ana", [("user", "Ana")]),  # narrower than any part that was screened
        (
            "user.1",
            "Lunch with Ana & Bo next Friday at noon",
            [("user", "Lunch with Ana &amp; Bo next Friday at noon")],
        ),
        (
            "system.hint",
            "People say next Friday, noon or later.",
            [("system", "People say next Friday, noon or later.")],
        ),
        ("documents.policy", "No meeting at noon.", [("system", "No meeting at noon.")]),
        ("history.1", "next Friday?", [("user", "next Friday?")]),
        ("params.temperature", "temperature = 1.2", []),
        ("user.9", "noon", [("system", "noon"), ("system", "noon"), ("user", "noon")]),  # of a program since changed
    ],
)
def test_a_part_is_marked_at_its_own_place(id: str, words: str, where: list[tuple[str, str]]) -> None:
    assert marks((id, words)) == where


def test_two_parts_are_marked_each_at_its_place() -> None:
    assert marks(("user.1", "next Friday"), ("documents.policy", "No meeting at noon.")) == [
        ("system", "No meeting at noon."),
        ("user", "next Friday"),
    ]


def test_of_several_together_each_that_is_called_there_is_marked_and_what_must_stay_is_not() -> None:
    case = Case(
        id="a", input={"request": "The soup was salty. Lunch with Ana at noon. My train was late. Everybody is tired."}
    )
    known = factors_of(PROGRAM, case.input, case.history).all
    of_the_request = [f for f in known if f.place[0] == "user" or f.place[0] == "input"]
    kept = {known.index(f) for f in of_the_request if "Lunch" in f.words}
    group = next(g for g in groups_of(known, kept) if "sentences" in g.words)
    said = request_with(
        PROGRAM,
        case,
        PROGRAM.render(case.input, case.history).body["messages"],
        [NamedFactor(group.id, "user", group.words, EST)],
    )
    found = [piece.partition("</mark>")[0].partition(">")[2] for piece in str(said[-1].text).split("<mark")[1:]]
    assert found == ["The soup was salty.", "My train was late.", "Everybody is tired."]
    assert [one.blamed for one in said] == [False] * (len(said) - 1) + [True]


def test_nothing_blamed_marks_nothing() -> None:
    assert marks() == []
