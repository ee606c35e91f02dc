"""Numbers and times onto pixels, with round ticks that have room for their words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from reroll.render.figures.lettering import cut, inert, width_of
from reroll.render.figures.marks import letters, line

__all__ = ["Scale", "above", "below", "nice_above", "tick_count", "tick_percent", "tick_points", "ticks", "time_ticks"]

OVER = 8.0  # pixels that the words of a tick may stand out beyond an axis
Words = Callable[[float], str]
ENDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """low...high onto start...end; what lies outside is put at the end that it is beyond."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        span = self.high - self.low
        return self.start + (inside - self.low) / span * (self.end - self.start) if span else self.start


def ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Round numbers in low...high, at most so many (but two).

    >>> ticks(0, 1, 6), ticks(0, 93, 4)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 50.0])
    """
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / max(1, most)))
    for factor in (1, 2, 5, 10, 20, 50):
        step = factor * power
        if whole and step < 1:
            continue
        first = math.ceil(low / step - 1e-9)
        count = math.floor(high / step + 1e-9) - first + 1
        if count <= max(2, most):
            return [round((first + i) * step, 12) for i in range(count)]
    return [low, high]


def nice_above(value: float) -> float:
    """The least round share that is not below the value.

    >>> nice_above(0.034), nice_above(0.72), nice_above(0)
    (0.05, 0.8, 0.001)
    """
    return next((end for end in ENDS if end >= value - 1e-12), 1.0)


def tick_percent(value: float) -> str:
    return f"{round(value * 100, 6):g} %"


def tick_points(value: float) -> str:
    return f"{'−' if value < 0 else '+' if value > 0 else ''}{round(abs(value) * 100, 6):g}"


def tick_count(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:g}"


def below(scale: Scale, y: float, words: Words, at: Sequence[float], up_to: float | None = None) -> list[str]:
    """The words of a horizontal axis whose middle line is at `y`, with a grid line up to `up_to` over each; those that
    would touch are left out, the ends kept inside."""
    low, high = min(scale.start, scale.end), max(scale.start, scale.end)
    out, taken = [], -math.inf
    for value in at:
        x, said = scale(value), words(value)
        half = width_of(said, "tick") / 2
        middle = min(max(x, low + half - OVER), high - half + OVER)
        if up_to is not None:
            out.append(line(x, up_to, x, y - 10, "grid"))
        if middle - half >= taken + 8:
            out.append(letters(middle, y, said, "tick", "middle"))
            taken = middle + half
    return out


def above(
    named: Sequence[tuple[float, str]], scale: Scale, width: float, classes: str = "note", top: float = 0.0
) -> tuple[list[str], float]:
    """Names over upright lines, in up to three rows, and the height; what finds no room is in the table alone."""
    rows: list[float] = []  # where each is free from
    placed = []
    for at, label in sorted(named):
        text = cut(inert(label), width * 0.6, classes)
        half = width_of(text, classes) / 2
        middle = min(max(scale(at), half), width - half)
        row = next((k for k, free in enumerate(rows) if middle - half >= free), len(rows))
        if row < 3 and text:
            rows[row : row + 1] = [middle + half + 12]
            placed.append((middle, row, text))
    last = len(rows) - 1
    marks = [letters(x, top + 8 + 16 * (last - row), text, classes, "middle") for x, row, text in placed]
    return marks, 16.0 * len(rows) + 6


STEPS = (
    60,
    300,
    900,
    3600,
    3 * 3600,
    6 * 3600,
    12 * 3600,
    86400,
    2 * 86400,
    3 * 86400,
    5 * 86400,
    7 * 86400,
    14 * 86400,
    30 * 86400,
)


def time_ticks(low: float, high: float, most: int) -> tuple[list[float], Words]:
    """Round times (UTC seconds) in low...high, and how they are said: with days where the span is more than one."""
    span = max(1.0, high - low)
    step = next((s for s in STEPS if span / s <= most), 30 * 86400 * math.ceil(span / most / (30 * 86400)))
    first = math.ceil(low / step)
    at = [float((first + i) * step) for i in range(max(0, math.floor(high / step) - first + 1))]
    form = (
        "%H:%M" if span <= 86400 else "{day} %b %H:%M" if step < 86400 else "{day} %b" if step < 60 * 86400 else "%b %Y"
    )

    def words(value: float) -> str:
        when = datetime.fromtimestamp(value, UTC)
        return when.strftime(form).replace("{day}", str(when.day))

    return at, words
