"""Rates on one axis from 0 to 100 %, and runs in the order drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from reroll.numbers import counts
from reroll.render.ink import COLOURS, Pen

__all__ = ["Row", "axis", "bar", "strip"]

NARROWEST_PLOT, COMFORTABLE_PLOT, WIDEST_PLOT = 14, 20, 50
LONGEST_STRIP = 120
FEW = 40  # so many symbols get a space between them


@dataclass(frozen=True, slots=True)
class Row:
    """One line on the axis: a point in its interval (`low`, `high`), or a limit (`mark`).

    `kind` is the outcome that the rate counts, `number` and `note` are what is written beside it.
    """

    label: str
    number: str
    note: str = ""
    kind: str = "fail"
    low: float | None = None
    point: float | None = None
    high: float | None = None
    mark: float | None = None


def axis(rows: Sequence[Row], pen: Pen) -> list[Text]:
    """The rows below a scale from 0 to 100 %: labels left, numbers right, notes beside or below.

    Where that leaves no room, each row's words stand above its line.
    """
    label = max(cell_len(r.label) for r in rows) + 2
    number = max(cell_len(r.number) for r in rows) + 2
    note = max(cell_len(r.note) for r in rows)
    room = pen.width - 4 - label - number
    beside = room - note - 2 >= COMFORTABLE_PLOT
    plot = min(room - note - 2 if beside else room, WIDEST_PLOT)
    if plot < NARROWEST_PLOT:
        return _stacked(rows, pen)
    out = [_scale(3 + label, plot)]
    for row in rows:
        line = pen.join(f"   {row.label:<{label}}", _plot(row, plot, pen), "  ", (f"{row.number:<{number}}", "bold"))
        if row.note and beside:
            line.append_text(pen.text(row.note, "dim"))
        line.rstrip()
        out.append(line)
        if row.note and not beside:
            out += pen.wrap(pen.text(row.note, "dim"), 3 + label)
    return out


def _scale(indent: int, plot: int) -> Text:
    """The words above the axis, each over the place that it names; the middle only where there is room."""
    middle = "50 %" if plot >= COMFORTABLE_PLOT else ""
    gap = plot - len("0 %") - len("100 %")
    left = max(0, plot // 2 - len("0 %") - 1) if middle else 0
    return Text(f"{' ' * indent}0 %{' ' * left}{middle}{' ' * (gap - left - len(middle))}100 %", style="dim", end="")


def _stacked(rows: Sequence[Row], pen: Pen) -> list[Text]:
    """The rows where there is no room beside their words: label and number, and the line below."""
    plot = min(pen.width - 4, WIDEST_PLOT)
    out: list[Text] = []
    for row in rows:
        note = f"  {row.note}" if row.note else ""
        whole = pen.join(f"{row.label}  ", (row.number, "bold"), (note, "dim"))
        if 3 + whole.cell_len < pen.width:
            out += pen.wrap(whole, 3)
        else:
            out += [
                *pen.wrap(pen.text(row.label), 3, 5),
                *pen.wrap(pen.join((row.number, "bold"), (note, "dim")), 3, 5),
            ]
        if plot >= NARROWEST_PLOT and any(at is not None for at in (row.low, row.point, row.mark)):
            out.append(Text.assemble("   ", _plot(row, plot, pen)))
    return [_scale(3, plot), *out] if plot >= NARROWEST_PLOT else out


def bar(share: float, width: int, pen: Pen) -> str:
    """A bar as long as the share of so many cells, to half a cell; whatever is more than nothing is seen.

    >>> from rich.console import Console
    >>> import io
    >>> pen = Pen(Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8")))
    >>> bar(1, 4, pen), bar(0.4, 4, pen), bar(1e-9, 4, pen), bar(0, 4, pen)
    ('━━━━', '━╸', '╸', '')
    """
    halves = max(1 if share > 0 else 0, round(2 * width * min(1.0, share)))
    return pen.glyph("flat") * (halves // 2) + (pen.glyph("half") if halves % 2 else "")


def _plot(row: Row, width: int, pen: Pen) -> Text:
    """The row's interval drawn over a dotted axis."""

    def cell(rate: float) -> int:
        return min(width - 1, int(rate * width))

    cells = [(pen.glyph("axis"), "dim")] * width
    colour = COLOURS[row.kind]
    if row.low is not None and row.high is not None:
        first, last = cell(row.low), cell(row.high)
        for i in range(first, last + 1):
            cells[i] = (pen.glyph("line"), colour)
        if last > first:
            cells[first], cells[last] = (pen.glyph("left"), colour), (pen.glyph("right"), colour)
    if row.point is not None:
        cells[cell(row.point)] = (pen.glyph("point"), f"bold {colour}")
    if row.mark is not None:
        cells[cell(row.mark)] = (pen.glyph("mark"), "bold")
    return Text.assemble(*cells)


def strip(outcomes: Sequence[str], pen: Pen) -> list[Text]:
    """Every run as a symbol in the order drawn; a long row as columns that stand for several runs each."""
    if not outcomes:
        return []
    lines = _symbols(outcomes, pen) if len(outcomes) <= LONGEST_STRIP else _columns(outcomes, pen)
    found = Counter(outcomes)
    words = {"pass": "passed", "fail": "failed", "invalid": "could not be judged"}
    legend = Text()
    for kind, word in words.items():
        if found[kind]:
            legend.append("   " if legend else "")
            legend.append(pen.glyph(kind), f"bold {COLOURS[kind]}")
            legend.append(f" {found[kind]:,} {word}")
    return [*lines, *pen.wrap(legend)]


def _symbols(outcomes: Sequence[str], pen: Pen) -> list[Text]:
    """A symbol per run, in groups of ten so that they can be counted."""
    airy = " " if len(outcomes) <= FEW else ""
    per_line = 10 * max(1, (pen.width - 4 + 1) // (22 if airy else 11))
    out = []
    for start in range(0, len(outcomes), per_line):
        line = Text("   ", end="")
        for i, kind in enumerate(outcomes[start : start + per_line]):
            line.append((airy if i else "") + (" " if i and i % 10 == 0 else ""))
            line.append(pen.glyph(kind), f"bold {COLOURS[kind]}")
        out.append(line)
    return out


def _columns(outcomes: Sequence[str], pen: Pen) -> list[Text]:
    """A column per so many runs, as high as the share of them that failed."""
    width = pen.width - 4
    size = -(-len(outcomes) // width)
    levels = pen.glyph("levels")
    line = Text("   ", end="")
    for start in range(0, len(outcomes), size):
        chunk = outcomes[start : start + size]
        failed, invalid = chunk.count("fail"), chunk.count("invalid")
        if failed:
            level = max(1, round(failed / len(chunk) * (len(levels) - 1)))
            line.append(levels[level], COLOURS["fail"])
        elif invalid:
            line.append(pen.glyph("invalid"), COLOURS["invalid"])
        else:
            line.append(levels[0], COLOURS["pass"])
    words = f"each column is {counts('run', size)}, the higher the more of them failed"
    return [line, *pen.wrap(pen.text(words, "dim"))]
