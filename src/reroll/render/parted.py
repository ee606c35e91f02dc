"""The runs of one case as a tree: what they share, where they part, and how each branch fares."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.looking import Parted
from reroll.numbers import counts
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines
from reroll.tree import Branch

__all__ = ["show_parted"]

DEEPEST = 12  # branches within branches that are set in
LEAST_TEXT = 24  # cells of words beside the numbers
ENDS = {"cut": "cut off at the limit of tokens", "stop": "ends", "unknown": "ends", "end": "ends"}


def show_parted(parted: Parted, console: Console) -> None:
    """Print the tree, the commonest branches first, a line each."""
    pen = Pen(console)
    head = pen.join((f"{counts('run', parted.samples)} of {parted.case_id}", "bold"), (f"  by {parted.by}", "dim"))
    lines: Lines = pen.wrap(head, 1, 3)
    lines += _branch(parted.tree, "", None, pen)
    if parted.by == "words":
        note = "by words, as the runs came without tokens; `logprobs: true` in params brings them"
        lines += [Text(), *pen.wrap(pen.text(note, "dim"), 3, 3)]
    pen.put(lines)


def _branch(branch: Branch, before: str, last: bool | None, pen: Pen) -> Lines:
    """A branch and what grows from it. `before`: the lines of the branches around; `last`: whether it is the last of
    its fork (None: the root)."""
    own, inner = "", before
    if last is not None:
        own = pen.glyph("last" if last else "fork")
        inner = before + ("   " if last else f"{pen.glyph('side')}  ")
        if len(inner) > 3 * _deepest(pen):
            inner = before
    head = pen.join((before + own, "dim"), (f"{branch.samples:,}", "bold"))
    for word, n in (("pass", branch.passes), ("fail", branch.fails), ("invalid", branch.invalid)):
        if n:
            head.append(f" {pen.glyph(word)} {n:,}", COLOURS[word])
    text = pen.text(branch.text.replace("\n", "⏎") or f"({ENDS.get(branch.ended or '', 'parts at once')})")
    below = inner + (f"{pen.glyph('side')}  " if branch.branches or branch.others else "   ")
    room = pen.width - 1 - 3
    if head.cell_len + 2 + min(LEAST_TEXT, text.cell_len) <= room:
        lines = [pen.join("   ", head, "  ", pen.cut(text, room - head.cell_len - 2))]
    else:  # the words below the numbers: beside them they would be a few letters
        lines = [pen.join("   ", head), pen.join("   ", (below, "dim"), pen.cut(text, max(4, room - len(below))))]
    for k, more in enumerate(branch.branches):
        lines += _branch(more, inner, k == len(branch.branches) - 1 and not branch.others, pen)
    if branch.others:
        words = f"{inner}{pen.glyph('last')}and {counts('run', branch.others)} in rarer branches"
        lines.append(pen.join("   ", pen.cut(pen.text(words, "dim"), room)))
    return lines


def _deepest(pen: Pen) -> int:
    """How many branches within branches are set in: as many as leave room for words."""
    return max(1, min(DEEPEST, (pen.width - 30) // 3))
