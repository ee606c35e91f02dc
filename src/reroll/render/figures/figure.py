"""A figure: its marks, its message in a sentence, and its table; drawn inline for a page, or whole for a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from reroll.render.ink import visible

__all__ = ["FONT", "INK", "Canvas", "Figure", "cut", "page_rules", "room_for", "shown"]

# What each class means, as (property, light colour, variable of the page's stylesheet). One colour, one meaning.
INK: dict[str, tuple[str, str, str]] = {
    "pass": ("fill", "#0b6e8f", "--pass"),
    "fail": ("fill", "#b8400e", "--fail"),
    "invalid": ("fill", "#6c5a8a", "--invalid"),
    "accent": ("fill", "#4338ca", "--accent"),
    "muted": ("fill", "#c9c5bb", "--strong-line"),
    "pass-soft": ("fill", "#d9ecf2", "--pass-soft"),
    "fail-soft": ("fill", "#fbe3d8", "--fail-soft"),
    "invalid-soft": ("fill", "#e9e4f1", "--invalid-soft"),
    "accent-soft": ("fill", "#e8e7fb", "--accent-soft"),
    "sunk": ("fill", "#e9e6de", "--line"),
    "paper": ("fill", "#ffffff", "--paper"),
    "label": ("fill", "#1c1f24", "--ink"),
    "soft": ("fill", "#5a616b", "--soft"),
    "grid": ("stroke", "#e2dfd8", "--line"),
    "axis": ("stroke", "#c9c5bb", "--strong-line"),
    "line-pass": ("stroke", "#0b6e8f", "--pass"),
    "line-fail": ("stroke", "#b8400e", "--fail"),
    "line-invalid": ("stroke", "#6c5a8a", "--invalid"),
    "line-accent": ("stroke", "#4338ca", "--accent"),
    "line-soft": ("stroke", "#5a616b", "--soft"),
    "line-paper": ("stroke", "#ffffff", "--paper"),
}
FONT = 'Inter, ui-sans-serif, system-ui, "DejaVu Sans", "DejaVu Sans Mono", sans-serif'
SIZE = 13.0  # of letters, in the figure's own units
LETTER = 0.57  # width of an average letter, as a share of its size
TITLE_ROOM = 30
MARGIN = 16


def page_rules() -> str:
    """The rules for a page's stylesheet: the classes in the page's own colours."""
    rules = [f".figure-svg .{name} {{ {kind}: var({variable}); }}" for name, (kind, _, variable) in INK.items()]
    return "\n".join([*rules, ".figure-svg [class^=line], .figure-svg .grid, .figure-svg .axis { fill: none; }", ""])


def _file_rules() -> str:
    rules = [f".{name}{{{kind}:{colour}}}" for name, (kind, colour, _) in INK.items()]
    return f"text{{font-family:{FONT}}}[class^=line],.grid,.axis{{fill:none}}{''.join(rules)}"


def shown(text: object) -> str:
    """The text as a figure may hold it: escaped, on one line, with nothing invisible in it."""
    return escape("".join(visible(char) for char in " ".join(str(text).split(" ")).replace("\n", "⏎")))


def cut(text: object, most: int) -> str:
    """The text, its end replaced by an ellipsis where it is longer."""
    said = str(text)
    return said if len(said) <= most else said[: max(1, most - 1)].rstrip() + "…"


def room_for(text: str, size: float = SIZE) -> float:
    """About how wide the text is."""
    return sum(1.0 if ord(c) > 0x2E80 else LETTER for c in text) * size


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure. `summary` says its message in a sentence, `head` and `rows` hold every number that it draws."""

    name: str
    title: str
    summary: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    width: int
    height: int
    marks: tuple[str, ...]

    def inline(self) -> str:
        """For a page: no style of its own, so that a strict policy lets it in and the page colours it."""
        return (
            f'<svg class="figure-svg" viewBox="0 0 {self.width} {self.height}" xmlns="http://www.w3.org/2000/svg" '
            f'role="img" aria-label="{shown(self.title)}. {shown(self.summary)}">{"".join(self.marks)}</svg>'
        )

    def svg(self) -> str:
        """A file of its own: light colours, white ground, its title as the first line."""
        width, height = self.width + 2 * MARGIN, self.height + TITLE_ROOM + 2 * MARGIN
        title = cut(self.title, int(self.width / (14 * LETTER)))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img"><title>{shown(self.title)}</title><desc>{shown(self.summary)}</desc><style>{_file_rules()}</style>'
            f'<rect width="{width}" height="{height}" class="paper"/>'
            f'<text x="{MARGIN}" y="{MARGIN + 14}" class="label" font-size="15" font-weight="600">{shown(title)}</text>'
            f'<g transform="translate({MARGIN} {MARGIN + TITLE_ROOM})">{"".join(self.marks)}</g></svg>'
        )

    def png(self) -> bytes:
        """The file as a picture. Raises: UsageError where no drawer is installed."""
        from reroll.render.png import png_of

        return png_of(self.svg())

    def csv(self) -> str:
        """The table; a cell that a spreadsheet would take for a formula is quoted."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(self.head)
        writer.writerows([_inert(cell) for cell in row] for row in self.rows)
        return out.getvalue()


def _inert(cell: str) -> str:
    number = cell.lstrip("+-−").replace(".", "", 1).replace(",", "").rstrip(" %").isdigit()
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t") and not number else cell


class Canvas:
    """Collects marks; coordinates are rounded to tenths, which no eye tells from the truth."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.marks: list[str] = []

    def text(
        self, x: float, y: float, words: object, kind: str = "label", *, size: float = SIZE, at: str = "start", bold: bool = False
    ) -> None:
        anchor = "" if at == "start" else f' text-anchor="{at}"'
        weight = ' font-weight="600"' if bold else ""
        self.marks.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" font-size="{size:g}"{anchor}{weight}>{shown(words)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str, width: float = 1, dash: str = "") -> None:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.marks.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}" stroke-width="{width:g}"{dashed}/>'
        )

    def rect(self, x: float, y: float, w: float, h: float, kind: str, radius: float = 0, tip: object = None) -> None:
        round_ = f' rx="{radius:g}"' if radius else ""
        body = f"><title>{shown(tip)}</title></rect>" if tip is not None else "/>"
        self.marks.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0, w):.1f}" height="{max(0, h):.1f}" class="{kind}"{round_}{body}'
        )

    def path(self, points: Iterable[tuple[float, float]], kind: str, width: float = 2, *, close: bool = False, step: bool = False) -> None:
        told: list[str] = []
        for x, y in points:
            told.append(f"H{x:.1f}V{y:.1f}" if told and step else f"{'L' if told else 'M'}{x:.1f} {y:.1f}")
        ink = "" if close else f' stroke-width="{width:g}" stroke-linejoin="round" stroke-linecap="round"'
        self.marks.append(f'<path d="{"".join(told)}{"Z" if close else ""}" class="{kind}"{ink}/>')

    def mark(self, x: float, y: float, outcome: str, size: float = 4.5, tip: object = None) -> None:
        """One outcome, by shape and colour: a disc, a cross, or an open ring."""
        told = "" if tip is None else f"<title>{shown(tip)}</title>"
        if outcome == "fail":
            a = size * 0.85
            self.marks.append(
                f'<path d="M{x - a:.1f} {y - a:.1f}L{x + a:.1f} {y + a:.1f}M{x - a:.1f} {y + a:.1f}L{x + a:.1f} {y - a:.1f}" '
                f'class="line-fail" stroke-width="2.2" stroke-linecap="round">{told}</path>'
            )
        elif outcome == "open":
            self.marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size - 0.8:.1f}" class="line-soft" stroke-width="2">{told}</circle>')
        elif outcome == "invalid":
            self.marks.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size - 0.8:.1f}" class="line-invalid" stroke-width="1.6" '
                f'stroke-dasharray="2 1.6">{told}</circle>'
            )
        else:
            kind = outcome if outcome in INK else "pass"
            self.marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" class="{kind}">{told}</circle>')

    def done(
        self, name: str, title: str, summary: str, height: float, head: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> Figure:
        table = tuple(tuple(str(cell) for cell in row) for row in rows)
        return Figure(name, title, summary, tuple(head), table, self.width, round(height), tuple(self.marks))
