"""What is certified about several cases or several checks, as a page; and the rule itself, when asked to explain it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Console

from reroll.answer import CaseRate, Certified, CheckClaim
from reroll.explain import Explained, boundary_csv
from reroll.numbers import counts, percent
from reroll.render.bars import axis
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import (
    CERTIFY_KIND,
    Lines,
    badge,
    caveat_lines,
    certify_lines,
    certify_row,
    certify_words,
    cost_lines,
    legend,
    rate_row,
    runs_lines,
    target_row,
    titled,
)
from reroll.words import error_sentence

__all__ = ["explained_text", "show_certified"]

MOST_CASES = 12  # rows on the page; the JSON has all
COLUMNS = 98


def show_certified(answer: Certified, console: Console) -> None:
    """Print what may be said of the cases together, of each check if asked, and how each case fared."""
    pen = Pen(console)
    certify = answer.certify
    lines = badge(*_headline(answer), pen)
    what = {"case": "", "suite": "together", "population": "one run each"}[certify.about]
    cases = answer.cases[0].id if certify.about == "case" else f"{counts('case', len(answer.cases))}, {what}"
    program = str(answer.program.get("name") or "program")
    lines += pen.wrap(pen.join((cases, "bold"), (f" ({program} on {answer.model})", "dim")), 3)
    joint = rate_row("Any check fails", certify.rate) if answer.checks else certify_row(certify)
    rows = [joint]
    rows += [certify_row(c.certify, f"`{c.check}` fails") for c in answer.checks]
    rows.append(target_row(certify))
    lines += titled("How often it fails", [*axis(rows, pen), *legend(pen)], pen)
    if answer.checks:
        lines += titled("Each check alone", [line for c in answer.checks for line in _check(c, pen)], pen)
    else:
        lines += certify_lines(certify, pen)
    if certify.about == "suite" and len(answer.cases) > 1:
        lines += titled("Case by case, each line by itself", _cases(answer.cases, pen), pen)
    lines += runs_lines(answer.outcomes, answer.stopped, pen) + caveat_lines(answer.caveats, pen)
    lines += cost_lines(answer.cost, pen)
    pen.put([*lines, *pen.wrap(pen.text(error_sentence(certify.alpha, answer.alpha_total), "dim"))])


def _headline(answer: Certified) -> tuple[str, str]:
    kind, words = certify_words(answer.certify)
    if not answer.checks:
        return kind, words
    target = percent(answer.certify.target)
    each = {"met": f"Each check alone {target} reliable", "not_met": f"Not every check {target} reliable"}
    return kind, each.get(answer.certify.verdict, f"Each check {target} reliable? Not known yet")


def _check(claim: CheckClaim, pen: Pen) -> Lines:
    section = claim.certify
    kind = CERTIFY_KIND[section.verdict]
    words = {"met": "met", "not_met": "not met", "undecided": "undecided"}[section.verdict]
    pieces: list[str | tuple[str, str]] = [(f"{pen.glyph(kind)} {words}", f"bold {COLOURS[kind]}"), f"  {claim.check}"]
    if section.claim_today:
        pieces.append((f"  passes at least {percent(section.claim_today, 'down')} of the time", "dim"))
    if section.verdict == "undecided" and section.calls_needed:
        pieces.append((f"; about {counts('more run', section.calls_needed)} would decide", "dim"))
    return pen.wrap(pen.join(*pieces), 3, 5)


def _cases(cases: Sequence[CaseRate], pen: Pen) -> Lines:
    """The cases that failed most, worst first; the rest in a line."""
    ordered = sorted(cases, key=lambda c: -(c.rate.estimate or 0.0))
    shown = ordered[:MOST_CASES]
    lines = axis([rate_row(c.id if len(c.id) <= 28 else c.id[:27] + "…", c.rate) for c in shown], pen)
    if more := len(ordered) - len(shown):
        lines += pen.wrap(pen.text(f"and {counts('case', more)} that failed no more often", "dim"), 3)
    return lines


def explained_text(rule: Explained) -> str:
    """The rule in comment lines, then its boundary as CSV: readable, and a file that programs read."""
    head = [f"{percent(rule.target)} at alpha {percent(rule.alpha)}"]
    head += [f"e-value needed: {rule.threshold_met:.4g} for met, {rule.threshold_not_met:.4g} for not met"]
    notes = [*head, *rule.words, "In the table: met with at most so many failures after n runs, not met from so many."]
    lines = [line for note in notes for line in textwrap.wrap(note, COLUMNS)]
    return "\n".join(f"# {line}" for line in lines) + "\n" + boundary_csv(rule.boundary)
