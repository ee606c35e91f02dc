"""One failing sample, token by token: the verdict, the strip, the success curve and the table of the fork."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.astray import shown
from reroll.evidence import Est
from reroll.forked import Forked
from reroll.numbers import counts, interval_words, percent
from reroll.render.bars import Row, axis
from reroll.render.ink import Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, titled
from reroll.render.said import openness, short

__all__ = ["show_forked"]

HEAD = {
    "dud": ("fail", "One {unit} led it astray"),
    "slide": ("undecided", "No single {unit} is to blame: it was lost little by little"),
    "doomed": ("fail", "Lost before the first {unit}"),
    "unsure": ("undecided", "Not shown whether a single {unit} is to blame"),
}
MOST_OF_TURN = 150  # characters of a turn in a conversation
MOST_POINTS = 16  # rows of the success curve


def show_forked(found: Forked, console: Console) -> None:
    """Print the verdict first, then the evidence."""
    pen = Pen(console)
    dud = found.dud
    kind, words = HEAD[dud.verdict]
    lines = badge(kind, words.format(unit="place" if dud.tier == "B" and dud.unit == "token" else dud.unit), pen)
    lines += pen.wrap(pen.text(f"{found.sample} of {found.case} on {found.model}, tier {found.tier}", "dim"), 3, 3)
    lines += [Text(), *pen.wrap(pen.text(found.text), Text.assemble("   ", (pen.glyph("side"), "dim"), "  "))]
    strip = "What was said" if dud.unit == "turn" else "What it said, by how much else could have stood there"
    lines += titled(strip, _strip(found, pen), pen)
    lines += titled("How often such a beginning works out", _curve(found, pen), pen)
    lines += titled("What else it could have said there", _table(found, pen), pen)
    lines += caveat_lines(found.caveats, pen)
    search = f"{counts('run', dud.rollouts)} of the search"
    if dud.reused:
        search += f" and {dud.reused:,} stored ones"
    search += f", {counts('pair', dud.pairs)} to be sure, {counts('generated token', dud.tokens_spent)}"
    lines += titled("How it was found", pen.wrap(pen.text(f"{search}; {found.method}.", "dim")), pen)
    lines += cost_lines(found.cost, pen)
    pen.put(lines)


def _strip(found: Forked, pen: Pen) -> Lines:
    """The completion; tokens that were open are marked the more, the dud most."""
    out = Text()
    dud = found.dud
    for k, (text, p) in enumerate(zip(found.strip, found.chances, strict=True), 1):
        seen = text.replace("\n", "⏎\n")
        inside = dud.verdict == "dud" and dud.first is not None and dud.last is not None and dud.first <= k <= dud.last
        style = "reverse bold red" if inside else openness(p)
        out.append_text(pen.text(seen, style))
    if dud.unit == "turn":
        return _turns(found, pen)
    lines = pen.wrap(out)
    legend = pen.join(("plain", ""), ": a matter of course  ", ("underlined", "underline"), ": something else in ")
    legend.append_text(pen.join("1 of 10 and more  ", ("yellow", "yellow underline"), ": in half and more"))
    if dud.verdict == "dud":
        legend.append_text(pen.join("  ", ("marked", "reverse bold red"), ": here it went wrong"))
    return [*lines, *pen.wrap(legend.copy(), 3, 7)]


def _turns(found: Forked, pen: Pen) -> Lines:
    """The assistant's turns, a line or two of each; the one that cost the success is marked."""
    lines: Lines = []
    for k, text in enumerate(found.strip, 1):
        said = short(" ".join(text.split()), MOST_OF_TURN) or "(empty)"
        style = "reverse bold red" if found.dud.verdict == "dud" and found.dud.position == k else ""
        lines += pen.wrap(pen.text(said, style), pen.join((f"{k:>5}  ", "dim")), 7)
    return lines


def _curve(found: Forked, pen: Pen) -> Lines:
    """Success after each beginning with its band; the rows where it falls most, in order."""
    points = list(found.dud.curve)
    if not points:
        return []
    falls = sorted(range(1, len(points)), key=lambda i: points[i].success - points[i - 1].success)
    chosen = {0, len(points) - 1}
    for i in falls:
        if len(chosen) >= MOST_POINTS or points[i - 1].success - points[i].success < 0.02:
            break
        chosen |= {i, i - 1}
    rows = []
    for i in sorted(chosen):
        point = points[i]
        after = "at the start" if point.prefix == 0 else f"after {found.strip[point.prefix - 1].strip() or '␣'!r}"
        label = f"{point.prefix:>3} {after}"[:26]
        value = f"{percent(point.success)} ({interval_words(point.low, point.high)})"
        rows.append(Row(label, value, "", "pass", point.low, point.success, point.high))
    return axis(rows, pen)


def _table(found: Forked, pen: Pen) -> Lines:
    """The alternatives at the dud: how likely, how often each then works out."""
    dud = found.dud
    if dud.verdict != "dud" or dud.token is None:
        return []
    rows = []
    if dud.prob is not None and dud.success_after is not None:
        rows.append(_row(f"{_name(dud.token)}  taken in {percent(dud.prob)}", dud.success_after, "fail"))
    for row in dud.alternatives:
        rows.append(_row(f"{_name(row.token)}  in {percent(row.prob)}", row.success, "pass"))
    lines = axis(rows, pen) if rows else []
    for words, est in (("Forbidding that token there", dud.banning), ("The best alternative", dud.regret)):
        if est is not None and est.value is not None and est.low is not None and est.high is not None:
            points = f"{100 * est.value:+.0f} points of success ({100 * est.low:+.0f} to {100 * est.high:+.0f})"
            lines += pen.wrap(pen.join((f"{words}: ", "dim"), points), 3, 7)
    return lines


def _name(key: str) -> str:
    name = shown(key).replace("\n", "⏎")
    return repr(name) if name.strip() != name or not name else name


def _row(label: str, est: Est, kind: str) -> Row:
    low, high = est.low or 0.0, 1.0 if est.high is None else est.high
    value = "not known" if est.value is None else percent(est.value)
    return Row(label[:30], f"{value} ({interval_words(low, high)})", "", kind, low, est.value, high)
