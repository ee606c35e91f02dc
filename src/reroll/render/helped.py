"""What helps, in a page: the best fix that was tried with its diff, and in a line what became of the rest."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from reroll.numbers import counts
from reroll.render.bars import axis
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, legend, rate_row
from reroll.render.tried import HEAD, KIND, changed_lines
from reroll.scored import Card, foretold_words, margin_words

__all__ = ["helped_lines"]


def helped_lines(cards: Sequence[Card], case: str, pen: Pen) -> Lines:
    """The first card, which is the best one, its verdict and what is missing; the others by name."""
    best, *others = cards
    colour = COLOURS[KIND[best.verdict]]
    head = (f"{pen.glyph(KIND[best.verdict])} {best.fix}: {HEAD[best.verdict].lower()}", colour)
    lines = pen.wrap(pen.join(head, (f"  ({best.kind})", "dim")), 3)
    lines += changed_lines(best, pen)
    if best.because:
        lines += pen.wrap(pen.text(best.because, "dim"), 5)
    shown = best.neighbours
    if shown.after.n:
        rows = [rate_row("similar requests", shown.before), rate_row("  with it", shown.after)]
        lines += [Text(), *axis(rows, pen), *legend(pen)]
    if best.forecast is not None:
        lines += pen.wrap(pen.text(foretold_words(best.forecast), "dim"), 3)
    lines += pen.wrap(pen.text(_next(cards, case), "dim"), 3)
    if others:
        rest = ", ".join(f"{card.fix} ({HEAD[card.verdict].lower()})" for card in others)
        lines += pen.wrap(pen.text(f"Also tried: {rest}.", "dim"), 3)
    return lines


def _next(cards: Sequence[Card], case: str) -> str:
    """What is missing, or what to do now; with the same number the same ones are tried again."""
    best, these = cards[0], f"--suggest {len(cards)}{margin_words(cards[0].margin)}"
    if best.verdict == "accept":
        where = f"It is kept in {best.written}. " if best.written else ""
        return f"{where}`reroll apply {best.fix}` writes it into program.yaml."
    more = f"`reroll try --case {case} {these}` goes on."
    if best.verdict == "reject":
        every = all(card.verdict == "reject" for card in cards)
        return "None of them is worth having." if every else f"This one is not worth having. {more}"
    if best.needed is None:
        return f"No number of calls in sight would decide. {more}"
    return f"About {counts('more call', best.needed)} would decide. {more}"
