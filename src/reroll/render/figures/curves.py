"""Curves with their bands: success along a completion, what more tries are worth, a stream over time."""

from __future__ import annotations

from collections.abc import Sequence

from reroll.numbers import interval_words, percent
from reroll.render.figures.figure import Canvas, Figure, cut, room_for
from reroll.render.figures.scales import Scale, rate_words, ticks, whole_ticks

__all__ = ["retries", "stream", "success_curve"]

LEFT, HIGH, BOTTOM = 46, 18.0, 176.0


def _frame(canvas: Canvas, y: Scale, values: Sequence[float] = (0, 0.25, 0.5, 0.75, 1)) -> None:
    for value in values:
        canvas.line(LEFT, y(value), canvas.width, y(value), "grid")
        canvas.text(LEFT - 8, y(value) + 4, rate_words(value), "soft", size=12, at="end")


def success_curve(
    name: str,
    title: str,
    points: Sequence[tuple[int, str, float, float, float]],
    *,
    mark: int | None = None,
    width: int = 720,
) -> Figure:
    """How often an answer that begins like this works out, token by token, with its range; a step down is the place.

    points: (tokens so far, the last of them, success, low, high); mark: after how many tokens it went wrong.
    """
    canvas, y = Canvas(width), Scale(0, 1, BOTTOM, HIGH)
    last = max((p[0] for p in points), default=1)
    x = Scale(0, max(1, last), LEFT + 6, width - 10)
    _frame(canvas, y)
    known = sorted(points)
    if known:
        upper, lower = [], []
        for i, point in enumerate(known):
            end = known[i + 1][0] if i + 1 < len(known) else last
            upper += [(x(point[0]), y(point[4])), (x(end), y(point[4]))]
            lower += [(x(point[0]), y(point[3])), (x(end), y(point[3]))]
        canvas.path([*upper, *lower[::-1]], "pass-soft", close=True)
        canvas.path([*((x(p[0]), y(p[2])) for p in known), (x(last), y(known[-1][2]))], "line-pass", 2.4, step=True)
    for tick in whole_ticks(last, 6 if width > 500 else 4):
        canvas.text(x(tick), BOTTOM + 18, f"{tick:,.0f}", "soft", size=12, at="middle")
    canvas.text(width, BOTTOM + 34, "tokens of the answer", "soft", size=12, at="end")
    at = next((p for p in known if p[0] == mark), None)
    told = "success along the answer"
    if at is not None:
        before = max((p for p in known if p[0] < at[0]), default=at)
        told = f"success falls from {percent(before[2])} to {percent(at[2])} at token {at[0]}"
        canvas.line(x(at[0]), HIGH, x(at[0]), BOTTOM, "line-fail", 1.5, "4 3")
        words = f"“{cut(at[1], 18)}”" if at[1] else f"token {at[0]}"
        side = "end" if x(at[0]) + room_for(words) + 14 > width else "start"
        canvas.text(x(at[0]) + (-8 if side == "end" else 8), HIGH + 12, words, "fail", at=side, bold=True)
        canvas.mark(x(at[0]), y(at[2]), "fail", 5)
    rows = [(p[0], p[1], percent(p[2]), percent(p[3]), percent(p[4])) for p in known]
    return canvas.done(name, title, told, BOTTOM + 42, ("tokens", "last token", "works out", "from", "to"), rows)


def retries(name: str, title: str, points: Sequence[tuple[int, float, float, float]], *, width: int = 720) -> Figure:
    """The share of requests that have a right answer within so many tries, with its range, if tries are independent."""
    canvas, y = Canvas(width), Scale(0, 1, BOTTOM, HIGH)
    x = Scale(0.5, max(1, len(points)) + 0.5, LEFT, width)
    _frame(canvas, y)
    for tries, value, low, high in points:
        at = x(tries)
        canvas.rect(at - 7, y(high), 14, y(low) - y(high), "pass-soft", 4)
        canvas.line(at - 7, y(low), at + 7, y(low), "line-pass", 1.4)
        canvas.line(at - 7, y(high), at + 7, y(high), "line-pass", 1.4)
        canvas.mark(at, y(value), "pass", 5)
        canvas.text(at, y(high) - 6, percent(value), size=12, at="middle")
        canvas.text(at, BOTTOM + 18, f"{tries}", "soft", size=12, at="middle")
    canvas.text(width, BOTTOM + 34, "tries", "soft", size=12, at="end")
    told = "; ".join(f"{t} tries: {percent(v)} ({interval_words(low, high)})" for t, v, low, high in points)
    rows = [(t, percent(v), percent(low), percent(high)) for t, v, low, high in points]
    return canvas.done(name, title, told, BOTTOM + 42, ("tries", "right within", "from", "to"), rows)


def stream(
    name: str,
    title: str,
    points: Sequence[tuple[str, int, int]],
    *,
    alarms: Sequence[int] = (),
    allowed: float | None = None,
    width: int = 720,
) -> Figure:
    """The share of failures over time in columns; alarms as marks at their column; the rate that the target allows.

    points: (when, failures, how many) per column; alarms: columns, counted from 0.
    """
    canvas = Canvas(width)
    rates = [failures / n if n else 0.0 for _, failures, n in points]
    top = max(0.05, 1.15 * max([*rates, allowed or 0.0], default=0.05))
    y, step = Scale(0, top, BOTTOM, HIGH + 8), (width - LEFT) / max(1, len(points))
    _frame(canvas, y, ticks(0, top, 4))
    for i, ((_, failures, n), rate) in enumerate(zip(points, rates, strict=True)):
        if n:
            canvas.rect(LEFT + i * step + 0.5, y(rate), max(1.0, step - 1), BOTTOM - y(rate), "fail", tip=f"{failures} of {n}")
    for i in alarms:
        x = LEFT + (i + 0.5) * step
        canvas.line(x, HIGH + 4, x, BOTTOM, "line-accent", 1.5)
        canvas.text(x, HIGH, "▼ alarm", "accent", size=12, at="middle" if 40 < x < width - 40 else "end", bold=True)
    if allowed is not None:
        canvas.line(LEFT, y(allowed), width, y(allowed), "line-soft", 1.5, "5 4")
        canvas.text(LEFT, HIGH - 2, f"- - the target allows {rate_words(allowed)}", "soft", size=12)
    if points:
        canvas.text(LEFT, BOTTOM + 18, points[0][0], "soft", size=12)
        canvas.text(width, BOTTOM + 18, points[-1][0], "soft", size=12, at="end")
    total, failed = sum(n for *_, n in points), sum(f for _, f, _ in points)
    told = f"{failed:,} of {total:,} failed" + (f"; {len(alarms)} alarms" if alarms else "")
    rows = [(when, failures, n, "alarm" if i in alarms else "") for i, (when, failures, n) in enumerate(points)]
    return canvas.done(name, title, told, BOTTOM + 26, ("when", "failed", "of", ""), rows)
