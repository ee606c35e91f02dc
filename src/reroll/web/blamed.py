"""What was sent, with the words that carry a failure marked where they were blamed, and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from reroll.answer import NamedFactor
from reroll.case import Case
from reroll.errors import RerollError
from reroll.factor import Factor, called, groups_of
from reroll.factors import factors_of
from reroll.neutral import sent_at
from reroll.program import Program
from reroll.web.view import marked

__all__ = ["Said", "request_with"]

Mark = tuple[int, int, int]  # which message, from where, to where


@dataclass(frozen=True, slots=True)
class Said:
    """One message as a page shows it. blamed: whether anything in it is marked."""

    role: str
    text: Markup
    blamed: bool


def request_with(
    program: Program, case: Case, messages: Sequence[Mapping[str, Any]], named: Sequence[NamedFactor]
) -> list[Said]:
    """The messages, each of these factors marked at its place; where that is not known, wherever its words stand."""
    texts = [_text(message.get("content")) for message in messages]
    try:
        known = factors_of(program, case.input, case.history).all if named else ()
    except (RerollError, ValueError):
        known = ()
    marks = [
        mark
        for one in named
        for mark in (set(_places(program, case, (*known, *groups_of(known)), one)) or set(_anywhere(texts, one.words)))
    ]
    spans = [[(a, b) for at, a, b in marks if at == k] for k in range(len(texts))]
    return [
        Said(str(message.get("role") or ""), marked(text, mine), bool(mine))
        for message, text, mine in zip(messages, texts, spans, strict=True)
    ]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "" if content is None else json.dumps(content, ensure_ascii=False)


def _places(program: Program, case: Case, known: Sequence[Factor], named: NamedFactor) -> Iterator[Mark]:
    """Where it stands in the messages: the part itself, or the words of it that the search came down to."""
    same = [factor for factor in known if factor.id == named.id]
    if any(factor.words == named.words for factor in same):
        for factor in same:
            if factor.words == named.words:
                yield from sent_at(program, case.input, case.history, factor)
        return
    for factor in same:
        # Of several together those that are called there: the ones that must stay are not among them.
        for member in factor.members:
            if re.search(rf"(?<![\w.]){re.escape(called(member))}(?![\w.])", named.words):
                yield from sent_at(program, case.input, case.history, member)
        if not factor.members:
            yield from sent_at(program, case.input, case.history, replace(factor, span=None), named.words)


def _anywhere(texts: Sequence[str], words: str) -> Iterator[Mark]:
    for k, text in enumerate(texts):
        for found in re.finditer(re.escape(words), text) if words else ():
            yield (k, *found.span())
