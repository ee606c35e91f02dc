"""Which request a message is about: a case of the project that it quotes, a new one, or nothing that can be known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reroll.case import Case
from reroll.project import Project
from reroll.slack.said import quotes

__all__ = ["Matched", "Spoken", "expectation", "matched"]


@dataclass(frozen=True, slots=True)
class Spoken:
    """What somebody said, in plain words."""

    by: str
    words: str


@dataclass(frozen=True, slots=True)
class Matched:
    """spoken: what is the report; case: the one that it quotes exactly; quote: what it quotes where no case is that."""

    spoken: Spoken
    case: Case | None = None
    quote: str = ""


def matched(said: Sequence[Spoken], project: Project) -> Matched:
    """The first of what was said that quotes exactly one case; else the first that quotes anything; never a guess."""
    cases = (*(c for c in project.cases if c.set == "case"), *project.reported, *project.cases)
    for one in said:
        found = [case for quote in _asked(one.words) for case in cases if _says(quote, case)]
        if len({case.id for case in found}) == 1:
            return Matched(one, found[0])
    quoting = next((one for one in said if quotes(one.words)), None)
    if quoting is not None:
        return Matched(quoting, None, quotes(quoting.words)[0])
    return Matched(max(said, key=lambda one: len(one.words), default=Spoken("", "")))


def _asked(words: str) -> Sequence[str]:
    """What may be an input: each quotation, or the whole message."""
    return quotes(words) or ((words.strip(),) if len(words.strip()) > 2 else ())


def _says(quote: str, case: Case) -> bool:
    return any(isinstance(v, str) and " ".join(quote.split()) in " ".join(v.split()) for v in case.input.values())


def expectation(words: str) -> dict[str, str]:
    """What was expected as the fields of a report: what is quoted is in a right answer; else people decide."""
    quoted = quotes(words)
    if quoted:
        return {"expect": "contains", "expected": quoted[0]}
    return {"expect": "person", "expected": words.strip()}
