"""What might have stood at a place: each token as long as it is likely, and two such lists back to back."""

from __future__ import annotations

from collections.abc import Sequence

from reroll.render.figures.figure import NARROW, Figure, figure
from reroll.render.figures.lettering import cut, inert, quoted, share_words, width_of
from reroll.render.figures.marks import box, letters, line

__all__ = ["token_bars", "two_distributions"]

ROW, BAR = 26.0, 15.0

Listed = Sequence[tuple[str, float]]


def token_bars(
    name: str,
    tokens: Sequence[tuple[str, float, float | None]],
    other: float = 0.0,
    *,
    chosen: str | None = None,
    title: str = "What might have stood there",
    summary: str = "",
    width: int = 720,
) -> Figure:
    """Each token's probability as a bar, cut into what works out with it and what fails; grey where that is not known.

    Args:   tokens: (token, probability, share of answers that work out with it); other: what all unlisted tokens have
            together; chosen: the token that was drawn, which is bold.
    """
    rows = [(quoted(t), p, share, t == chosen) for t, p, share in tokens]
    if other > 0:
        rows.append(("all others", other, None, False))
    known = any(share is not None for _, _, share, _ in rows)
    works = [("" if share is None else share_words(share)) for _, _, share, _ in rows]
    left = min(max([width_of(t, "mono strong") for t, *_ in rows] + [40]), width * 0.3) + 12
    p_room = max([width_of(share_words(p), "value strong") for _, p, *_ in rows] + [40]) + 8
    w_room = max(width_of(w, "value") for w in [*works, "works"]) + 16 if known else 0.0
    room = width - left - p_room - w_room
    most = max((p for _, p, *_ in rows), default=1.0) or 1.0
    marks, y = [], 4.0
    if known:
        marks.append(letters(width, 8, "works", "note", "end"))
        marks.append(letters(left, 8, "how likely" if width < NARROW else "how likely the token is", "note"))
        y = 22.0
    for (token, p, share, bold), said in zip(rows, works, strict=True):
        middle, long = y + ROW / 2, max(1.0, room * p / most)
        strong = " strong" if bold else ""
        marks.append(letters(left - 12, middle, cut(token, left - 12, "mono strong"), f"mono{strong}", "end"))
        if share is None:
            marks.append(box(left, middle - BAR / 2, long, BAR, "muted"))
        else:
            marks.append(box(left, middle - BAR / 2, long * share, BAR, "pass"))
            marks.append(box(left + long * share, middle - BAR / 2, long * (1 - share), BAR, "fail"))
        marks.append(letters(left + long + 8, middle, share_words(p), f"value{strong}"))
        if said:
            marks.append(letters(width, middle, said, "value", "end"))
        y += ROW
    marks.insert(0, line(left, 20 if known else 2, left, y, "axis"))
    told = ", ".join(f"{t} {share_words(p)}" for t, p, *_ in rows[:5])
    table = [(t, share_words(p), said) for (t, p, *_), said in zip(rows, works, strict=True)]
    return figure(name, title, summary or f"{told}.", ("token", "probability", "works"), table, width, y + 6, marks)


def two_distributions(
    name: str,
    left: Listed,
    right: Listed,
    *,
    names: tuple[str, str] = ("one", "other"),
    most: int = 12,
    title: str = "Two lists of what may come next",
    summary: str = "",
    width: int = 720,
) -> Figure:
    """Two lists of (token, probability) back to back, the tokens that either finds likeliest first."""
    one, two = dict(left), dict(right)
    order = sorted(dict.fromkeys([*one, *two]), key=lambda t: -max(one.get(t, 0.0), two.get(t, 0.0)))
    shown = order[:most]
    said = [quoted(t) for t in shown]
    middle = min(max([width_of(t, "mono") for t in said] + [50]), width * 0.26)
    numbers = max([width_of(share_words(d.get(t, 0.0)), "value") for d in (one, two) for t in shown] + [40]) + 8
    room = (width - middle - 24) / 2 - numbers
    end = max([*(one.get(t, 0.0) for t in shown), *(two.get(t, 0.0) for t in shown)], default=1.0) or 1.0
    inner = ((width - middle) / 2 - 12, (width + middle) / 2 + 12)
    half = inner[0]
    marks = [
        letters(half, 9, cut(inert(names[0]), half, "note strong"), "note strong", "end"),
        letters(inner[1], 9, cut(inert(names[1]), half, "note strong"), "note strong accent"),
    ]
    y = 22.0
    for token, text in zip(shown, said, strict=True):
        at = y + ROW / 2
        marks.append(letters(width / 2, at, cut(text, middle, "mono"), "mono", "middle"))
        for side, (given, kind) in enumerate(((one, "muted"), (two, "accent"))):
            p = given.get(token)
            long = 0.0 if p is None else max(1.0, room * p / end)
            start = inner[0] - long if side == 0 else inner[1]
            if p is not None:
                marks.append(box(start, at - BAR / 2, long, BAR, kind))
            number = "–" if p is None else share_words(p)
            beside = inner[0] - long - 8 if side == 0 else inner[1] + long + 8
            marks.append(letters(beside, at, number, "value", "start" if side else "end"))
        y += ROW
    marks += [line(x, 20, x, y, "axis") for x in inner]
    table = [(quoted(t), *("" if d.get(t) is None else share_words(d[t]) for d in (one, two))) for t in order]
    if order[most:]:
        marks.append(letters(width / 2, y + 12, f"and {len(order) - most} rarer ones", "note", "middle"))
        y += 20
    told = "; ".join(
        f"{quoted(t)}: {share_words(one.get(t, 0.0))} and {share_words(two.get(t, 0.0))}" for t in shown[:4]
    )
    return figure(name, title, summary or f"{told}.", ("token", *names), table, width, y + 6, marks)
