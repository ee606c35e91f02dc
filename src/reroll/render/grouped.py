"""Groups of failing samples as a page: the largest first, each with its share, what sets it apart, and an example."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.grouped import Grouped
from reroll.grouping import Group
from reroll.numbers import counts, interval_words, percent
from reroll.render.bars import bar
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, badge, titled
from reroll.render.said import short
from reroll.words import brief

__all__ = ["show_grouped"]

MOST = 20  # groups on the page; the JSON has all
NAME, TEXT = 200, 160  # characters
BAR = 16  # cells of a bar that stands for all that did not pass
CASES = 4  # named
ALIKE = "Ranges are of the share of all samples, each on its own, and take samples to be alike"
MIXED = "Runs as reported and of changed versions are together here: shares say nothing of how often anything fails"


def show_grouped(found: Grouped, console: Console) -> None:
    """Print how many samples did not pass, and the groups they make."""
    pen = Pen(console)
    bad = found.failures + found.invalid
    head = f"{counts('sample', bad)} that did not pass, in {counts('group', len(found.groups))}"
    lines = badge("fail" if bad else "pass", head if bad else f"All of {counts('sample', found.samples)} passed", pen)
    where = found.case if found.case is not None else counts("case", found.cases)
    what = f"{where}: {counts('sample', found.samples)}, {counts('failure', found.failures)}"
    what += f", {found.invalid:,} that could not be judged" if found.invalid else ""
    lines += pen.wrap(pen.text(what, "dim"), 3, 3)
    for group in found.groups[:MOST]:
        lines += [Text(), *_group(group, found, pen)]
    if len(found.groups) > MOST:
        rest = found.groups[MOST:]
        words = f"and {counts('smaller group', len(rest))} with {counts('sample', sum(g.count for g in rest))}"
        lines += [Text(), *pen.wrap(pen.text(f"{words}; --json has all of them", "dim"), 3, 3)]
    if found.groups:
        note = (
            "grouped by which check failed and why (values left out of reasons), how the answer ended, the tool called "
            "last, and the first token at which it leaves the paths of passing runs; texts are compared to the letter "
            "only. "
        )
        note += MIXED if found.mixed else ALIKE
        lines += titled("How they were grouped", pen.wrap(pen.text(note, "dim"), 3, 3), pen)
    pen.put(lines)


def _group(group: Group, found: Grouped, pen: Pen) -> Lines:
    colour = COLOURS[group.outcome]
    low, high = group.share.low, group.share.high
    within = "" if low is None or high is None else f" ({interval_words(low, high)})"
    head = pen.join(
        (f"{pen.glyph(group.outcome)} {group.count:,}", f"bold {colour}"),
        "  ",
        (bar(group.of_bad, BAR, pen), colour),
        ("  " + percent(group.share.value or 0.0), "bold"),
        (f" of all{within}, {percent(group.of_bad)} of what did not pass", "dim"),
    )
    lines = pen.wrap(head, 3, 5)
    lines += pen.wrap(pen.text(short(group.name, NAME), "bold"), 5, 5)
    if group.differs:
        lines += pen.wrap(pen.text("; ".join(group.differs)), 5, 5)
    about = "" if group.exact else "about "
    pieces = [f"{about}{counts('different text', group.distinct)}" if group.distinct > 1 else "one text"]
    if found.case is None:
        named = ", ".join(f"{case} ({n:,})" for case, n in group.cases[:CASES])
        more = len(group.cases) - CASES
        pieces.append(f"in {named}{f' and {more:,} more' if more > 0 else ''}")
    if len(group.variants) > 1 or group.variants[0][0] != "baseline":
        pieces.append("variants " + ", ".join(f"{brief(name)} ({n:,})" for name, n in group.variants[:CASES]))
    lines += pen.wrap(pen.text("; ".join(pieces), "dim"), 5, 5)
    shown = [one for one in group.texts if one.count > 1] or group.texts[:1]
    for one in shown:
        times = f"{one.count:,} × " if one.count > 1 else ""
        lines += pen.wrap(pen.join((f"{one.example}  {times}", "dim"), short(one.text, TEXT)), 5, 7)
    return lines
