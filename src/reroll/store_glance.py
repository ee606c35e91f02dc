"""The part of the store that looks at thousands of samples at once: what their checks say, in one row each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, case, cast, func, literal, select

from reroll.store_base import Database, chunks
from reroll.store_schema import outcomes, samples

__all__ = ["BETWEEN", "CaseCount", "Glances", "Told"]

RUNS = ("draw", "imported", "reported")
BETWEEN = "\x1f"  # between a check's name and its reason
CODES = {"fail": 2, "invalid": 1, "pass": 0}

Told = tuple[int, int, str, bool, int | None, str | None]
"""seq, settled_us, variant, whether production made it, the worst that the checks say (2 fail, 1 invalid, 0 pass; None:
not all of them have judged it), and why."""


@dataclass(frozen=True, slots=True)
class CaseCount:
    """How many samples of a case are stored, and when the last one came (UTC microseconds)."""

    case_id: str
    n: int
    last_us: int


class Glances(Database):
    """Counts of a `Store`; nothing is judged here."""

    def case_counts(self) -> list[CaseCount]:
        """Every case that has samples, the newest first."""
        query = (
            select(samples.c.case_id, func.count(), func.max(samples.c.settled_us))
            .where(samples.c.source.in_(RUNS))
            .group_by(samples.c.case_id)
        )
        with self._read() as connection:
            found = [CaseCount(*row) for row in connection.execute(query)]
        return sorted(found, key=lambda one: -one.last_us)

    def judged_after(self, case_id: str, checks_ids: Collection[str], after: int = 0) -> list[Told]:
        """What these checks say of each of the case's samples that became known after this `seq`, in seq order."""
        return self._judged(
            [samples.c.case_id == case_id, samples.c.source.in_(RUNS), samples.c.seq > after], checks_ids
        )

    def judged_of(self, seqs: Collection[int], checks_ids: Collection[str]) -> list[Told]:
        """The same of the samples with these `seq`."""
        return [row for part in chunks(sorted(seqs)) for row in self._judged([samples.c.seq.in_(part)], checks_ids)]

    def _judged(self, wanted: list[ColumnElement[bool]], checks_ids: Collection[str]) -> list[Told]:
        code = case(*((outcomes.c.outcome == word, code) for word, code in CODES.items()))
        bad = outcomes.c.check_name + literal(BETWEEN, Text) + cast(outcomes.c.reason, Text)
        why = func.min(case((outcomes.c.outcome != "pass", bad)))
        said = (outcomes.c.sample_id == samples.c.id) & outcomes.c.checks_id.in_(list(checks_ids))
        query = (
            select(
                samples.c.seq,
                samples.c.settled_us,
                samples.c.variant,
                samples.c.source,
                func.max(code),
                why,
                func.count(code),
            )
            .select_from(samples.outerjoin(outcomes, said))
            .where(*wanted)
            .group_by(samples.c.seq)
            .order_by(samples.c.seq)
        )
        with self._read() as connection:
            rows: Any = connection.execute(query).all()
        # What some checks have not judged counts for nothing yet, although a failing one settles it: those that pass
        # them stay open until all have judged, so the share that fails would be too high.
        whole = len(set(checks_ids))
        return [(*row[:3], row[3] == "imported", *((None, None) if row[6] < whole else row[4:6])) for row in rows]
