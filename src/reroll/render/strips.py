"""A completion token by token, and under each token a step as high as it was open there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from reroll.numbers import counts
from reroll.render.ink import COLOURS, Pen

__all__ = ["Piece", "halvings", "share_steps", "token_strip"]

STEPS = 8  # heights of a step
SURE = 0.9  # a token that comes more often than this is a matter of course: no step
INDENT = 3
MOST_LINES = 24  # of a long completion; what is shown of it then are its ends and where it was open


@dataclass(frozen=True, slots=True)
class Piece:
    """A token of the strip: its text, the height of the step under it (0: none), its style, and whether it is the one
    that the page is about."""

    text: str
    step: int = 0
    style: str = ""
    marked: bool = False


def halvings(p: float) -> int:
    """A step for each halving of the probability, from 1 in 2 to 1 in 256 and rarer.

    >>> [halvings(p) for p in (0.95, 0.5, 0.25, 1 / 256, 0.0)]
    [0, 1, 2, 8, 8]
    """
    if p > SURE:
        return 0
    return STEPS if p <= 2.0**-STEPS else max(1, math.ceil(-math.log2(p) - 1e-9))


def share_steps(p: float | None) -> int:
    """The share of runs in which something else stands there, in eighths.

    >>> [share_steps(p) for p in (None, 0.95, 0.9, 0.5, 0.01)]
    [0, 0, 1, 4, 8]
    """
    return 0 if p is None or p > SURE else min(STEPS, max(1, math.ceil((1 - p) * STEPS - 1e-9)))


def token_strip(pieces: Sequence[Piece], pen: Pen, words: str = "") -> list[Text]:
    """The text in lines as wide as the page, broken between tokens where they fit; under a line its steps.

    `words`: what the mark under the marked tokens says.
    """
    text, owner = Text(end=""), []
    for number, piece in enumerate(pieces):
        shown = pen.text(piece.text.replace("\n", "⏎\n"), piece.style)
        text.append_text(shown)
        owner += [number] * len(shown.plain)
    lines: list[list[Text]] = []
    heights: list[int] = []
    for start, end in _lines(text.plain, owner, pen.width - 1 - INDENT):
        line = Text.assemble(" " * INDENT, text[start:end])
        line.rstrip()
        cells = [(pieces[owner[at]], cell_len(text.plain[at])) for at in range(start, end)]
        steps = "".join((pen.glyph("steps")[p.step - 1] if p.step else " ") * wide for p, wide in cells).rstrip()
        marks = "".join((pen.glyph("mark") if p.marked else " ") * wide for p, wide in cells).rstrip()
        under = [Text.assemble(" " * INDENT, (steps, COLOURS["undecided"]))] if steps else []
        if marks:
            under += _said(marks, words if STEPS + 1 not in heights else "", pen)
        lines.append([line, *under])
        heights.append(max((STEPS + 1 if p.marked else p.step for p, _ in cells), default=0))
    return _worth_showing(lines, heights, pen)


def _said(marks: str, words: str, pen: Pen) -> list[Text]:
    """The marks with their words: behind them where these fit, else before them, else below."""
    marked = (marks, f"bold {COLOURS['fail']}")
    if not words:
        return [pen.join(" " * INDENT, marked)]
    free = len(marks) - len(marks.lstrip())
    if INDENT + len(marks) + 1 + len(words) < pen.width:
        return [pen.join(" " * INDENT, marked, f" {words}")]
    if len(words) < free:
        return [pen.join(" " * INDENT, f"{words:>{free - 1}} ", (marks.lstrip(), f"bold {COLOURS['fail']}"))]
    return [pen.join(" " * INDENT, marked), *pen.wrap(pen.text(words), INDENT)]


def _lines(plain: str, owner: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Where lines begin and end: at a line end, else before the token that does not fit, or within one too long."""
    out, start, used, boundary = [], 0, 0, 0
    for at, char in enumerate(plain):
        if char == "\n":
            out.append((start, at))
            start, used, boundary = at + 1, 0, at + 1
            continue
        if at > start and owner[at] != owner[at - 1]:
            boundary = at
        if used + cell_len(char) > room:
            cut = boundary if boundary > start else at
            out.append((start, cut))
            start, used = cut, cell_len(plain[cut:at])
        used += cell_len(char)
    return [*out, (start, len(plain))] if start < len(plain) or not out else out


def _worth_showing(lines: Sequence[Sequence[Text]], heights: Sequence[int], pen: Pen) -> list[Text]:
    """All lines, or of a long text its ends and the lines with the highest steps; what is left out is counted."""
    if len(lines) <= MOST_LINES:
        return [part for line in lines for part in line]
    kept = {0, 1, len(lines) - 1}
    for at in sorted(range(len(lines)), key=lambda i: -heights[i]):
        if len(kept) >= MOST_LINES:
            break
        kept.add(at)
    out: list[Text] = []
    before = -1
    for at in sorted(kept):
        if at > before + 1:
            out += pen.wrap(pen.text(f"… {counts('line', at - before - 1)} …", "dim"), 3)
        out += lines[at]
        before = at
    return out
