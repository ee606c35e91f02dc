"""Suggestions for a case from what the store has of it: its runs, those of other cases, and its newest cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from reroll.answer import CauseSection
from reroll.case import Case
from reroll.check import overall
from reroll.remembering import CAUSE
from reroll.sample import Sample
from reroll.session import Session, outcomes_of, slots
from reroll.suggest import Other, Suggestion, suggestions

__all__ = ["Seen", "cause_known", "seen_of", "suggested"]

MOST = 200  # runs of a case that are looked at, the newest


@dataclass(frozen=True, slots=True)
class Seen:
    """What stored runs of a case came to; checks: names of those that failed, the one that failed most often first."""

    failing: tuple[Sample, ...]
    passing: tuple[Sample, ...]
    checks: tuple[str, ...]


def suggested(
    session: Session, case: Case, others: Sequence[Case] = (), cause: CauseSection | None = None, most: int = 8
) -> tuple[Suggestion, ...]:
    """Fixes worth trying, as `suggest.suggestions` has them; no call is made.

    Args:    others: cases whose right answers may become examples: neighbours that are for choosing, control cases,
             none that a final number is to rest on; cause: default: the newest one that was found for this case.
    """
    cause = cause or cause_known(session, case)
    seen = seen_of(session, case)
    found = []
    for other in others:
        if other.id != case.id:
            there = seen_of(session, other)
            found.append(Other(other, there.passing, there.failing))
    return suggestions(
        session.project.program, case, cause, seen.failing, seen.passing, seen.checks, most, others=found
    )


def seen_of(session: Session, case: Case) -> Seen:
    """The newest runs of a case as this program sends it, whichever question they were made for."""
    at = slots(session, case)
    stored = session.store.samples(request_id=at.request_id, source="draw", newest=True, limit=MOST)
    said = outcomes_of(session, at, {one.id: one.sample for one in stored})
    failing, passing, checks = [], [], Counter[str]()
    for one in stored:
        outcome = overall(said[one.id])
        if outcome.outcome == "fail":
            failing.append(one.sample)
            names = zip(case.check_names(), said[one.id], strict=True)
            checks.update(name for name, each in names if each.outcome == "fail")
        elif outcome.outcome == "pass":
            passing.append(one.sample)
    return Seen(tuple(failing), tuple(passing), tuple(name for name, _ in checks.most_common()))


def cause_known(session: Session, case: Case) -> CauseSection | None:
    """What was last concluded of this case's cause, with this very program; None: nobody looked."""
    program = session.project.program.id
    for decision in reversed(session.store.decisions(rule=CAUSE, program_id=program, case_id=case.id)):
        try:
            return TypeAdapter(CauseSection).validate_python(decision.evidence)
        except ValidationError:
            continue  # as an earlier version wrote it
    return None
