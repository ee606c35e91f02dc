"""Which request a message is about: a case of the project that it quotes, a new one, or nothing that can be known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reroll.case import Case
from reroll.project import Project
from reroll.slack.said import quotes

__all__ = ["Matched", "Spoken", "expectation", "matched"]

SENTENCE = 12  # characters: what is shorter stands in other sentences by chance


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
    """The first of what was said that quotes exactly one case; else the first that quotes anything; never a guess.

    Where a quotation fits several cases, nobody can know which was meant, and it is no new request either.
    """
    cases = {c.id: c for c in (*(c for c in project.cases if c.set == "case"), *project.reported, *project.cases)}
    unclear: set[str] = set()
    for one in said:
        found = _quoted(one.words, list(cases.values()))
        if len(found) == 1:
            return Matched(one, found[0])
        unclear |= {one.words} if found else set()
    quoting = next((one for one in said if quotes(one.words)), None)
    if quoting is not None:
        return Matched(quoting, None, "" if quoting.words in unclear else quotes(quoting.words)[0])
    return Matched(next((one for one in said if len(one.words) >= SENTENCE), said[0] if said else Spoken("", "")))


def _quoted(words: str, cases: Sequence[Case]) -> list[Case]:
    """The cases that are quoted: their whole input first, else a part of it that was put in quotation marks."""
    quoted = [_line(quote) for quote in quotes(words)]
    whole = [case for case in cases if any(_line(v) in quoted for v in _texts(case))]
    if whole:
        return whole
    if quoted:
        return [case for case in cases if any(quote in _line(v) for quote in quoted for v in _texts(case))]
    line = _line(words)
    said = {case.id: _line(v) for case in cases for v in _texts(case) if _line(v) == line or _stands_in(_line(v), line)}
    return [c for c in cases if c.id in said and not any(said[c.id] != v and said[c.id] in v for v in said.values())]


def _stands_in(text: str, line: str) -> bool:
    """Whether the words say this text, long enough to be no coincidence."""
    return len(text) >= SENTENCE and text in line


def _texts(case: Case) -> list[str]:
    return [v for v in case.input.values() if isinstance(v, str) and v.strip()]


def _line(text: str) -> str:
    return " ".join(text.split())


def expectation(words: str) -> dict[str, str]:
    """What was expected as the fields of a report: what is quoted is in a right answer; else people decide."""
    quoted = quotes(words)
    if quoted:
        return {"expect": "contains", "expected": quoted[0]}
    return {"expect": "person", "expected": words.strip()}
