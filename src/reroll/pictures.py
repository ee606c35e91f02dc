"""A command's page: printed, or its JSON instead, and drawn into the files that were asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reroll.arguments import Common, Pictures
from reroll.errors import UsageError
from reroll.findings import KEPT, keep_finding
from reroll.options import writable
from reroll.output import console, print_json

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["can_be_drawn", "nothing_to_draw", "present"]


def can_be_drawn(pictures: Pictures) -> None:
    """Raises: UsageError where a picture could not be written: asked before anything is paid for."""
    if pictures.svg is not None and pictures.svg == pictures.png:
        raise UsageError("--svg and --png name the same file; give each its own", slug="out")
    for path, option in ((pictures.svg, "--svg"), (pictures.png, "--png")):
        if path is not None:
            writable(path, option)
    if pictures.png is not None:
        from reroll.render.png import drawer

        drawer()


def nothing_to_draw(what: str, pictures: Pictures) -> None:
    """Raises: UsageError where a picture was asked for, and `what` prints no page."""
    for path, option in ((pictures.svg, "--svg"), (pictures.png, "--png")):
        if path is not None:
            raise UsageError(f"{what} prints no page that could be drawn; leave {option} out", slug="out")


def present(
    name: str,
    plain: Callable[[], Any],
    show: Callable[[Console], None],
    common: Common,
    pictures: Pictures,
    keep: Callable[[], Any] | None = None,
) -> None:
    """Print the page that `show` makes, or with --json what `plain` gives; then draw the page where that was asked for.

    What a measuring command found is kept in the store.

    Args:   name: what a screen reader calls the picture; its second word is the command.
            keep: what is kept, where that is more than `plain` gives.
    Raises: UsageError where a picture cannot be written.
    """
    command = name.split()[1]
    found: Any = plain() if common.json or (command in KEPT and keep is None) else None
    if command in KEPT:
        keep_finding(command, found if keep is None else keep(), common.project, common.store)
    if common.json:
        print_json(found)
    else:
        show(console())
    _draw(name, show, pictures)


def _draw(name: str, show: Callable[[Console], None], pictures: Pictures) -> None:
    """Write the page into the files that were asked for. Raises: UsageError where that fails."""
    if pictures.svg is None and pictures.png is None:
        return
    from reroll.render.svg import page_svg

    svg = page_svg(show, name=name)
    if pictures.svg is not None:
        _write(pictures.svg, svg.encode("utf-8"), "--svg")
    if pictures.png is not None:
        from reroll.render.png import png_of

        _write(pictures.png, png_of(svg), "--png")


def _write(path: Path, content: bytes, option: str) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise UsageError(f"{path} cannot be written: {problem}; choose another {option}", slug="out") from None
