"""A page's SVG as a PNG: the same picture for places that show no SVG, such as Slack."""

from __future__ import annotations

import re
from pathlib import Path

from reroll.errors import UsageError

__all__ = ["drawer", "png_of"]

# Ours comes along, so that letters are there on a machine without fonts, and the same on every machine.
FONTS = Path(__file__).parent.parent / "bundled" / "fonts"
FAMILY = "DejaVu Sans Mono"
ZOOM = 2.0  # dots for each unit of the SVG: sharp on dense screens, readable when Slack shrinks it
# What that font holds of what pages are made of. Anything else is looked for among the machine's fonts, which takes
# time to read them; what none of them has is drawn as a box.
OWN = re.compile(r"[\n -~\xa0-\u017fΑ-ΡΣ-Ωα-ωЀ-џ‐-”…•‰→←↑↓⏎␣\u2500-\u25ff✓✗]*")


def drawer() -> None:
    """Raises: UsageError where nothing is installed that draws PNG: to be asked before anything is paid for."""
    try:
        import resvg_py  # noqa: F401 (only whether it is there)
    except ImportError:
        raise UsageError(
            "a PNG is drawn by resvg-py, which is not installed here; `pip install resvg-py`, or take --svg",
            slug="no-png",
        ) from None


def png_of(svg: str) -> bytes:
    """The SVG of a page as PNG; equal pages give equal bytes.

    Raises: UsageError where nothing is installed that draws it.
    """
    drawer()
    import resvg_py

    mine = re.sub(r"font-family: [^;]+;", f'font-family: "{FAMILY}", monospace;', svg, count=1)
    shown = re.sub(r"<style>.*?</style>|<[^>]*>|&#?\w+;", "", svg, flags=re.S)
    picture: bytes = resvg_py.svg_to_bytes(
        svg_string=mine,
        zoom=ZOOM,
        skip_system_fonts=OWN.fullmatch(shown) is not None,
        font_files=[str(FONTS / f"DejaVuSansMono{weight}.ttf") for weight in ("", "-Bold")],
        font_family=FAMILY,
        monospace_family=FAMILY,
    )
    return picture
