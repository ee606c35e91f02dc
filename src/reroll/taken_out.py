"""Runs that an earlier look at a population counted and that are gone since: their cases were taken out, or changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reroll.check import overall
from reroll.numbers import counts
from reroll.runs import Runs
from reroll.session import Session, Slots, series_of

__all__ = ["TakenOut", "taken_out"]


@dataclass(frozen=True, slots=True)
class TakenOut:
    """How many runs are gone, and how many of them had failed when they were counted."""

    runs: int = 0
    failed: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """What a reader must know of it; nothing where none of them had failed."""
        if not self.failed:
            return ()
        are, cases = ("is", "case") if self.runs == 1 else ("are", "cases")
        return (
            f"{counts('run', self.runs)} that an earlier look at this population counted {are} gone, the {cases} taken "
            f"out or changed since, and {self.failed} of them had failed: what is left was chosen by how it fared, "
            "so nothing can be claimed from it; put them back, or --fresh runs all cases anew, as a test of its own",
        )


def taken_out(session: Session, places: Sequence[Slots], runs: Sequence[Runs]) -> TakenOut:
    """What earlier decisions about this population counted, in this very test, and what is not here any more."""
    series, counted = series_of(places), set[int]()
    checks: set[str] = set()
    for made in session.store.decisions(rule="certify/1", program_id=session.project.program.id):
        facts = made.evidence or {}
        if facts.get("about") == "population" and facts.get("series") == series:
            counted.update(made.samples)
            checks.update(made.checks_ids)
    gone = counted - {seq for row in runs for seq in list(row.seqs)}
    if not gone:
        return TakenOut()
    ids = [one.id for one in session.store.of_seqs(sorted(gone))]
    said = session.store.outcomes(ids, checks)
    return TakenOut(len(ids), sum(overall(each.values()).outcome == "fail" for each in said.values()))
