"""Text that does no harm and fits: foreign characters visible, widths estimated, labels cut, wrapped and spread."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rich.cells import cell_len

from reroll.numbers import percent
from reroll.render.ink import MOST_ACCENTS, visible

__all__ = ["cut", "inert", "quoted", "share_words", "size_of", "spread", "width_of", "wrapped"]

CELL = 0.602  # em for each column: exact for the font of the PNG, a little generous for those of most pages
WIDE, WIDER = 0.98, frozenset("%@MWmw…→")  # what is wider in proportional fonts
DIGIT = 0.64
BOLD = 1.1
SIZES = {"note": 11.5, "tick": 11.5, "mono": 12.5}
MOST = 300  # characters of any one label that are looked at


def inert(text: str, most: int = MOST) -> str:
    """The text in one line that steers nothing: control and bidi characters spelt out, accents not piled up, cut to a
    length.

    >>> inert("a\\x1b[31m\\nb"), inert("\\u202eevil")
    ('a<ESC>[31m⏎b', '<U+202E>evil')
    """
    pieces, accents = [], 0
    for char in text[:most]:
        accents = accents + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        shown = "⏎" if char == "\n" else visible(char)
        pieces.append(shown if accents <= MOST_ACCENTS else f"<U+{ord(char):04X}>")
    return "".join(pieces) + ("…" if len(text) > most else "")


def quoted(token: str) -> str:
    """A token as one sees it: its spaces at both ends shown, nothing at all named.

    >>> quoted(" not"), quoted(""), quoted("\\n")
    ('␣not', '(end)', '⏎')
    """
    if not token:
        return "(end)"
    body = token.strip(" ")
    before = len(token) - len(token.lstrip(" ")) if body else len(token)
    return "␣" * before + inert(body) + "␣" * (len(token) - before - len(body))


def share_words(rate: float) -> str:
    """The rate in percent, as short as a figure needs it.

    >>> share_words(0.42), share_words(1e-7), share_words(1 - 1e-7)
    ('42 %', '< 0.001 %', '> 99.999 %')
    """
    return percent(rate).replace("less than", "<").replace("more than", ">")


def size_of(classes: str) -> float:
    """The font size of these classes, in pixels."""
    return next((SIZES[name] for name in classes.split() if name in SIZES), 13.0)


def width_of(text: str, classes: str = "label") -> float:
    """About how wide the text is, in pixels: rather too much than too little."""
    bold = BOLD if "strong" in classes else 1.0
    return sum(map(_em, text)) * size_of(classes) * bold


def _em(char: str) -> float:
    if char in WIDER:
        return WIDE
    return DIGIT if char.isdecimal() else cell_len(char) * CELL


def cut(text: str, room: float, classes: str = "label") -> str:
    """The text in so many pixels; where its end is cut off, it says so.

    >>> cut("a long label", 60)
    'a long…'
    """
    if width_of(text, classes) <= room:
        return text
    out, used = [], width_of("…", classes)
    for char in text:
        used += width_of(char, classes)
        if used > room:
            break
        out.append(char)
    return "".join(out).rstrip() + "…" if out else ""


def wrapped(text: str, room: float, lines: int, classes: str = "label") -> list[str]:
    """The text in at most so many lines, broken at spaces where there are any; the last one cut.

    >>> wrapped("works on the second try", 90, 2)
    ['works on', 'the secon…']
    """
    out: list[str] = []
    words = text.split(" ")
    while words and len(out) < lines - 1:
        taken = 1
        while taken < len(words) and width_of(" ".join(words[: taken + 1]), classes) <= room:
            taken += 1
        out.append(cut(" ".join(words[:taken]), room, classes))
        words = words[taken:]
    return [*out, cut(" ".join(words), room, classes)] if words else out


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near to the wanted ones as can be, `gap` apart, within low...high as far as there is room.

    >>> spread([10, 11, 50], 14, 0, 60)
    [3.5, 17.5, 50.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups: list[list[float]] = []  # [middle, members]
    for i in order:
        groups.append([min(max(wanted[i], low), high), 1])
        while True:
            middle, members = groups[-1]
            half = (members - 1) * gap / 2
            groups[-1][0] = middle = max(low + half, min(high - half, middle))
            if len(groups) < 2 or middle - half - (groups[-2][0] + (groups[-2][1] - 1) * gap / 2) >= gap - 1e-9:
                break
            m, k = groups.pop()
            before = groups[-1]
            before[0], before[1] = (before[0] * before[1] + m * k) / (before[1] + k), before[1] + k
    places = [middle + (j - (members - 1) / 2) * gap for middle, members in groups for j in range(int(members))]
    out = [0.0] * len(wanted)
    for i, place in zip(order, places, strict=True):
        out[i] = place
    return out
