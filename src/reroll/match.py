"""Comparing a completion with what was expected: placeholders, JSON, and where in the text they part."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]  # real, but missing from typeshed
from typing import Any

__all__ = [
    "NotJSON",
    "Path",
    "Span",
    "clean",
    "difference",
    "dotted",
    "excerpt",
    "fill_known",
    "listed",
    "names_used",
    "nearest",
    "parse",
    "show",
    "span_of",
]

JSON = Any
Path = tuple[str | int, ...]
Span = tuple[int, int]

# Deeper answers are refused rather than walked: where Python's own parser gives up differs by version.
DEPTH = 200
MISSING = object()
SURROGATE = re.compile("[\ud800-\udfff]")
SPACE = re.compile(r"[ \t\n\r]*")
# `{name}` is replaced, `{{name}}` stands for a literal {name}. Only for names that the case gives.
HOLE = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")


class NotJSON(ValueError):
    """A completion is not one JSON value; `marks` are the characters that are in the way."""

    def __init__(self, reason: str, marks: tuple[Span, ...] = ()) -> None:
        super().__init__(reason)
        self.marks = marks


def nearest(word: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """`; did you mean `x`?` for the known word most like this one, else nothing.

    >>> nearest("contain", ["equals", "contains"])
    '; did you mean `contains`?'
    """
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"; did you mean `{found[0]}`?" if found else ""


def listed(names: Collection[str], most: int = 12) -> str:
    """The first of these names; of how many more there are, the number.

    >>> listed(["a", "b", "c"], most=2), listed([])
    ('a, b and 1 more', 'none')
    """
    more = len(names) - most
    return (", ".join(list(names)[:most]) or "none") + (f" and {more:,} more" if more > 0 else "")


def clean(text: str) -> str:
    """The same text with lone surrogates, which no file or database takes, as U+FFFD; lengths stay."""
    return SURROGATE.sub("\ufffd", text)


def excerpt(text: str, size: int = 40) -> str:
    """The beginning of a text on one line, in quotes.

    >>> excerpt("Sure! Here is  your meeting, I hope that you like it.", 12)
    "'Sure! Here i…'"
    """
    line = " ".join(clean(text[: 4 * size]).split())
    return f"'{line[:size]}…'" if len(line) > size or len(text) > 4 * size else f"'{line}'"


def show(value: JSON, size: int = 60) -> str:
    """A JSON value as text, cut to about `size` characters."""
    try:
        text = clean(json.dumps(value, ensure_ascii=False))
    except (RecursionError, TypeError, ValueError):
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= size else text[: size - 1] + "…"


def dotted(path: Path) -> str:
    """A path into a JSON value as one would write it.

    >>> dotted(("guests", 0, "name"))
    'guests[0].name'
    """
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


# -- placeholders


def names_used(value: JSON) -> set[str]:
    """The names that a check's value has in braces, doubled braces apart."""
    if isinstance(value, str):
        return {m.group(2) for m in HOLE.finditer(value) if m.group(2)}
    if isinstance(value, Mapping):
        return set[str]().union(*map(names_used, value.values()))
    return set[str]().union(*map(names_used, value)) if isinstance(value, list | tuple) else set()


def fill_known(value: JSON, known: Mapping[str, JSON], quote: Callable[[str], str] = str) -> JSON:
    """The value with `{name}` replaced in every string, for known names only.

    A string that is nothing but one placeholder becomes the value itself, whatever its type.
    All other braces stay as they are, so that regular expressions and JSON keep their meaning.

    >>> fill_known({"day": "{expected}", "id": r"\\d{4}"}, {"expected": 7})
    {'day': 7, 'id': '\\\\d{4}'}
    >>> fill_known("{{who}} is {who}", {"who": "Ana"})
    '{who} is Ana'
    """
    if isinstance(value, Mapping):
        return {k: fill_known(v, known, quote) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [fill_known(v, known, quote) for v in value]
    if not isinstance(value, str) or "{" not in value:
        return value
    whole = HOLE.fullmatch(value)
    if whole and whole.group(2) in known and quote is str:
        return known[whole.group(2)]

    def one(match: re.Match[str]) -> str:
        literal, name = match.groups()
        if (literal or name) not in known:
            return match.group(0)
        if literal:
            return "{" + literal + "}"
        found = known[name]
        return quote(found if isinstance(found, str) else json.dumps(found, ensure_ascii=False))

    return HOLE.sub(one, value)


# -- JSON


def _constant(word: str) -> JSON:
    raise ValueError(f"{word} is not a JSON value")


def _depth_ok(value: JSON) -> bool:
    layer = [value]
    for _ in range(DEPTH):
        layer = [
            child
            for item in layer
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not layer:
            return True
    return False


def parse(text: str) -> JSON:
    """The whole text, white space around it apart, as one JSON value.

    Raises: NotJSON with what is in the way, in words.
    """
    body = text.strip()
    start = text.find(body)
    if not body:
        raise NotJSON("not JSON: the answer is empty")
    try:
        value = json.loads(body, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise _why_not_json(text, body, start, error) from None
    except RecursionError:
        raise NotJSON(f"not JSON that can be read: nested deeper than {DEPTH} levels") from None
    except ValueError as error:  # NaN, or a number of thousands of digits
        problem = str(error) if "JSON" in str(error) else "a number has too many digits"
        raise NotJSON(f"not JSON: {problem}") from None
    if not _depth_ok(value):
        raise NotJSON(f"not JSON that can be read: nested deeper than {DEPTH} levels")
    return value


def _why_not_json(text: str, body: str, start: int, error: json.JSONDecodeError) -> NotJSON:
    end = start + len(body)
    if error.msg == "Extra data":
        at = error.pos
        return NotJSON(f"not JSON: goes on after the JSON with {excerpt(body[at:], 24)}", ((start + at, end),))
    if error.pos == 0 and error.msg == "Expecting value":
        inner = min((i for i in (text.find("{"), text.find("[")) if i >= 0), default=end)
        return NotJSON(f"not JSON: starts with {excerpt(body, 24)}", ((start, inner),))
    if error.pos >= len(body) or error.msg.startswith("Unterminated string"):
        return NotJSON("not JSON: ends in the middle", ((max(start, end - 1), end),))
    at = start + error.pos
    return NotJSON(f"not JSON: breaks at character {at + 1}, before {excerpt(text[at:end], 24)}", ((at, end),))


def _same(a: JSON, b: JSON) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b  # JSON's true is not 1
    return bool(a == b)


def difference(actual: JSON, wanted: JSON, path: Path = (), exact: bool = False) -> tuple[Path, str] | None:
    """Where a value first fails to hold what is wanted: (path, words), or None where it holds all.

    A wanted mapping may be a part of the actual one (unless `exact`); lists must be equal;
    numbers count by value, and `true` is never 1.

    >>> difference({"date": "2026-11-20", "n": 30.0}, {"n": 30, "date": "2026-11-27"})
    (('date',), 'date is "2026-11-20", expected "2026-11-27"')
    """
    what = dotted(path) or "the answer"
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        for key, value in wanted.items():
            here = (*path, key)
            if key not in actual:
                return here, f"{dotted(here)} is missing, expected {show(value)}"
            if (found := difference(actual[key], value, here, exact)) is not None:
                return found
        extra = [key for key in actual if exact and key not in wanted]
        return ((*path, extra[0]), f"{dotted((*path, extra[0]))} should not be there") if extra else None
    if isinstance(wanted, list | tuple) and isinstance(actual, list) and len(wanted) == len(actual):
        pairs = enumerate(zip(actual, wanted, strict=True))
        return next((d for i, (a, w) in pairs if (d := difference(a, w, (*path, i), exact=True))), None)
    if isinstance(wanted, Mapping | list | tuple) or isinstance(actual, Mapping | list) or not _same(actual, wanted):
        return path, f"{what} is {show(actual)}, expected {show(wanted)}"
    return None


def _skip(text: str, at: int) -> int:
    return SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches the empty string anywhere


def _children(text: str, at: int) -> list[tuple[str | int, Span]]:
    """Keys (or indices) of the object or list that begins at `at`, each with the span of its value."""
    decoder, kind = json.JSONDecoder(), text[at]
    found: list[tuple[str | int, Span]] = []
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        key: str | int = len(found)
        if kind == "{":
            key, at = scanstring(text, at + 1)
            at = _skip(text, _skip(text, at) + 1)
        end = decoder.raw_decode(text, at)[1]
        found.append((key, (at, end)))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def span_of(text: str, path: Path) -> Span | None:
    """Where the value at this path is written in a text that is one JSON value, or None.

    >>> span_of('{"a": [10, 20]}', ("a", 1))
    (11, 13)
    """
    body = text.strip()
    start = text.find(body)
    span = (start, start + len(body))
    try:
        for step in path:
            if text[span[0]] not in "{[":
                return None
            # The last of two equal keys counts, as it does for the parser.
            span = dict(_children(text, span[0]))[step]
    except (KeyError, ValueError, IndexError):
        return None
    return span
