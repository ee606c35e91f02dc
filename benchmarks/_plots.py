"""Plots of rows as SVG: ours, the best peer and the bar on one axis. The same rows give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Line", "chart"]

LEFT, WIDTH, ROW, TOP = 410, 380, 24, 62
OURS, PEER, BAR = "#3b8eea", "#d9730d", "#8a8f98"


@dataclass(frozen=True)
class Line:
    """One line of a chart; `peer` and `bar` are left out where there is none."""

    label: str
    ours: float
    peer: float | None = None
    bar: float | None = None


def chart(title: str, unit: str, lines: Sequence[Line], *, log: bool = False, names: tuple[str, str, str]) -> str:
    """A dot for ours, a square for the peer, a tick for the bar; `names` are what the three are called.

    Raises:  ValueError: nothing to draw.
    """
    every = [x for line in lines for x in (line.ours, line.peer, line.bar) if x is not None]
    if log:
        every = [x for x in every if x > 0]
    if not every:
        raise ValueError("nothing to draw")
    low, high = (min(every) * 0.8, max(every) * 1.25) if log else (0.0, max(every) * 1.08 or 1.0)

    def place(x: float) -> float:
        if not log:
            return LEFT + WIDTH * x / high
        return LEFT + WIDTH * (math.log(max(x, low)) - math.log(low)) / (math.log(high) - math.log(low))

    height = TOP + ROW * len(lines) + 38
    end = TOP + ROW * len(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 70} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        "<style>text{fill:#24292f}.g{stroke:#d0d7de}@media(prefers-color-scheme:dark){text{fill:#d6dce4}"
        ".g{stroke:#444c56}}</style>",
        f'<text x="8" y="20" font-size="14" font-weight="600">{escape(title)}</text>',
        *_key(names, lines),
    ]
    for x in _ticks(low, high, log=log):
        at = f"{place(x):.1f}"
        parts.append(f'<line class="g" x1="{at}" x2="{at}" y1="{TOP - 6}" y2="{end}" stroke-width="1"/>')
        parts.append(f'<text x="{at}" y="{end + 16}" text-anchor="middle">{x:g}</text>')
    parts.append(f'<text x="{LEFT + WIDTH}" y="{end + 32}" text-anchor="end">{escape(unit)}</text>')
    for i, line in enumerate(lines):
        y = TOP + ROW * i + ROW // 2
        parts.append(f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(_cut(line.label))}</text>')
        if line.bar is not None:
            at = f"{place(line.bar):.1f}"
            parts.append(f'<line x1="{at}" x2="{at}" y1="{y - 9}" y2="{y + 9}" stroke="{BAR}" stroke-width="3"/>')
        if line.peer is not None:
            parts.append(f'<rect x="{place(line.peer) - 5:.1f}" y="{y - 5}" width="10" height="10" fill="{PEER}"/>')
        parts.append(f'<circle cx="{place(line.ours):.1f}" cy="{y}" r="5.5" fill="{OURS}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _key(names: tuple[str, str, str], lines: Sequence[Line]) -> list[str]:
    ours, peer, bar = names
    parts: list[str] = []
    x = 14
    shown = [
        (ours, f'<circle cx="{{}}" cy="38" r="5.5" fill="{OURS}"/>', True),
        (peer, f'<rect x="{{}}" y="33" width="10" height="10" fill="{PEER}"/>', any(n.peer is not None for n in lines)),
        (bar, f'<rect x="{{}}" y="30" width="3" height="16" fill="{BAR}"/>', any(n.bar is not None for n in lines)),
    ]
    for name, mark, there in shown:
        if there:
            parts += [mark.format(x), f'<text x="{x + 16}" y="42">{escape(name)}</text>']
            x += 40 + 7 * len(name)
    return parts


def _cut(label: str) -> str:
    return label if len(label) <= 58 else label[:57] + "…"


def _ticks(low: float, high: float, *, log: bool) -> list[float]:
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
        return found if len(found) <= 8 else [x for x in found if f"{x:e}"[0] == "1"]
    step = 10 ** math.floor(math.log10(high / 4))
    step = next(step * m for m in (1, 2, 5, 10) if high / (step * m) <= 6)
    return [round(step * i, 12) for i in range(int(high / step) + 1)]
