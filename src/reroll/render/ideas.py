"""Ideas as a page: where each stands, what was tried for a case and what helped, and whom to thank."""

from __future__ import annotations

from rich.console import Console

from reroll.ideas import Board, Pinned
from reroll.numbers import counts
from reroll.render.ink import COLOURS, Pen
from reroll.render.ledger import VERDICTS, entry_lines
from reroll.render.pieces import Lines, badge, titled

__all__ = ["show_ideas"]

STATES = {
    "words": ("undecided", "in words: `reroll ideas write {n}` makes a fix of it"),
    "unconfirmed": ("undecided", "written as {fix}: {by} confirms it with `reroll ideas confirm {n}`"),
    "ready": ("undecided", "confirmed: `reroll try idea:{n} --case {case}` tries it, without its name"),
}


def show_ideas(board: Board, console: Console) -> None:
    """Print the ideas, what came of them, and thanks."""
    pen = Pen(console)
    what = f" for {board.case}" if board.case else ""
    kind = "pass" if any(entry.verdict == "accept" for entry in board.tried) else "undecided"
    head = f"{counts('idea', len(board.ideas))}{what}" if board.ideas else f"No idea{what} yet"
    lines = badge(kind, head, pen)
    lines += [line for one in board.ideas for line in _idea(one, pen)]
    tried = [line for entry in board.tried for line in entry_lines(entry, pen)]
    lines += titled("What was tried, and what helped", tried, pen)
    thanks: Lines = []
    for one in board.thanks:
        helped = f"; helped: {', '.join(one.helped)}" if one.helped else ""
        ideas = f"{counts('idea', one.ideas)}, " if one.ideas else ""
        so_far = f"{one.tried} tried" if one.tried else "none tried yet"
        thanks += pen.wrap(pen.join((one.by, "bold"), f"  {ideas}{so_far}{helped}"), 3, 5)
    pen.put([*lines, *titled("Thanks to", thanks, pen)])


def _idea(one: Pinned, pen: Pen) -> Lines:
    lines = pen.wrap(
        pen.join((f"{one.number}. ", "bold"), f"“{one.idea}”", (f"  {one.by}, for {one.case}", "dim")), 3, 6
    )
    if one.state == "tried":
        kind, word = VERDICTS[one.verdict or "undecided"]
        words = f"tried as {one.fix}: {word}"
    else:
        kind, form = STATES[one.state]
        words = form.format(n=one.number, fix=one.fix, by=one.by, case=one.case)
    lines += pen.wrap(pen.join((f"{pen.glyph(kind)} ", COLOURS[kind]), words), 6, 8)
    if one.state == "unconfirmed":
        for line in one.diff.splitlines():
            lines += pen.wrap(pen.text(line, "dim"), 8, 10)
    return lines
