"""All that is known of one case, from the newest finding of each kind: the answer, and what was looked at since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reroll.answer import Answer, CauseSection, CertifySection, DudSection, LuckSection
from reroll.store import Store
from reroll.store_rows_web import Finding

__all__ = ["Gathered", "answer_of", "cause_of", "gathered"]

ANSWERS = ("investigate", "rerun", "certify")
BESIDE = ("cause", "forks", "try", "surprise", "futures", "phrase", "audit", "neighbours")
_ANSWER = TypeAdapter(Answer)
_CAUSE, _DUD = TypeAdapter(CauseSection), TypeAdapter(DudSection)


@dataclass(frozen=True, slots=True)
class Gathered:
    """answer: the newest, with the sections that were examined since in place of those it left out; None: no run yet.

    found: the newest finding of each other command about the case, with its JSON.
    """

    finding: Finding | None
    answer: Answer | None
    found: Mapping[str, tuple[Finding, dict[str, Any]]]

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
    """What is known of a case; with a report, its own newest answer before one of the case alone.

    Only what was found with the same program as the answer stands beside it.
    """
    answers = store.findings(command=ANSWERS, case_id=case_id)
    own = [f for f in answers if report_id is not None and f.report_id == report_id]
    finding = next(iter(own or answers), None)
    answer = None if finding is None else answer_of(store.finding_body(finding.id))
    if finding is not None and answer is None:  # a certificate of several cases, or of another version
        rest = [f for f in (own or answers)[1:] if f.id != finding.id]
        finding, answer = next(
            ((f, a) for f in rest if (a := answer_of(store.finding_body(f.id))) is not None), (finding, None)
        )
    program = None if finding is None else finding.program_id
    found: dict[str, tuple[Finding, dict[str, Any]]] = {}
    for other in store.findings(command=BESIDE, case_id=case_id):
        if other.command not in found and (program is None or other.program_id in (program, None)):
            found[other.command] = (other, store.finding_body(other.id))
    if answer is not None and finding is not None:
        answer = _completed(answer, finding, found)
    return Gathered(finding, answer, found)


def _completed(answer: Answer, finding: Finding, found: Mapping[str, tuple[Finding, dict[str, Any]]]) -> Answer:
    """The answer with the cause and the token as they were found since, or where it had not looked."""
    for command, name, adapter in (("cause", "cause", _CAUSE), ("forks", "dud", _DUD)):
        if command not in found:
            continue
        other, body = found[command]
        examined = not hasattr(getattr(answer, name), "not_examined")
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
            examined_since: dict[str, Any] = {name: adapter.validate_python(body)}
            answer = replace(answer, **examined_since)
        except ValidationError:
            continue
    return answer
