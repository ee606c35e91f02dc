"""All that is known of one case, from the findings about it: the answer, and what was looked at since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reroll.answer import Answer, CauseSection, CertifySection, DudSection, LuckSection, NotExamined
from reroll.store import Store
from reroll.store_rows_web import Finding

__all__ = ["Gathered", "answer_of", "cause_of", "gathered"]

ANSWERS = ("investigate", "rerun", "certify")
BESIDE = ("cause", "forks", "try", "surprise", "futures", "phrase", "audit", "neighbours")
_ANSWER = TypeAdapter(Answer)
_CAUSE, _DUD = TypeAdapter(CauseSection), TypeAdapter(DudSection)


@dataclass(frozen=True, slots=True)
class Gathered:
    """answer: the one with the most runs, with what others examined in place of what it left out; None: no run yet.

    found: the newest finding of each other command about the case, with its JSON.
    again: the newest time that somebody ran it again after that answer, with what came.
    """

    finding: Finding | None
    answer: Answer | None
    found: Mapping[str, tuple[Finding, dict[str, Any]]]
    again: tuple[Finding, Answer] | None = None

    @property
    def luck(self) -> LuckSection | None:
        return self.answer.luck if self.answer and isinstance(self.answer.luck, LuckSection) else None

    @property
    def certify(self) -> CertifySection | None:
        return self.answer.certify if self.answer and isinstance(self.answer.certify, CertifySection) else None

    @property
    def cause(self) -> CauseSection | None:
        return self.answer.cause if self.answer and isinstance(self.answer.cause, CauseSection) else None

    @property
    def dud(self) -> DudSection | None:
        return self.answer.dud if self.answer and isinstance(self.answer.dud, DudSection) else None

    @property
    def cards(self) -> list[dict[str, Any]]:
        """The scorecards of the newest trial, of its own or within the answer; the best first."""
        tried = self.found.get("try")
        if tried is not None and (self.finding is None or tried[0].made_us > self.finding.made_us or not self._fixes):
            best = tried[1].get("best")
            return sorted(tried[1]["fixes"], key=lambda card: card["fix"] != best)
        return self._fixes

    @property
    def _fixes(self) -> list[dict[str, Any]]:
        fixes = self.answer.fixes if self.answer else ()
        return [dict(card) for card in fixes] if isinstance(fixes, tuple | list) else []


def answer_of(body: Mapping[str, Any]) -> Answer | None:
    """The answer that a finding's JSON holds; None where it holds something else."""
    try:
        return _ANSWER.validate_python(dict(body)) if body.get("schema") == "reroll.answer/1" else None
    except ValidationError:  # written by another version
        return None


def cause_of(body: Mapping[str, Any]) -> CauseSection | None:
    """The cause that a finding's JSON holds; None where another version wrote it."""
    try:
        return _CAUSE.validate_python(dict(body))
    except ValidationError:
        return None


def gathered(store: Store, case_id: str, report_id: str | None = None) -> Gathered:
    """What is known of a case; with a report, its own answers before those of the case alone.

    Of the answers to the program as it was asked last, the one with the most runs stands on the page: looking at ten
    runs more takes nothing back. What it did not examine is taken from the others; what was found with another
    program stands beside nothing.
    """
    every = store.findings(command=ANSWERS, case_id=case_id)
    own = [f for f in every if report_id is not None and f.report_id == report_id]
    program = every[0].program_id if every else None
    read = [(f, answer_of(store.finding_body(f.id))) for f in every if f.program_id == program or f in own]
    answers = [(f, answer) for f, answer in read if answer is not None]
    own_answers = [one for one in answers if one[0] in own and one[0].program_id == program]
    others = own_answers or [one for one in answers if one[0].program_id == program] or answers
    best = max(others, key=lambda one: (_runs(one[1]), one[0].made_us), default=None)
    if best is None:
        newest = next(iter(own or every), None)
        return Gathered(newest, None, _beside(store, case_id, None if newest is None else newest.program_id))
    finding, answer = best
    found = _beside(store, case_id, finding.program_id)
    again = next((one for one in answers if one[0].command == "rerun" and one[0].made_us > finding.made_us), None)
    answer = _filled(answer, [one for one in answers if one[0].program_id == finding.program_id])
    return Gathered(finding, _completed(answer, finding, found), found, again)


def _runs(answer: Answer) -> int:
    return answer.luck.rate.n if isinstance(answer.luck, LuckSection) else 0


def _beside(store: Store, case_id: str, program: str | None) -> dict[str, tuple[Finding, dict[str, Any]]]:
    """The newest finding of each other command about the case, with this program where one is known."""
    found: dict[str, tuple[Finding, dict[str, Any]]] = {}
    for other in store.findings(command=BESIDE, case_id=case_id):
        if other.command not in found and (program is None or other.program_id in (program, None)):
            found[other.command] = (other, store.finding_body(other.id))
    return found


def _filled(answer: Answer, others: Sequence[tuple[Finding, Answer]]) -> Answer:
    """The answer with the cause, the token and the fixes of the newest other answer that looked for them."""
    for name in ("cause", "dud", "fixes"):
        if isinstance(getattr(answer, name), NotExamined):
            section = next((s for _, o in others if not isinstance(s := getattr(o, name), NotExamined)), None)
            if section is not None:
                answer = _with(answer, name, section)
    return answer


def _with(answer: Answer, name: str, section: Any) -> Answer:
    """The answer with this section; the chance that any claim on the page is wrong grows by the section's own."""
    more = getattr(section, "alpha", 0.0)
    changed: dict[str, Any] = {name: section, "alpha_total": min(1.0, answer.alpha_total + more)}
    return replace(answer, **changed)


def _completed(answer: Answer, finding: Finding, found: Mapping[str, tuple[Finding, dict[str, Any]]]) -> Answer:
    """The answer with the cause and the token as they were found since, or where it had not looked."""
    for command, name, adapter in (("cause", "cause", _CAUSE), ("forks", "dud", _DUD)):
        if command not in found:
            continue
        other, body = found[command]
        examined = not isinstance(getattr(answer, name), NotExamined)
        if examined and other.made_us < finding.made_us:
            continue
        if command == "forks":
            cost = body.get("cost") or {}
            body = {
                **body,
                "calls": cost.get("calls", 0),
                "tokens": body.get("tokens_spent", 0),
                "alpha": body.get("alpha_spent", 0.0),
            }
        try:
            answer = _with(answer, name, adapter.validate_python(body))
        except ValidationError:
            continue
    return answer
