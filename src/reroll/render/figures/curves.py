"""How a chance changes: over the tries that one allows, and over the tokens of a completion."""

from __future__ import annotations

from collections.abc import Sequence

from reroll.numbers import counts, interval_words
from reroll.render.figures.figure import NARROW, Figure, figure
from reroll.render.figures.lettering import cut, quoted, share_words, width_of
from reroll.render.figures.marks import box, dot, letters, line, path, steps
from reroll.render.figures.scales import Scale, below, tick_count, tick_percent, ticks

__all__ = ["retries", "success_curve"]

PLOT = 180
MOST = 400  # corners of a curve
SHARES = (0.0, 0.5, 1.0)

Try = tuple[int, float, float, float]
Point = tuple[int, str, float, float, float]


def retries(
    name: str,
    tries: Sequence[Try],
    *,
    title: str = "How often it works within so many tries",
    summary: str = "",
    width: int = 720,
) -> Figure:
    """For each number of tries (tries, chance, low, high) the chance that one of them works, with its range."""
    across = 26.0 if width < NARROW else 40.0
    top, foot = 22.0, 22.0 + PLOT
    left = width_of("100 %", "tick") + 8
    y = Scale(0, 1, foot, top)
    marks = _levels(left, width, y)
    step = min(90.0, (width - left) / max(1, len(tries)))
    free = -1.0
    for k, (n, value, low, high) in enumerate(tries):
        x = left + (k + 0.5) * step
        thick = min(across, step * 0.6)
        marks.append(box(x - thick / 2, y(high), thick, max(2, y(low) - y(high)), "band-pass", 3))
        marks.append(line(x - thick / 2, y(value), x + thick / 2, y(value), "line-pass"))
        marks.append(dot(x, y(value), 3.5, "pass"))
        said, number = share_words(value), f"{n:,}"
        half = max(width_of(said, "value strong"), width_of(number, "tick")) / 2
        middle = min(max(x, half), width - half)
        if middle - half > free:
            marks.append(letters(middle, y(high) - 9, said, "value strong halo", "middle"))
            marks.append(letters(middle, foot + 16, number, "tick", "middle"))
            free = middle + half + 6
    marks.append(letters(left + step * len(tries) / 2, foot + 34, "tries", "note", "middle"))
    told = "; ".join(f"{counts('try', n)}: {share_words(v)} ({interval_words(a, b)})" for n, v, a, b in tries[:6])
    rows = [(f"{n:,}", *(share_words(v) for v in rest)) for n, *rest in tries]
    heads = ("tries", "works", "low", "high")
    return figure(name, title, summary or f"{told}.", heads, rows, width, foot + 44, marks)


def success_curve(
    name: str,
    points: Sequence[Point],
    mark: int | None = None,
    *,
    title: str = "How often such a beginning works out, token after token",
    summary: str = "",
    width: int = 720,
) -> Figure:
    """The success rate after each position (position, its token, rate, low, high) as a staircase in its band.

    mark: the position of the token that the page is about; position 0 is before the first token.
    """
    shown = _thinned(points, mark)
    top, foot = 32.0, 32.0 + PLOT
    left = width_of("100 %", "tick") + 8
    ending = share_words(points[-1][2]) if points else ""
    right = width - width_of(ending, "value strong") - 9
    first, last = (points[0][0], points[-1][0]) if points else (0, 1)
    x, y = Scale(first, max(last, first + 1), left, right), Scale(0, 1, foot, top)
    marks = _levels(left, right, y)
    upper = steps([(x(p[0]), y(p[4])) for p in shown])
    lower = steps([(x(p[0]), y(p[3])) for p in shown])
    if len(shown) > 1:
        marks.append(path([*upper, *lower[::-1]], "band-pass", closed=True))
        marks.append(path(steps([(x(p[0]), y(p[2])) for p in shown]), "line-pass"))
    told = ""
    found = next((k for k, p in enumerate(shown) if p[0] == mark), None)
    if found:
        before, after = shown[found - 1], shown[found]
        change = f"from {share_words(before[2])} to {share_words(after[2])}"
        told = f"With {quoted(after[1])} at {mark} the success rate goes {change}."
        marks += _marked(before, after, x, y, width)
    if shown:
        marks.append(letters(right + 7, y(shown[-1][2]), ending, "value strong pass halo"))
    at = ticks(first, max(last, first + 1), max(2, int((right - left) / 80)), whole=True)
    marks += below(x, foot + 16, tick_count, at)
    marks.append(letters((left + right) / 2, foot + 34, "tokens so far", "note", "middle"))
    rows = [(f"{p[0]:,}", quoted(p[1]) if p[0] else "(start)", *(share_words(v) for v in p[2:])) for p in points]
    heads = ("position", "token", "works out", "low", "high")
    return figure(name, title, summary or told or title, heads, rows, width, foot + 44, marks)


def _marked(before: Point, after: Point, x: Scale, y: Scale, width: int) -> list[str]:
    """The step of the marked token, drawn as what it costs or gains, and its name above."""
    at, kind = x(after[0]), "fail" if after[2] < before[2] else "pass"
    change = f"{share_words(before[2])} → {share_words(after[2])}"
    token = cut(quoted(after[1]), width - width_of(change, "value") - 24, "mono strong")
    whole = width_of(token, "mono strong") + 12 + width_of(change, "value")
    start = min(max(0.0, at - whole / 2), width - whole)
    return [
        line(at, 20, at, y.start, "leader"),
        line(at, y(before[2]), at, y(after[2]), f"line-{kind} thick"),
        dot(at, y(after[2]), 4, f"{kind} edge"),
        letters(start, 9, token, f"mono strong {kind}"),
        letters(start + whole, 9, change, "value", "end"),
    ]


def _thinned(points: Sequence[Point], mark: int | None) -> list[Point]:
    """At most so many points, the ends and the marked one with the one before it always among them."""
    if len(points) <= MOST:
        return list(points)
    keep = {round(k * (len(points) - 1) / (MOST - 1)) for k in range(MOST)}
    keep |= {k - back for k, p in enumerate(points) if p[0] == mark for back in (0, 1) if k >= back}
    return [points[k] for k in sorted(keep)]


def _levels(left: float, right: float, y: Scale) -> list[str]:
    out = []
    for share in SHARES:
        out.append(line(left, y(share), right, y(share), "grid" if share else "axis"))
        out.append(letters(left - 8, y(share), tick_percent(share), "tick", "end"))
    return out
