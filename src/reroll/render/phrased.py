"""Wordings at one token as a page: what may stand there under each, how flat that is, and what it does to success."""

from __future__ import annotations

import math
import shlex

from rich.console import Console
from rich.text import Text

from reroll.evidence import Est
from reroll.flattening import Range
from reroll.numbers import bits, counts, interval_words, percent
from reroll.phrased import Phrased, Read, TokenRow, quoted
from reroll.render.bars import Row, axis
from reroll.render.ink import Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, titled
from reroll.render.said import short
from reroll.words import between_points, brief, points

__all__ = ["show_phrased"]

BAR = 12  # cells of a bar that stands for 100 %
DIFFERENT = 0.1  # of total variation: tokens at which the two are that far apart are marked
BESIDE = 70  # columns from which on labels stand beside their words
MOST = 12  # wordings of a screen on the page; the JSON has all
SAYS = 240  # characters of a wording
LONGEST = 16  # characters of a token
RARE = 1e-5  # below it a chance is not worth its digits
HEAD = {
    "better": ("pass", "B works more often from this token on"),
    "worse": ("fail", "B works less often from this token on"),
    "undecided": ("undecided", "Not shown which wording works more often from this token on"),
}
CHOSEN = {
    "dud": "where most success is lost, as far as stored runs tell",
    "open": "where most else could have stood (no stored run tells yet where success is lost)",
    "differ": "where the two wordings are furthest apart",
    "given": "as asked for",
}


def show_phrased(found: Phrased, console: Console) -> None:
    """Print the verdict, the wordings, the place, the two distributions, and where a change comes from."""
    pen = Pen(console)
    screen = found.mode == "screen"
    kind, words = (
        ("undecided", "A screen of wordings: nothing here is confirmed") if screen else HEAD[str(found.verdict)]
    )
    lines = badge(kind, words, pen)
    lines += pen.wrap(pen.text(f"{found.case} on {found.model}, tier {found.tier}", "dim"), 3, 3)
    lines += [Text(), *pen.wrap(pen.text(found.text), Text.assemble("   ", (pen.glyph("side"), "dim"), "  "))]
    lines += titled("The place", _place(found, pen), pen)
    if screen:
        lines += titled("The wordings, the most promising first", _screen(found, pen), pen)
        lines += titled(
            f"What may stand there as it is worded now ({brief(found.wordings[0].name)})", _tokens(found, pen), pen
        )
        lines += titled("What to do with it", _next(found, pen), pen)
    else:
        lines += titled("The two wordings", _wordings(found, pen), pen)
        lines += titled("What may stand there, and how often it then works out", _tokens(found, pen), pen)
        lines += titled("How open it is there", _flat(found, pen), pen)
        lines += titled("What it does to success from there on", _change(found, pen), pen)
    if found.stopped:
        lines += pen.wrap(pen.text(f"Stopped: {found.stopped}.", "dim"), 3, 3)
    lines += caveat_lines(found.caveats, pen)
    lines += titled("How it was found", pen.wrap(pen.text(_how(found), "dim"), 3, 3), pen)
    lines += cost_lines(found.cost, pen)
    pen.put(lines)


def _how(found: Phrased) -> str:
    stored = f" ({found.reused:,} of them stored before)" if found.reused else ""
    return (
        f"{counts('run', found.runs)} from the place{stored}; {found.method}. All ranges on this page hold at once, "
        f"however often one looks, except with a chance of at most {percent(found.alpha, 'up')}."
    )


def _wordings(found: Phrased, pen: Pen) -> Lines:
    lines: Lines = []
    for read in found.wordings:
        name = brief(read.name)
        says = "" if " ".join(read.says.split()) == " ".join(read.name.split()) else f"{name}: "
        body = pen.join((says, "dim"), short(" ".join(read.says.split()), SAYS))
        lines += pen.wrap(body, pen.join("   ", (f"{read.id}  ", "bold")), 6)
    return lines


def _place(found: Phrased, pen: Pen) -> Lines:
    """The recorded answer with the place marked, and the tokens at which the two wordings differ."""
    out = Text()
    for k, token in enumerate(found.path, 1):
        style = "underline" if token.total_variation >= DIFFERENT else ""
        out.append_text(pen.text(token.text.replace("\n", "⏎\n"), "reverse bold" if k == found.position else style))
    lines = pen.wrap(out)
    fails = "fails" if found.sample_fails else "does not fail"
    said = f"token {found.position}, {CHOSEN[found.chosen]}; {found.sample} of {brief(found.sample_of)}, which {fails}"
    lines += pen.wrap(pen.text(said, "dim"), 3, 3)
    if found.differ_most is not None and found.differ_most != found.position and found.chosen != "differ":
        at = found.differ_most
        words = f"the two are furthest apart at token {at} (underlined); --at {at} looks there"
        lines += pen.wrap(pen.text(words, "dim"), 3, 3)
    return lines


def _tokens(found: Phrased, pen: Pen) -> Lines:
    """Each token with a bar for its chance under every wording that was run, and the success after it."""
    lines: Lines = []
    names = [pen.text(short(_name(row), LONGEST), "bold reverse" if row.watched else "bold") for row in found.tokens]
    pad = max((name.cell_len for name in names), default=0)
    for row, name in zip(found.tokens, names, strict=True):
        for i, est in enumerate(row.success):
            read = found.wordings[i]
            p = row.probs[i]
            label = name if i == 0 else Text()
            head = Text.assemble("   ", label, " " * (pad - label.cell_len + 2))
            head.append_text(pen.join(read.id if len(row.success) > 1 else "", " " if len(row.success) > 1 else ""))
            bar = pen.glyph("line") * round(BAR * (p or 0.0))
            head.append_text(pen.join((f"{bar:<{BAR}} ", "bold"), f"{_percent(p):>7}"))
            tail = pen.join(("  works out ", "dim"), _est(est))
            if head.cell_len + tail.cell_len < pen.width:
                lines.append(Text.assemble(head, tail))
            else:
                lines += [head, *pen.wrap(pen.join(("works out ", "dim"), _est(est)), 5 + pad)]
    rest = [
        min(1.0, max(0.0, 1 - sum(row.probs[i] or 0.0 for row in found.tokens)))
        for i in range(len(found.tokens[0].success))
    ]
    if max(rest) > 0.005:
        ways = ", ".join(f"{percent(x)} with {found.wordings[i].id}" for i, x in enumerate(rest))
        lines += pen.wrap(pen.text(f"anything else: {ways}; not run", "dim"), 3, 5)
    return lines


def _flat(found: Phrased, pen: Pen) -> Lines:
    a, b = found.wordings
    flatter = {True: "B is the flatter one", False: "A is the flatter one", None: "which is flatter is not known"}
    name = quoted(found.watched)
    rows = [
        ("entropy", f"A {_bits(a.entropy)}, B {_bits(b.entropy)}: {flatter[b.flatter]}"),
        ("the likeliest one", f"A {_lead(a)}, B {_lead(b)}"),
        (f"chance of {name}", f"A {_percent(a.prob)}, B {_percent(b.prob)}"),
        ("apart", f"{_share(b.total_variation)} of the probability stands elsewhere (total variation)"),
    ]
    return [line for label, words in rows for line in _row(label, words, pen)]


def _change(found: Phrased, pen: Pen) -> Lines:
    rows = []
    for read in found.wordings:
        est = read.success
        if est is None or est.low is None or est.high is None:
            continue
        value = "not run" if est.value is None else percent(min(1.0, est.value))
        rows.append(
            Row(
                f"{read.id} works out",
                f"{value} ({interval_words(est.low, est.high)})",
                "",
                "pass",
                est.low,
                est.value,
                est.high,
            )
        )
    lines = axis(rows, pen) if rows else []
    for label, change in (
        ("B against A", found.change),
        ("what is said there", found.moved),
        ("what follows it", found.rest),
    ):
        if change is not None:
            lines += _row(label, _points(change), pen, bold=label == "B against A")
    if found.verdict == "undecided":
        more = found.calls_needed
        words = (
            f"about {counts('more call', more)} would tell (--budget)"
            if more
            else "no number of calls in sight would tell"
        )
        lines += _row("to be decided", words, pen)
    return lines


def _screen(found: Phrased, pen: Pen) -> Lines:
    lines: Lines = []
    name = quoted(found.watched)
    for read in found.wordings[: MOST + 1]:
        head = pen.join((f"{read.id:>2}  ", "bold"), short(" ".join(read.name.split()), SAYS))
        lines += pen.wrap(head, 2, 6)
        facts = [f"{name} in {_percent(read.prob)}", f"entropy {_bits(read.entropy)}"]
        if read.predicted is not None:
            facts = [f"{_points(read.predicted)} predicted", *facts]
        else:
            facts.insert(0, "as it is now")
        lines += [Text.assemble("    ", line) for line in pen.flow(facts, 3)]
    if len(found.wordings) > MOST + 1:
        lines += pen.wrap(
            pen.text(f"and {counts('wording', len(found.wordings) - MOST - 1)} more (--json has all)", "dim")
        )
    return lines


def _next(found: Phrased, pen: Pen) -> Lines:
    if found.best is None:
        words = "None is predicted to help at this place; word it otherwise, or look at another token (--at)."
    else:
        a, best = found.wordings[0], found.best
        command = f"reroll phrase {found.case} --at {found.position} --tokens {_typed(a.name)} {_typed(best.name)}"
        words = f"Runs confirm it or do not: {command}"
    return pen.wrap(pen.text(words), 3, 3)


def _typed(name: str) -> str:
    """A wording as one types it in a shell."""
    return shlex.quote(name)


def _row(label: str, words: str, pen: Pen, *, bold: bool = False) -> Lines:
    if pen.width < BESIDE:
        return pen.wrap(pen.join((f"{label}: ", "dim"), (words, "bold" if bold else "")), 3, 5)
    return pen.wrap(pen.text(words, "bold" if bold else ""), pen.join("   ", (f"{label:<23}", "dim")), 26)


def _name(row: TokenRow) -> str:
    return quoted(row.token)


def _percent(p: float | None) -> str:
    return "rare" if p is None or p < RARE else percent(min(1.0, p))


def _est(est: Est) -> str:
    low, high = est.low or 0.0, 1.0 if est.high is None else est.high
    if low == high and not est.n:
        return f"{percent(low)}, which takes no run to know"
    value = "" if est.value is None else f"{percent(est.value)} "
    return f"{value}({interval_words(low, high)})"


def _points(est: Est) -> str:
    low, high = est.low or 0.0, est.high or 0.0
    value = "not known" if est.value is None else points(est.value)
    return f"{value} ({between_points(low, high)})"


def _bits(found: Range) -> str:
    return bits(found.low, found.high)


def _lead(read: Read) -> str:
    return "the only one" if read.margin is None else f"{math.exp(read.margin):.1f} times as likely as the next"


def _share(found: Range) -> str:
    low, high = min(1.0, max(0.0, found.low)), min(1.0, max(0.0, found.high))
    return percent(low) if high - low < 0.005 else interval_words(low, high)
