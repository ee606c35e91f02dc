"""Outcomes in the order in which they came, and the evidence that they add up to."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reroll.numbers import counts
from reroll.render.figures.figure import Canvas, Figure, room_for
from reroll.render.figures.scales import Scale, whole_ticks

__all__ = ["evidence_walk", "outcome_strip"]

EACH = 400  # outcomes that are drawn one by one
LETTER = {"pass": "passed", "fail": "failed", "invalid": "not judged"}


def outcome_strip(name: str, title: str, outcomes: Sequence[str], *, width: int = 720) -> Figure:
    """Every run in order: a disc passed, a cross failed, a broken ring was not judged; many as columns of shares."""
    fails, invalid = sum(o == "fail" for o in outcomes), sum(o == "invalid" for o in outcomes)
    told = f"{fails:,} of {counts('run', len(outcomes))} failed" + (f", {invalid:,} were not judged" if invalid else "")
    canvas = Canvas(width)
    if len(outcomes) <= EACH:
        step = 15 if len(outcomes) <= 120 else 11
        across = max(1, width // step)
        for i, word in enumerate(outcomes):
            x, y = (i % across) * step + step / 2, (i // across) * (step + 2) + step / 2 + 1
            canvas.mark(x, y, word, 4.6 if step == 15 else 3.4, f"run {i + 1}: {LETTER.get(word, word)}")
        height = max(1, math.ceil(len(outcomes) / across)) * (step + 2) + 2
        rows: list[tuple[object, ...]] = [(i + 1, LETTER.get(word, word)) for i, word in enumerate(outcomes)]
        return canvas.done(name, title, told, height, ("run", "outcome"), rows)
    columns = min(width // 4, len(outcomes))
    high, rows = 64.0, []
    for k in range(columns):
        part = outcomes[k * len(outcomes) // columns : (k + 1) * len(outcomes) // columns]
        failed, unjudged = part.count("fail") / len(part), part.count("invalid") / len(part)
        x, w = k * width / columns, width / columns - 0.6
        canvas.rect(x, 0, w, high, "pass-soft")
        canvas.rect(x, high - high * failed, w, high * failed, "fail")
        canvas.rect(x, 0, w, high * unjudged, "invalid")
        first = k * len(outcomes) // columns + 1
        rows.append((f"{first} to {first + len(part) - 1}", len(part), part.count("fail"), part.count("invalid")))
    canvas.text(0, high + 16, "first run", "soft", size=12)
    canvas.text(width, high + 16, f"run {len(outcomes):,}", "soft", size=12, at="end")
    note = f"each column {math.ceil(len(outcomes) / columns):,} runs, failures from below"
    canvas.text(width / 2, high + (16 if width > 500 else 32), note, "soft", size=12, at="middle")
    return canvas.done(name, title, told, high + (24 if width > 500 else 40), ("runs", "how many", "failed", "not judged"), rows)


def evidence_walk(
    name: str,
    title: str,
    sides: Sequence[tuple[str, str, Sequence[tuple[int, float]], float]],
    *,
    crossed_at: int | None = None,
    width: int = 720,
) -> Figure:
    """How the evidence grew, run by run, as the factor by which the bets on each side won; its threshold as a line.

    sides: (label, kind, [(run, log e)], log threshold) each; crossed_at: the run at which one crossed its own.
    """
    canvas, left = Canvas(width), 46
    runs = max((run for _, _, points, _ in sides for run, _ in points), default=1)
    top = max([bound for *_, bound in sides] + [e for _, _, points, _ in sides for _, e in points]) * 1.1 or 1.0
    low = max(-4.0, min([0.0] + [e for _, _, points, _ in sides for _, e in points]))
    high, bottom = 12.0, 190.0
    x, y = Scale(0, runs, left, width - 8), Scale(low, top, bottom, high)
    for power in _powers(low, top):
        canvas.line(left, y(power * math.log(10)), width, y(power * math.log(10)), "grid")
        canvas.text(left - 8, y(power * math.log(10)) + 4, _factor(power), "soft", size=12, at="end")
    for tick in whole_ticks(runs, 6 if width > 500 else 4):
        if x(tick) < width - 56:
            canvas.text(x(tick), bottom + 18, f"{tick:,.0f}", "soft", size=12, at="middle")
    canvas.text(width, bottom + 18, "runs", "soft", size=12, at="end")
    highest = max((bound for *_, bound in sides), default=0.0)
    for label, kind, points, bound in sides:
        canvas.line(left, y(bound), width, y(bound), f"line-{kind}", 1.3, "5 4")
        under = len(sides) > 1 and bound < highest
        canvas.text(left + 6, y(bound) + (15 if under else -5), f"enough for “{label}”", kind, size=12)
        canvas.path([(x(run), y(e)) for run, e in points], f"line-{kind}", 2.2)
    if crossed_at is not None:
        _, kind, points, _ = max(sides, key=lambda side: max((e - side[3] for _, e in side[2]), default=-1e9))
        reached = next((e for run, e in points if run == crossed_at), None)
        if reached is not None:
            words = f"run {crossed_at:,}"
            canvas.mark(x(crossed_at), y(reached), kind if kind != "fail" else "accent", 5)
            at = "end" if x(crossed_at) + room_for(words) + 12 > width else "start"
            canvas.text(x(crossed_at) + (-10 if at == "end" else 10), y(reached) + 18, words, bold=True, at=at)
    told = f"crossed at run {crossed_at}" if crossed_at is not None else "no threshold was crossed yet"
    rows = [(label, run, f"{math.exp(min(e, 700)):.4g}", f"{math.exp(bound):.4g}") for label, _, points, bound in sides for run, e in points]
    return canvas.done(name, title, told, bottom + 26, ("claim", "run", "evidence (factor)", "enough"), rows)


def _powers(low: float, high: float) -> list[int]:
    first, last = math.ceil(low / math.log(10) - 1e-9), math.floor(high / math.log(10))
    step = max(1, math.ceil((last - first) / 5))
    return list(range(first, last + 1, step))


def _factor(power: int) -> str:
    return f"×{10**power:,}" if 0 <= power <= 4 else f"×10^{power}" if power > 0 else f"×{10.0**power:g}"


