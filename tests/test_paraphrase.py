"""Wordings made by rule keep what a request is about; replies that are no wordings are known by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.paraphrase import KINDS, cleaned, kept, paraphrases, unusable


def by_kind(text: str) -> dict[str, str]:
    return {one.kind: one.text for one in paraphrases(text)}


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("Book lunch with Ana at noon", "polite", "Please book lunch with Ana at noon"),
        ("Please book lunch with Ana at noon", "polite", "Book lunch with Ana at noon"),
        ("Could you please book lunch with Ana?", "question", "Book lunch with Ana."),
        ("Book lunch with Ana at noon.", "question", "Could you book lunch with Ana at noon?"),
        ("Lunch with Ana at noon", "case", "lunch with Ana at noon"),
        ("Book lunch with Ana. My train is late.", "order", "My train is late. Book lunch with Ana."),
        ("What is the capital of France?", "greeting", "Hello. What is the capital of France?"),
        ("The app doesn't start on my phone", "expanded", "The app does not start on my phone"),
        ("The app does not start on my phone", "contracted", "The app doesn't start on my phone"),
        ("I need to pay for the flight", "synonyms", "I have to pay for the flight"),
        ("um so like lunch with Ana i guess at noon or something", "plain", "Lunch with Ana at noon"),
        ("Lunch with Ana at noon", "spoken", "Um, so like, lunch with Ana at noon, I guess"),
        ("Mittagessen mit Ana in Berlin", "stop", "Mittagessen mit Ana in Berlin."),
    ],
)
def test_each_rule_does_one_thing(text: str, kind: str, said: str) -> None:
    assert by_kind(text)[kind] == said


def test_names_numbers_quotations_links_and_code_are_known() -> None:
    text = 'Tell Dr. Smith: "don\'t go", 5 p.m., 12.50 €, 3/4 of `do not x`, https://a.b/need to, f(x), my_var'
    found = kept(text)
    for piece in ("Smith", '"don\'t go"', "5", "12.50", "3/4", "`do not x`", "https://a.b/need", "f(x)", "my_var"):
        assert any(piece in one for one in found), piece


def test_what_is_quoted_or_code_is_never_changed() -> None:
    said = by_kind('Translate "I do not need to" and `do not` for the app, and I do not mind')
    assert said["contracted"] == 'Translate "I do not need to" and `do not` for the app, and I don\'t mind'


def test_sentences_that_lean_on_each_other_keep_their_order() -> None:
    assert "order" not in by_kind("Book lunch with Ana. It should be at noon.")
    assert "order" not in by_kind("First add the flour. Then stir for the rest.")


def test_a_text_in_another_language_gets_only_a_full_stop() -> None:
    assert set(by_kind("Mittagessen mit Ana am Freitag")) <= {"stop"}
    assert paraphrases("今日の天気は？") == ()


@given(st.text(max_size=120))
def test_any_text_gives_wordings_that_differ_and_keep_what_counts(text: str) -> None:
    found = paraphrases(text)
    assert len({" ".join(one.text.split()) for one in found} | {" ".join(text.split())}) == len(found) + 1
    for one in found:
        assert one.kind in KINDS
        for piece in kept(text.strip()):
            assert piece in one.text
        assert sorted(c for c in text if c.isdigit()) == sorted(c for c in one.text if c.isdigit())


def test_a_list_or_a_long_text_is_framed_and_not_cut_into() -> None:
    text = "Answer the question for each of these:\n" + "\n".join(f"- item {i} of the list" for i in range(60))
    for one in paraphrases(text):
        assert "- item 30 of the list\n- item 31 of the list" in one.text


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "is empty"),
        ('{"date": "2026-11-27"}', "answers the request"),
        ("Lunch with Ana at 15:00", "says the same"),
        ("Lunch with Bob at 15:00", "lacks “Ana”"),
        ("Lunch with Ana at 3 pm", "lacks “15:00”"),
        ("Lunch with Ana at 15:00 for 2", "has a number"),
        ("Lunch with Ana at 15:00 " + "and so on " * 20, "much shorter or longer"),
        ("Lunch is with Ana\nat 15:00", "several lines"),
        ("Have lunch with Ana at 15:00", None),
    ],
)
def test_a_reply_that_is_no_wording_is_known_by_what_is_wrong(reply: str, why: str | None) -> None:
    found = unusable(reply, "Lunch with Ana at 15:00")
    assert (found is None) if why is None else why in str(found)


def test_an_announcement_and_quotation_marks_are_taken_off() -> None:
    assert cleaned("Here is the rewritten request:\n“Lunch, please”", "Lunch") == "Lunch, please"
    assert cleaned('"Yes" means what?', '"Yes" is what?') == '"Yes" means what?'
