"""A figure as one value: what is drawn, what it says in a sentence, and the same numbers as a table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from reroll.render.figures.lettering import inert, wrapped
from reroll.render.figures.looks import file_css
from reroll.render.figures.marks import letters
from reroll.render.png import png_of

__all__ = ["NARROW", "Figure", "figure"]

SENTENCE = 2000  # characters of what a screen reader is told
NARROW = 500  # pixels: below, words stand above what they name, not beside it
MARGIN = 20  # around a figure that stands alone
LINE = 20  # of its title
SLUG = re.compile(r"[^a-z0-9]+")
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[-+−]?[\d.,]+ ?%?")


@dataclass(frozen=True, slots=True)
class Figure:
    """name: a slug, unique on its page; summary: its message in a sentence, for those who do not see it; head, rows:
    the table twin, every number that is drawn; marks: SVG elements as text, safe as they are."""

    name: str
    title: str
    summary: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    width: int
    height: int
    marks: tuple[str, ...]

    def inline(self) -> str:
        """The figure for a page whose stylesheet includes `looks.PAGE_CSS`: no style, no script, no address.

        It has the class `narrow` or `wide`, so that a page that holds both can show the fitting one.
        """
        fits = "narrow" if self.width < NARROW else "wide"
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"'
        return f'<svg class="figure-svg {fits}" {size} {self._named()}\n{"".join(self.marks)}\n</svg>'

    def svg(self) -> str:
        """The figure as a file of its own: its title above it, light colours, white ground."""
        lines = wrapped(inert(self.title), self.width, 3, "strong") if self.title else []
        top = MARGIN + LINE * len(lines) + (8 if lines else 0)
        width, height = self.width + 2 * MARGIN, self.height + top + MARGIN
        title = "".join(letters(MARGIN, MARGIN + 6 + LINE * k, text, "strong") for k, text in enumerate(lines))
        size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="figure-svg" {size} {self._named()}\n'
            f"<style>\n{file_css()}</style>\n"
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>{title}\n'
            f'<g transform="translate({MARGIN},{top})">{"".join(self.marks)}</g>\n</svg>\n'
        )

    def png(self) -> bytes:
        """The file as a picture. Raises: UsageError where nothing is installed that draws it."""
        return png_of(self.svg())

    def csv(self) -> str:
        """The table twin; what a spreadsheet would take for a formula begins with an apostrophe."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow([_cell(one) for one in self.head])
        table.writerows([_cell(one) for one in row] for row in self.rows)
        return out.getvalue()

    def _named(self) -> str:
        """The rest of the opening tag, and what a screen reader says."""
        own = f"{self.name}-{self.width}"
        said = f'<title id="{own}-t">{_text(self.title)}</title><desc id="{own}-d">{_text(self.summary)}</desc>'
        return f'role="img" aria-labelledby="{own}-t {own}-d">{said}'


def figure(
    name: str,
    title: str,
    summary: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    width: int,
    height: float,
    marks: Iterable[str],
) -> Figure:
    """The figure with its name made a slug, and its table inert."""
    slug = SLUG.sub("-", name.lower()).strip("-") or "figure"
    table = tuple(tuple(inert(cell) for cell in row) for row in rows)
    heads = tuple(inert(cell) for cell in head)
    return Figure(slug, inert(title), inert(summary, SENTENCE), heads, table, width, -int(-height // 1), tuple(marks))


def _text(raw: str) -> str:
    return escape(inert(raw, SENTENCE))


def _cell(text: str) -> str:
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text
