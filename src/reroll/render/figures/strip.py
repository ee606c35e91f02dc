"""Runs in the order drawn: a shape for each, or, of many, columns as high as the share that failed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reroll.numbers import counts
from reroll.outcomes import FAIL, INVALID, WORDS, codes_of
from reroll.render.figures.figure import NARROW, Figure, figure
from reroll.render.figures.lettering import share_words, width_of, wrapped
from reroll.render.figures.marks import box, letters, line, shape
from reroll.render.figures.scales import Scale, nice_above, tick_percent, ticks

__all__ = ["outcome_strip"]

ROWS = 8  # of shapes; more runs than these hold become columns
CELL, GAP = 13.0, 9.0  # a run, and what is left free after ten
PLOT = 110
Codes = npt.NDArray[np.uint8]


def outcome_strip(
    name: str,
    outcomes: Sequence[str],
    *,
    title: str = "Every run, in the order drawn",
    summary: str = "",
    width: int = 720,
) -> Figure:
    """Every run as a shape in rows of tens; thousands as columns with the shares that failed or could not be judged."""
    codes = codes_of(outcomes)
    told = [int((codes == k).sum()) for k in range(3)]
    said = summary or (
        f"Of {counts('run', len(codes))}, {told[0]:,} passed, {told[1]:,} failed and {told[2]:,} could not be judged."
    )
    marks, top = _counts(told, width)
    per_row = _tens(width) * 10
    if len(codes) <= per_row * ROWS:
        drawn, height = _shapes(codes, per_row, top)
        table: list[tuple[str, str]] = [(str(k), WORDS[code]) for k, code in enumerate(codes, 1)]
        table.append(("all", ", ".join(f"{n:,} {word}" for n, word in zip(told, WORDS, strict=True) if n) or "none"))
        return figure(name, title, said, ("run", "outcome"), table, width, height, marks + drawn)
    drawn, height, rows = _columns(codes, width, top)
    rows.append(("all", f"{len(codes):,}", *(f"{n:,}" for n in told), share_words(told[FAIL] / len(codes))))
    heads = ("first run", "last run", "passed", "failed", "invalid", "share failed")
    return figure(name, title, said, heads, rows, width, height, marks + drawn)


def _counts(told: Sequence[int], width: int) -> tuple[list[str], float]:
    """How many there are of each, beside its shape: what the shapes mean, and the numbers."""
    out: list[str] = []
    x, y = 0.0, 9.0
    for kind, n in zip(WORDS, told, strict=True):
        if not n and kind == "invalid":
            continue
        word = {"pass": "passed", "fail": "failed", "invalid": "could not be judged"}[kind]
        text = f"{n:,} {word}"
        if x and x + 14 + width_of(text) > width:
            x, y = 0.0, y + 20
        out += [shape(kind, x + 5, y, 4), letters(x + 14, y, text, f"value {kind}")]
        x += 14 + width_of(text) + 18
    return out, y + 18


def _tens(width: int) -> int:
    return max(1, int((width + GAP) / (10 * CELL + GAP)))


def _shapes(codes: Codes, per_row: int, top: float) -> tuple[list[str], float]:
    out = []
    for k, code in enumerate(codes):
        row, column = divmod(k, per_row)
        out.append(shape(WORDS[code], column * CELL + column // 10 * GAP + 6, top + 8 + row * 18, 4))
    return out, top + 18 * max(1, -(-len(codes) // per_row))


def _columns(codes: Codes, width: int, top: float) -> tuple[list[str], float, list[tuple[str, ...]]]:
    top += 8
    most = 60 if width < NARROW else 120
    size = -(-len(codes) // most)
    starts = np.arange(0, len(codes), size)
    n = np.diff([*starts, len(codes)])
    failed, unsure = (np.add.reduceat(codes == code, starts).astype(int) for code in (FAIL, INVALID))
    end = nice_above(float(((failed + unsure) / n).max()))
    up = Scale(0, end, top + PLOT, top)
    marks = []
    at = ticks(0, end, 4)
    left = max(width_of(tick_percent(v), "tick") for v in at) + 8
    for value in at:
        marks.append(letters(left - 8, up(value), tick_percent(value), "tick", "end"))
        marks.append(line(left, up(value), width, up(value), "grid" if value else "axis"))
    step = (width - left) / len(starts)
    rows = []
    for k, (start, runs, bad, odd) in enumerate(
        zip(starts.tolist(), n.tolist(), failed.tolist(), unsure.tolist(), strict=True)
    ):
        x, share, lost = left + k * step, bad / runs, (bad + odd) / runs
        wide = max(1.0, step * 0.82)
        if bad:
            marks.append(box(x, up(share), wide, up(0) - up(share), "fail"))
        if odd:
            marks.append(box(x, up(lost), wide, up(share) - up(lost), "invalid"))
        cells = (start + 1, start + runs, runs - bad - odd, bad, odd)
        rows.append((*(f"{v:,}" for v in cells), share_words(share)))
    foot = top + PLOT + 14
    marks.append(letters(left, foot, "run 1", "tick"))
    marks.append(letters(width, foot, f"run {len(codes):,}", "tick", "end"))
    what = "failed, and on top that could not be judged" if unsure.any() else "failed"
    said = wrapped(f"each column: {size:,} runs, and the share of them that {what}", width, 2, "note")
    for k, words in enumerate(said):
        marks.append(letters(width / 2, foot + 18 + 16 * k, words, "note", "middle"))
    return marks, foot + 28 + 16 * (len(said) - 1), rows
