"""Rates with their ranges on one axis, and rates before and after: one row each, its words beside or above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from reroll.numbers import interval_words, percent
from reroll.render.figures.figure import NARROW, Figure, figure
from reroll.render.figures.lettering import cut, inert, share_words, width_of, wrapped
from reroll.render.figures.marks import box, letters, line, path, shape
from reroll.render.figures.scales import Scale, below, nice_above, tick_percent, tick_points, ticks

__all__ = ["IntervalRow", "dumbbells", "intervals"]

Range = tuple[float | None, float | None, float | None]
"""(low, value, high)"""
Unit = Literal["percent", "points"]
ZOOM = 0.1  # where everything is below, the axis ends early


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """One rate: `kind` is its colour and shape (`pass`, `fail`, `invalid`, `accent`, `muted`), None: not known."""

    label: str
    low: float | None
    value: float | None
    high: float | None
    kind: str = "fail"
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Said:
    """A row as it is drawn: its words, and what is drawn at a height."""

    label: str
    note: str
    strong: str
    soft: str
    draw: Callable[[Scale, float], list[str]]


def intervals(
    name: str,
    title: str,
    rows: Sequence[IntervalRow],
    lines: Sequence[tuple[float, str, str]] = (),
    *,
    domain: tuple[float, float] | None = (0.0, 1.0),
    unit: Unit = "percent",
    summary: str = "",
    width: int = 720,
) -> Figure:
    """Each rate as a point in its range, over lines (value, label, `target` or `reference`) that they are held against.

    Args:   domain: None: 0 to 1, or less where everything lies below a tenth; of points: as far as they reach;
            unit: `points`: the rows are differences of rates, in -1...1.
    """
    values = [v for r in rows for v in (r.low, r.value, r.high) if v is not None] + [at for at, _, _ in lines]
    ends = domain if domain is not None and unit == "percent" else _domain(values, unit)
    marked = [*lines, (0.0, "", "axis")] if unit == "points" else list(lines)
    said = [_Said(r.label, r.note, *_words((r.low, r.value, r.high), unit), _drawing(r)) for r in rows]
    marks, height = _rows(said, marked, ends, unit, width)
    heads = ("what", "low", "estimate", "high", "note")
    table = [(r.label, *(_cell(v, unit) for v in (r.low, r.value, r.high)), r.note) for r in rows]
    table += [(label, "", _cell(at, unit), "", kind) for at, label, kind in lines]
    told = "; ".join(f"{r.label}: {' '.join(_words((r.low, r.value, r.high), unit))}" for r in rows)
    return figure(name, title, summary or f"{told}.", heads, table, width, height, marks)


def dumbbells(
    name: str,
    rows: Sequence[tuple[str, Range, Range]],
    lines: Sequence[tuple[float, str, str]] = (),
    *,
    title: str = "Before and after",
    names: tuple[str, str] = ("before", "after"),
    domain: tuple[float, float] | None = None,
    summary: str = "",
    width: int = 720,
) -> Figure:
    """Each rate (low, value, high) before, grey, and after, in the accent colour, joined by an arrow."""
    values = [v for _, *both in rows for one in both for v in one if v is not None] + [at for at, _, _ in lines]
    said = []
    for label, one, two in rows:
        strong = f"{_value(one[1], 'percent')} → {_value(two[1], 'percent')}"
        said.append(_Said(label, "", strong, "", _pair(one, two)))
    marks, height = _rows(said, lines, domain or _domain(values, "percent"), "percent", width, key=names)
    heads = ("what", *(f"{end}, {when}" for when in names for end in ("low", "estimate", "high")))
    table = [(label, *(_cell(v, "percent") for one in both for v in one)) for label, *both in rows]
    table += [(label, "", _cell(at, "percent"), "", "", "", "") for at, label, _ in lines]
    told = "; ".join(f"{one.label}: {one.strong}" for one in said)
    return figure(name, title, summary or f"{told}.", heads, table, width, height, marks)


def _rows(
    said: Sequence[_Said],
    lines: Sequence[tuple[float, str, str]],
    ends: tuple[float, float],
    unit: Unit,
    width: int,
    key: tuple[str, str] | None = None,
) -> tuple[list[str], float]:
    """The rows below the lines' names and above the axis; and the height that takes."""
    stacked = width < NARROW
    strong = max((width_of(one.strong, "value") for one in said), default=0)
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
    names, room = _named(lines, scale, width, top)
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
    marks += below(scale, y + 16, tick_percent if unit == "percent" else tick_points, at_ticks)
    marks += [line(scale(v), a, scale(v), b, kind) for v, _, kind in lines for a, b in spans]
    return [*marks, *drawn], y + 26


def _row(
    one: _Said, y: float, column: float, strong: float, soft: float, width: int, stacked: bool
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


def _named(lines: Sequence[tuple[float, str, str]], scale: Scale, width: int, top: float) -> tuple[list[str], float]:
    """The names of vertical lines above them, in as many rows as they need; and the height that takes."""
    rows: list[float] = []  # where each row is free from
    out = []
    for at, label, _ in sorted(lines, key=lambda one: one[0]):
        text = cut(inert(label), width * 0.6, "note")
        if not text:
            continue
        half = width_of(text, "note") / 2
        middle = min(max(scale(at), half), width - half)
        row = next((k for k, free in enumerate(rows) if middle - half >= free), len(rows))
        rows[row : row + 1] = [middle + half + 12]
        out.append((middle, row, text))
    marks = [letters(x, top + 8 + 16 * (len(rows) - 1 - row), text, "note", "middle") for x, row, text in out]
    return marks, 16.0 * len(rows) + (8 if rows else 2)


def _key(names: tuple[str, str], x: float) -> list[str]:
    first = cut(inert(names[0]), 120, "note")
    next_x = x + 14 + width_of(first, "note") + 18
    return [
        shape("muted", x + 5, 8),
        letters(x + 14, 8, first, "note"),
        shape("accent", next_x + 5, 8),
        letters(next_x + 15, 8, cut(inert(names[1]), 120, "note"), "note"),
    ]


def _drawing(row: IntervalRow) -> Callable[[Scale, float], list[str]]:
    return lambda scale, y: _bar((row.low, row.value, row.high), row.kind, scale, y)


def _bar(given: Range, kind: str, scale: Scale, y: float, thick: float = 12) -> list[str]:
    """The range as a bar, the value as its shape."""
    low, value, high = given
    out = []
    if low is not None and high is not None:
        x, x2 = scale(low), scale(high)
        out.append(box(x, y - thick / 2, max(2, x2 - x), thick, f"band-{kind}", thick / 2))
        out.append(line(x, y, max(x + 2, x2), y, f"line-{kind} thin"))
    if value is not None:
        out.append(box(scale(value) - 6, y - 6, 12, 12, "paper", 6))
        out.append(shape(kind, scale(value), y))
    return out


def _pair(one: Range, two: Range) -> Callable[[Scale, float], list[str]]:
    def draw(scale: Scale, y: float) -> list[str]:
        out = [
            *_bar((one[0], None, one[2]), "muted", scale, y - 4, 7),
            *_bar((two[0], None, two[2]), "accent", scale, y + 4, 7),
        ]
        if one[1] is not None and two[1] is not None:
            a, b = scale(one[1]), scale(two[1])
            if abs(a - b) > 18:
                tip = b + (7 if a > b else -7)
                back = tip + (6 if a > b else -6)
                out += [
                    line(a, y, back, y, "line-accent thin"),
                    path([(tip, y), (back, y - 4), (back, y + 4)], "accent", True),
                ]
        for value, kind in ((one[1], "muted"), (two[1], "accent")):
            if value is not None:
                out.append(shape(kind, scale(value), y))
        return out

    return draw


def _domain(values: Sequence[float], unit: Unit) -> tuple[float, float]:
    if unit == "points":
        return -nice_above(max([0.0, *(-v for v in values)])), nice_above(max([0.0, *values]))
    most = max(values, default=1.0)
    return (0.0, nice_above(most * 1.05)) if most < ZOOM else (0.0, 1.0)


def _value(value: float | None, unit: Unit) -> str:
    if value is None:
        return "–"
    return share_words(value) if unit == "percent" else _points(value)


def _points(value: float, toward: Literal["nearest", "down", "up"] = "nearest") -> str:
    sign = "−" if value < 0 else "+" if value > 0 else ""
    return sign + percent(min(1.0, abs(value)), toward).removesuffix(" %")


def _words(given: Range, unit: Unit) -> tuple[str, str]:
    """The value, and the range, as they are written."""
    low, value, high = given
    if low is None or high is None:
        return _value(value, unit), ""
    if unit == "percent":
        return _value(value, unit), interval_words(low, high)
    ends = _points(low, "up" if low < 0 else "down"), _points(high, "down" if high < 0 else "up")
    return _value(value, unit), f"{ends[0]} to {ends[1]}"


def _cell(value: float | None, unit: Unit) -> str:
    return "" if value is None else f"{round(value * 100, 4):g}{' %' if unit == 'percent' else ' points'}"
