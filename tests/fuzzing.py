"""What the fuzzer feeds: valid things damaged in a few places, texts that models and attackers write, mangled bytes.

Damaged valid things find more than random ones: they get past the first look. Everything is drawn by Hypothesis, so
that what breaks something is made small before it is shown.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

__all__ = ["CANARY", "HOSTILE", "damaged", "mangled", "messy", "places_of", "texts"]

JSON = Any
# Must never reach a page, a picture or a message as it is written here.
CANARY = "<img src=x onerror=alert(1)>"
HOSTILE = (
    CANARY,
    "\"'><script>alert(1)</script>",
    "</script></textarea></title><!--",
    "]]>",
    "javascript:alert(1)",
    "\x00",
    "\ud800",
    "\udfff\ud83d",
    "\u202egnp.exe\u202c",
    "\u2066\u2069",
    "\ufeff",
    "\u2028\u2029\x85",
    "\x1b[31m",
    "\x1b]8;;http://evil.example\x1b\\",
    "\x9b2J",
    "\x07\b\r",
    "Z\u0300\u0301\u0302\u0303",
    "👩‍👩‍👧",
    "日本語",
    "ﷺ" * 9,
    "\t",
    "{request}",
    "{{7*7}}",
    "{",
    "}",
    "%s%n",
    "=HYPERLINK(1)",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "|`*_~#[x](y)",
    "<!channel>",
    "<@U1>",
    "&amp;",
    "&#0;",
    "```json\n{}\n```",
    "null",
    "NaN",
    "-0.0",
    "1e999",
    "true",
    "\n" * 50,
    " " * 300,
    "x" * 9000,
    "(((((((((a*)*)*)*)*)*)*)*)*",
    "../../etc/passwd",
    "~",
    "--yes",
    "0",
    "[" * 300,
    '{"a":' * 300,
)

KINDS = ("stop", "length", "tool_calls", "content_filter", "user", "assistant", "system", "tool", "text", "function")


def texts(most: int = 4) -> st.SearchStrategy[str]:
    """A text of hostile pieces and whatever characters there are, halves of characters among them."""
    piece = st.sampled_from(HOSTILE) | st.text(st.characters(codec=None), max_size=12)
    return st.lists(piece, min_size=1, max_size=most).map("".join)


def odd() -> st.SearchStrategy[JSON]:
    """A value that stands where another kind of value is expected."""
    plain = st.sampled_from(
        (
            None,
            True,
            False,
            0,
            -1,
            1,
            2**63,
            -(2**70),
            10**400,
            0.0,
            -0.0,
            1e308,
            5e-324,
            1e-9,
            0.5,
            "",
            " ",
            "0",
            "1",
            "-1",
            "1e999",
            float("nan"),
            float("inf"),
            float("-inf"),
            [],
            {},
            [[]],
            [None],
            [{}],
            {"": ""},
            {"a": None},
            *KINDS,
        )
    ) | texts(2)
    return plain | st.lists(plain, max_size=3) | st.dictionaries(texts(1), plain, max_size=3) | st.just(deep(200))


def deep(levels: int) -> JSON:
    value: JSON = "x"
    for i in range(levels):
        value = [value] if i % 2 else {"a": value}
    return value


def places_of(value: JSON, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(p for k, v in items for p in places_of(v, (*at, k)))]


def found(value: JSON, at: tuple[Any, ...]) -> JSON:
    for step in at:
        value = value[step]
    return value


def put(value: JSON, at: tuple[Any, ...], new: JSON) -> JSON:
    """The same value with another one at this place."""
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = put(copy[at[0]], at[1:], new)
    return copy


def _changed(draw: st.DrawFn, value: JSON, seeds: Sequence[JSON]) -> JSON:
    """The value with one place of it damaged."""
    places = places_of(value)
    at = draw(st.sampled_from(places))
    here = found(value, at)
    how = draw(st.sampled_from(("odd", "odd", "text", "drop", "twice", "wrap", "kind", "graft", "key", "cut")))
    if how == "text":
        return put(value, at, (here if isinstance(here, str) else "") + draw(texts(2)))
    if how == "drop" and at:
        parent = found(value, at[:-1])
        left = (
            {k: v for k, v in parent.items() if k != at[-1]}
            if isinstance(parent, dict)
            else [v for i, v in enumerate(parent) if i != at[-1]]
        )
        return put(value, at[:-1], left)
    if how == "twice":
        return put(
            value, at, [*here, *here] if isinstance(here, list) else here * 2 if isinstance(here, str) else [here]
        )
    if how == "wrap":
        return put(value, at, draw(st.sampled_from(([here], {"value": here}, {"0": here}, json.dumps(here)))))
    if how == "kind":
        other: JSON = (
            list(here.items())
            if isinstance(here, dict)
            else dict(enumerate(here))
            if isinstance(here, list)
            else str(here)
        )
        return put(
            value,
            at,
            {str(k): v for k, v in other.items()}
            if isinstance(other, dict)
            else [*map(list, other)]
            if isinstance(here, dict)
            else other,
        )
    if how == "graft":
        seed = draw(st.sampled_from(list(seeds)))
        return put(value, at, found(seed, draw(st.sampled_from(places_of(seed)))))
    if how == "key" and isinstance(here, dict) and here:
        name = draw(st.sampled_from(sorted(here)))
        new = draw(st.sampled_from((name + "s", name[:-1], name.upper(), "", "__class__")) | texts(1))
        return put(value, at, {new if k == name else k: v for k, v in here.items()})
    if how == "cut" and isinstance(here, str | list):
        return put(value, at, here[: len(here) // 2])
    return put(value, at, draw(odd()))


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[JSON]) -> JSON:
    """One of these values, damaged in one place to three."""
    value = draw(st.sampled_from(list(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        value = _changed(draw, value, seeds)
    return value


@st.composite
def mangled(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of these files with bytes cut out, put in, doubled, or written in another encoding."""
    data = draw(st.sampled_from(list(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        at, size = draw(st.integers(0, len(data))), draw(st.integers(0, 40))
        how = draw(st.sampled_from(("out", "in", "twice", "cut", "flip", "encoding", "lines", "gzip")))
        if how == "out":
            data = data[:at] + data[at + size :]
        elif how == "in":
            put_in = draw(texts(1).map(lambda t: t.encode("utf-8", "surrogatepass")) | st.binary(max_size=9))
            data = data[:at] + put_in + data[at:]
        elif how == "twice":
            data = data[: at + size] + data[at:]
        elif how == "cut":
            data = data[:at]
        elif how == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        elif how == "encoding":
            name = draw(
                st.sampled_from(("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp037"))
            )
            data = data.decode("utf-8", "replace").encode(name, "replace")
        elif how == "lines":
            data = data.replace(b"\n", draw(st.sampled_from((b"\r\n", b"\r", b"", b"\n\n", "\u2028".encode()))))
        elif how == "gzip":
            data = gzip.compress(data, mtime=0)
    return data


def messy(value: JSON) -> str:
    """The value as JSON text, with what JSON has no word for as some writers spell it."""
    return json.dumps(value, ensure_ascii=len(str(value)) % 2 == 0)
