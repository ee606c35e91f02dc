"""A call's futures as a page: how often it fails, exactly, and the completions by their probability."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.foreseen import Foreseen
from reroll.numbers import counts, interval_words, percent
from reroll.render.bars import Row, axis
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, caveat_lines, cost_lines, titled
from reroll.render.said import short

__all__ = ["show_foreseen"]

MOST = 12  # completions on the page; the JSON has all
BAR = 12  # cells of the longest bar


def show_foreseen(found: Foreseen, console: Console) -> None:
    """Print the failure rate, what is known and what is not, and the completions that can come."""
    pen = Pen(console)
    explored = found.explored
    futures, rate = explored.futures, explored.rate
    low, high = rate.low or 0.0, 1.0 if rate.high is None else rate.high
    lines = pen.wrap(pen.join(("What can happen", "bold"), (f"  {found.case} on {found.model}", "dim")), 1, 3)
    lines += [Text(), *pen.wrap(pen.text(found.text), Text.assemble("   ", (pen.glyph("side"), "dim"), "  "))]
    value = "" if rate.value is None else f"{percent(rate.value)} "
    rows = [
        Row(
            "This request fails",
            f"{value}({interval_words(low, high)})",
            explored.method,
            "fail",
            low,
            rate.value,
            high,
        )
    ]
    lines += titled("How often it fails", axis(rows, pen), pen)
    masses = [
        ("fails for sure", futures.known_failure, "fail"),
        ("succeeds for sure", futures.known_success, "pass"),
        ("could not be judged", futures.known_invalid, "invalid"),
        ("not followed", futures.unexplored, "undecided"),
        ("not listed by the server", futures.outside_top_k, "undecided"),
        ("lost to rounding", futures.noise, "undecided"),
    ]
    body: Lines = []
    for words, mass, kind in masses:
        if mass > 0:
            mark = (f"{pen.glyph(kind)} ", COLOURS[kind])
            body += pen.wrap(pen.join(mark, f"{words:<26}", f"{_tiny(mass):>9}"), 3, 5)
    lines += titled("Where the probability is", body, pen)
    lines += titled("What it can say, the likeliest first", _completions(found, pen), pen)
    if explored.stopped:
        lines += pen.wrap(pen.text(f"Stopped: {explored.stopped}.", "dim"), 3, 3)
    lines += caveat_lines(found.caveats, pen)
    lines += cost_lines(found.cost, pen)
    pen.put(lines)


def _completions(found: Foreseen, pen: Pen) -> Lines:
    futures = found.explored.futures.completions
    if not futures:
        return []
    shown = list(futures[:MOST])
    rare = [f for f in futures[MOST:] if f.outcome == "fail"][: max(0, MOST // 3)]
    top, first = max(f.prob for f in futures), futures[0].text
    lines: Lines = []
    for k, future in enumerate([*shown, *rare]):
        if k == len(shown) and rare:
            lines += pen.wrap(pen.text("further down, what could go wrong:", "dim"), 3, 3)
        colour = COLOURS.get(future.outcome, "")
        bar = pen.glyph("line") * round(BAR * future.prob / top)
        mark = (f"{pen.glyph(future.outcome)} ", f"bold {colour}")
        head = pen.join(mark, f"{_tiny(future.prob):>9} ", (f"{bar:<{BAR}} ", colour))
        room = max(20, pen.width - head.cell_len - 8)
        head.append_text(_parted(future.text, first if k else "", room, colour, pen))
        lines += pen.wrap(head, 3, 3)  # fits on one line
    rest = len(futures) - len(shown) - len(rare)
    if rest:
        lines += pen.wrap(pen.text(f"and {counts('completion', rest)} more (--json has all)", "dim"), 3, 3)
    return lines


def _parted(text: str, other: str, room: int, colour: str, pen: Pen) -> Text:
    """The text from shortly before it parts from the other one, in so many cells."""
    text, other = text.replace("\n", "⏎"), other.replace("\n", "⏎")
    at = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    if not other:
        return pen.text(short(text, room))
    start = max(0, at - 10) if len(text) > room else 0
    before = ("…" if start else "") + text[start:at]
    return pen.join((before, "dim"), (short(text[at:], max(8, room - len(before))) or "(ends)", f"bold {colour}"))


def _tiny(p: float) -> str:
    """A probability down to one in a billion.

    >>> _tiny(0.372), _tiny(0.00004), _tiny(2e-7)
    ('37 %', '0.004 %', '1 in 5,000,000')
    """
    return percent(p) if p >= 1e-5 else f"1 in {float(f'{1 / p:.1g}'):,.0f}"
