"""The ledger as a page: what is in the program and what it earns, what was tried, and what all of it costs."""

from __future__ import annotations

import time

from rich.console import Console
from rich.text import Text

from reroll.cause import drop_words
from reroll.evidence import Est
from reroll.ledger import Entry, Ledger, effect_words
from reroll.numbers import counts, money, percent
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, badge, caveat_lines, titled

__all__ = ["VERDICTS", "entry_lines", "show_ledger"]

VERDICTS = {"accept": ("pass", "accepted"), "reject": ("fail", "rejected"), "undecided": ("undecided", "undecided")}
WHY = {
    "cures": "it helps the reported request too little, if at all",
    "helps": "it helps requests like it too little, if at all",
    "generalises": "it helps others too little: a special case",
    "spares_lookalikes": "it breaks look-alikes",
    "spares_control": "it breaks ordinary requests",
}
STANDS = {"earns": ("pass", "earns its place"), "debt": ("fail", "debt"), "unknown": ("undecided", "worth not known")}


def show_ledger(found: Ledger, console: Console) -> None:
    """Print what the fixes of a project are worth and cost."""
    pen = Pen(console)
    debt = len(found.together.debt)
    kind = "fail" if debt else "pass" if found.fixes else "undecided"
    head = f"{counts('fix', debt)} kept for nothing" if debt else f"{counts('fix', len(found.fixes))} in the ledger"
    lines = badge(kind, head if found.fixes else "Nothing was tried yet", pen)
    lines += pen.wrap(pen.join((found.project, "bold")), 3)
    lines += [Text(), *pen.wrap(pen.text(found.text), Text.assemble("   ", (pen.glyph("heavy"), COLOURS[kind]), "  "))]
    inside = [line for entry in found.fixes if entry.applied for line in entry_lines(entry, pen)]
    outside = [line for entry in found.fixes if not entry.applied for line in entry_lines(entry, pen)]
    lines += titled("In the program", inside, pen)
    lines += titled("Tried, and not in the program", outside, pen)
    pen.put([*lines, *caveat_lines(found.caveats, pen)])


def entry_lines(entry: Entry, pen: Pen) -> Lines:
    """One fix: what it is, what came of trying it, what it costs, and whether it still earns that."""
    kind, word = VERDICTS.get(entry.verdict or "", ("undecided", "not tried"))
    where = f" {entry.target}" if entry.target else ""
    by = f", by {entry.author}" if entry.author else ""
    for_case = f" for {entry.case}" if entry.case else ""
    lines = pen.wrap(
        pen.join(
            (f"{pen.glyph(kind)} {word}  ", f"bold {COLOURS[kind]}"),
            (entry.fix, "bold"),
            (f"  {entry.kind}{where}{by}{for_case}, {_day(entry.when)}", "dim"),
        ),
        3,
        5,
    )
    told = []
    if entry.before is not None and entry.before.n:
        told.append(f"like cases fail {effect_words(entry.before, entry.after)}")
    if entry.case_before is not None and entry.case_before.n:
        told.append(f"the case {effect_words(entry.case_before, entry.case_after)}")
    if entry.control_harm is not None and entry.control_harm.n and entry.control_harm.high is not None:
        told.append(f"harm elsewhere at most {_points(entry.control_harm.high)}")
    lines += pen.wrap(pen.text("; ".join(told)), 5, 5) if told else []
    if entry.reasons:
        why = "; ".join(WHY.get(reason, reason) for reason in entry.reasons)
        lines += pen.wrap(pen.text(f"why: {why}", "dim"), 5, 5)
    if costs := _costs(entry):
        lines += pen.wrap(pen.text(f"adds {costs}", "dim"), 5, 5)
    if entry.stands is not None:
        kind, word = STANDS[entry.stands]
        worth = f": without it, {_worth(entry.worth)}" if entry.worth is not None else ""
        lines += pen.wrap(pen.join((f"{pen.glyph(kind)} {word}", COLOURS[kind]), worth), 5, 5)
    return lines


def _costs(entry: Entry) -> str:
    pieces = []
    if entry.tokens:
        pieces.append(counts("prompt token", round(entry.tokens)))
    if entry.extra_calls:
        pieces.append(f"{entry.extra_calls:.2g} calls a request")
    if entry.usd:
        pieces.append(f"{money(entry.usd)} a request" if entry.usd > 0 else "less money")
    if entry.branches:
        pieces.append(counts("branch", entry.branches))
    if entry.literals:
        pieces.append(counts("literal", entry.literals))
    return ", ".join(pieces)


def _worth(worth: Est) -> str:
    many, between = drop_words(worth).split(" (")
    return f"{many} more failures ({between}"


def _points(rate: float) -> str:
    return f"{percent(min(1.0, max(0.0, rate)), 'up').removesuffix(' %')} points"


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(when))
