"""The cause of a case's failures as a page: what carries them, how that was shown, and what was looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from reroll.answer import CauseSection, NamedFactor
from reroll.cause import STANDS_OUT, SUCH_SEARCHES, drop_words, whole_points
from reroll.caused import Caused
from reroll.evidence import Est
from reroll.numbers import counts, percent
from reroll.render.bars import Row, axis
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, rate_row, titled
from reroll.render.said import short

__all__ = ["cause_lines", "show_caused"]

HEAD = {
    "systematic": ("fail", "There is a cause"),
    "bad_luck": ("pass", "No part of the request is to blame"),
    "not_reproduced": ("pass", "It did not come back"),
    "checker": ("invalid", "The check is at fault"),
    "expectation": ("invalid", "Nothing asks for what is checked"),
    "undecided": ("undecided", "The cause is not known yet"),
}
PHASES = {
    "base": "as reported",
    "map": "to see what must stay",
    "screen": "to screen",
    "verify": "side by side",
    "together": "one by one",
}
LONGEST = 28  # characters of an id on the axis
MOST = 24  # ids in a list


def show_caused(found: Caused, console: Console) -> None:
    """Print the verdict, the words that carry the failure, the drop that shows it, and what else was looked at."""
    pen = Pen(console)
    section = found.section
    lines = badge(*HEAD[section.verdict], pen)
    where = f" ({found.program.get('name') or 'program'} on {found.model})"
    lines += pen.wrap(pen.join((found.case, "bold"), (where, "dim")), 3)
    lines += cause_lines(section, pen, alone=True)
    spent = [f"{section.calls[phase]} {words}" for phase, words in PHASES.items() if section.calls.get(phase)]
    if spent:
        if (more := found.cost.calls - sum(section.calls.values())) > 0:
            spent.append(f"{more} for all else")
        lines += titled("What the calls were for", pen.flow(spent), pen)
    lines += pen.wrap(pen.text(f"Stopped: {found.stopped}.", "dim"), 3, 5) if found.stopped else []
    lines += caveat_lines(found.caveats, pen) + cost_lines(found.cost, pen)
    chance, each = percent(min(1.0, found.alpha_total), "up"), percent(section.rate.alpha, "up")
    total = f"The chance that the verdict is wrong is at most {chance}; each range by itself, {each}."
    pen.put([*lines, *pen.wrap(pen.text(total, "dim"))])


def cause_lines(section: CauseSection, pen: Pen, *, alone: bool = False) -> Lines:
    """The sentences, the named parts in their words, the drops, what was looked at; `alone`: on a page of its own."""
    colour = COLOURS[HEAD[section.verdict][0]]
    lines: Lines = [Text(), *pen.wrap(pen.text(section.text), Text.assemble("   ", (pen.glyph("heavy"), colour), "  "))]
    if section.factors and section.verdict == "systematic":
        body = [line for one in section.factors for line in _named(one, pen)]
        lines += titled("What carries the failure", body, pen)
    rows = [rate_row("It fails", section.rate), *_drops(section)]
    if alone or len(rows) > 1:
        lines += titled("How often it fails, and how much less without it", axis(rows, pen), pen)
    lines += titled("What was looked at", _looked_at(section, pen), pen)
    return lines


def _named(one: NamedFactor, pen: Pen) -> Lines:
    return pen.wrap(pen.join((one.id, "bold"), "  ", (f"“{one.words}”", f"bold {COLOURS['fail']}")), 3, 5)


def _drops(section: CauseSection) -> list[Row]:
    rows = [(short(one.id, LONGEST), one.effect) for one in section.factors if one.effect.value is not None]
    if section.together is not None and len(section.factors) > 1:
        rows.append(("all of them", section.together))
    return [
        Row(f"less without {label}", drop_words(est), f"{counts('pair', est.n)}", "pass", *_range(est))
        for label, est in rows
    ]


def _range(est: Est) -> tuple[float, float, float]:
    """low, point and high, as far as the axis goes."""
    low, high = est.low or 0.0, 1.0 if est.high is None else est.high
    value = est.value or 0.0
    return max(0.0, low), min(1.0, max(0.0, value)), min(1.0, max(0.0, high))


def _looked_at(section: CauseSection, pen: Pen) -> Lines:
    lines: Lines = []
    likely = [(id, share) for id, share in section.suspects if share is None or share >= STANDS_OUT]
    for words, ids in (
        ("not found to blame", section.cleared),
        ("must stay, or nothing works (so not screened)", section.load_bearing),
        ("likeliest by now", [id if share is None else f"{id} ({percent(share)})" for id, share in likely]),
    ):
        if ids:
            lines += pen.wrap(pen.join((f"{words}: ", "dim"), _listed(ids)), 3, 5)
    reasons: dict[str, dict[str, None]] = {}
    for one in section.left_out:
        reasons.setdefault(one.why, {})[one.id] = None
    if reasons:
        each = "; ".join(f"{_listed(list(ids))} ({why})" for why, ids in reasons.items())
        lines += pen.wrap(pen.join(("could not be changed: ", "dim"), each), 3, 5)
    if section.smallest_visible is not None:
        least = whole_points(section.smallest_visible, math.ceil)
        seen = f"a single part that adds {least} points would have been seen in {SUCH_SEARCHES}"
        lines += pen.wrap(pen.text(seen, "dim"), 3, 5)
    return lines


def _listed(ids: Sequence[str]) -> str:
    more = len(ids) - MOST
    return ", ".join(short(id, 40) for id in ids[:MOST]) + (f" and {counts('other', more)}" if more > 0 else "")
