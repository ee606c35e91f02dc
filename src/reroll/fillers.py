"""What stands in for a part while it is screened: bland text of the same length and role, and where to cut a text."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Sequence
from typing import Literal

__all__ = ["STOCKS", "Role", "differing", "filler", "phrases", "plainer", "sentences"]

Role = Literal["instruction", "fact", "request", "description", "turn"]

# Several of each, and none says anything that could be done or used: were one of them a trigger itself, the others
# would show it.
STOCKS: dict[Role, tuple[tuple[str, ...], ...]] = {
    "instruction": (
        ("This line is here for the layout.", "It says nothing about the task.", "The other lines stay as they are."),
        ("Some notes are kept in this place.", "They have no bearing on the work.", "The rest goes on below."),
        ("A general remark was stored here.", "It is of no importance now.", "What counts is written elsewhere."),
    ),
    "fact": (
        ("This page holds general information.", "Nothing on it concerns the present matter.", "It was kept on file."),
        ("The text that stood here was archived.", "It dealt with other things.", "No entry needs attention."),
        ("An older notice was printed in this place.", "Its subject is closed.", "There is nothing to add to it."),
    ),
    "request": (
        ("By the way, all is well over here.", "There is no more to say about that.", "So much for this."),
        ("Thanks for taking the time.", "It has been a quiet day so far.", "That is just how it is."),
        ("I hope that this finds you well.", "Nothing else has happened.", "That is all on that point."),
    ),
    "description": (
        ("the value of this field",),
        ("what belongs into this place",),
        ("this item of the answer",),
    ),
    "turn": (
        ("All right, noted.", "There is nothing to add to that.", "Going on from here."),
        ("Understood so far.", "That point is settled.", "The next one follows."),
        ("Fine, that is clear.", "No more was said about it.", "On to what comes next."),
    ),
}
# A line that begins a list item, or follows an empty one, is a clause of its own, whatever ends the one before.
BREAK = re.compile(r"(?<=[.!?])\s+|\s*\n\s*\n\s*|\s*\n\s*(?=[-*•]\s|\d{1,3}[.)]\s)")
MARK = re.compile(r"(?<=[,;:)])\s+|\s+(?=\()|\s+[-–—]\s+")
# Before these words a phrase may begin.
JOINTS = frozenset(
    """a about after and as at because before but by else for from if in into like of off on or over since so than that
    the then though through till to under unless until upon when where which while who with without w/ i""".split()
)
# What people say while they look for words: it carries nothing, and can be left out of any sentence.
HEDGES = re.compile(
    r"(?i)(?:^|(?<=[\s,;]))(?:um+|uh+|er+m?|hmm+|i guess|i mean|you know|or something(?: like that)?|sort of|kind of|"
    r"so like|like,|basically|actually|i dunno|idk|maybe like|or whatever)(?=[\s,.;:!?]|$)[,]?"
)
LONG = 3  # words that stay together where no joint parts them


def filler(role: Role, length: int, stock: int) -> str:
    """Bland text for this role, about `length` characters long: whole sentences, at least one, no more than needed.

    Args:    stock: which of the texts; they repeat after the last.

    >>> filler("instruction", 30, 0)
    'This line is here for the layout.'
    >>> len(filler("fact", 400, 1)) in range(360, 460)
    True
    """
    said = STOCKS[role][stock % len(STOCKS[role])]
    out = said[0]
    for more in itertools.cycle((*said[1:], said[0])):
        if role == "description" or len(out) + len(more) / 2 > length:  # nearer to the length without it
            return out
        out += f" {more}"
    raise AssertionError("a stock of texts cannot be empty")


def plainer(text: str) -> str:
    """The text without what people say while they look for words; otherwise as it was.

    >>> plainer("um so like lunch w/ Ana next Friday i guess at noon or something")
    'lunch w/ Ana next Friday at noon'
    >>> plainer("Lunch with Ana at noon.")
    'Lunch with Ana at noon.'
    """
    found = HEDGES.sub(" ", text)
    if found == text:
        return text
    return re.sub(r"[\s,;]+([,.;:!?])", r"\1", " ".join(found.split())).strip(" ,;")


def differing(text: str, other: str) -> str:
    """The words of a text that another does not share at their place; where it only has more, the two around the gap.

    >>> differing("Lunch next Friday at noon", "Lunch on Friday at noon")
    'next'
    >>> differing("at half seven", "at half past seven")
    'half seven'
    """
    mine, theirs = text.split(), other.split()
    out = []
    for op, a, b, _, _ in difflib.SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if op in ("replace", "delete"):
            out.append(" ".join(mine[a:b]))
        elif op == "insert":
            out.append(" ".join(mine[max(0, a - 1) : a + 1]))
    return " … ".join(out)


def sentences(text: str) -> list[tuple[int, int]]:
    """The spans of a text's sentences and list items; what lies between them is white space.

    >>> [("One. Two?\\n- three"[a:b]) for a, b in sentences("One. Two?\\n- three")]
    ['One.', 'Two?', '- three']
    """
    return _between(text, [m.span() for m in BREAK.finditer(text)])


def phrases(text: str, most: int = 10) -> list[tuple[int, int]]:
    """The spans of a sentence's phrases, cut at commas and before prepositions, conjunctions and articles.

    At most `most`: shortest neighbours are joined.

    >>> said = "Dinner with Omar on Friday at half seven"
    >>> [said[a:b] for a, b in phrases(said)]
    ['Dinner', 'with Omar', 'on Friday', 'at half seven']
    """
    pieces = _between(text, [m.span() for m in MARK.finditer(text)])
    found: list[tuple[int, int]] = []
    for start, end in pieces:
        found += _cut(text, start, end)
    while len(found) > max(1, most):
        k = min(range(len(found) - 1), key=lambda i: found[i + 1][1] - found[i][0])
        found[k : k + 2] = [(found[k][0], found[k + 1][1])]
    return found


def _cut(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """One piece without marks, cut before joints, and long runs of words into twos."""
    words = [(m.start() + start, m.end() + start) for m in re.finditer(r"\S+", text[start:end])]
    joint = [text[a:b].strip(".,;:!?()'\"").lower() in JOINTS for a, b in words]
    groups: list[list[tuple[int, int]]] = []
    for k, word in enumerate(words):
        if not groups or (joint[k] and not joint[k - 1] and k < len(words) - 1):
            groups.append([])
        groups[-1].append(word)
    short = [part for group in groups for part in _in_twos(group)]
    return [(group[0][0], group[-1][1]) for group in short]


def _in_twos(words: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """The words in parts of two, the last of three where one is left over; short ones as they are."""
    if len(words) <= LONG:
        return [words]
    parts = [words[k : k + 2] for k in range(0, len(words), 2)]
    if len(parts[-1]) == 1:
        tail = parts.pop()
        parts[-1] += tail
    return parts


def _between(text: str, cuts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans that the cuts leave, without white space at their ends and without empty ones."""
    edges = [0, *(edge for cut in cuts for edge in cut), len(text)]
    spans = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        inner = text[start:end]
        start += len(inner) - len(inner.lstrip())
        end -= len(inner) - len(inner.rstrip())
        if start < end:
            spans.append((start, end))
    return spans
