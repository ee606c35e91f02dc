"""Wordings of a request as a page: how far apart they fail beside re-runs, each one's rate, and its words."""

from __future__ import annotations

import re

from rich.console import Console
from rich.text import Text

from reroll.numbers import counts, percent
from reroll.render.bars import Row, axis
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, legend, rate_row, titled
from reroll.render.said import short
from reroll.reworded import Reworded, WordingRate, est_words
from reroll.words import brief, points

__all__ = ["show_reworded"]

ROUNDS_SHOWN = 60
SAYS = 240  # characters of a wording
PLAIN = re.compile(r"[A-Za-z0-9._=-]{1,16}")  # names that stand beside rates as they are
NARROW = 44  # columns: below, wordings are numbered beside their rounds
MADE = {"asked": "as it is asked now", "named": "named", "written": "written by the model"}


def show_reworded(found: Reworded, console: Console) -> None:
    """Print the verdict, the two spreads, every wording's rate and words, and the rounds."""
    pen = Pen(console)
    kind, words = _headline(found)
    lines = badge(kind, words, pen)
    what = f"{counts('wording', len(found.wordings))} of {found.case} on {found.model}, {counts('round', found.rounds)}"
    lines += pen.wrap(pen.text(what, "dim"), 3, 3)
    bar = Text.assemble("   ", (pen.glyph("heavy"), COLOURS[kind]), "  ")
    lines += [Text(), *pen.wrap(pen.text(found.text), bar)]
    names = {one.id: _label(i, one) for i, one in enumerate(found.wordings, 1)}
    ordered = sorted(found.wordings, key=lambda one: (one.aside_after is not None, one.rate.estimate or 0.0))
    lines += titled(
        "How often each wording fails", [*axis([_row(names[one.id], one) for one in ordered], pen), *legend(pen)], pen
    )
    lines += titled("Wordings beside re-runs", _spreads(found, pen), pen)
    lines += titled(
        "The wordings, the best so far first", [line for one in ordered for line in _says(names[one.id], one, pen)], pen
    )
    lines += titled("Rounds, in the order drawn", _strips(found, list(names.values()), pen), pen)
    if found.stopped:
        lines += pen.wrap(pen.text(f"Stopped: {found.stopped}.", "dim"))
    lines += caveat_lines(found.caveats, pen) + cost_lines(found.cost, pen)
    each = percent(found.alpha, "up")
    total = (
        f"The verdict is wrong with a chance of at most {each}, that any range on this page is with {each} more, "
        "however often one looks."
    )
    pen.put([*lines, *pen.wrap(pen.text(total, "dim"))])


def _headline(found: Reworded) -> tuple[str, str]:
    return {
        "differ": ("fail", "It is the wording: some fail more often than others"),
        "no_different": ("pass", f"It is not the wording, to within {points(found.margin, signed=False)}"),
        "undecided": ("undecided", "Not shown that the wording matters"),
    }[found.verdict]


def _label(place: int, one: WordingRate) -> str:
    """What stands for a wording beside its rate: its name, if that is a short and plain one."""
    return one.id if PLAIN.fullmatch(one.id) else f"wording {place}"


def _row(label: str, one: WordingRate) -> Row:
    row = rate_row(label, one.rate)
    note = row.note
    if one.aside_after is not None:
        note += ", may mean something else"
    elif one.pending:
        note += ", none passed yet"
    return Row(
        row.label,
        row.number,
        note,
        "invalid" if one.aside_after is not None else row.kind,
        row.low,
        row.point,
        row.high,
    )


def _spreads(found: Reworded, pen: Pen) -> Lines:
    spread = found.spread
    if spread is None:
        return pen.wrap(pen.text("too little was run to tell"), 3, 3)
    rows = [
        ("between wordings", f"{est_words(spread.between)}, re-runs taken off"),
        ("as counted", f"{points(spread.observed, signed=False)} from wording to wording"),
        ("by re-runs alone", f"{points(spread.chance, signed=False)}, were all wordings alike"),
        ("one run", f"{est_words(spread.within)} around its wording's rate"),
    ]
    lines = [
        line for name, words in rows for line in pen.wrap(pen.text(words), pen.join("   ", (f"{name:<18}", "dim")), 21)
    ]
    note = "standard deviations of failure rates, in points"
    return [*lines, *pen.wrap(pen.text(note, "dim"), 3, 3)]


def _says(label: str, one: WordingRate, pen: Pen) -> Lines:
    text, named = " ".join(one.text.split()), " ".join(one.id.split())
    also = f": {brief(named)}" if named not in (text, label) else ""
    head = pen.join((label, "bold"), (f"  {MADE.get(one.kind, 'by rule')}{also}", "dim"))
    return [*pen.wrap(head, 3, 5), *pen.wrap(pen.text(short(text, SAYS)), 5, 5)]


def _strips(found: Reworded, names: list[str], pen: Pen) -> Lines:
    """A line of symbols per wording, so that rounds stand one above the other."""
    if pen.width < NARROW:
        names = [str(place) for place in range(1, len(names) + 1)]
    room = max(len(name) for name in names) + 2
    shown = min(len(found.outcomes), ROUNDS_SHOWN, max(4, (pen.width - room - 4) * 10 // 11))
    out: Lines = []
    for i, name in enumerate(names if shown else ()):
        line = pen.join("   ", f"{name:<{room}}")
        for k, outcomes in enumerate(found.outcomes[-shown:]):
            line.append(" " if k and k % 10 == 0 else "")
            line.append(pen.glyph(outcomes[i]), f"bold {COLOURS[outcomes[i]]}")
        line.rstrip()
        out.append(line)
    if len(found.outcomes) > shown:
        out += pen.wrap(pen.text(f"the last {shown} of {counts('round', len(found.outcomes))}", "dim"))
    return out
