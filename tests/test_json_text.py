"""JSON by the fast library says the very same as Python's own: stored ids are made of it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.json_text import json_bytes, json_text, json_value

HALF = chr(0xD83D)
# Floats near where Python begins to write exponents, besides any others.
NUMBERS = st.floats(allow_nan=True) | st.floats(1e-9, 1e-3) | st.floats(1e14, 1e18) | st.integers()
TEXTS = st.text(st.characters(codec=None) | st.just(HALF))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


def pythons(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(VALUES)
def test_a_value_is_the_text_that_python_makes_of_it(value: Any) -> None:
    assert json_text(value) == pythons(value)
    assert json_bytes(value) == pythons(value).encode("utf-8", "surrogatepass")


def test_every_character_is_escaped_as_python_does_it() -> None:
    for start in range(0, 0x110000, 0x1000):
        text = "".join(map(chr, range(start, start + 0x1000)))
        assert json_text({"a": text}) == pythons({"a": text})


@pytest.mark.parametrize("number", [1e16, 1e15, 1e-4, 1e-5, 5e-324, 2.0**70, 10**40, -0.0, math.inf, -math.inf])
def test_numbers_are_written_as_python_writes_them(number: float) -> None:
    assert json_text([number]) == pythons([number])


def read(text: str, **options: Any) -> str:
    try:
        return repr(json_value(text, **options))  # repr: 1 is not 1.0, and -0.0 not 0.0
    except ValueError:
        return "no JSON"


def pythons_value(text: str, **options: Any) -> str:
    try:
        return repr(json.loads(text, **options))
    except (ValueError, RecursionError):
        return "no JSON"


ODD = [
    '["\ud800"]',  # half a character, not even escaped
    '{"a":1,"b":2,"a":3}',
    '"\\ud83d"',
    "-0",
    "1e400",
    "[NaN, -Infinity]",
    "[1,]",
    "\ufeff1",
    '"\x01"',
    "01",
    "",
    " ",
]
ODD += ["9" * 4000, "9" * 5000, "[" * 300 + "]" * 300, "[" * 100_000, '{"a" : 1 }\r\n', "1 2", "nul", '"\\u00e9"']


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_odd_texts_are_read_as_python_reads_them(text: str) -> None:
    assert read(text) == pythons_value(text, parse_constant=str)
    assert read(text, odd_numbers=True) == pythons_value(text)


@given(VALUES, st.booleans())
def test_any_text_is_read_as_python_reads_it(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped)
    assert read(text) == pythons_value(text, parse_constant=str)
