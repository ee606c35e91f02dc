"""SVG elements as text: lines, boxes, shapes with one meaning each, and letters that are escaped."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from html import escape

from reroll.render.figures.lettering import inert, size_of

__all__ = ["box", "dot", "letters", "line", "number", "path", "shape", "steps"]

Point = tuple[float, float]


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel.

    >>> number(3.0), number(0.25), number(-0.01)
    ('3', '0.2', '0')
    """
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def letters(x: float, y: float, text: str, classes: str = "label", anchor: str = "start") -> str:
    """Text whose middle line is at `y`, from, around or up to `x` (`start`, `middle`, `end`)."""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    base = y + size_of(classes) * 0.35
    return f'<text class="{classes}" x="{number(x)}" y="{number(base)}"{where}>{escape(inert(text))}</text>'


def line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
    return f'<line class="{classes}" {ends}/>'


def box(x: float, y: float, width: float, height: float, classes: str, round: float = 0) -> str:
    corner = f' rx="{number(round)}"' if round else ""
    size = f'x="{number(x)}" y="{number(y)}" width="{number(max(0, width))}" height="{number(max(0, height))}"'
    return f'<rect class="{classes}" {size}{corner}/>'


def path(points: Iterable[Point], classes: str, closed: bool = False, width: float | None = None) -> str:
    """Straight lines from point to point."""
    spots = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    thick = "" if width is None else f' stroke-width="{number(width)}"'
    return f'<{"polygon" if closed else "polyline"} class="{classes}" points="{spots}"{thick}/>'


def dot(x: float, y: float, radius: float, classes: str) -> str:
    return f'<circle class="{classes}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>'


def shape(kind: str, x: float, y: float, size: float = 4.5) -> str:
    """The shape that goes with the colour: ● pass, ✕ fail, ◌ invalid, ◆ accent, ■ anything else."""
    if kind == "pass":
        return dot(x, y, size, "pass")
    if kind == "fail":
        a = size * 0.82
        spots = [(x - a, y - a), (x + a, y + a)], [(x - a, y + a), (x + a, y - a)]
        steps = " ".join(
            f"M{number(p[0])},{number(p[1])}L{number(q[0])},{number(q[1])}" for p, q in (tuple(s) for s in spots)
        )
        return f'<path class="line-fail{" thick" if size > 4 else ""}" d="{steps}"/>'
    if kind == "invalid":
        return dot(x, y, size * 0.85, "line-invalid ring")
    if kind == "accent":
        a = size * 1.15
        return path([(x, y - a), (x + a, y), (x, y + a), (x - a, y)], "accent", closed=True)
    a = size * 0.85
    return box(x - a, y - a, 2 * a, 2 * a, kind)


def steps(points: Sequence[Point]) -> list[Point]:
    """The corners of a staircase through the points: level up to each next one, then up or down to it."""
    out = list(points[:1])
    for before, after in itertools.pairwise(points):
        out += [(after[0], before[1]), after]
    return out
