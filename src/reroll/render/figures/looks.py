"""What a class of a mark looks like: one table, for the page (with its variables) and for a file (with light colours).

A mark has classes and no style of its own: the page's Content-Security-Policy forbids those.
"""

from __future__ import annotations

import re

__all__ = ["LIGHT", "OUTCOME_CLASSES", "PAGE_CSS", "file_css"]

# Blue-teal, vermilion and grey-violet differ in hue and in lightness for every kind of colour blindness.
LIGHT = {
    "paper": "#ffffff",
    "ink": "#1d2126",
    "soft": "#5b636d",
    "line": "#dcded8",
    "pass": "#0b7c93",
    "fail": "#c44d17",
    "invalid": "#786795",
    "accent": "#4a4fc4",
    "muted": "#a3a9b0",
}
OUTCOME_CLASSES = ("pass", "fail", "invalid", "accent", "muted")
SANS = 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif'
MONO = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'


def _rules() -> list[tuple[str, str]]:
    """(class, declarations); `$name` is a colour."""
    rules = [
        ("text", f"font-family: {SANS}; font-size: 13px; fill: $ink; unicode-bidi: isolate; white-space: pre;"),
        (".value", "font-variant-numeric: tabular-nums;"),
        (".strong", "font-weight: 600;"),
        (".note", "font-size: 11.5px; fill: $soft;"),
        (".tick", "font-size: 11.5px; fill: $soft; font-variant-numeric: tabular-nums;"),
        (".mono", f"font-family: {MONO}; font-size: 12.5px;"),
        (".paper", "fill: $paper;"),
        (".ink", "fill: $ink;"),
        (".soft", "fill: $soft;"),
        (".axis", "fill: none; stroke: $soft; stroke-width: 1; shape-rendering: crispEdges;"),
        (".grid", "fill: none; stroke: $line; stroke-width: 1; shape-rendering: crispEdges;"),
        (".band", "fill: $line; fill-opacity: 0.6;"),
        (".target", "fill: none; stroke: $ink; stroke-width: 1.2; stroke-dasharray: 5 3;"),
        (".reference", "fill: none; stroke: $soft; stroke-width: 1.2; stroke-dasharray: 1.5 2.5;"),
        (".leader", "fill: none; stroke: $soft; stroke-width: 0.8;"),
        (".link", "fill: none; stroke: $muted; stroke-linecap: round; stroke-linejoin: round;"),
        (".halo", "stroke: $paper; stroke-width: 3.5; stroke-linejoin: round; paint-order: stroke;"),
        (".edge", "stroke: $paper; stroke-width: 1.5; paint-order: stroke;"),
    ]
    for name in OUTCOME_CLASSES:
        rules += [
            (f".{name}", f"fill: ${name};"),
            (f".band-{name}", f"fill: ${name}; fill-opacity: 0.2;"),
            (
                f".line-{name}",
                f"fill: none; stroke: ${name}; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round;",
            ),
        ]
    return [
        *rules,
        (".ring", "stroke-dasharray: 2 1.6; stroke-linecap: butt;"),
        (".thin", "stroke-width: 1.2;"),
        (".thick", "stroke-width: 2.6;"),
        (".dashed", "stroke-dasharray: 5 3; stroke-linecap: butt;"),
        (".faint", "opacity: 0.45;"),
    ]


def _css(colour: dict[str, str]) -> str:
    said = "".join(f".figure-svg {which} {{ {declared} }}\n" for which, declared in _rules())
    return re.sub(r"[$](\w+)", lambda found: colour[found[1]], said)


def file_css() -> str:
    """The rules with light colours, for a file that stands alone."""
    return _css(LIGHT)


PAGE_CSS = (
    "/* Made by reroll.render.figures.looks; tests/test_figures.py holds this file against it. */\n"
    ".figure-svg { display: block; max-width: 100%; height: auto; }\n"
    + _css({name: f"var(--{name})" for name in LIGHT} | {"muted": f"var(--muted, {LIGHT['muted']})"})
)
"""For the page's stylesheet, which sets --paper, --ink and the others; --muted has a grey of its own if it does not."""
