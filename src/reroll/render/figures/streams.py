"""Failures over time with their alarms, and how values are spread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from reroll.numbers import counts
from reroll.render.figures.figure import NARROW, Figure, figure
from reroll.render.figures.lettering import cut, inert, share_words, width_of
from reroll.render.figures.marks import box, letters, line, path
from reroll.render.figures.scales import Scale, above, below, nice_above, tick_count, tick_percent, ticks, time_ticks

__all__ = ["histogram", "stream"]

PLOT, VOLUME = 150.0, 22.0


def stream(
    name: str,
    points: Sequence[tuple[float, int, int]],
    alarms: Sequence[tuple[float, str]] = (),
    target: float | None = None,
    *,
    named: str = "target",
    title: str = "Failures over time",
    summary: str = "",
    width: int = 720,
) -> Figure:
    """The share of calls that failed in each stretch of time, how many calls that were, and where an alarm was raised.

    Args:   points: (time in UTC seconds, failures, calls), in order; many are put together; alarms: (time, label);
            target: the failure rate that is held against, called `named`.
    """
    cells = _together(points, alarms, 45 if width < NARROW else 110)
    gap = _gap(cells)
    low, high = (cells[0][0], cells[-1][0] + gap) if cells else (0.0, 1.0)
    high = max([high, *(at for at, _ in alarms)])
    low = min([low, *(at for at, _ in alarms)])
    shares = [f / n if n else 0.0 for _, f, n in cells]
    end = nice_above(1.1 * max([*shares, target or 0.0]))
    levels = ticks(0, end, 4)
    left = max([width_of(tick_percent(v), "tick") for v in levels] + [width_of("calls", "tick")]) + 8
    x = Scale(low, high, left, width - 4)
    names, room = above(alarms, x, width, "note strong")
    top = room + 10
    y = Scale(0, end, top + PLOT, top)
    marks = [line(left, y(v), width, y(v), "grid" if v else "axis") for v in levels]
    marks += [letters(left - 8, y(v), tick_percent(v), "tick", "end") for v in levels]
    floor = top + PLOT + 8 + VOLUME
    busiest = max([n for *_, n in cells] + [1])
    for (at, failures, n), share in zip(cells, shares, strict=True):
        wide = max(1.0, (x(at + gap) - x(at)) * 0.8)
        if failures:
            marks.append(box(x(at), y(share), wide, y(0) - y(share), "fail"))
        marks.append(box(x(at), floor - VOLUME * n / busiest, wide, VOLUME * n / busiest, "muted"))
    marks.append(letters(left - 8, floor - VOLUME / 2, "calls", "tick", "end"))
    if target is not None:
        marks.append(line(left, y(target), width, y(target), "target"))
    for at, _ in alarms:
        marks.append(line(x(at), room - 2, x(at), y(0), "line-accent thin"))
        marks.append(path([(x(at) - 5, room - 4), (x(at) + 5, room - 4), (x(at), room + 4)], "accent", closed=True))
    at_times, words = time_ticks(low, high, max(2, int((width - left) / 90)))
    whole = [at for at in at_times if x(at) + width_of(words(at), "tick") / 2 <= width]  # none is cut off
    marks += [*below(x, floor + 14, words, whole), *names]
    if target is not None:
        said = share_words(target)
        called = cut(inert(named), width * 0.4, "note")
        marks.append(letters(left + 4, y(target) - 9, f"{called} {said}", "note halo"))
    failed, n = sum(f for _, f, _ in cells), sum(n for *_, n in cells)
    told = f"{failed:,} of {counts('call', n)} failed; {counts('alarm', len(alarms))}."
    rows = [(_time(at), f"{f:,}", f"{m:,}", share_words(f / m) if m else "") for at, f, m in cells]
    rows += [(_time(at), "", "", f"alarm: {label}") for at, label in alarms]
    rows += [] if target is None else [(named, "", "", share_words(target))]
    return figure(name, title, summary or told, ("from", "failed", "calls", "share"), rows, width, floor + 24, marks)


def histogram(
    name: str,
    values: Sequence[float] = (),
    *,
    bins: Sequence[tuple[float, float, int]] = (),
    lines: Sequence[tuple[float, str]] = (),
    unit: str = "",
    kind: str = "accent",
    title: str = "How the values are spread",
    summary: str = "",
    width: int = 720,
) -> Figure:
    """How many values lie in each stretch: of the values themselves, or of bins (low, high, count) made before."""
    made = list(bins) or _bins(values, 18 if width < NARROW else 36)
    low, high = (made[0][0], made[-1][1]) if made else (0.0, 1.0)
    most = max([n for *_, n in made] + [1])
    levels = ticks(0, most, 3, whole=True)
    left = max(width_of(tick_count(v), "tick") for v in levels) + 8
    x = Scale(low, high, left, width - 16)
    names, room = above(lines, x, width, "note strong")
    top = room + 4
    y = Scale(0, most, top + PLOT, top)
    marks = [line(left, y(v), width, y(v), "grid" if v else "axis") for v in levels]
    marks += [letters(left - 8, y(v), tick_count(v), "tick", "end") for v in levels]
    for a, b, n in made:
        if n:
            marks.append(box(x(a) + 0.5, y(n), max(1.0, x(b) - x(a) - 1), y(0) - y(n), kind))
    marks += [line(x(at), room - 4, x(at), y(0), "target") for at, _ in lines]
    marks += [*below(x, top + PLOT + 16, tick_count, ticks(low, high, max(2, int(width / 90)))), *names]
    if unit:
        marks.append(letters(width / 2, top + PLOT + 34, cut(inert(unit), width * 0.8, "note"), "note", "middle"))
    rows = [(f"{a:g}", f"{b:g}", f"{n:,}") for a, b, n in made] + [(f"{at:g}", "", label) for at, label in lines]
    told = f"{sum(n for *_, n in made):,} values from {low:g} to {high:g}{' ' + unit if unit else ''}."
    height = top + PLOT + (44 if unit else 26)
    return figure(name, title, summary or told, ("from", "to", "count"), rows, width, height, marks)


def _bins(values: Sequence[float], most: int) -> list[tuple[float, float, int]]:
    """Equal stretches with round ends."""
    if not len(values):
        return []
    array = np.asarray(values, dtype=np.float64)
    low, high = float(array.min()), float(array.max())
    if low == high:
        return [(low - 0.5, low + 0.5, len(values))]
    edges = ticks(low, high, most)
    step = edges[1] - edges[0] if len(edges) > 1 else high - low
    first = edges[0] - step if edges[0] > low else edges[0]
    count = int(np.ceil((high - first) / step - 1e-9)) or 1
    ends = first + step * np.arange(count + 1)
    told, _ = np.histogram(array, bins=[*ends[:-1], max(ends[-1], high)])
    return [(round(float(a), 12), round(float(a + step), 12), int(n)) for a, n in zip(ends, told, strict=False)]


def _together(
    points: Sequence[tuple[float, int, int]], alarms: Sequence[tuple[float, str]], most: int
) -> list[tuple[float, int, int]]:
    """At most so many stretches of equal length, those without calls left out."""
    if len(points) <= most:
        return list(points)
    at = np.array([p[0] for p in points])
    step = _gap(points) * -(
        -((at[-1] - at[0]) / _gap(points) + 1) // most
    )  # whole stretches, so that none looks busier
    which = np.minimum(((at - at[0]) / step).astype(np.int64), most - 1)
    failed = np.bincount(which, weights=[p[1] for p in points], minlength=most)
    n = np.bincount(which, weights=[p[2] for p in points], minlength=most)
    return [(float(at[0] + k * step), int(failed[k]), int(n[k])) for k in range(most) if n[k]]


def _gap(points: Sequence[tuple[float, int, int]]) -> float:
    """The usual time from one point to the next."""
    spaces = np.diff([at for at, *_ in points])
    return max(1.0, float(np.median(spaces))) if len(spaces) else 60.0


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
