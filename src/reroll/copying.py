"""What a text copies from a case: words of its request that no other request has, or its right answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reroll.case import Case
from reroll.fix import Fix

__all__ = ["RUN", "copied", "copies", "literals_of", "texts_of"]

JSON = Any
RUN = 5  # consecutive words that are a copy
# A word keeps what holds it together (12:30, 2026-11-27, don't, a.b@c.de); in scripts without spaces each character
# is a word.
WORD = re.compile(r"[぀-ヿ㐀-鿿豈-﫿]|[^\W_぀-ヿ㐀-鿿豈-﫿]+(?:[-:.,/'’@_+][^\W_]+)*")
OWNING = re.compile(r"['’]s$")  # Ana's is Ana
SHORT = 2  # a text of so few characters, or a whole number of so few digits, says nothing about where it came from
# Values of a check that are no right answers: names of fields and tools, patterns, code, what a judge is told.
ANSWERS = ("equals", "contains", "json", "tool_call")


def copied(text: str, case: Case, known: str = "") -> list[str]:
    """What stands in the text and can only be from the case, quoted as the text writes it, in its order; each once.

    That is every longest run of `RUN` or more consecutive words that also stands, in this order, in a text of the
    case's input, its earlier turns, its expected answer or a value that its checks want; and every value of the input
    or of the right answer that stands there as whole words: a text of more than `SHORT` characters, a number with a
    fraction or with more than `SHORT` digits.  Upper and lower case, white space and marks between words count for
    nothing.  Fields' names are no values; neither are yes, no and null.

    Args:    known: what may be said because it was there before (the program's own text): no run or value in it counts.

    >>> case = Case(id="c", input={"request": "Lunch with Ana next Friday at noon"}, expected={"date": "2026-11-27"})
    >>> copied("If asked for “lunch with ANA next Friday”, say 2026-11-27.", case)
    ['lunch with ANA next Friday', '2026-11-27']
    >>> copied("'next Friday' is the Friday of next week.", case)
    []
    """
    words = list(WORD.finditer(text))
    said = _words(text)
    before = _words(known)
    found = [(a, b) for source in _sources(case) for a, b in _runs(said, _words(source))]
    for literal in literals_of(case):
        wanted = _words(literal)
        found += [(k, k + len(wanted)) for k in _places(said, wanted)]
    spans = sorted({span for span in found if not _places(before, said[slice(*span)])})
    widest = [s for s in spans if not any(o != s and o[0] <= s[0] and s[1] <= o[1] for o in spans)]
    return list(dict.fromkeys(text[words[a].start() : words[b - 1].end()] for a, b in widest))


def copies(fix: Fix, case: Case, known: str = "") -> list[str]:
    """What a fix copies from the case, in its text or in any of its settings, as `copied` has it.

    >>> case = Case(id="c", input={"request": "Lunch"}, expected="2026-11-27")
    >>> copies(Fix(fix="f", kind="patch.special_case", when={"input": "lunch"}, text="2026-11-27"), case)
    ['2026-11-27', 'lunch']
    """
    said = [*([fix.text] if fix.text else []), *texts_of(fix.settings)]
    return list(dict.fromkeys(piece for text in said for piece in copied(text, case, known)))


def literals_of(case: Case) -> tuple[str, ...]:
    """The values of the case's input and right answer that are specific enough to be known again, as text.

    >>> literals_of(Case(id="c", input={"request": "Lunch", "n": 60}, expected={"who": ["Ana"], "at": "12:00"}))
    ('Lunch', 'Ana', '12:00')
    """
    values = [case.input, case.expected, *_wanted(case)]
    told = [_told(leaf) for value in values for leaf in _leaves(value)]
    return tuple(dict.fromkeys(text for text in told if text and _words(text)))


def texts_of(value: JSON) -> Iterator[str]:
    """Every text in a value, names of its keys apart; numbers as they are written."""
    for leaf in _leaves(value):
        if isinstance(leaf, str):
            yield leaf
        elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
            yield str(leaf)


def _told(leaf: JSON) -> str:
    """A value as text; empty where it says nothing about where it came from."""
    if isinstance(leaf, str):
        return leaf if len(leaf.strip()) > SHORT else ""
    if isinstance(leaf, bool) or not isinstance(leaf, int | float):
        return ""
    return str(leaf) if isinstance(leaf, float) or len(str(abs(leaf))) > SHORT else ""


def _leaves(value: JSON) -> Iterator[JSON]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _wanted(case: Case) -> Iterator[JSON]:
    """What the checks want an answer to be or to hold; what it must not be is no right answer."""
    left = list(case.checks)
    while left:
        check = left.pop(0)
        if check.kind in ("all", "any"):
            left += check.value
        elif check.kind in ANSWERS:
            yield check.value.get("arguments", {}) if check.kind == "tool_call" else check.value


def _sources(case: Case) -> Iterator[str]:
    """Texts from which a run of words would be a copy."""
    for value in (case.input, list(case.history), case.expected, *_wanted(case)):
        yield from (leaf for leaf in _leaves(value) if isinstance(leaf, str))


def _words(text: str) -> list[str]:
    return [OWNING.sub("", word.group().casefold()) for word in WORD.finditer(text)]


def _runs(said: Sequence[str], source: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The longest stretches of `said`, as (first, end), of RUN words or more that stand in the source."""
    starts: dict[tuple[str, ...], list[int]] = {}
    for k in range(len(source) - RUN + 1):
        starts.setdefault(tuple(source[k : k + RUN]), []).append(k)
    for k in range(len(said) - RUN + 1):
        for at in starts.get(tuple(said[k : k + RUN]), ()):
            if k and at and said[k - 1] == source[at - 1]:
                continue  # part of a longer one
            end = RUN
            while k + end < len(said) and at + end < len(source) and said[k + end] == source[at + end]:
                end += 1
            yield k, k + end


def _places(said: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where these words stand in a row."""
    size = len(wanted)
    return [k for k in range(len(said) - size + 1) if list(said[k : k + size]) == list(wanted)] if size else []
