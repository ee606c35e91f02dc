"""One failing sample, token by token: the verdict, the strip, the success curve and the table of the fork."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.astray import shown
from reroll.evidence import Est
from reroll.forked import Forked
from reroll.numbers import counts, interval_words, percent
from reroll.render.bars import Row, axis
from reroll.render.curve import success_curve
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, titled
from reroll.render.said import openness, short
from reroll.render.strips import Piece, share_steps, token_strip

__all__ = ["show_forked"]

HEAD = {
    "dud": ("fail", "One {unit} led it astray"),
    "slide": ("undecided", "No single {unit} is to blame: it was lost little by little"),
    "doomed": ("fail", "Lost before the first {unit}"),
    "unsure": ("undecided", "Not shown whether a single {unit} is to blame"),
}
MOST_OF_TURN = 150  # characters of a turn in a conversation
MOST_POINTS = 8  # numbers below the success curve


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
    """The completion; under each token how open it was there, the dud marked."""
    dud = found.dud
    if dud.unit == "turn":
        return _turns(found, pen)
    pieces = []
    for k, (text, p) in enumerate(zip(found.strip, found.chances, strict=True), 1):
        inside = dud.verdict == "dud" and dud.first is not None and dud.last is not None and dud.first <= k <= dud.last
        style = f"reverse bold {COLOURS['fail']}" if inside else openness(p)
        pieces.append(Piece(text, share_steps(p), style, inside))
    steps = pen.glyph("steps")
    lines = token_strip(pieces, pen, "here it went wrong")
    if any(piece.step for piece in pieces):
        words = f"{steps[0]} something else comes there in 1 of 10 runs, {steps[3]} in half, {steps[7]} always"
        lines += pen.wrap(pen.text(words, "dim"), 3, 5)
    return lines


def _turns(found: Forked, pen: Pen) -> Lines:
    """The assistant's turns, a line or two of each; the one that cost the success is marked."""
    lines: Lines = []
    for k, text in enumerate(found.strip, 1):
        said = short(" ".join(text.split()), MOST_OF_TURN) or "(empty)"
        style = f"reverse bold {COLOURS['fail']}" if found.dud.verdict == "dud" and found.dud.position == k else ""
        lines += pen.wrap(pen.text(said, style), pen.join((f"{k:>5}  ", "dim")), 7)
    return lines


def _curve(found: Forked, pen: Pen) -> Lines:
    """Success after each beginning with its band; the numbers where it falls most, in order."""
    dud = found.dud
    points = list(dud.curve)
    if not points:
        return []
    named = _name(dud.token) if dud.token is not None else ""
    lines = success_curve(points, pen, dud.position if dud.verdict == "dud" else None, named)
    falls = sorted(range(1, len(points)), key=lambda i: points[i].success - points[i - 1].success)
    chosen = {0, len(points) - 1}
    for i in falls:
        if len(chosen) >= MOST_POINTS or points[i - 1].success - points[i].success < 0.02:
            break
        chosen |= {i, i - 1}
    rows, digits = [], len(str(points[-1].prefix))
    for i in sorted(chosen):
        point = points[i]
        after = f"after {found.strip[point.prefix - 1].strip() or '␣'!r}" if point.prefix else "at the start"
        value = f"{percent(point.success)} ({interval_words(point.low, point.high)})"
        rows.append((short(f"{point.prefix:>{digits}} {after}", 26), value))
    room = pen.width - 1 - 3 - 2 - max(len(value) for _, value in rows)
    label = min(max(room, 12), max(len(words) for words, _ in rows))
    for words, value in rows:
        line = pen.cut(pen.text(words), label)
        line.append(" " * (label + 2 - line.cell_len))
        lines += pen.wrap(pen.join(line, (value, "bold")), 3, 3)
    return lines


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
