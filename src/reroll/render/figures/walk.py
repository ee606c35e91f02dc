"""The evidence after each run, on its way to the line from which a verdict may be given."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from reroll.numbers import counts
from reroll.render.figures.figure import NARROW, Figure, figure
from reroll.render.figures.lettering import inert, spread, width_of, wrapped
from reroll.render.figures.marks import letters, line, path, shape
from reroll.render.figures.scales import Scale, below, tick_count, ticks
from reroll.walks import NEAR, Walk, Walks

__all__ = ["evidence_walk"]

PLOT = 210
LEAST = 100  # runs that are always shown
FLOOR = math.log(100)  # evidence against a claim is not followed further down
KIND = {"met": "pass", "not_met": "fail"}
WORDS = {"met": "it fails less often than allowed", "not_met": "it fails more often than allowed"}


def evidence_walk(
    name: str,
    walks: Walks,
    *,
    words: Mapping[str, str] = WORDS,
    title: str = "How the evidence grew, run by run",
    summary: str = "",
    width: int = 720,
) -> Figure:
    """Each claim's evidence as odds over the runs, its threshold dashed, and the run at which the verdict fell.

    words: of the claims, by `met` and `not_met`.
    """
    narrow = width < NARROW
    names: dict[str, str] = {w.side: inert(words.get(w.side, WORDS[w.side])) for w in walks.sides}
    told = _told(walks, names)
    low, high = _ends(walks)
    at = [v for v in _decades(low, high) if low <= v <= high]
    left = max(width_of(_odds(v), "tick") for v in at) + 8
    room = 0.0 if narrow else 150.0
    top = 26.0 + (20 * len(walks.sides) if narrow else 0)
    last = max(1, _last(walks))
    x = Scale(0, last, left, width - (room + 12 if room else 8))
    y = Scale(low, high, top + PLOT, top)
    marks = [line(left, y(v), x.end, y(v), "axis" if v == 0 else "grid") for v in at]
    marks += [letters(left - 8, y(v), _odds(v), "tick", "end") for v in at]
    across = ticks(0, last, max(2, int((x.end - left) / 90)), whole=True)
    marks += below(x, top + PLOT + 16, tick_count, across)
    marks.append(letters((x.start + x.end) / 2, top + PLOT + 34, _axis_words(walks), "note", "middle"))
    marks += _crossing(walks, x, y, top, width)
    for walk in walks.sides:
        marks += _line(walk, walks.crossed_at, last, x, y)
    marks += _thresholds(walks.sides, walks.crossed_at, x, y)
    marks += _above(walks.sides, names, width) if narrow else _beside(walks.sides, names, x, y, width - room, room)
    marks += _met_at(walks, x, y)
    heads = ("runs", *(f"odds: {names[w.side]}" for w in walks.sides))
    rows = [
        (f"{n:,}", *(_odds(w.points[k][1], exact=True) for w in walks.sides))
        for k, (n, _) in enumerate(walks.sides[0].points if walks.sides else ())
    ]
    rows += [("shown from", *(_odds(w.threshold, exact=True) for w in walks.sides))]
    if walks.crossed_at is not None:
        rows += [("verdict after", f"{walks.crossed_at:,}", *[""] * (len(walks.sides) - 1))]
    return figure(name, title, summary or told, heads, rows, width, top + PLOT + 44, marks)


def _told(walks: Walks, names: Mapping[str, str]) -> str:
    if walks.crossed is None or walks.crossed_at is None:
        return f"After {counts('run', walks.runs)} neither line was reached: nothing is shown yet."
    return f"After {counts('run', walks.crossed_at)} of {walks.runs:,} it was shown: {names[walks.crossed]}."


def _last(walks: Walks) -> int:
    """How far the runs are followed: to the last, unless the verdict fell long before."""
    at = walks.crossed_at
    near = 0 if at is None else max(LEAST, NEAR * at)
    return near if near and walks.runs > 1.5 * near else walks.runs


def _axis_words(walks: Walks) -> str:
    last = _last(walks)
    return "runs" if last == walks.runs else f"the first {last:,} of {walks.runs:,} runs"


def _ends(walks: Walks) -> tuple[float, float]:
    """What is followed: from the lowest evidence, or 1 to 100, up to well above the thresholds."""
    values = [v for w in walks.sides for n, v in w.points if n <= _last(walks)] or [0.0]
    top = max((w.threshold for w in walks.sides), default=3.0)
    return max(-FLOOR, min(-0.7, *values)), max(top * 1.3, min(max(values), top * 1.8))


def _decades(low: float, high: float) -> list[float]:
    ten = math.log(10)
    first, last = math.ceil(low / ten), math.floor(high / ten)
    step = max(1, -(-(last - first) // 5))
    return [k * ten for k in range(first, last + 1) if k % step == 0] or [0.0]


def _odds(value: float, exact: bool = False) -> str:
    """e to the value, as odds.

    >>> _odds(0.0), _odds(math.log(10)), _odds(-math.log(100)), _odds(3.0, exact=True)
    ('even', '10 to 1', '1 to 100', '20.1 to 1')
    """
    if abs(value) < 1e-9:
        return "even"
    size = abs(value)
    if size > math.log(1e6):
        many = f"10^{size / math.log(10):.1f}"
    else:
        number = math.exp(size)
        many = f"{number:.3g}" if exact and number < 1000 else f"{round(number):,}"
    return f"{many} to 1" if value > 0 else f"1 to {many}"


def _line(walk: Walk, crossed_at: int | None, last: int, x: Scale, y: Scale) -> list[str]:
    """The path, paler after the verdict; where it leaves the plot it is cut off."""
    kind, out = KIND[walk.side], []
    end = walk.points[-1][0] if crossed_at is None else crossed_at
    for part, pale in (
        ([p for p in walk.points if p[0] <= end], ""),
        ([p for p in walk.points if end <= p[0] <= last], " faint"),
    ):
        if len(part) > 1:
            spots = [(x(n), v) for n, v in part]
            out += [
                path([(a, y(v)) for a, v in piece], f"line-{kind}{pale}") for piece in _inside(spots, y.low, y.high)
            ]
    return out


def _inside(points: Sequence[tuple[float, float]], low: float, high: float) -> list[list[tuple[float, float]]]:
    """The pieces of a path that lie within low...high, cut where it goes out or comes in."""
    out: list[list[tuple[float, float]]] = []
    piece: list[tuple[float, float]] = []
    for (x1, v1), (x2, v2) in itertools.pairwise(points):
        cuts = sorted(t for edge in (low, high) if (v1 - edge) * (v2 - edge) < 0 for t in [(edge - v1) / (v2 - v1)])
        ends = [0.0, *cuts, 1.0]
        for a, b in itertools.pairwise(ends):
            middle = v1 + (a + b) / 2 * (v2 - v1)
            if not low <= middle <= high:
                if len(piece) > 1:
                    out.append(piece)
                piece = []
                continue
            start, end = ((x1 + t * (x2 - x1), v1 + t * (v2 - v1)) for t in (a, b))
            piece = [*piece, end] if piece else [start, end]
    return [*out, piece] if len(piece) > 1 else out


def _thresholds(sides: Sequence[Walk], crossed_at: int | None, x: Scale, y: Scale) -> list[str]:
    """A dashed line for each threshold; its odds above the higher and below the lower one, away from the crossing."""
    out = []
    left = crossed_at is None or x(crossed_at) > (x.start + x.end) / 2
    for k, walk in enumerate(sorted(sides, key=lambda w: -w.threshold)):
        kind, at = KIND[walk.side], y(walk.threshold)
        said = f"shown from {_odds(walk.threshold, exact=True)}"
        out.append(line(x.start, at, x.end, at, f"line-{kind} thin dashed"))
        place = (x.start + 4, at - 9 + 18 * k, said, f"note {kind} halo")
        out.append(letters(*place) if left else letters(x.end - 4, *place[1:], "end"))
    return out


def _crossing(walks: Walks, x: Scale, y: Scale, top: float, width: int) -> list[str]:
    if walks.crossed_at is None:
        return []
    said = f"verdict after {counts('run', walks.crossed_at)}"
    half = width_of(said, "value strong") / 2
    at = x(walks.crossed_at)
    middle = min(max(at, half), width - half)
    return [
        letters(middle, 8, said, "value strong", "middle"),
        line(at, 18 if top < 40 else top - 2, at, y.start, "leader"),
    ]


def _met_at(walks: Walks, x: Scale, y: Scale) -> list[str]:
    for walk in walks.sides:
        if walk.side == walks.crossed and walks.crossed_at is not None:
            value = next(v for n, v in walk.points if n == walks.crossed_at)
            return [shape(KIND[walk.side], x(walks.crossed_at), y(value), 5)]
    return []


def _beside(sides: Sequence[Walk], names: Mapping[str, str], x: Scale, y: Scale, left: float, room: float) -> list[str]:
    """The claims' names at the right ends of their paths."""
    lines = [wrapped(names[w.side], room, 3, "note strong") for w in sides]
    places = spread(
        [y([v for n, v in w.points if n <= x.high][-1]) for w in sides],
        15.0 * max(map(len, lines), default=1) + 8,
        y.end + 14,
        y.start - 14,
    )
    return [
        letters(left, place + 15 * (k - (len(said) - 1) / 2), part, f"note strong {KIND[w.side]}")
        for w, said, place in zip(sides, lines, places, strict=True)
        for k, part in enumerate(said)
    ]


def _above(sides: Sequence[Walk], names: Mapping[str, str], width: int) -> list[str]:
    out = []
    for k, walk in enumerate(sides):
        kind, at = KIND[walk.side], 28.0 + 18 * k
        out.append(line(0, at, 16, at, f"line-{kind}"))
        out.append(letters(22, at, wrapped(names[walk.side], width - 22, 1, "note strong")[0], f"note strong {kind}"))
    return out
