"""The figures of an answer, made from its values; each takes the width that it is drawn at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reroll.answer import Answer, CauseSection, CertifySection, DudSection, LuckSection
from reroll.conclude import bounds
from reroll.numbers import counts, percent
from reroll.render.figures import (
    Figure,
    IntervalRow,
    dumbbells,
    evidence_walk,
    intervals,
    outcome_strip,
    retries,
    success_curve,
    token_bars,
)
from reroll.walks import certify_walks, luck_walks

__all__ = ["Draw", "of_again", "of_answer", "of_card", "of_cause", "of_forks"]

Draw = Callable[[int], Figure]
TRIES = 5


def of_answer(answer: Answer) -> dict[str, Draw]:
    """Every figure that this answer has something for."""
    made: dict[str, Draw] = {}
    luck, certify, cause, dud = answer.luck, answer.certify, answer.cause, answer.dud
    if isinstance(luck, LuckSection):
        made["rate"] = lambda width: _rate(luck, certify, width)
        if answer.outcomes:
            title = "The runs, in the order in which they came"
            made["runs"] = lambda width: outcome_strip("runs", answer.outcomes, title=title, width=width)
            if luck.rate.method == "sampling":
                made["evidence"] = lambda width: _evidence(answer, luck, width)
        if luck.rate.failures and luck.rate.estimate is not None:
            made["tries"] = lambda width: _tries(luck, certify, width)
    if isinstance(cause, CauseSection) and cause.factors:
        made["cause"] = lambda width: of_cause(cause, width)
    if isinstance(dud, DudSection) and dud.alternatives:
        made["token"] = lambda width: _token(dud, width)
    return made


def of_again(answer: Answer, width: int) -> Figure:
    """What came when it was run again, in the order drawn."""
    return outcome_strip("again", answer.outcomes, title="The newest runs", width=width)


def _rate(luck: LuckSection, certify: Any, width: int) -> Figure:
    low, high = bounds(luck, certify)
    judged = luck.rate.n - luck.rate.invalid
    note = f"{luck.rate.failures:,} of {counts('run', judged)}"
    rows = [IntervalRow("This request fails", low, luck.rate.estimate, high, "fail", note)]
    lines: list[tuple[float, str, str]] = []
    reference = luck.reference
    if reference.source == "controls" and reference.n:
        share = reference.failures / max(1, reference.n - reference.invalid)
        limit = 1.0 if luck.reference_rate is None else luck.reference_rate
        told = f"{reference.failures:,} of {counts('run', reference.n)}"
        rows.append(IntervalRow("Ordinary requests fail", 0.0, share, limit, "muted", told))
    elif luck.reference_rate is not None:
        lines.append((luck.reference_rate, "usual", "reference"))
    if isinstance(certify, CertifySection):
        lines.append((1 - certify.target, f"a {percent(certify.target)} target allows", "target"))
    return intervals("rate", "How often it fails", rows, lines, width=width)


def _evidence(answer: Answer, luck: LuckSection, width: int) -> Figure:
    if luck.reference_rate is None and isinstance(answer.certify, CertifySection):
        certify = answer.certify
        target = percent(certify.target)
        walks = certify_walks(answer.outcomes, certify.target, certify.alpha, certify.horizon)
        return evidence_walk(
            "evidence", walks, words={"met": f"{target} reliable", "not_met": f"not {target}"}, width=width
        )
    walks = luck_walks(answer.outcomes, luck.reference_rate, 1 - luck.tolerable, luck.alpha)
    worse = "worse than usual" if luck.reference_rate is not None else "fails too often"
    return evidence_walk("evidence", walks, words={"met": "no worse than that", "not_met": worse}, width=width)


def _tries(luck: LuckSection, certify: Any, width: int) -> Figure:
    low, high = bounds(luck, certify)
    p = luck.rate.estimate or 0.0
    points = [(k, 1 - p**k, 1 - high**k, 1 - low**k) for k in range(1, TRIES + 1)]
    return retries(
        "tries", points, title="Right within so many tries, if somebody notices every wrong answer", width=width
    )


def of_cause(cause: CauseSection | Any, width: int) -> Figure:
    rows = [
        IntervalRow(f"“{one.words}”", one.effect.low, one.effect.value, one.effect.high, "fail", one.id)
        for one in cause.factors
    ]
    return intervals("cause", "How much less often it fails without it, in points", rows, unit="points", width=width)


def _token(dud: DudSection | Any, width: int) -> Figure:
    after = None if dud.success_after is None else dud.success_after.value
    bars = [
        (dud.token or "", dud.prob or 0.0, after),
        *((o.token, o.prob or 0.0, o.success.value) for o in dud.alternatives[:6]),
    ]
    bars.sort(key=lambda bar: -bar[1])
    rest = max(0.0, 1 - sum(bar[1] for bar in bars))
    title = "What could stand there: how likely each is, and how often the answer then works out"
    return token_bars("token", bars, rest, chosen=dud.token, title=title, width=width)


def of_forks(body: Mapping[str, Any], width: int) -> Figure:
    """The success curve of one failing run."""
    named = {i: str(token.get("text", "")) for i, token in enumerate(body.get("tokens") or [], 1)}
    points = [(p["prefix"], named.get(p["prefix"], ""), p["success"], p["low"], p["high"]) for p in body["curve"]]
    return success_curve(
        "curve", points, body.get("position"), title="How often an answer that begins like this works out", width=width
    )


SETS = (
    ("case", "This request"),
    ("neighbours", "Others like it"),
    ("lookalikes", "Look-alikes"),
    ("control", "Ordinary requests"),
)


def of_card(card: Mapping[str, Any], width: int) -> Figure:
    """One fix: failure rates without and with it, on each set that was run."""
    rows = [
        (label, _range(shown["before"]), _range(shown["after"]))
        for key, label in SETS
        if (shown := card.get(key)) and shown["before"]["n"]
    ]
    title = f"How often it fails without {card['fix']}, and with it"
    return dumbbells(
        f"fix-{card['fix']}", rows, title=title, names=("without", "with it"), domain=(0.0, 1.0), width=width
    )


def _range(rate: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    return rate["low"], rate["estimate"], rate["high"]
