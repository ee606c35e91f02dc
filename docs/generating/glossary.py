"""The glossary for the pages of `reroll serve`: docs/words.md is not in the wheel, what it says of each word is."""

from __future__ import annotations

import json
import re
from pathlib import Path

__all__ = ["glossary"]

PAGE = Path(__file__).parent.parent / "words.md"
ROW = re.compile(r"^\| (?P<words>\*\*.+?) \| (?P<meaning>.+?) \| .*\|$")
STARS = re.compile(r"\*+([^*]+)\*+")
LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")


def glossary() -> str:
    """The tables of the page as JSON: each with its title, and words with their meaning; links and stars left out."""
    parts: list[dict[str, object]] = []
    rows: list[list[str]] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            rows = []
            parts.append({"title": line.removeprefix("## "), "words": rows})
        elif (found := ROW.match(line)) is not None:
            rows.append([LINK.sub(r"\1", STARS.sub(r"\1", text)) for text in found.groups()])
    return json.dumps(parts, ensure_ascii=False, indent=1) + "\n"
