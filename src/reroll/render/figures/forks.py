"""Where the completions of a case part: a branch per line, with how many runs took it and how these ended."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reroll.numbers import counts
from reroll.render.figures.figure import NARROW, Figure, figure
from reroll.render.figures.lettering import cut, quoted, width_of
from reroll.render.figures.marks import box, letters, path
from reroll.tree import Branch

__all__ = ["fork_tree"]

ROW = 28.0
MOST = 40  # branches


@dataclass(frozen=True, slots=True)
class _Row:
    """A branch in its line: the line of the one that it comes from, and how deep it is."""

    branch: Branch | None
    above: int
    depth: int
    others: int = 0


def fork_tree(
    name: str,
    tree: Branch,
    *,
    most: int = MOST,
    title: str = "Where the answers part",
    summary: str = "",
    width: int = 720,
) -> Figure:
    """Branches as lines below the one that they come from, thicker the more runs took them; rare ones are summed up."""
    rows = _rows(tree, most)
    narrow = width < NARROW
    deepest = max(r.depth for r in rows)
    indent = min(18.0 if narrow else 22.0, (width * 0.3) / max(1, deepest))
    bar = 70.0 if narrow else 150.0
    said = [f"{r.branch.fails:,} of {r.branch.samples:,}" if r.branch else counts("run", r.others) for r in rows]
    numbers = max([width_of(s, "value") for s in said] + [width_of("failed", "note")])
    right = width - numbers - bar - 18
    marks = [letters(width, 8, "failed", "note", "end"), letters(right + 6, 8, "runs", "note")]
    links, words, table = [], [], []
    top = 20.0
    for k, (row, number) in enumerate(zip(rows, said, strict=True)):
        y, x = top + (k + 0.5) * ROW, row.depth * indent + 4
        n = row.branch.samples if row.branch else row.others
        if row.above >= 0:
            start = top + (row.above + 0.5) * ROW + 9, (row.depth - 1) * indent + 4
            thick = 1 + 7 * math.sqrt(n / max(1, tree.samples))
            links.append(path([(start[1] + 4, start[0]), (start[1] + 4, y), (x + 1, y)], "link", width=thick))
        text = _text(row)
        words.append(letters(x + 7, y, cut(text, right - x - 12, "mono"), "mono" if row.branch else "note"))
        words += _bar(row, right + 6, y, bar, tree.samples)
        words.append(letters(width, y, number, "value", "end"))
        b = row.branch
        ended = (b.ended or "") if b else ""
        cells = (b.passes, b.fails, b.invalid) if b else ("", "", "")
        table.append((str(row.depth), text, f"{n:,}", *(str(c) for c in cells), ended))
    heads = ("depth", "text", "runs", "passed", "failed", "invalid", "ended")
    told = f"{len([r for r in rows if r.branch])} branches of {tree.samples:,} runs, {tree.fails:,} of which failed."
    return figure(name, title, summary or told, heads, table, width, top + ROW * len(rows) + 4, marks + links + words)


def _rows(tree: Branch, most: int) -> list[_Row]:
    """The branches that most runs took, each after the one that it comes from; what is left out of each, summed."""
    kept: set[int] = set()
    waiting = [tree]
    while waiting and len(kept) < most:
        waiting.sort(key=lambda b: b.samples)
        one = waiting.pop()
        kept.add(id(one))
        waiting += one.branches
    out: list[_Row] = []
    stack: list[tuple[Branch | None, int, int, int]] = [(tree, -1, 0, 0)]
    while stack:
        branch, above, depth, others = stack.pop()
        out.append(_Row(branch, above, depth, others))
        if branch is None:
            continue
        here = len(out) - 1
        gone = branch.others + sum(b.samples for b in branch.branches if id(b) not in kept)
        below: list[tuple[Branch | None, int, int, int]] = [
            (b, here, depth + 1, 0) for b in branch.branches if id(b) in kept
        ]
        stack += reversed([*below, (None, here, depth + 1, gone)] if gone else below)
    return out


def _text(row: _Row) -> str:
    if row.branch is None:
        return "other ways to go on"
    if not row.branch.text and not row.depth:
        return "(nothing shared)"
    return quoted(row.branch.text)


def _bar(row: _Row, x: float, y: float, room: float, total: int) -> list[str]:
    branch = row.branch
    if branch is None:
        return [box(x, y - 5, max(1.0, room * row.others / max(1, total)), 10, "muted")]
    out = []
    for n, kind in ((branch.passes, "pass"), (branch.fails, "fail"), (branch.invalid, "invalid")):
        if n:
            long = max(1.0, (room - 3) * n / max(1, total))
            out.append(box(x, y - 5, long, 10, kind))
            x += long + 0.5
    return out
