"""The figures of an answer, made from its values; each takes the width that it is drawn at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reroll.answer import Answer, CauseSection, CertifySection, DudSection, LuckSection
from reroll.numbers import counts, percent
from reroll.render.figures import (
    Figure,
    IntervalRow,
    RuleLine,
    TokenBar,
    dumbbells,
    evidence_walk,
    intervals,
    outcome_strip,
    retries,
    success_curve,
    token_bars,
)
from reroll.walks import Walks, certify_walks, luck_walks
from reroll.words import bounds

__all__ = ["Draw", "of_answer", "of_card", "of_cause", "of_forks"]

Draw = Callable[[int], Figure]
TRIES = 5


def of_answer(answer: Answer) -> dict[str, Draw]:
    """Every figure that this answer has something for."""
    made: dict[str, Draw] = {}
    luck, certify = answer.luck, answer.certify
    if isinstance(luck, LuckSection):
        made["rate"] = lambda width: _rate(luck, certify, width)
        if answer.outcomes:
            made["runs"] = lambda width: outcome_strip("runs", "The runs, in the order in which they came", answer.outcomes, width=width)
            if luck.rate.method == "sampling":
                made["evidence"] = lambda width: _evidence(answer, luck, width)
        if luck.rate.failures and luck.rate.estimate is not None:
            made["tries"] = lambda width: _tries(luck, certify, width)
    if isinstance(answer.cause, CauseSection) and answer.cause.factors:
        made["cause"] = lambda width: of_cause(answer.cause, width)
    if isinstance(answer.dud, DudSection) and answer.dud.alternatives:
        made["token"] = lambda width: _token(answer.dud, width)
    return made


def _rate(luck: LuckSection, certify: Any, width: int) -> Figure:
    low, high = bounds(luck, certify)
    judged = luck.rate.n - luck.rate.invalid
    note = f"{luck.rate.failures:,} of {counts('run', judged)}"
    rows = [IntervalRow("This request fails", low, luck.rate.estimate, high, "fail", note)]
    lines = []
    reference = luck.reference
    if reference.source == "controls" and reference.n:
        share = reference.failures / max(1, reference.n - reference.invalid)
        limit = 1.0 if luck.reference_rate is None else luck.reference_rate
        rows.append(IntervalRow("Ordinary requests fail", 0.0, share, limit, "accent", f"{reference.failures:,} of {counts('run', reference.n)}"))
    elif luck.reference_rate is not None:
        lines.append(RuleLine(luck.reference_rate, "usual"))
    if isinstance(certify, CertifySection):
        lines.append(RuleLine(1 - certify.target, f"{percent(certify.target)} target allows"))
    return intervals("rate", "How often it fails", rows, lines=lines, width=width)


def _evidence(answer: Answer, luck: LuckSection, width: int) -> Figure:
    walks = luck_walks(answer.outcomes, luck.reference_rate, 1 - luck.tolerable, luck.alpha)
    title = "How the evidence grew, run by run"
    labels = {"met": "no worse than that", "not_met": "worse than usual" if luck.reference_rate is not None else "fails too often"}
    if luck.reference_rate is None and isinstance(answer.certify, CertifySection):
        walks = certify_walks(answer.outcomes, answer.certify.target, answer.certify.alpha, answer.certify.horizon)
        labels = {"met": f"{percent(answer.certify.target)} reliable", "not_met": f"not {percent(answer.certify.target)} reliable"}
    return _walk(walks, title, labels, width)


def _walk(walks: Walks, title: str, labels: Mapping[str, str], width: int) -> Figure:
    sides = [
        (labels[walk.side], "pass" if walk.side == "met" else "fail", walk.points, walk.threshold) for walk in walks.sides
    ]
    return evidence_walk("evidence", title, sides, crossed_at=walks.crossed_at, width=width)


def _tries(luck: LuckSection, certify: Any, width: int) -> Figure:
    low, high = bounds(luck, certify)
    p = luck.rate.estimate or 0.0
    points = [(k, 1 - p**k, 1 - high**k, 1 - low**k) for k in range(1, TRIES + 1)]
    return retries("tries", "Right within so many tries, if somebody notices every wrong answer", points, width=width)


def of_cause(cause: CauseSection | Any, width: int) -> Figure:
    rows = [
        IntervalRow(f"“{one.words}”", one.effect.low or 0.0, one.effect.value, one.effect.high or 0.0, "fail", one.id)
        for one in cause.factors
    ]
    title = "How much less often it fails without it, in percentage points"
    return intervals("cause", title, rows, unit="points", domain=None, width=width, lines=[RuleLine(0.0, "no difference")])


def _token(dud: DudSection | Any, width: int) -> Figure:
    bars = [TokenBar(dud.token or "", dud.prob or 0.0, None if dud.success_after is None else dud.success_after.value, True)]
    bars += [TokenBar(o.token, o.prob or 0.0, o.success.value) for o in dud.alternatives[:6]]
    bars.sort(key=lambda bar: -bar.prob)
    rest = max(0.0, 1 - sum(bar.prob for bar in bars))
    title = "What could stand there: how likely each is, and how often the answer then works out"
    return token_bars("token", title, bars, other=rest, width=width)


def of_forks(body: Mapping[str, Any], width: int) -> Figure:
    """The success curve of one failing run."""
    tokens = body.get("tokens") or []
    named = {i + 1: _text(token) for i, token in enumerate(tokens)}
    points = [(p["prefix"], named.get(p["prefix"], ""), p["success"], p["low"], p["high"]) for p in body["curve"]]
    return success_curve("curve", "How often an answer that begins like this works out", points, mark=body.get("position"), width=width)


def _text(token: Any) -> str:
    return str(token.get("text", "")) if isinstance(token, Mapping) else str(token)


def of_card(card: Mapping[str, Any], width: int) -> Figure:
    """One fix: failure rates without and with it, on each set that was run."""
    names = (("case", "This request"), ("neighbours", "Others like it"), ("lookalikes", "Look-alikes"), ("control", "Ordinary requests"))
    pairs = []
    for key, label in names:
        shown = card.get(key)
        if shown and shown["before"]["n"]:
            pairs.append((label, _row(shown["before"]), _row(shown["after"])))
    title = f"Failure rates without {card['fix']} (open) and with it (full)"
    return dumbbells(f"fix-{card['fix']}", title, pairs, width=width)


def _row(rate: Mapping[str, Any]) -> IntervalRow:
    return IntervalRow("", rate["low"], rate["estimate"], rate["high"], "accent", f"{rate['failures']} of {rate['n']}")


