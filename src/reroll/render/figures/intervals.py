"""Rates and differences with their ranges, one per line; and before beside after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reroll.numbers import interval_words, percent
from reroll.render.figures.figure import Canvas, Figure, cut, room_for
from reroll.render.figures.scales import Scale, points_words, rate_words, ticks

__all__ = ["IntervalRow", "RuleLine", "dumbbells", "intervals"]

ROW, TOP, BOTTOM = 44, 8, 34
Unit = Literal["percent", "points"]


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """One line: what it is about, its value (None: not known) and range, and whose colour it has."""

    label: str
    low: float
    value: float | None
    high: float
    kind: str = "accent"
    note: str = ""


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A value that all lines are held against: a target, a reference, no difference."""

    value: float
    label: str
    kind: str = "line-soft"


def intervals(
    name: str,
    title: str,
    rows: Sequence[IntervalRow],
    *,
    lines: Sequence[RuleLine] = (),
    domain: tuple[float, float] | None = (0.0, 1.0),
    unit: Unit = "percent",
    width: int = 720,
    summary: str = "",
) -> Figure:
    """Each row's range as a bar with its value as a dot, on one axis; labels above the bars, numbers at their right.

    domain: ends of the axis; None: as far as the ranges reach.
    """
    canvas = Canvas(width)
    low, high = _ends(rows, lines, unit) if domain is None else domain
    at = Scale(low, high, 2, width - 2)
    head = 18 if lines else 0
    bottom = TOP + head + ROW * len(rows)
    for tick in ticks(low, high, 6 if width > 500 else 5):
        canvas.line(at(tick), TOP + head, at(tick), bottom, "grid")
        anchor = "start" if at(tick) < 20 else "end" if at(tick) > width - 20 else "middle"
        words = rate_words(tick) if unit == "percent" else points_words(tick)
        canvas.text(at(tick), bottom + 18, words, "soft", size=12, at=anchor)
    _rules(canvas, lines, at, width, len(rows))
    for i, row in enumerate(rows):
        y = TOP + head + ROW * i
        said = _words(row, unit)
        room = int((width - room_for(said) - 24) / (13 * 0.57))
        canvas.text(0, y + 14, cut(row.label, room), bold=True)
        canvas.text(width, y + 14, said, "soft", at="end")
        y += 29
        canvas.rect(at(row.low), y - 4, max(2.0, at(row.high) - at(row.low)), 8, f"{row.kind}-soft", 4)
        canvas.line(at(row.low), y - 4, at(row.low), y + 4, f"line-{row.kind}", 1.5)
        canvas.line(at(row.high), y - 4, at(row.high), y + 4, f"line-{row.kind}", 1.5)
        if row.value is not None:
            canvas.mark(at(row.value), y, row.kind, 5)
    told = summary or "; ".join(f"{row.label}: {_words(row, unit)}" for row in rows)
    table = [(r.label, *_cells(r, unit), r.note) for r in rows]
    table += [(line.label, rate_words(line.value) if unit == "percent" else points_words(line.value), "", "", "") for line in lines]
    return canvas.done(name, title, told, bottom + BOTTOM - 8, ("what", "value", "from", "to", "note"), table)


def _ends(rows: Sequence[IntervalRow], lines: Sequence[RuleLine], unit: Unit) -> tuple[float, float]:
    values = [v for r in rows for v in (r.low, r.high, r.value) if v is not None] + [line.value for line in lines]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if unit == "percent":
        return 0.0, min(1.0, max(0.05, high * 1.08))
    room = 0.06 * max(0.1, high - low)
    return max(-1.0, min(low - room, 0.0)), min(1.0, max(high + room, 0.0))


def _rules(canvas: Canvas, lines: Sequence[RuleLine], at: Scale, width: int, rows: int) -> None:
    """Beside the bars alone, so that no line runs through a label."""
    taken = -1.0
    for line in sorted(lines, key=lambda line: line.value):
        x = at(line.value)
        for i in range(rows):
            top = TOP + 18 + ROW * i
            canvas.line(x, top + 20, x, top + 38, line.kind, 1.8, "3 2")
        half = room_for(line.label, 12) / 2
        middle = min(max(x, half), width - half)
        if middle - half > taken:  # labels never run into each other; the table has them all
            canvas.text(middle, TOP + 6, line.label, "soft", size=12, at="middle")
            taken = middle + half + 8


def _words(row: IntervalRow, unit: Unit) -> str:
    if row.value is None:
        return row.note or "not known"
    if unit == "points":
        words = f"{points_words(row.value)} ({points_words(row.low)} to {points_words(row.high)})"
    else:
        words = f"{percent(row.value)} ({interval_words(row.low, row.high)})"
    return f"{words} · {row.note}" if row.note else words


def _cells(row: IntervalRow, unit: Unit) -> tuple[str, str, str]:
    said = percent if unit == "percent" else points_words
    return ("" if row.value is None else said(row.value), said(row.low), said(row.high))


def dumbbells(
    name: str,
    title: str,
    pairs: Sequence[tuple[str, IntervalRow, IntervalRow]],
    *,
    width: int = 720,
    summary: str = "",
) -> Figure:
    """Before (open) and after (full) of each pair on one axis of failure rates, joined by an arrow; ranges behind."""
    canvas = Canvas(width)
    at = Scale(0, 1, 2, width - 2)
    row = 52
    bottom = TOP + row * len(pairs)
    for tick in ticks(0, 1, 6 if width > 500 else 5):
        canvas.line(at(tick), TOP, at(tick), bottom, "grid")
        anchor = "start" if tick == 0 else "end" if tick == 1 else "middle"
        canvas.text(at(tick), bottom + 18, rate_words(tick), "soft", size=12, at=anchor)
    for i, (label, before, after) in enumerate(pairs):
        y = TOP + row * i
        said = f"{_rate(before)} → {_rate(after)}"
        canvas.text(0, y + 14, cut(label, int((width - room_for(said) - 20) / 7.4)), bold=True)
        canvas.text(width, y + 14, said, "soft", at="end")
        for part, place in ((before, y + 27), (after, y + 38)):
            if part.value is None:
                continue
            canvas.rect(
                at(part.low), place - 3, max(2.0, at(part.high) - at(part.low)), 6, "sunk" if part is before else f"{part.kind}-soft", 3
            )
            canvas.mark(at(part.value), place, "open" if part is before else part.kind, 4.5)
    table = [
        (label, before.note, *_cells(before, "percent"), after.note, *_cells(after, "percent"))
        for label, before, after in pairs
    ]
    head = ("on", "runs without", "without", "from", "to", "runs with", "with", "from", "to")
    told = summary or "; ".join(f"{label}: {_rate(b)} without, {_rate(a)} with" for label, b, a in pairs)
    return canvas.done(name, title, told, bottom + BOTTOM - 8, head, table)


def _rate(row: IntervalRow) -> str:
    return "not run" if row.value is None else percent(row.value)
