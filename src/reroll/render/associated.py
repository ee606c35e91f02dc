"""Words that go with failure as a page: the finding, the answer with them marked, the rates with and without them."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.associated import ROWS, Associated, Phrase
from reroll.association import Association
from reroll.evidence import Est
from reroll.numbers import counts, interval_words, percent
from reroll.render.bars import Row, axis
from reroll.render.ink import Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, titled
from reroll.render.said import short

__all__ = ["show_associated"]

HEAD = {
    "associated": ("fail", "Some words go with failure"),
    "weak": ("undecided", "Some words go with failure, weakly"),
    "doomed": ("fail", "It fails nearly always, whatever it says"),
    "undecided": ("undecided", "No word is shown to go with failure"),
}
MARKED = "reverse bold yellow"
MOST_SHOWN = 18  # characters of a phrase beside its rates


def show_associated(found: Associated, console: Console) -> None:
    """Print the finding first, then the evidence."""
    pen = Pen(console)
    kind, words = HEAD[found.test.verdict]
    lines = badge(kind, words, pen)
    lines += pen.wrap(pen.text(f"{found.sample} of {found.case} on {found.model}, tier {found.tier}", "dim"), 3, 3)
    lines += [Text(), *pen.wrap(pen.text(found.text), Text.assemble("   ", (pen.glyph("side"), "dim"), "  "))]
    lines += titled("What it said", _answer(found, pen), pen)
    lines += titled("How often it works out with and without them", _rates(found, pen), pen)
    lines += caveat_lines(found.caveats, pen)
    if found.stopped:
        lines += pen.wrap(pen.text(f"Stopped: {found.stopped}.", "dim"), 3, 3)
    lines += cost_lines(found.cost, pen)
    pen.put(lines)


def _answer(found: Associated, pen: Pen) -> Lines:
    """The completion, with the words marked that are shown to go with failure."""
    inside = {k for one in found.phrases if one.shown for k in range(one.first, one.last + 1)}
    out = Text()
    for k, piece in enumerate(found.pieces, 1):
        bare = piece.rstrip()
        out.append_text(pen.text(bare.replace("\n", "⏎\n"), MARKED if k in inside else ""))
        out.append_text(pen.text(piece[len(bare) :].replace("\n", "⏎\n")))
    lines = pen.wrap(out)
    if inside:
        lines += pen.wrap(pen.join(("marked", MARKED), ": shown to go with failure"), 3, 7)
    return lines


def _rates(found: Associated, pen: Pen) -> Lines:
    """The strongest phrases, each with two rates; how sure it is stands beside them."""
    rows = []
    for one in found.phrases[:ROWS]:
        name = short(" ".join(one.text.split()), MOST_SHOWN)
        rows.append(_row(f"with {name}", one.word.having, _sureness(one, one.word), "fail"))
        rows.append(_row("  without", one.word.lacking, "", "pass"))
    lines = axis(rows, pen) if rows else []
    if len(found.phrases) > ROWS:
        rest = len(found.phrases) - ROWS
        lines += pen.wrap(pen.text(f"{counts('weaker one', rest)} not shown (--json has all)", "dim"), 3, 5)
    return lines


def _sureness(one: Phrase, word: Association) -> str:
    return f"p = {word.p_value:.2g}" if one.shown else f"not shown, p = {word.p_value:.2g}"


def _row(label: str, est: Est, note: str, kind: str) -> Row:
    low, high = est.low or 0.0, 1.0 if est.high is None else est.high
    value = "not known" if est.value is None else percent(est.value)
    return Row(label, f"{value} ({interval_words(low, high)}) of {est.n:,}", note, kind, low, est.value, high)
