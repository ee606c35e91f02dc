"""What the words mean that pages use: the glossary of the docs, which are not installed with the package."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reroll.web.view import page

__all__ = ["ROUTES", "Part", "Word", "glossary"]

FILE = Path(__file__).parent / "glossary.json"  # docs/generate.py writes it


@dataclass(frozen=True, slots=True)
class Word:
    """A word and what it means. place: its name in the page's address."""

    word: str
    meaning: str

    @property
    def place(self) -> str:
        return re.sub(r"\W+", "-", self.word.lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Part:
    """Words about one thing."""

    title: str
    words: tuple[Word, ...]


@cache
def glossary() -> tuple[Part, ...]:
    """All of them, in the order of the docs."""
    told = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(Part(one["title"], tuple(Word(*row) for row in one["words"])) for one in told)


def words_page(request: Request) -> Response:
    return page(request, "words.html", parts=glossary())


ROUTES = [Route("/words", words_page)]
