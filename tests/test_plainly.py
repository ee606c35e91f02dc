"""What a section of an answer says first can be read by somebody who knows none of the words."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from reroll.answer import CauseSection, DudSection, LuckSection, OtherToken, Rate, Reference
from reroll.evidence import Est
from reroll.web.plainly import fixes_sentence, next_step, place_of, token_sentence

ENGINEERS = re.compile(r"token|rollout|prefix|interval|%|\bpairs?\b|\balpha\b|position|neutral")


def rate(value: float | None) -> Est:
    return Est(value, 0.0, 1.0, 20)


DUD = DudSection(
    "dud", "s_1", "A", "token", "20", 3, "unlucky", 0.35, rate(0.63), rate(0.002), rate(0.5), rate(0.9),
    (OtherToken("27", 0.65, rate(1.0)),), "sampling", 12, 400, "It went wrong at token 3.", (), 0.05,
)  # fmt: skip
TOKENS = [
    {"text": "on ", "prob": 0.9},
    {"text": "11-", "prob": 0.9},
    {"text": "20", "prob": 0.35},
    {"text": ".", "prob": 1},
]


def test_the_place_where_an_answer_went_wrong_is_said_without_a_word_of_ours() -> None:
    said = token_sentence(DUD)
    assert said == (
        "It went wrong at “20”: up to there such an answer comes out right about 6 times in 10, from there on hardly "
        "ever. With “27” in its place it comes out right nearly always."
    )
    assert not ENGINEERS.search(said)


@pytest.mark.parametrize("verdict", ["slide", "doomed", "unsure"])
def test_without_such_a_place_none_is_named(verdict: str) -> None:
    said = token_sentence(replace(DUD, verdict=verdict))  # type: ignore[arg-type]
    assert "“20”" not in said
    assert "no" in said.lower()
    assert not ENGINEERS.search(said)


def test_what_fares_no_better_there_is_not_offered() -> None:
    assert "27" not in token_sentence(replace(DUD, alternatives=(OtherToken("27", 0.65, rate(0.001)),)))
    assert "in its place" not in token_sentence(replace(DUD, alternatives=()))


def test_the_place_is_marked_in_the_answer_that_was_looked_at_and_in_no_other() -> None:
    found = place_of(DUD, {"sample": "s_1", "tokens": TOKENS})
    assert found == ("on 11-20.", (6, 8))
    long = [{"text": "a" * 5000}, {"text": "b"}, TOKENS[2], {"text": "c" * 5000}]
    around = place_of(DUD, {"sample": "s_1", "tokens": long})
    assert around is not None
    said, (start, end) = around
    assert said[start:end] == "20"
    assert len(said) < 1300
    assert (said[0], said[-1]) == ("…", "…")
    assert place_of(DUD, {"sample": "s_2", "tokens": TOKENS}) is None
    assert place_of(replace(DUD, position=None), {"sample": "s_1", "tokens": TOKENS}) is None
    assert place_of(replace(DUD, position=5), {"sample": "s_1", "tokens": TOKENS}) is None
    assert place_of(DUD, {"sample": "s_1"}) is None


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ("accept reject", "2 changes were tried; shown to help: fix-0."),
        ("reject", "1 change was tried; none was shown to help."),
        ("undecided reject", "2 changes were tried; none was shown to help. More runs may still tell of fix-0."),
    ],
)
def test_a_change_is_said_to_help_only_where_it_was_accepted(verdicts: str, said: str) -> None:
    assert fixes_sentence([{"fix": f"fix-{n}", "verdict": v} for n, v in enumerate(verdicts.split())]) == said


CAUSE = CauseSection(
    "systematic", "one", (), (), None, (), None, (), (), None, None, Rate(5, 20, 0, 0.25, 0.1, 0.5, 0.05), {}, 0,
    "It fails because of a.", "It fails because of a.", 0.05,
)  # fmt: skip


def luck_of(verdict: Any, failures: int = 5) -> LuckSection:
    rate = Rate(failures, 20, 0, failures / 20, 0.1, 0.5, 0.05)
    return LuckSection(verdict, rate, 0.05, 3.0, Est(0.75, 0.5, 0.9, 20), Reference(0.05, "given"), 0.05, 0, 0.05)


@pytest.mark.parametrize(
    ("verdict", "cards", "changed", "words", "where"),
    [
        ("worse_than_reference", [], "", "Find out why it fails", "why"),
        ("bad_luck", [], "", "Nothing to mend", "second-try"),
        ("not_reproduced", [], "", "it did not come back", "request"),
        ("undecided", [], "", "until it is known", "luck"),
        ("worse_than_reference", [], "the program", "the program has changed since", "again"),
        ("worse_than_reference", [], "its checks", "its checks have changed since", "again"),
    ],
)
def test_every_verdict_has_a_next_step(verdict: Any, cards: Any, changed: str, words: str, where: str) -> None:
    said = next_step(luck_of(verdict), None, cards, changed)
    assert said is not None
    assert words in said[0]
    assert said[1] == where


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ({}, "Try what would help"),
        ({"a": "reject", "b": "undecided 900"}, "whether b helps: about 900 more calls"),
        ({"a": "undecided 4000", "b": "undecided 900"}, "whether a helps: about 4,000 more calls"),
        ({"a": "undecided 54798", "b": "undecided"}, "Try something else: what was tried takes very many"),
        ({"a": "undecided", "b": "accept"}, "Put b in"),
        ({"a": "reject"}, "Try something else: nothing"),
    ],
)
def test_with_a_cause_the_next_step_is_about_what_helps(verdicts: dict[str, str], words: str) -> None:
    cards = [
        {"fix": fix, "verdict": word.split()[0], "needed": int(word.split()[-1]) if " " in word else None}
        for fix, word in verdicts.items()
    ]
    said = next_step(luck_of("worse_than_reference"), CAUSE, cards, "")
    assert said is not None
    assert words in said[0]
    assert said[1] == "fixes"


def test_a_fix_that_helps_and_may_harm_is_not_given_up() -> None:
    cards = [{"fix": "a", "verdict": "undecided", "needed": 54_000, "claims": {"helps": "shown"}}]
    said = next_step(luck_of("worse_than_reference"), CAUSE, cards, "")
    assert said is not None
    assert said[0].startswith("Decide about a: it helps")
    assert "a helps requests like it, and whether it harms others is still open" in fixes_sentence(cards)
