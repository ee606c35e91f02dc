"""How anything reaches a screen: colours with one meaning each, symbols, and text that can do no harm.

What a model wrote is foreign: it may hold escape codes, links, bidi overrides or megabytes. Every
string, ours too, passes through `Pen.text`, so nothing else needs to remember that.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from reroll.numbers import counts

__all__ = ["COLOURS", "MOST_ACCENTS", "Pen", "Window", "visible", "window"]

# Blue and orange differ for every kind of colour blindness, and at this lightness both can be read
# on black and on white. Green and red would be neither. A symbol always stands beside the colour.
COLOURS = {"pass": "#3b8eea", "fail": "#d9730d", "invalid": "#c05fc0", "undecided": "#8a8f98"}

GLYPHS = {
    "pass": ("●", "o"),
    "fail": ("✗", "x"),
    "invalid": ("?", "?"),
    "undecided": ("◐", "~"),
    "left": ("├", "["),
    "right": ("┤", "]"),
    "line": ("─", "-"),
    "point": ("◆", "*"),
    "mark": ("▲", "^"),
    "axis": ("·", "."),
    "side": ("│", "|"),
    "heavy": ("┃", "|"),
    "bullet": ("•", "-"),
    "levels": ("▁▂▃▄▅▆▇█", ".1234579#"),
    "bar": ("█", "#"),
    "steps": ("▁▂▃▄▅▆▇█", "12345678"),
    "flat": ("━", "="),
    "half": ("╸", "-"),
    "corners": ("┓┗┛┏", "++++"),
    "shade": ("░", ":"),
    "fork": ("├─ ", "|- "),
    "last": ("└─ ", "`- "),
}
# Our own typography in seven bits; anything else that the screen cannot show becomes \u2713.
TYPEWRITER = str.maketrans(
    {
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "...",
        "“": '"',
        "”": '"',
        "‘": "'",
        "’": "'",
        "·": "-",
        "×": "x",
        "␣": "_",
        "±": "+-",
    }
    | {unicode: ascii for unicode, ascii in GLYPHS.values() if len(unicode) == 1 and unicode != "·"}
)

# Foreign characters get names in plain letters: many fonts lack the control pictures.
# Blank are letters and symbols that are as good as invisible: Hangul fillers, the blank Braille pattern.
NAMED = {"\x00": "NUL", "\x07": "BEL", "\x08": "BS", "\r": "CR", "\x1b": "ESC", "\x7f": "DEL"}
BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
LEAST_ROOM = 12  # columns for running text
MOST_ACCENTS = 3  # more combining marks on one letter climb over the neighbouring lines
MOST_CHARACTERS = 4000  # of any one string of ours; completions come through `window` with their own limit


GLUE = "\ue000"
NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=(?:%|s|min|h)\b|%)")


def visible(char: str) -> str:
    """The character, or what stands for it where it would be invisible or would steer the terminal.

    >>> visible("a"), visible("\\x1b"), visible("\\u202e"), visible("\\xa0")
    ('a', '<ESC>', '<U+202E>', '␣')
    """
    if " " <= char <= "~" or char == "\n":
        return char
    if char == "\t":
        return "    "
    category = unicodedata.category(char)
    if char in NAMED:
        return f"<{NAMED[char]}>"
    if category == "Zs":
        return "␣"
    if "\ufe00" <= char <= "\ufe0f":  # asks for an emoji or text style; terminals disagree on its width
        return ""
    selector = "\U000e0100" <= char <= "\U000e01ef"
    if category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or char in BLANK or selector:
        return f"<U+{ord(char):04X}>"
    return char


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a long text that is shown: characters `start` to `end` of `total`."""

    start: int
    end: int
    total: int


def window(text: str, marks: Sequence[tuple[int, int]] = (), characters: int = 600, lines: int = 12) -> Window:
    """Which part to show: the beginning, unless the first mark lies beyond it; then the text from shortly before.

    >>> window("abc"), window("x" * 900), window("x" * 900, [(800, 805)], 90)
    (Window(start=0, end=3, total=3), Window(start=0, end=600, total=900), Window(start=770, end=860, total=900))
    """
    first = min((s for s, e in marks if 0 <= s < e <= len(text)), default=0)
    end = _fold(text, 0, characters, lines)
    if first < end or not text:
        return Window(0, end, len(text))
    start = max(text.rfind("\n", 0, first) + 1, first - characters // 3)
    return Window(start, _fold(text, start, characters, lines), len(text))


def _fold(text: str, start: int, characters: int, lines: int) -> int:
    """Where showing ends that begins at `start`: after so many characters or lines, or at the end."""
    end, at = min(len(text), start + characters), start - 1
    for _ in range(lines):
        at = text.find("\n", at + 1, end)
        if at < 0:
            return end
    return at


class Pen:
    """Writes on one console: knows its width, and whether it can show more than seven bits."""

    WIDEST = 100  # longer lines are hard to read, however wide the window

    def __init__(self, console: Console) -> None:
        self.console = console
        self.width = max(20, min(console.width, self.WIDEST))  # lines end a column before, as a margin
        self.encoding = console.encoding or "ascii"
        self.unicode = self._shows("".join(unicode for unicode, _ in GLYPHS.values()) + "–…·␣")

    def _shows(self, text: str) -> bool:
        try:
            text.encode(self.encoding)
        except (UnicodeEncodeError, LookupError):
            return False
        return True

    def glyph(self, name: str) -> str:
        """The symbol of that name, as this console can show it."""
        return GLYPHS[name][0 if self.unicode else 1]

    def spell(self, char: str) -> str:
        """The character as this console can show it without harm."""
        shown = visible(char)
        if self._shows(shown):
            return shown
        typed = shown.translate(TYPEWRITER)
        return typed if typed.isascii() else char.encode("ascii", "backslashreplace").decode()

    def text(self, raw: str, style: str = "", marks: Sequence[tuple[int, int]] = (), mark_style: str = "") -> Text:
        """The string as inert text; `marks` are spans of its characters that get `mark_style`.

        Whatever had to be replaced is shown reversed, so that nobody takes it for the model's words.
        """
        raw, rest = raw[:MOST_CHARACTERS], len(raw) - MOST_CHARACTERS
        pieces: list[str] = []
        offsets, swapped, at, accents = [0], [], 0, 0
        for char in raw:
            accents = accents + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
            shown = self.spell(char) if accents <= MOST_ACCENTS else f"<U+{ord(char):04X}>"
            if shown.strip() and (visible(char) != char or accents > MOST_ACCENTS):
                swapped.append((at, at + len(shown)))
            pieces.append(shown)
            at += len(shown)
            offsets.append(at)
        # The glue keeps a number and its unit in one line. It is private use, so no foreign text holds it by now.
        out = Text(NUMBER_AND_UNIT.sub(GLUE, "".join(pieces)), style=style, end="")
        for start, end in marks:
            if 0 <= start < end and start < len(raw):
                out.stylize(mark_style, offsets[start], offsets[min(end, len(raw))])
        for start, end in swapped:
            out.stylize("reverse", start, end)
        if rest > 0:
            out.append_text(self.text(f" … {counts('more character', rest)}", "dim"))
        return out

    def join(self, *pieces: str | tuple[str, str] | Text) -> Text:
        """Pieces in one line: strings, (string, style) pairs, or texts made before."""
        out = Text(end="")
        for piece in pieces:
            if isinstance(piece, Text):
                out.append_text(piece)
            else:
                out.append_text(self.text(piece) if isinstance(piece, str) else self.text(*piece))
        return out

    def cut(self, text: Text, cells: int) -> Text:
        """The text in at most so many cells; where its end is cut off, it says so."""
        if text.cell_len <= cells:
            return text
        dots = self.spell("…")[:cells]
        out = text.copy()
        out.truncate(cells - cell_len(dots), overflow="crop")
        out.append(dots, "dim")
        return out

    def flow(self, pieces: Sequence[str], indent: int = 3) -> list[Text]:
        """Short pieces one after the other, a line broken only between them."""
        lines, dot = [""], " · " if self.unicode else " - "
        for piece in pieces:
            longer = f"{lines[-1]}{dot}{piece}" if lines[-1] else piece
            if lines[-1] and cell_len(longer) > self.width - 1 - indent:
                lines.append(piece)
            else:
                lines[-1] = longer
        return [line for text in lines for line in self.wrap(self.text(text), indent, indent + 2)]

    def ready(self, line: Text) -> Text:
        """The line with its glue made spaces again: the last step before it is printed."""
        line.plain = line.plain.replace(GLUE, " ")
        return line

    def put(self, lines: Sequence[Text]) -> None:
        """Print lines made by this pen, as they are."""
        for line in lines:
            self.console.print(self.ready(line), soft_wrap=True, end="\n", highlight=False)

    def wrap(self, text: Text, indent: int | Text = 3, rest: int | Text | None = None) -> list[Text]:
        """The text as lines no wider than the page, each after its indent (`rest`: from the second on)."""
        head = Text(" " * indent) if isinstance(indent, int) else indent.copy()
        tail = head if rest is None else Text(" " * rest) if isinstance(rest, int) else rest
        room = self.width - 1 - max(head.cell_len, tail.cell_len)
        if room < LEAST_ROOM:  # no place for a column of its own: what stood before the text begins it
            head.rstrip()
            text, head, tail, room = Text.assemble(head, " ", text), Text(), Text("  "), self.width - 3
        lines = text.wrap(self.console, room, overflow="fold") or [Text()]
        out = []
        for i, line in enumerate(lines):
            line.rstrip()
            full = Text.assemble(head if i == 0 else tail, line)
            full.rstrip()
            out.append(full)
        return out
