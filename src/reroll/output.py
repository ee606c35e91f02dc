"""What a command prints: JSON that any stream can carry, and a console for pages."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["complain", "console", "fitting", "let_go", "print_json", "say", "show_anything"]

PIECES = 20_000  # names, numbers and marks of JSON that are written at once


def complain(words: str) -> None:
    """Say on stderr what goes wrong while something goes on."""
    print(f"reroll: {words}", file=sys.stderr, flush=True)


def say(words: str) -> None:
    """Tell whoever sits there, on stderr; on a screen lines break between words."""
    if sys.stderr.isatty():
        words = textwrap.fill(words, shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)
    print(words, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """The value as one line of JSON on stdout; a number that JSON has no word for is null.

    Written piece by piece: the outcomes of a million runs are never in memory as text.
    """
    pieces = json.JSONEncoder(ensure_ascii=False, allow_nan=False).iterencode(_finite(value))
    while text := "".join(itertools.islice(pieces, PIECES)):
        sys.stdout.write(fitting(text, sys.stdout.encoding))
    sys.stdout.write("\n")


def fitting(text: str, encoding: str | None) -> str:
    r"""JSON text as this encoding can carry it: as it is, else with all but ASCII escaped.

    >>> fitting('{"a":"é"}', "utf-8"), fitting('{"a":"é"}', "ascii"), len(fitting(chr(0xD83D), "utf-8"))
    ('{"a":"é"}', '{"a":"\\u00e9"}', 6)
    """
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if not isinstance(value, list | tuple):
        return value
    # A long list of words is not copied.
    return value if all(type(inner) is str for inner in value) else [_finite(inner) for inner in value]


def console() -> Console:
    """Where pages for people go."""
    from rich.console import Console

    return Console(highlight=False)


def show_anything() -> None:
    """From here on no character is too strange for stdout or stderr; what was closed swallows all."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (as long as the process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def let_go() -> None:
    """Write out what is buffered; where nobody takes it, drop it, so that the interpreter's end stays quiet."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _into_nothing(stream)


def _into_nothing(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
