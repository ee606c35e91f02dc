"""The terminal's answer as an SVG that needs nothing from anywhere: no font, no script, no address."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape, unescape

from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from reroll.answer import Answer
from reroll.render.ink import visible
from reroll.render.terminal import show_answer

__all__ = ["answer_svg", "page_svg"]

# Calm paper-on-slate: readable on GitHub's light and dark pages alike.
THEME = TerminalTheme(
    (22, 27, 34),
    (214, 220, 228),
    [(22, 27, 34), *[(214, 220, 228)] * 7],
    [(139, 148, 158), *[(240, 246, 252)] * 7],
)

# Rich's own template fetches a font from a CDN, which GitHub blocks and an offline page cannot.
# `textLength` on every run of text holds the columns, whichever monospace font is there.
TEMPLATE = """\
<svg class="rich-terminal" viewBox="0 22 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>{name}</title>
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
<rect x="0.5" y="22.5" width="99.9%" height="99.9%" rx="8" fill="#161b22" stroke="#8a8f98" stroke-opacity="0.4" />
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


RUN_OF_TEXT = re.compile(r'(<text [^>]*textLength=")([0-9.]+)("[^>]*>)([^<]+)<')


def answer_svg(answer: Answer, width: int = 100) -> str:
    """The answer's page as SVG text, `width` columns wide."""
    return page_svg(lambda console: show_answer(answer, console), width)


def page_svg(show: Callable[[Console], None], width: int = 100, name: str = "reroll") -> str:
    """Whatever `show` prints as SVG text, `width` columns wide; `name` is what a screen reader calls it."""
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor", _environ={}
    )
    console.print()
    show(console)
    console.print()
    # A fixed id keeps the file equal for an equal answer.
    template = TEMPLATE.replace("{name}", escape(_sayable(name)).replace("{", "{{").replace("}", "}}"))
    svg = console.export_svg(title="", theme=THEME, code_format=template, unique_id="reroll")
    return RUN_OF_TEXT.sub(_true_length, svg)


def _true_length(match: re.Match[str]) -> str:
    """The run of text with its length in cells; rich counts characters, and squeezes Japanese to half its width."""
    text = unescape(match[4])
    return f"{match[1]}{float(match[2]) / len(text) * cell_len(text):g}{match[3]}{match[4]}<"


def _sayable(name: str) -> str:
    """The name without what XML cannot hold or what would steer a reader."""
    return "".join(visible(char) for char in name.replace("\n", " "))
