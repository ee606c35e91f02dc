"""What could stand at one place, as bars: one distribution, two side by side, or counts of anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reroll.numbers import percent
from reroll.render.figures.figure import Canvas, Figure, cut

__all__ = ["TokenBar", "histogram", "token_bars", "two_distributions"]

ROW = 26


@dataclass(frozen=True, slots=True)
class TokenBar:
    """One token with its probability, and how often answers that go on with it work out (None: not known)."""

    token: str
    prob: float
    success: float | None = None
    chosen: bool = False


def token_name(token: str) -> str:
    """The token as one reads it: its blanks are shown."""
    return token.replace(" ", "␣").replace("\n", "⏎") or "(end)"


def token_bars(
    name: str, title: str, bars: Sequence[TokenBar], *, other: float = 0.0, width: int = 720
) -> Figure:
    """Each token's probability as a bar, split by how often answers that go on with it work out; the chosen one marked."""
    canvas, left = Canvas(width), min(170.0, width * 0.36)
    top = max([b.prob for b in bars] + [other, 0.01])
    room = width - left - 56
    for i, bar in enumerate(bars):
        y = ROW * i + 4
        canvas.text(left - 10, y + 14, cut(token_name(bar.token), int(left / 8)), at="end", bold=bar.chosen)
        long = room * bar.prob / top
        if bar.success is None:
            canvas.rect(left, y + 2, max(1.5, long), 16, "accent", 2)
        else:
            canvas.rect(left, y + 2, max(1.5, long), 16, "fail", 2)
            canvas.rect(left, y + 2, long * bar.success, 16, "pass", 2)
        canvas.text(left + long + 8, y + 14, percent(bar.prob), "label" if bar.chosen else "soft", size=12, bold=bar.chosen)
    height = ROW * len(bars) + 4
    if other > 0.0005:
        canvas.text(left - 10, height + 14, "anything else", "soft", at="end")
        canvas.rect(left, height + 2, max(1.5, room * other / top), 16, "muted", 2)
        canvas.text(left + room * other / top + 8, height + 14, percent(other), "soft", size=12)
        height += ROW
    rows = [(token_name(b.token), percent(b.prob), "" if b.success is None else percent(b.success), "sampled" if b.chosen else "") for b in bars]
    rows += [("anything else", percent(other), "", "")] if other > 0.0005 else []
    told = "; ".join(f"{token_name(b.token)} {percent(b.prob)}" for b in bars[:5])
    return canvas.done(name, title, told, height + 4, ("token", "probability", "works out", ""), rows)


def two_distributions(
    name: str,
    title: str,
    tokens: Sequence[tuple[str, float, float]],
    labels: tuple[str, str],
    *,
    width: int = 720,
) -> Figure:
    """What each of two wordings says at one place: bars to the left and to the right of the token's name.

    tokens: (token, probability with the first, with the second).
    """
    canvas, middle = Canvas(width), width / 2
    gap = 62 if width > 500 else 46
    room = middle - gap - 48
    top = max([p for _, a, b in tokens for p in (a, b)] + [0.01])
    canvas.text(middle - gap, 14, cut(labels[0], int(room / 6)), "soft", size=12, at="end", bold=True)
    canvas.text(middle + gap, 14, cut(labels[1], int(room / 6)), "soft", size=12, bold=True)
    for i, (token, first, second) in enumerate(tokens):
        y = 24 + ROW * i
        canvas.text(middle, y + 14, cut(token_name(token), int(2 * gap / 8)), at="middle")
        one, two = room * first / top, room * second / top
        canvas.rect(middle - gap - one, y + 2, max(1.5, one), 16, "soft", 2)
        canvas.text(middle - gap - one - 8, y + 14, percent(first), "soft", size=12, at="end")
        canvas.rect(middle + gap, y + 2, max(1.5, two), 16, "accent", 2)
        canvas.text(middle + gap + two + 8, y + 14, percent(second), "soft", size=12)
    rows = [(token_name(t), percent(a), percent(b)) for t, a, b in tokens]
    told = "; ".join(f"{token_name(t)}: {percent(a)} and {percent(b)}" for t, a, b in tokens[:4])
    return canvas.done(name, title, told, 30 + ROW * len(tokens), ("token", *labels), rows)


def histogram(
    name: str, title: str, bins: Sequence[tuple[str, int, str]], *, width: int = 720, unit: str = "runs"
) -> Figure:
    """How many there are of each kind: a bar each, with its number. bins: (what, how many, kind)."""
    canvas, left = Canvas(width), min(220.0, width * 0.42)
    top = max((n for _, n, _ in bins), default=1) or 1
    room = width - left - 60
    for i, (label, n, kind) in enumerate(bins):
        y = ROW * i + 4
        canvas.text(left - 10, y + 14, cut(label, int(left / 7.2)), at="end")
        canvas.rect(left, y + 2, max(1.5, room * n / top), 16, kind, 2)
        canvas.text(left + room * n / top + 8, y + 14, f"{n:,}", "soft", size=12)
    rows = [(label, n) for label, n, _ in bins]
    told = "; ".join(f"{label}: {n:,}" for label, n, _ in bins[:6])
    return canvas.done(name, title, told, ROW * len(bins) + 8, ("what", unit), rows)
