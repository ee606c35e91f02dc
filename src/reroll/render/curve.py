"""The success curve: how often a beginning works out, token after token, with its band."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from reroll.dud_report import CurvePoint
from reroll.render.ink import COLOURS, Pen

__all__ = ["success_curve"]

ROWS = 11  # from 0 to 100 % in tens
WIDEST_STEP = 6  # columns for each token
LABEL = 10  # what stands left of the plot: the indent, the per cents, the axis


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of the plot, as rows counted from 0 %: the band, and where the curve comes from and goes to."""

    low: int
    high: int
    before: int
    after: int


def success_curve(points: Sequence[CurvePoint], pen: Pen, mark: int | None = None, name: str = "") -> list[Text]:
    """The curve over the tokens; `mark` is the token under which the mark stands, with its `name`."""
    if len(points) < 2:
        return []
    points = _each(points)
    room = pen.width - 1 - LABEL
    step = min(WIDEST_STEP, room // len(points))
    size = 1 if step else -(-len(points) // room)  # tokens for each column
    step = max(1, step)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    columns = _columns(groups, step)
    lines = []
    for row in reversed(range(ROWS)):
        label = {0: "0 %", ROWS // 2: "50 %", ROWS - 1: "100 %"}.get(row, "")
        line = pen.join((f"{label:>8} {pen.glyph('side')}", "dim"))
        for column in columns:
            line.append(*_cell(column, row, pen))
        line.rstrip()
        lines.append(line)
    at = next((i * step for i, g in enumerate(groups) if mark is not None and mark <= g[-1].prefix), None)
    return [*lines, _below(len(columns), points[-1].prefix, at, name, pen)]


def _each(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """A point after every token: tokens that were taken as one step lie on a line from its beginning to its end."""
    out = [points[0]]
    for one, two in itertools.pairwise(points):
        for prefix in range(one.prefix + 1, two.prefix + 1):
            part = (prefix - one.prefix) / (two.prefix - one.prefix)
            ends = ((one.success, two.success), (one.low, two.low), (one.high, two.high))
            out.append(CurvePoint(prefix, *(a + part * (b - a) for a, b in ends)))
    return out


def _columns(groups: Sequence[Sequence[CurvePoint]], step: int) -> list[_Column]:
    out: list[_Column] = []
    last = _row(groups[0][0].success)
    for group in groups:
        band = _row(min(p.low for p in group)), _row(max(p.high for p in group))
        now = _row(group[-1].success)
        out += [_Column(*band, last, now), *[_Column(*band, now, now)] * (step - 1)]
        last = now
    return out


def _row(rate: float) -> int:
    return round(max(0.0, min(1.0, rate)) * (ROWS - 1))


def _cell(column: _Column, row: int, pen: Pen) -> tuple[str, str]:
    """What stands in one place: the curve, its fall or rise, the band, or nothing."""
    before, after = column.before, column.after
    if before == after == row:
        return pen.glyph("flat"), COLOURS["pass"]
    if before > after and after <= row <= before:
        corner = {before: pen.glyph("corners")[0], after: pen.glyph("corners")[1]}
        return corner.get(row, pen.glyph("heavy")), f"bold {COLOURS['fail']}"
    if before < after and before <= row <= after:
        corner = {before: pen.glyph("corners")[2], after: pen.glyph("corners")[3]}
        return corner.get(row, pen.glyph("heavy")), COLOURS["pass"]
    if column.low <= row <= column.high:
        return pen.glyph("shade"), COLOURS["pass"]
    return " ", ""


def _below(width: int, tokens: int, at: int | None, name: str, pen: Pen) -> Text:
    """The numbers of tokens at both ends, and the mark with its name where they leave room."""
    left, right = "0", f"{tokens:,}"
    line = Text(" " * LABEL, end="")
    if at is None:
        line.append(f"{left}{right:>{max(1, width - len(left))}}", "dim")
        return line
    marked = pen.join((pen.glyph("mark"), f"bold {COLOURS['fail']}"), (f" {name}" if name else "", "bold"))
    marked = pen.cut(marked, max(1, width - at))
    if at > len(left):
        line.append(left, "dim")
    line.append(" " * (LABEL + at - line.cell_len))
    line.append_text(marked)
    if line.cell_len + 2 + len(right) <= LABEL + width:
        line.append(f"{right:>{LABEL + width - line.cell_len}}", "dim")
    return line
