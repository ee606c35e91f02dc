"""Tried fixes as a page: the verdict, its sentences, and for each fix its scorecard set by set."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.evidence import Est
from reroll.numbers import counts, percent
from reroll.render.bars import axis
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, legend, rate_row, titled
from reroll.scorecard import Net
from reroll.scored import SETS_IN_WORDS, Card, Forecast, SetShown, Tried, foretold_words
from reroll.words import between_points, gain_words, points

__all__ = ["HEAD", "KIND", "changed_lines", "show_tried"]

KIND = {"accept": "pass", "reject": "fail", "undecided": "undecided"}
HEAD = {"accept": "Accepted", "reject": "Rejected", "undecided": "Not decided yet"}
CLAIM = {
    "cures": "helps the reported request",
    "helps": "helps requests like it",
    "generalises": "helps them as much as the reported one",
    "spares_lookalikes": "leaves look-alikes as they are",
    "spares_control": "leaves ordinary requests as they are",
}
STATE = {"shown": "pass", "refuted": "fail", "open": "undecided", "not_examined": "undecided"}
STATE_WORDS = {"shown": "shown", "refuted": "no, refuted", "open": "not shown yet", "not_examined": "not examined"}
MOST_SHOWN = 6


def show_tried(found: Tried, console: Console) -> None:
    """Print the verdict and its sentences, then each fix: what it changes, whom it helps and harms, what it costs."""
    pen = Pen(console)
    head = HEAD[found.verdict] if len(found.fixes) == 1 else _head_of_many(found)
    lines = badge(KIND[found.verdict], head, pen)
    lines += pen.wrap(pen.text(f"{found.case} on {found.model}", "dim"), 3, 3)
    side = Text.assemble("   ", (pen.glyph("heavy"), COLOURS[KIND[found.verdict]]), "  ")
    lines += [Text(), *pen.wrap(pen.text(found.text), side)]
    order = sorted(found.fixes, key=lambda card: (card.fix != found.best, card.verdict == "reject"))
    for card in order[:MOST_SHOWN]:
        lines += _card(card, found, pen, alone=len(found.fixes) == 1)
    if len(order) > MOST_SHOWN:
        rest = ", ".join(f"{card.fix} ({card.verdict})" for card in order[MOST_SHOWN:])
        lines += pen.wrap(pen.text(f"And: {rest}. All numbers are in --json.", "dim"), 3, 3)
    if found.stopped:
        lines += [Text(), *pen.wrap(pen.text(f"Stopped: {found.stopped}.", "dim"), 3, 3)]
    lines += caveat_lines(found.caveats, pen) + cost_lines(found.cost, pen)
    words = (
        f"That a fix is accepted although one of these is not so has a chance of at most {percent(found.alpha, 'up')}, "
        "and so has that a good one is rejected, however often one looks; each range is wrong with as much by itself."
    )
    pen.put([*lines, *pen.wrap(pen.text(words, "dim"))])


def _head_of_many(found: Tried) -> str:
    if found.best is not None:
        return f"{HEAD[found.verdict]}: {found.best} did best of {len(found.fixes)}"
    return "None of them" if found.verdict == "reject" else HEAD["undecided"]


def _card(card: Card, found: Tried, pen: Pen, *, alone: bool) -> Lines:
    name = f"{card.fix} ({card.kind})" if alone else f"{card.fix} ({card.kind}): {HEAD[card.verdict].lower()}"
    lines = changed_lines(card, pen)
    rows = []
    for of, shown in _sets(card):
        if shown is not None and shown.after.n:
            rows += [rate_row(f"{of}, before", shown.before), rate_row("  with it", shown.after)]
    if rows:
        lines += [Text(), *axis(rows, pen), *legend(pen)]
    lines.append(Text())
    for word, state in card.claims.items():
        kind = STATE[state]
        mark = (f"{pen.glyph(kind)} {CLAIM[word]}: {STATE_WORDS[state]}", COLOURS[kind])
        number = _number(word, card)
        lines += pen.wrap(pen.join("  ", mark, (f"  {number}" if number else "", "dim")), 3, 5)
    for one in card.new_failures:
        new = f"new on {SETS_IN_WORDS[one.set]}: {one.words} ({one.count} of {counts('run', one.n)})"
        lines += pen.wrap(pen.join("  ", (new, COLOURS["fail"])), 3, 5)
    for worth in card.pile_up:
        low, high = worth.worth.low or 0.0, worth.worth.high if worth.worth.high is not None else 1.0
        debt = f"{points(worth.worth.value)} ({between_points(low, high)}, {counts('pair', worth.worth.n)})"
        debt = "not known: no calls were left" if not worth.worth.n else f"{debt}: debt" if worth.debt else debt
        lines += pen.wrap(pen.text(f"with it in place, without the earlier fix {worth.fix}: {debt}", "dim"), 5)
    if card.forecast is not None:
        lines += pen.wrap(pen.text(_foretold(card, card.forecast), "dim"), 5)
    if card.because:
        lines += pen.wrap(pen.text(_suggested(card), "dim"), 5)
    if card.net is not None and card.net.per_10k.n:
        lines += pen.wrap(pen.text(_net(card.net), "dim"), 5)
    if burden := _burden(card):
        lines += pen.wrap(pen.text(burden, "dim"), 5)
    return titled(name, lines, pen)


def _sets(card: Card) -> list[tuple[str, SetShown | None]]:
    near = "similar" if card.phase == "final" else "similar (half)"
    return [
        ("as reported", card.case),
        (near, card.neighbours),
        ("look-alikes", card.lookalikes),
        ("ordinary", card.control),
    ]


def _foretold(card: Card, forecast: Forecast) -> str:
    """What was foretold of it beside what was measured."""
    shown = card.case if forecast.of == "case" else card.neighbours
    rate, extra = shown.after.estimate, card.extra_calls
    measured = "" if rate is None else f"; measured: fails {percent(rate)}, with {1 + extra:.1f} calls over all sets"
    return f"{foretold_words(forecast)}{measured}"


def _suggested(card: Card) -> str:
    predicted = card.predicted
    if predicted is None or predicted.value is None:
        return f"suggested: {card.because}"
    low, high = predicted.low or 0.0, 1.0 if predicted.high is None else predicted.high
    less = f"{points(predicted.value, signed=False)} less often ({between_points(low, high)})"
    return f"suggested: {card.because}; the case was to fail {less}"


def changed_lines(card: Card, pen: Pen) -> Lines:
    """What the fix changes, part by part."""
    return [line for one in card.diff.splitlines() for line in _changed(one, pen)]


def _changed(line: str, pen: Pen) -> Lines:
    colour = COLOURS["pass"] if line.startswith("+") else COLOURS["fail"] if line.startswith("-") else "dim"
    return pen.wrap(pen.join((line, colour)), 5, 7)


def _number(word: str, card: Card) -> str:
    if (word == "cures" and "case" in card.alike) or (word == "helps" and "neighbour" in card.alike):
        return "nothing in it can act on it" if word == "cures" else "nothing in it can act on them"
    if word == "cures":
        return _share("of its failures", card.case_gain)
    if word == "helps":
        return _share("of their failures", card.neighbour_gain)
    if word == "generalises":
        est = card.generalisation
        if est.value is None:
            return ""
        if card.claims[word] == "shown":  # on one side, as it is claimed; a range of two sides may reach below it
            return f"{est.value:.2f} of it, and surely at least half"
        if est.value <= 0:
            return "none of it was seen there"
        high = "" if est.high is None else f" to {est.high:.2f}"
        return f"{est.value:.2f} of it ({est.low or 0.0:.2f}{high or ' or more'})"
    harm = card.lookalike_harm if word == "spares_lookalikes" else card.control_harm
    if ("lookalike" if word == "spares_lookalikes" else "control") in card.alike:
        return "nothing in it can act on them"
    if harm.value is None or harm.high is None:
        return ""
    shown = card.lookalikes if word == "spares_lookalikes" else card.control
    idle = harm.n - (shown.after.n if shown is not None else harm.n)
    pairs = counts("pair", harm.n) + (f", in {idle} of them it cannot act" if idle > 0 else "")
    low = -1.0 if harm.low is None else harm.low
    return f"{points(harm.value)} ({between_points(low, harm.high)}, {pairs})"


def _share(of: str, gain: Est) -> str:
    return "" if gain.value is None else gain_words(gain.value, gain.low, gain.high, of)


def _net(net: Net) -> str:
    """What comes of it in 10,000 requests, and from which share of them on it does more good than harm."""
    least, most = sorted((-(net.per_10k.low or 0.0), -(net.per_10k.high or 0.0)))
    said = f"of 10,000 requests, {percent(net.prevalence)} of them like this one: "
    said += f"{_signed(-(net.per_10k.value or 0.0))} failures ({_signed(least)} to {_signed(most)})"
    even, worst = net.break_even, net.break_even_at_worst
    at = [] if even is None else [f"where {percent(even)} of them are"]
    at += [] if worst is None else [f"at worst where {percent(worst, 'up')} are"]
    return f"{said}; it breaks even {', '.join(at)}" if at else said


def _signed(number: float) -> str:
    return f"{number:+,.0f}".replace("-", "−")


def _burden(card: Card) -> str:
    if not card.case.after.n and not card.neighbours.after.n:
        return ""  # nothing ran, so nothing is known of it
    said = []
    if card.tokens is not None:
        of = "" if not card.prompt_tokens else f", {_signed(card.prompt_tokens)} of them in the prompt"
        said.append(f"{_signed(card.tokens)} tokens{of}" if round(card.tokens) else "no more tokens")
    if abs(card.extra_calls) >= 0.005:
        said.append(f"{card.extra_calls:+.2f} calls")
    if card.seconds is not None and abs(card.seconds) >= 0.05:
        said.append(f"{card.seconds:+.1f} s".replace("-", "−"))
    if card.usd is not None and card.usd:
        said.append(f"{1000 * card.usd:+.2f} USD per thousand".replace("-", "−"))
    if card.branches:
        said.append("1 further branch" if card.branches == 1 else f"{card.branches} further branches")
    if card.literals:
        said.append("copied from the reported request: " + ", ".join(f"“{text}”" for text in card.literals[:3]))
    return "per request: " + (", ".join(said) or "nothing more")
