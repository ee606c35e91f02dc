"""Rows on one axis: words beside or above each, the lines that they are held against, and the scale below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reroll.render.figures.figure import NARROW
from reroll.render.figures.lettering import cut, inert, width_of, wrapped
from reroll.render.figures.marks import letters, line, shape
from reroll.render.figures.scales import Scale, above, below, ticks

__all__ = ["Said", "laid_out"]


@dataclass(frozen=True, slots=True)
class Said:
    """A row as it is drawn: its words, and what is drawn at a height."""

    label: str
    note: str
    strong: str
    soft: str
    draw: Callable[[Scale, float], list[str]]


def laid_out(
    said: Sequence[Said],
    lines: Sequence[tuple[float, str, str]],
    ends: tuple[float, float],
    words_of: Callable[[float], str],
    width: int,
    key: tuple[str, str] | None = None,
) -> tuple[list[str], float]:
    """The rows below the lines' names and above the axis; and the height that takes."""
    stacked = width < NARROW
    strong = max((width_of(one.strong, "value strong") for one in said), default=0)
    soft = max((width_of(one.soft, "note") for one in said), default=0)
    left, right = 8.0, width - 8.0
    column = 0.0
    if not stacked:
        longest = max([width_of(inert(s.label)) for s in said] + [width_of(inert(s.note), "note") for s in said] + [0])
        column = min(longest, 0.34 * width)
        left, right = column + 22, width - strong - soft - (30 if soft else 20)
    scale = Scale(*ends, left, right)
    marks: list[str] = []
    top = 0.0
    if key:
        marks += _key(key, left - 8 if stacked else left)
        top += 24
    names, room = above([(at, label) for at, label, _ in lines], scale, width, top=top)
    marks += names
    y = first = top + room
    drawn: list[str] = []
    spans: list[tuple[float, float]] = []  # the heights at which lines go through: not through words
    for one in said:
        step, at, words = _row(one, y, column, strong, soft, width, stacked)
        drawn += [*one.draw(scale, at), *words]
        spans.append((at - 9, at + 9))
        y += step
    spans = spans if stacked else [(first - 2, y + 4)]
    at_ticks = ticks(*ends, max(2, int((right - left) / 70)))
    marks += [line(scale(v), a, scale(v), b, "grid") for v in at_ticks for a, b in spans]
    marks += below(scale, y + 16, words_of, at_ticks)
    marks += [line(scale(v), a, scale(v), b, kind) for v, _, kind in lines for a, b in spans]
    return [*marks, *drawn], y + 26


def _row(
    one: Said, y: float, column: float, strong: float, soft: float, width: int, stacked: bool
) -> tuple[float, float, list[str]]:
    """How high a row is, at what height it is drawn, and its words."""
    if stacked:
        beside = width - strong - (soft + 8 if soft else 0)
        label = wrapped(inert(one.label), beside - 12, 2)
        words = [letters(0, y + 10 + 16 * k, part) for k, part in enumerate(label)]
        words.append(letters(beside + strong if soft else width, y + 10, one.strong, "value strong", "end"))
        if one.soft:
            words.append(letters(width, y + 10, one.soft, "note", "end"))
        at = y + 14 + 16 * len(label)
        if not one.note:
            return at - y + 20, at, words
        words.append(letters(0, at + 18, cut(inert(one.note), width, "note"), "note"))
        return at - y + 36, at, words
    label = wrapped(inert(one.label), column, 2)
    note = [cut(inert(one.note), column, "note")] if one.note else []
    step = 16 + 16 * len(label) + 15 * len(note)
    at = y + step / 2
    top = at - (16 * len(label) + 15 * len(note)) / 2 + 8
    words = [letters(0, top + 16 * k, part) for k, part in enumerate(label)]
    words += [letters(0, top + 16 * len(label) - 1, part, "note") for part in note]
    words.append(letters(width - soft - (10 if soft else 0), at, one.strong, "value strong", "end"))
    if one.soft:
        words.append(letters(width, at, one.soft, "note", "end"))
    return step, at, words


def _key(names: tuple[str, str], x: float) -> list[str]:
    first = cut(inert(names[0]), 120, "note")
    next_x = x + 14 + width_of(first, "note") + 18
    return [
        shape("muted", x + 5, 8),
        letters(x + 14, 8, first, "note"),
        shape("accent", next_x + 5, 8),
        letters(next_x + 15, 8, cut(inert(names[1]), 120, "note"), "note"),
    ]
