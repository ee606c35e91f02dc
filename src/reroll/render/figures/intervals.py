"""Rates with their ranges on one axis, and rates before and after: one row each, its words beside or above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from reroll.numbers import interval_words, percent
from reroll.render.figures.figure import Figure, figure
from reroll.render.figures.lettering import share_words
from reroll.render.figures.marks import box, line, path, shape
from reroll.render.figures.rows import Said, laid_out
from reroll.render.figures.scales import Scale, nice_above, tick_percent, tick_points

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
    said = [Said(r.label, r.note, *_words((r.low, r.value, r.high), unit), _drawing(r)) for r in rows]
    marks, height = laid_out(said, marked, ends, tick_percent if unit == "percent" else tick_points, width)
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
        said.append(Said(label, "", strong, "", _pair(one, two)))
    marks, height = laid_out(said, lines, domain or _domain(values, "percent"), tick_percent, width, key=names)
    heads = ("what", *(f"{end}, {when}" for when in names for end in ("low", "estimate", "high")))
    table = [(label, *(_cell(v, "percent") for one in both for v in one)) for label, *both in rows]
    table += [(label, "", _cell(at, "percent"), "", "", "", "") for at, label, _ in lines]
    told = "; ".join(f"{one.label}: {one.strong}" for one in said)
    return figure(name, title, summary or f"{told}.", heads, table, width, height, marks)


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
    if low is None or high is None or low == value == high:
        return _value(value, unit), ""
    if unit == "percent":
        return _value(value, unit), interval_words(low, high)
    ends = _points(low, "up" if low < 0 else "down"), _points(high, "down" if high < 0 else "up")
    return _value(value, unit), f"{ends[0]} to {ends[1]}"


def _cell(value: float | None, unit: Unit) -> str:
    return "" if value is None else f"{round(value * 100, 4):g}{' %' if unit == 'percent' else ' points'}"
