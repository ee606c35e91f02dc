"""Sentences as pages show them: no id where a colleague knows the words, no backtick, nothing that a browser obeys."""

from __future__ import annotations

import pytest

from reroll.web.view import prose

WORDS = {"user.1": "“next Friday”", "response.date.type": "the type of `date`", "model": "the model gpt-1"}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("It fails because of the words “next Friday” (user.1).", "It fails because of the words “next Friday”."),
        ("Likeliest by now: user.1 (22 %).", "Likeliest by now: “next Friday” (22 %)."),
        ("user.10 and my.user.1 are others", "user.10 and my.user.1 are others"),
        ("response.date.type (27 %)", "the type of <code>date</code> (27 %)"),
        ("The model takes it there.", "The model takes it there."),
        ("See `reroll cause a`.", "See <code>reroll cause a</code>."),
        ("`<b>`<script>", "<code>&lt;b&gt;</code>&lt;script&gt;"),
    ],
)
def test_a_sentence_says_words_and_no_ids(said: str, shown: str) -> None:
    assert prose(said, WORDS).replace('<span class="whole">', "").replace("</span>", "") == shown


def test_a_share_is_not_broken_before_its_sign() -> None:
    assert prose("<1 %> fail, 8–60 % of `5 %`") == (
        '&lt;<span class="whole">1 %</span>&gt; fail, <span class="whole">8–60 %</span> of <code>5 %</code>'
    )


def test_a_long_text_is_cut() -> None:
    assert prose("a" * 50, None, 10) == "a" * 10 + " …"
