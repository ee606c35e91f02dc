"""What a section of an answer says first can be read by somebody who knows none of the words."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from reroll.answer import DudSection, OtherToken
from reroll.evidence import Est
from reroll.web.plainly import fixes_sentence, place_of, token_sentence

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
