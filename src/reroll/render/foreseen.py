"""A call's futures as a page: how often it fails, exactly, and the completions by their probability."""

from __future__ import annotations

import difflib
import re

from rich.console import Console
from rich.text import Text

from reroll.foreseen import Foreseen
from reroll.futures import Future, Futures
from reroll.numbers import counts, interval_words, percent
from reroll.render.bars import Row, axis, bar
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, caveat_lines, cost_lines, titled
from reroll.render.said import tiny

__all__ = ["show_foreseen"]

MOST = 12  # completions on the page; the JSON has all
BAR = 12  # cells of the longest bar: all that can happen, or of a flat distribution the likeliest completion
FLAT = 1 / BAR
ROOMY = 60  # columns from which on words fit beside a bar
WORD = re.compile(r"\w+|\W")
LOOKED_AT = 400  # characters in which what differs is looked for: more than a line holds
BEFORE = 10  # characters that are shown before a completion parts from the likeliest


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
    shown, rare = _shown(futures)
    masses = _masses(futures)
    wide = max((len(_share(mass)) for _, mass, _ in masses), default=0)
    wider = max((len(tiny(f.prob)) for f in (*shown, *rare)), default=0)
    if pen.width >= ROOMY:  # both parts in the same columns
        wide = wider = max(wide, wider)
    body: Lines = []
    for words, mass, kind in masses:
        head = _head(kind, f"{_share(mass):>{wide}}", mass if pen.width >= ROOMY else None, pen)
        body += pen.wrap(pen.join(head, words), 3, 3)
    lines += titled("Where the probability is", body, pen)
    lines += titled("What it can say, the likeliest first", _completions(shown, rare, futures, wider, pen), pen)
    if explored.stopped:
        lines += pen.wrap(pen.text(f"Stopped: {explored.stopped}.", "dim"), 3, 3)
    lines += caveat_lines(found.caveats, pen)
    lines += cost_lines(found.cost, pen)
    pen.put(lines)


def _masses(futures: Futures) -> list[tuple[str, float, str]]:
    """What all that can happen is made of: its name, its probability, the outcome whose symbol it has."""
    masses = [
        ("fails for sure", futures.known_failure, "fail"),
        ("succeeds for sure", futures.known_success, "pass"),
        ("could not be judged", futures.known_invalid, "invalid"),
        ("not followed", futures.unexplored, "undecided"),
        ("not listed by the server", futures.outside_top_k, "undecided"),
        ("lost to rounding", futures.noise, "undecided"),
    ]
    return [row for row in masses if row[1] > 0]


def _shown(futures: Futures) -> tuple[list[Future], list[Future]]:
    """The completions on the page: the likeliest, and of those further down a few that fail."""
    found = futures.completions
    return list(found[:MOST]), [f for f in found[MOST:] if f.outcome == "fail"][: max(0, MOST // 3)]


def _share(mass: float) -> str:
    """A share of all that can happen."""
    return percent(mass) if mass >= 1e-5 else "<0.001 %"


def _head(kind: str, chance: str, share: float | None, pen: Pen) -> Text:
    """What begins a row: the symbol, the probability, and a bar (a share of its longest; None: no bar)."""
    colour = COLOURS.get(kind, "")
    line = pen.join((f"{pen.glyph(kind)} ", f"bold {colour}"), f"{chance}  ")
    if share is not None:
        line.append(f"{bar(share, BAR, pen):<{BAR}}  ", colour)
    return line


def _completions(shown: list[Future], rare: list[Future], futures: Futures, wide: int, pen: Pen) -> Lines:
    """The completions with a bar each, on the scale of all that can happen; a flat distribution has one of its own."""
    if not shown:
        return []
    top, first = max(f.prob for f in shown), shown[0].text
    scale = 1.0 if top >= FLAT else top
    lines: Lines = []
    for k, future in enumerate([*shown, *rare]):
        if k == len(shown) and rare:
            lines += pen.wrap(pen.text("further down, what could go wrong:", "dim"), 3, 3)
        head = _head(future.outcome, f"{tiny(future.prob):>{wide}}", future.prob / scale, pen)
        other, colour = first if k else "", COLOURS.get(future.outcome, "")
        room = pen.width - 1 - 3 - head.cell_len
        if pen.width >= ROOMY:
            lines += pen.wrap(pen.join(head, _parted(future.text, other, room, colour, pen)), 3, 3)
        else:  # the words below the bar: beside it they would be a few letters
            head.rstrip()
            below = _parted(future.text, other, pen.width - 1 - 5, colour, pen)
            lines += [*pen.wrap(head, 3, 5), pen.join("     ", below)]
    rest = len(futures.completions) - len(shown) - len(rare)
    if rest:
        lines += pen.wrap(pen.text(f"and {counts('completion', rest)} more (--json has all)", "dim"), 3, 3)
    if scale < 1:
        lines += pen.wrap(pen.text(f"the longest of these bars is {tiny(top)}", "dim"), 3, 3)
    return lines


def _parted(text: str, other: str, room: int, colour: str, pen: Pen) -> Text:
    """The text in so many cells: where it is too long from shortly before it parts from the other one, and the words
    that differ marked."""
    text, other = text.replace("\n", "⏎"), other.replace("\n", "⏎")
    if not other:
        return pen.cut(pen.text(text), room)
    at = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    start = max(0, at - BEFORE) if len(text) > room else 0
    own, theirs = (WORD.findall(t[start : start + LOOKED_AT]) for t in (text, other))
    out = pen.join(("…" if start else "", "dim"))
    match = difflib.SequenceMatcher(None, theirs, own, autojunk=False)
    missing = False  # words of the other are not in this one: the next word that is in it stands where they were
    for kind, _, _, first, last in match.get_opcodes():
        words = own[first:last]
        if kind == "equal" and missing and words:
            out.append_text(pen.text(words.pop(0), f"bold {colour}"))
        out.append_text(pen.text("".join(words), "dim" if kind == "equal" else f"bold {colour}"))
        missing = kind == "delete"
    if missing:
        out.append_text(pen.text(" (ends)", f"bold {colour}"))
    return pen.cut(out, room)
