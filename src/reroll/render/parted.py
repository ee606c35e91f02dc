"""The runs of one case as a tree: what they share, where they part, and how each branch fares."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.looking import Parted
from reroll.numbers import counts
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines
from reroll.render.said import short
from reroll.tree import Branch

__all__ = ["show_parted"]

DEEPEST = 12  # branches within branches on the page; the JSON has all
ENDS = {"cut": "cut off at the limit of tokens", "stop": "ends", "unknown": "ends", "end": "ends"}


def show_parted(parted: Parted, console: Console) -> None:
    """Print the tree, the commonest branches first, a line each."""
    pen = Pen(console)
    head = pen.join((f"{counts('run', parted.samples)} of {parted.case_id}", "bold"), (f"  by {parted.by}", "dim"))
    lines: Lines = pen.wrap(head, 1, 3)
    lines += _branch(parted.tree, 0, pen)
    if parted.by == "words":
        note = "by words, as the runs came without tokens; `logprobs: true` in params brings them"
        lines += [Text(), *pen.wrap(pen.text(note, "dim"), 3, 3)]
    pen.put(lines)


def _branch(branch: Branch, depth: int, pen: Pen) -> Lines:
    marks = [
        (f" {pen.glyph(word)} {n:,}", COLOURS[word])
        for word, n in (("pass", branch.passes), ("fail", branch.fails), ("invalid", branch.invalid))
        if n
    ]
    indent = "  " * min(depth, DEEPEST)
    text = branch.text.replace("\n", "⏎")
    if not text:
        text = f"({ENDS.get(branch.ended or '', 'parts at once')})"
    line = pen.join((indent, ""), (f"{branch.samples:>5,} ", "bold"), *marks, "  ")
    line.append_text(pen.text(short(text, max(16, pen.width - line.cell_len - 3))))
    lines = pen.wrap(line, 1, 9 + len(indent))
    for inner in branch.branches:
        lines += _branch(inner, depth + 1, pen)
    if branch.others:
        words = f"{indent}         and {counts('run', branch.others)} in rarer branches"
        lines += pen.wrap(pen.text(words, "dim"), 1, 9)
    return lines
