"""A key is found and hidden however it is written, and nothing else is touched."""

from __future__ import annotations

import html
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.keys import HIDDEN, hide, holds, known_values

KEY = "sk-live/very+secret=0123"
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)


def unicode_escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04X}" for c in text)


SPELLINGS = {
    "plain": KEY,
    "PHP": KEY.replace("/", "\\/"),
    "one character escaped": f"\\u0073{KEY[1:]}",
    "all characters escaped": unicode_escaped(KEY),
    "JSON in JSON": json.dumps(json.dumps(KEY.replace("/", "\\/"))),
    "escaped JSON in JSON": json.dumps(json.dumps({"a": unicode_escaped(KEY)})),
    "JavaScript": "".join(f"\\x{ord(c):02x}" for c in KEY),
    "percent": quote(KEY, safe=""),
    "HTML": html.escape(KEY).replace("/", "&#x2F;").replace("+", "&#43;"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_key_is_hidden(spelling: str) -> None:
    text = f"Your key: {SPELLINGS[spelling]}, keep it."
    assert holds(text, KEY)
    hidden = hide(text, KEY)
    assert HIDDEN in hidden
    assert hidden.startswith("Your key: ")
    assert hidden.endswith(", keep it.")
    assert "ive" not in hidden


@given(KEYS, st.integers(0, 3))
def test_any_key_is_found_at_any_depth_of_json(key: str, depth: int) -> None:
    value: Any = {"a": [f"x{key}y", {key: 1}]}
    for _ in range(depth):
        value = json.dumps(value)
    assert holds(value, key)
    assert not holds(hide(value, key), key) or key in HIDDEN


@given(st.recursive(st.text() | st.integers() | st.none(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_what_holds_no_key_stays_as_it_is(value: Any) -> None:
    assert hide(value, KEY) == value


def test_a_word_too_short_to_be_a_key_is_left_alone() -> None:
    assert hide("ask ollama or none", "ollama", "none", "", None) == "ask ollama or none"
    assert known_values({"OPENAI_API_KEY": "none", "GROQ_API_KEY": f" {KEY}\n"}) == {"GROQ_API_KEY": KEY}


def test_a_text_of_backslashes_takes_no_time() -> None:
    text = "\\" * 200_000
    assert hide(text, KEY) == text
