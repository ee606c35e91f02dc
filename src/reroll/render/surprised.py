"""One reported completion by surprise: how often such a one comes, and where it left the usual paths."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.numbers import counts, interval_words, percent
from reroll.render.bars import Row, axis
from reroll.render.ink import Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, titled
from reroll.render.said import openness
from reroll.surprised import Surprised

__all__ = ["show_surprised"]

HEAD = {
    "usual": ("pass", "An ordinary answer for this request"),
    "rare": ("undecided", "A rare answer for this request"),
    "other_request": ("fail", "Something else ran"),
    "undecided": ("undecided", "How rare it is, is not known yet"),
}
MOST = 10  # open places on the page


def show_surprised(found: Surprised, console: Console) -> None:
    """Print the verdict, the share of answers at least as surprising, and the tokens by surprise."""
    pen = Pen(console)
    kind, words = HEAD[found.verdict]
    lines = badge(kind, words, pen)
    lines += pen.wrap(pen.text(f"{found.case} on {found.model}", "dim"), 3, 3)
    lines += [Text(), *pen.wrap(pen.text(found.text), Text.assemble("   ", (pen.glyph("side"), "dim"), "  "))]
    lines += titled("What it said, by surprise", _strip(found, pen), pen)
    est = found.at_least
    low, high = est.low or 0.0, 1.0 if est.high is None else est.high
    value = "" if est.value is None else f"{percent(est.value)} "
    note = f"{counts('fresh run', est.n)}"
    rows = [
        Row(
            "At least this surprising", f"{value}({interval_words(low, high)})", note, "undecided", low, est.value, high
        )
    ]
    lines += titled("How often such an answer comes", axis(rows, pen), pen)
    lines += titled("Where it was open", _open(found, pen), pen)
    lines += caveat_lines(found.caveats, pen)
    lines += cost_lines(found.cost, pen)
    pen.put(lines)


def _strip(found: Surprised, pen: Pen) -> Lines:
    out = Text()
    for token in found.scored.tokens:
        style = "reverse bold red" if token.left else openness(token.prob)
        out.append_text(pen.text(token.text.replace("\n", "⏎\n") or "", style))
    legend = pen.join(("underlined", "underline"), ": taken in 9 of 10 and fewer  ", ("yellow", "yellow underline"))
    legend.append_text(pen.join(": in half and fewer  ", ("marked", "reverse bold red"), ": in 1 of 20 and fewer"))
    return [*pen.wrap(out), *pen.wrap(legend, 3, 7)]


def _open(found: Surprised, pen: Pen) -> Lines:
    rows = [(k, t) for k, t in enumerate(found.scored.tokens, 1) if t.prob < 0.9]
    rows.sort(key=lambda row: row[1].prob)
    lines: Lines = []
    for k, token in sorted(rows[:MOST]):
        shown = repr(token.text) if token.text.strip() != token.text or not token.text else token.text
        line = pen.join((f"{k:>4}  ", "dim"), (f"{shown:<16.16}", "bold"), f" {percent(token.prob):>8}")
        if token.usual and token.usual != token.text:
            usual = token.usual.replace("\n", "⏎")
            line.append_text(pen.text(f"   usually {usual!r} ({percent(token.usual_prob)})", "dim"))
        lines += pen.wrap(line, 0, 6)
    if len(rows) > MOST:
        lines += pen.wrap(pen.text(f"and {counts('more open place', len(rows) - MOST)} (--json has all)", "dim"))
    return lines
