"""A comparison as a page: rates of the variants on one axis, their differences on another, pairs in order."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.answer import Comparison, OutcomeWord, Pair, VariantRate
from reroll.numbers import counts, percent
from reroll.render import said
from reroll.render.bars import Row, axis
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, legend, rate_row, titled
from reroll.words import between_points, brief, pair_bounds, points

__all__ = ["show_comparison"]

KIND = {"better": "pass", "worse": "fail", "no_different": "pass", "undecided": "undecided"}
WORDS = {"better": "better", "worse": "worse", "no_different": "no different", "undecided": "undecided"}
PAIRS_SHOWN = 60


def show_comparison(found: Comparison, console: Console) -> None:
    """Print which variant fails least often, by how much, and what this run could not have missed."""
    pen = Pen(console)
    lines = badge(*_headline(found), pen)
    pairs = counts("pair", len(found.outcomes)) if len(found.variants) == 2 else counts("round", len(found.outcomes))
    cases = counts("case", len(found.cases))
    what = f"{pairs} over {cases}, drawn at random" if found.about == "suite" else f"{pairs}, out of {cases} in all"
    models = ", ".join(dict.fromkeys(found.models))
    lines += pen.wrap(pen.join((what, "bold"), (f" ({said.short(models, 80)})", "dim")), 3)
    bar = Text.assemble("   ", (pen.glyph("heavy"), COLOURS[_kind(found)]), "  ")
    lines += [Text(), *pen.wrap(pen.text(found.text), bar)]
    rows = [_variant_row(v) for v in found.variants]
    lines += titled("How often each fails", [*axis(rows, pen), *legend(pen)], pen)
    gone = {v.id for v in found.variants if v.dropped_after is not None}
    lines += titled("How they differ", [line for pair in found.pairs for line in _pair(pair, gone, pen)], pen)
    lines += titled("Pairs, in the order drawn", _strips(found, pen), pen)
    if found.stopped:
        lines += pen.wrap(pen.text(f"Stopped: {found.stopped}.", "dim"))
    lines += caveat_lines(found.caveats, pen) + cost_lines(found.cost, pen)
    each = percent(sum(pair.alpha for pair in found.pairs), "up")
    total = (
        f"A verdict above is wrong with a chance of at most {each}; that anything on this page is (both directions, "
        f"every range), at most {percent(min(1.0, found.alpha_total), 'up')}."
    )
    pen.put([*lines, *pen.wrap(pen.text(total, "dim"))])


def _kind(found: Comparison) -> str:
    if len(found.pairs) > 1:
        return "pass" if found.best else "undecided"
    return KIND[found.pairs[0].verdict]


def _headline(found: Comparison) -> tuple[str, str]:
    if len(found.pairs) > 1:
        within = f", to within {points(found.pairs[0].margin, signed=False)}" if found.alike else ""
        return _kind(found), f"Best{within}: {brief(found.best)}" if found.best else "Best? Not known yet"
    pair = found.pairs[0]
    words = {
        "better": f"{brief(pair.b)} is better",
        "worse": f"{brief(pair.b)} is worse",
        "no_different": f"No different, to within {points(pair.margin, signed=False)}",
        "undecided": "Not enough pairs to tell",
    }
    if pair.verdict == "undecided" and pair.harmless:
        return "pass", f"{brief(pair.b)} is not worse by {points(pair.margin, signed=False)} or more"
    return _kind(found), words[pair.verdict]


def _variant_row(variant: VariantRate) -> Row:
    row = rate_row(brief(variant.id), variant.rate)
    if variant.dropped_after is None:
        return row
    note = f"{row.note}, beaten after {counts('pair', variant.dropped_after)}"
    return Row(row.label, row.number, note, row.kind, row.low, row.point, row.high)


def _pair(pair: Pair, gone: set[str], pen: Pen) -> Lines:
    kind = KIND[pair.verdict]
    pieces: list[str | tuple[str, str]] = [
        (f"{pen.glyph(kind)} {WORDS[pair.verdict]}", f"bold {COLOURS[kind]}"),
        f"  {brief(pair.b)} against {brief(pair.a)}: {points(pair.difference.value)}",
    ]
    pieces.append((f" ({between_points(*pair_bounds(pair))})", "dim"))
    lines = pen.wrap(pen.join(*pieces), 3, 5)
    notes = []
    if pair.verdict not in ("better", "worse") and pair.smallest_drop is not None and pair.smallest_drop < 1:
        notes.append(f"a worsening by {points(pair.smallest_drop, signed=False, toward='up')} or more is ruled out")
    if pair.verdict == "undecided":
        unit = "pair" if pair.unit == "pair" else "case"
        needed = pair.pairs_needed
        if needed:
            notes.append(f"about {counts(f'more {unit}', needed)} would decide")
        else:
            over = {pair.a, pair.b} & gone
            notes.append("open: what is beaten is not run again" if over else "no end in sight")
    return [*lines, *(line for note in notes for line in pen.wrap(pen.text(note, "dim"), 5))]


def _strips(found: Comparison, pen: Pen) -> Lines:
    """A line of symbols per variant, so that pairs stand one above the other."""
    room = max(len(brief(v.id)) for v in found.variants) + 2
    shown = min(len(found.outcomes), PAIRS_SHOWN, max(10, (pen.width - room - 4) * 10 // 11))
    out = []
    for i, variant in enumerate(found.variants):
        line = Text(f"   {brief(variant.id):<{room}}", end="")
        for k, outcomes in enumerate(found.outcomes[-shown:] if shown else ()):
            line.append(" " if k and k % 10 == 0 else "")
            line.append(*_symbol(outcomes[i], pen))
        out.append(line)
    if len(found.outcomes) > shown:
        out += pen.wrap(pen.text(f"the last {shown} of {counts('pair', len(found.outcomes))}", "dim"))
    return out if found.outcomes else []


def _symbol(outcome: OutcomeWord | None, pen: Pen) -> tuple[str, str]:
    return (" ", "") if outcome is None else (pen.glyph(outcome), f"bold {COLOURS[outcome]}")
