"""Causes that were found, and what must stay in a request: kept as decisions, and held against later reports."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reroll.answer import CauseSection, to_json
from reroll.case import Case
from reroll.factor import Factor
from reroll.session import Session

__all__ = ["CAUSE", "Known", "allowed_before", "known_map", "remember_cause", "remember_map", "remembered"]

CAUSE, MAP = "cause/1", "load-bearing/1"


@dataclass(frozen=True, slots=True)
class Known:
    """An earlier case's cause that this request has, too. factors: their numbers here; ids: as they were named."""

    case: str
    decision: str
    ids: tuple[str, ...]
    factors: tuple[int, ...]


def remember_cause(
    session: Session,
    case: Case,
    section: CauseSection,
    failing: Sequence[str],
    seqs: Collection[int],
    why: str,
    key: str,
    series: str,
    allowed: int | None,
) -> None:
    """Keep what was concluded, with the samples that it rests on; `series`: what tells it from one made anew; allowed:
    calls that it might ask for to find the part, if it looked for one."""
    session.store.add_decision(
        rule=CAUSE,
        question="cause",
        case_id=case.id,
        program_id=session.project.program.id,
        alpha=section.alpha,
        checks_ids=session.checker.ids(case, session.judging),
        verdict=section.verdict,
        stop_reason=why,
        seqs=sorted(seqs),
        evidence={
            **to_json(section),
            "failing_checks": list(failing),
            "key": key,
            "series": series,
            "allowed": allowed,
        },
    )


def allowed_before(session: Session, case: Case, key: str, series: str) -> int | None:
    """Calls that the newest of these searches might ask for to find the part, if it found a cause."""
    for decision in reversed(session.store.decisions(rule=CAUSE, case_id=case.id)):
        evidence = decision.evidence
        if evidence.get("key") == key and evidence.get("series") == series:
            allowed = evidence.get("allowed")
            return allowed if decision.verdict == "systematic" and isinstance(allowed, int) else None
    return None


def remembered(session: Session, case: Case, factors: Sequence[Factor], failing: Sequence[str]) -> list[Known]:
    """Causes of other cases, of any version of the program, that may be this one's: the same parts saying the same are
    present here, and the same check fails. Newest first; of each set of parts one."""
    found: dict[tuple[str, ...], Known] = {}
    for decision in reversed(session.store.decisions(rule=CAUSE)):
        evidence = decision.evidence
        if decision.verdict != "systematic" or decision.case_id == case.id or not decision.case_id:
            continue
        if not set(evidence.get("failing_checks", ())) & set(failing):
            continue
        named = [(str(one["id"]), str(one["words"])) for one in evidence.get("factors", ())]
        here = [_same(factors, id, words) for id, words in named]
        ids = tuple(id for id, _ in named)
        if named and None not in here and ids not in found:
            found[ids] = Known(decision.case_id, decision.id, ids, tuple(k for k in here if k is not None))
    return list(found.values())


def _same(factors: Sequence[Factor], id: str, words: str) -> int | None:
    """The factor of this id, if it says those words, too."""
    first = words.split(" … ")[0]
    return next((k for k, f in enumerate(factors) if f.id == id and (first in f.words or f.words in words)), None)


def remember_map(session: Session, factors: Sequence[Factor], pinned: Collection[int], key: str) -> None:
    """Keep which parts passing cases cannot do without, for later reports about the same version of the program."""
    session.store.add_decision(
        rule=MAP,
        question="load-bearing",
        program_id=session.project.program.id,
        verdict="known",
        evidence={
            "model": session.model.identity,
            "key": key,
            "shared": [f.id for f in factors if f.shared],
            "load_bearing": [factors[k].id for k in sorted(pinned)],
        },
    )


def known_map(session: Session, factors: Sequence[Factor], key: str) -> set[int] | None:
    """The parts that passing cases cannot do without, if that was found for this very program and model.

    Not if it was found by the inquiry of this `key`: asked again, that finds its own calls in the store, and goes on
    as it did before.
    """
    for decision in reversed(session.store.decisions(rule=MAP, program_id=session.project.program.id)):
        evidence = decision.evidence
        same = evidence.get("model") == session.model.identity
        if evidence.get("key") == key:
            return None
        if same and evidence.get("shared") == [f.id for f in factors if f.shared]:
            pinned = set(evidence.get("load_bearing", ()))
            return {k for k, f in enumerate(factors) if f.shared and f.id in pinned}
    return None
