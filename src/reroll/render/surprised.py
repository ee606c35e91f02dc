"""One reported completion by surprise: how often such a one comes, and where it left the usual paths."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.numbers import counts, interval_words, percent
from reroll.render.bars import Row, axis
from reroll.render.ink import Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, titled
from reroll.render.said import openness, short, tiny
from reroll.render.strips import Piece, halvings, token_strip
from reroll.surprise import ScoredToken
from reroll.surprised import Surprised

__all__ = ["show_surprised"]

HEAD = {
    "usual": ("pass", "An ordinary answer for this request"),
    "rare": ("undecided", "A rare answer for this request"),
    "other_request": ("fail", "Something else ran"),
    "undecided": ("undecided", "How rare it is, is not known yet"),
}
MOST = 10  # open places on the page
LONGEST = 16  # characters of a token


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
    """What was said; under each token a step for each halving of its probability."""
    pieces = [
        Piece(token.text, halvings(token.prob), "reverse bold" if token.left else openness(token.prob))
        for token in found.scored.tokens
    ]
    steps = pen.glyph("steps")
    legend = (
        f"{steps[0]} taken in half of runs there, {steps[2]} in 1 of 8, {steps[4]} in 1 of 32, {steps[7]} in 1 of 256"
    )
    if not any(piece.step for piece in pieces):
        legend = "every token was a matter of course"
    return [*token_strip(pieces, pen), *pen.wrap(pen.text(legend, "dim"), 3, 5)]


def _open(found: Surprised, pen: Pen) -> Lines:
    """The open places: the token, how often it is taken there, and what usually is."""
    rows = [(k, t) for k, t in enumerate(found.scored.tokens, 1) if t.prob < 0.9]
    rows.sort(key=lambda row: row[1].prob)
    shown = [(k, t, _token(t.text)) for k, t in sorted(rows[:MOST], key=lambda row: row[0])]
    column = max((len(words) for _, _, words in shown), default=0)
    chances = max((len(_chance(t)) for _, t, _ in shown), default=0)
    lines: Lines = []
    for k, token, words in shown:
        line = pen.join((f"{k:>4}  ", "dim"), (f"{words:<{column}}", "bold"), f"  {_chance(token):>{chances}}")
        usual = ""
        if token.usual and token.usual != token.text:
            usual = f"usually {_token(token.usual)} ({percent(token.usual_prob)})"
        if line.cell_len + 3 + len(usual) < pen.width:
            lines += pen.wrap(pen.join(line, (f"   {usual}" if usual else "", "dim")), 0, 6)
        else:
            lines += [*pen.wrap(line, 0, 6), *pen.wrap(pen.text(usual, "dim"), 6, 8)]
    if len(rows) > MOST:
        lines += pen.wrap(pen.text(f"and {counts('more open place', len(rows) - MOST)} (--json has all)", "dim"))
    return lines


def _chance(token: ScoredToken) -> str:
    """How often it is taken there; of a token that the server does not list only an upper limit is known."""
    if token.low > 0:
        return tiny(token.prob)
    return f"at most {percent(token.high, 'up') if token.high >= 1e-5 else '0.001 %'}"


def _token(text: str) -> str:
    """A token in a few letters, with quotes where its ends could not be seen."""
    plain = text.strip() == text and text
    return short(text.replace("\n", "⏎") if plain else repr(text), LONGEST)
