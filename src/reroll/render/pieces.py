"""Pieces that pages share: titled sections, badges, rates on the axis, the runs in order, caveats, what it took."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from reroll.answer import CertifySection, Cost, Rate
from reroll.numbers import counts, interval_words, money, percent, seconds_words
from reroll.render.bars import Row, strip
from reroll.render.ink import COLOURS, Pen
from reroll.sample import Usage
from reroll.settings import SETTINGS

__all__ = [
    "CERTIFY_KIND",
    "FAILS",
    "Lines",
    "badge",
    "caveat_lines",
    "certify_lines",
    "certify_row",
    "certify_words",
    "cost_lines",
    "legend",
    "rate_row",
    "runs_lines",
    "target_row",
    "titled",
    "usage_pieces",
]

CERTIFY_KIND = {"met": "pass", "not_met": "fail", "undecided": "undecided"}
ABOUT = {"case": "this request", "suite": "this fixed set of requests", "population": "requests of this kind"}
FAILS = {"case": "This request fails", "suite": "This set fails", "population": "Such requests fail"}

Lines = list[Text]


def titled(title: str, body: Lines, pen: Pen) -> Lines:
    """A titled block with an empty line before it; nothing if the body is empty."""
    if not body:
        return []
    lines = pen.wrap(pen.text(title, "bold"), 1)
    left = pen.width - 1 - lines[-1].cell_len - 1
    lines[-1].append(f" {pen.glyph('line') * left}" if left > 2 else "", "dim not bold")
    return [Text(), *lines, *body]


def badge(kind: str, words: str, pen: Pen) -> Lines:
    return pen.wrap(pen.text(f"{pen.glyph(kind)} {words}", f"bold {COLOURS[kind]}"), 1, 3)


def rate_row(label: str, rate: Rate, low: float | None = None, high: float | None = None) -> Row:
    """A failure rate with its interval, or with the narrower one that a verdict has shown."""
    low, high = rate.low if low is None else low, rate.high if high is None else high
    between = f"({interval_words(low, high)})"
    if rate.estimate is None:
        note = f"{counts('run', rate.n)}, none could be judged" if rate.n else "no run yet"
        return Row(label, between, note, "fail", low, None, high)
    note = f"{rate.failures:,} of {rate.n - rate.invalid:,}"
    note += f", {rate.invalid:,} unjudged" if rate.invalid else ""
    return Row(label, f"{percent(rate.estimate)} {between}", note, "fail", low, rate.estimate, high)


def certify_words(certify: CertifySection) -> tuple[str, str]:
    """Symbol and headline of a certify verdict."""
    target = percent(certify.target)
    words = {"met": f"{target} reliable", "not_met": f"Not {target} reliable"}
    return CERTIFY_KIND[certify.verdict], words.get(certify.verdict, f"{target} reliable? Not known yet")


def certify_row(certify: CertifySection, label: str = "") -> Row:
    """The rate that a target is held against; the interval never contradicts the verdict beside it."""
    may, low, high = 1 - certify.target, certify.rate.low, certify.rate.high
    if certify.verdict == "met":
        high = max(low, min(high, may))
    if certify.verdict == "not_met":
        low = min(high, max(low, may))
    return rate_row(label or FAILS[certify.about], certify.rate, low, high)


def target_row(certify: CertifySection) -> Row:
    may = 1 - certify.target
    return Row(f"{percent(certify.target)} target allows", f"at most {percent(may)}", mark=may)


def legend(pen: Pen, rate: Rate | None = None) -> Lines:
    """How to read the lines on the axis; `rate` is the one that was asked for."""
    ends = f"{pen.glyph('left')}{pen.glyph('line')}{pen.glyph('right')}"
    words = "where the true rate lies, as far as the runs tell; it holds however often one looks"
    if rate is not None and rate.method != "sampling":
        words = "where the true rate lies, if the server samples from the probabilities that it lists"
    return pen.wrap(pen.text(f"{ends} {words}", "dim"), 3, 7)


def certify_lines(certify: CertifySection, pen: Pen) -> Lines:
    """Target, what may be claimed today, and how many calls would decide."""
    kind = CERTIFY_KIND[certify.verdict]
    verdict = {"met": "met", "not_met": "not met", "undecided": "undecided"}[certify.verdict]
    claim = certify.claim_today
    more = certify.calls_needed
    needed = (
        "no end in sight"
        if more is None
        else f"about {counts('more call', more)} would decide it"
        if more
        else "none, it is decided"
    )
    badge = (f"{pen.glyph(kind)} {verdict}", f"bold {COLOURS[kind]}")
    may = f"works at least {percent(claim, 'down')} of the time" if claim else "nothing"
    rows = [
        ("Verdict", pen.join(badge, f" for {ABOUT[certify.about]}")),
        ("May be claimed", pen.text(may)),
        ("Calls needed", pen.text(needed)),
    ]
    if certify.alpha != SETTINGS["alpha"].default:
        rows.append(("May be wrong", pen.text(f"with a chance of at most {percent(certify.alpha, 'up')} (--alpha)")))
    if certify.horizon:
        rows.append(("Declared end", pen.text(f"after {counts('call', certify.horizon)}; it cannot be extended")))
    body = [line for name, text in rows for line in pen.wrap(text, pen.join("   ", (f"{name:<16}", "dim")), 19)]
    return titled(f"Is it {percent(certify.target)} reliable?", body, pen)


def runs_lines(outcomes: Sequence[str], stopped: str, pen: Pen) -> Lines:
    body = strip(outcomes, pen)
    if stopped:
        words = stopped if stopped.lower().startswith("stopped") else f"Stopped: {stopped}"
        words = words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")
        body += pen.wrap(pen.text(words, "dim"))
    return titled("Every run, in the order drawn" if outcomes else "No run", body, pen)


def caveat_lines(caveats: Sequence[str], pen: Pen) -> Lines:
    bullet = Text(f"   {pen.glyph('bullet')} ")
    body = [line for caveat in caveats for line in pen.wrap(pen.text(caveat), bullet, 5)]
    return titled("Keep in mind", body, pen)


def cost_lines(cost: Cost | None, pen: Pen) -> Lines:
    """What the answer took, in a line or two."""
    if cost is None:
        return []
    pieces = [counts("call", cost.calls)]
    if cost.control_calls:
        pieces.append(counts("control call", cost.control_calls))
    if cost.judge_calls:
        pieces.append(counts("judge call", cost.judge_calls))
    if cost.samples > cost.calls + cost.control_calls:
        pieces.append(counts("sample", cost.samples))
    if cost.reused:
        pieces.append(f"{cost.reused:,} reused")
    pieces += [*usage_pieces(cost), seconds_words(cost.seconds)]
    return titled("What it took", pen.flow(pieces), pen)


def usage_pieces(used: Cost | Usage) -> list[str]:
    """Tokens and money, as far as they are known."""
    if used.prompt_tokens is None or used.completion_tokens is None:
        return ["tokens unknown", money(used.usd)]
    cached = f" ({used.cached_tokens:,} from a cache)" if used.cached_tokens else ""
    return [f"{counts('token', used.prompt_tokens)} in{cached}, {used.completion_tokens:,} out", money(used.usd)]
