"""Neighbours and look-alikes of a case as a page: each with its words, what was changed, and what its runs said."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.neighbourhood import Neighbourhood, Tried
from reroll.numbers import counts, percent
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, titled
from reroll.render.said import short

__all__ = ["show_neighbours"]

SAYS = 240  # characters of an input
SYMBOLS = {"kept": "pass", "aside": "fail", "open": "undecided"}
TITLES = {
    "kept": "Kept: the right answer was seen",
    "aside": "Set aside",
    "open": "Not known yet",
}


def show_neighbours(found: Neighbourhood, console: Console) -> None:
    """Print how many can be used, then each with its reason, and the control cases that look most alike."""
    pen = Pen(console)
    kept = len(found.standing("kept"))
    kind = "undecided" if found.dry or not kept else "pass"
    words = (
        "What can be made by rule" if found.dry else f"{kept} of {counts('candidate', len(found.tried))} can be used"
    )
    lines = badge(kind, words, pen)
    lines += pen.wrap(pen.text(f"neighbours of {found.case} on {found.model}", "dim"), 3, 3)
    bar = Text.assemble("   ", (pen.glyph("heavy"), COLOURS[kind]), "  ")
    lines += [Text(), *pen.wrap(pen.text(found.text), bar)]
    for standing in ("kept", "aside", "open"):
        some = found.standing(standing)
        title = "To be tried" if found.dry else TITLES[standing]
        lines += titled(title, [line for one in some for line in _one(one, pen)], pen)
    if found.dropped:
        some_lines = [
            line
            for reply in found.dropped
            for line in pen.wrap(pen.join((f"{reply.sample}  ", "dim"), f"{reply.why}: {short(reply.said, 80)}"), 3, 5)
        ]
        lines += titled("Replies of the model that could not be used", some_lines, pen)
    if found.near:
        near = ", ".join(f"{id} ({percent(share)} of its words)" for id, share in found.near)
        note = f"{near}: where the answer is another one, `set: lookalike` makes a look-alike of a control case"
        lines += titled("Control cases that look most alike", pen.wrap(pen.text(note, "dim"), 3, 3), pen)
    if found.stopped:
        lines += [Text(), *pen.wrap(pen.text(f"Stopped: {found.stopped}.", "dim"))]
    lines += caveat_lines(found.caveats, pen)
    pen.put([*lines, *([] if found.dry else cost_lines(found.cost, pen))])


def _one(one: Tried, pen: Pen) -> Lines:
    kind = SYMBOLS[one.standing]
    runs = f"  {one.passes} of {counts('run', one.runs)} passed" if one.runs else ""
    lines = pen.wrap(pen.join((pen.glyph(kind), COLOURS[kind]), " ", (one.neighbour.id, "bold"), (runs, "dim")), 3, 5)
    for name, value in one.neighbour.input.items():
        said = value if isinstance(value, str) else str(value)
        said = short(" ".join(said.split()), SAYS)
        lines += pen.wrap(pen.text(said if len(one.neighbour.input) == 1 else f"{name}: {said}"), 5, 5)
    lines += pen.wrap(pen.text(one.neighbour.why, "dim"), 5, 5)
    if one.why and one.standing != "open":
        lines += pen.wrap(pen.text(one.why, COLOURS[kind]), 5, 5)
    return lines
