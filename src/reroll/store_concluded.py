"""The part of the store that keeps what was concluded: outcomes and decisions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Unpack

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.exc import IntegrityError

from reroll import store_sql as sql
from reroll.check import Outcome
from reroll.errors import StoreError, UsageError
from reroll.program import content_id
from reroll.store_base import chunks, new_id, now_us
from reroll.store_rows import Decision, StoredSample, Where, clean, decision_from_row, ranges, to_json
from reroll.store_samples import Sampled, conditions
from reroll.store_schema import checks, decisions, outcomes, samples

__all__ = ["Concluded"]

JSON = Any  # what json.loads returns
ADD_OUTCOME = sql.insert_new(outcomes).values(
    {
        name: select(samples.c[name]).where(samples.c.id == bindparam("of")).scalar_subquery()
        for name in ("variant", "source")
    }
)


class Concluded(Sampled):
    """Outcomes and decisions of a `Store`, both about its samples."""

    def add_outcomes(self, sample_id: str, judged: Iterable[tuple[str, Outcome]]) -> None:
        """Store what checks said, as (checks_id, outcome); one that is there already stays as it is.

        Raises: UsageError if no such sample is stored.
        """
        self.add_all_outcomes({sample_id: judged})

    def add_all_outcomes(self, judged: Mapping[str, Iterable[tuple[str, Outcome]]]) -> None:
        """The same for many samples, by sample id, in one transaction: all or none are stored."""
        now = now_us()
        rows = [
            {
                "sample_id": sample_id,
                "of": sample_id,
                "checks_id": checks_id,
                "check_name": one.check,
                "outcome": one.outcome,
                "reason": clean(one.reason),
                "marks": to_json(one.marks) if one.marks else None,
                "judged_us": now,
            }
            for sample_id, said in judged.items()
            for checks_id, one in said
        ]
        if not rows:
            return
        try:
            with self._write() as connection:
                sql.add_all(connection, ADD_OUTCOME, rows)
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            known = self._seqs(list(judged))
            missing = next((id for id in judged if id not in known), "?")
            raise UsageError(f"no stored sample has the id `{missing}`", slug="unknown-sample") from error

    def _seqs(self, ids: Sequence[str]) -> dict[str, int]:
        """The `seq` of every one of these samples that is stored."""
        out: dict[str, int] = {}
        with self._read() as connection:
            for part in chunks(ids):
                found = connection.execute(select(samples.c.id, samples.c.seq).where(samples.c.id.in_(part)))
                out.update({row.id: row.seq for row in found})
        return out

    def first_used(self, checks_ids: Collection[str], scope: str = "") -> float:
        """When this very set of checks was first held against anything (Unix time); asking is using.

        Samples that had settled before were there to be looked at when the set was chosen: leaving
        out a check that fails fits the samples as well as writing one that passes.
        With a `scope` (a request's id) only uses with the same scope count.
        """
        ids = sorted(set(checks_ids))
        if not ids:
            return 0.0
        whole = content_id("ks1", [ids, scope])
        now = now_us()
        with self._write() as connection:
            connection.execute(sql.insert_new(checks), [{"id": id, "first_us": now} for id in (whole, *ids)])
            first = select(checks.c.first_us).where(checks.c.id == whole)
            return float(connection.execute(first).scalar_one()) / 1e6

    def known_since(self, checks_ids: Collection[str]) -> float:
        """When the last of these checks was first held against anything, alone or not; infinity if one never was.

        Asking is not using: nothing is stored.
        """
        query = select(func.count(), func.max(checks.c.first_us)).where(checks.c.id.in_(set(checks_ids)))
        with self._read() as connection:
            found, last = connection.execute(query).one()
        return float(last) / 1e6 if found == len(set(checks_ids)) and found else float("inf")

    def outcomes(
        self, sample_ids: Iterable[str], checks_ids: Collection[str] | None = None
    ) -> dict[str, dict[str, Outcome]]:
        """By sample id, then by checks_id; `checks_ids` None means all. Samples without any are left out."""
        wanted = [] if checks_ids is None else [outcomes.c.checks_id.in_(list(checks_ids))]
        out: dict[str, dict[str, Outcome]] = {}
        with self._read() as connection:
            for ids in chunks(list(sample_ids)):
                for row in connection.execute(select(outcomes).where(outcomes.c.sample_id.in_(ids), *wanted)):
                    marks = tuple((start, end) for start, end in json.loads(row.marks or "[]"))
                    said = Outcome(row.outcome, row.reason, row.check_name, marks)
                    out.setdefault(row.sample_id, {})[row.checks_id] = said
        return out

    def count_unjudged(self, checks_ids: Collection[str], **where: Unpack[Where]) -> int:
        """How many samples lack an outcome for at least one of these checks."""
        query = select(func.count()).select_from(samples).where(*self._lacking(checks_ids), *conditions(where))
        with self._read() as connection:
            return int(connection.execute(query).scalar_one())

    def unjudged(
        self, checks_ids: Collection[str], *, limit: int | None = None, payload: bool = False, **where: Unpack[Where]
    ) -> list[StoredSample]:
        """Samples that lack an outcome for at least one of these checks, in seq order."""
        query = select(samples).where(*self._lacking(checks_ids), *conditions(where))
        return self._stored(query.order_by(samples.c.seq).limit(limit), payload)

    @staticmethod
    def _lacking(checks_ids: Collection[str]) -> list[ColumnElement[bool]]:
        wanted = sorted(set(checks_ids))
        judged = (
            select(func.count())
            .select_from(outcomes)
            .where(outcomes.c.sample_id == samples.c.id, outcomes.c.checks_id.in_(wanted))
            .scalar_subquery()
        )
        return [judged < len(wanted)]

    # -- decisions -----------------------------------------------------------------------------------------------------

    def add_decision(
        self,
        *,
        rule: str,
        question: str,
        verdict: str,
        evidence: JSON,
        sample_ids: Iterable[str] = (),
        seqs: Iterable[int] | None = None,
        checks_ids: Iterable[str] = (),
        alpha: float | None = None,
        target: float | None = None,
        reference_rate: float | None = None,
        horizon: int | None = None,
        stop_reason: str | None = None,
        program_id: str | None = None,
        case_id: str | None = None,
    ) -> str:
        """Its id. Nothing ever changes or removes a decision.

        Which samples counted is said by their ids, or else by their `seq` as the store gave them.

        Raises: UsageError if an id is unknown.
        """
        ids = list(dict.fromkeys(sample_ids))
        row = {
            "id": new_id("d"),
            "rule": rule,
            "question": question,
            "verdict": verdict,
            "alpha": alpha,
            "target": target,
            "reference_rate": reference_rate,
            "horizon": horizon,
            "stop_reason": stop_reason,
            "program_id": program_id,
            "case_id": case_id,
            "checks_ids": to_json(list(checks_ids)),
            "evidence": to_json(evidence),
            "made_us": now_us(),
        }
        known = self._seqs(ids)  # samples are never removed, so this may be looked up before the transaction
        if missing := [id for id in ids if id not in known]:
            raise UsageError(f"no stored sample has the id `{missing[0]}`", slug="unknown-sample")
        row["samples"] = to_json(ranges(known.values() if seqs is None else seqs))
        with self._write() as connection:
            connection.execute(decisions.insert(), row)
        return str(row["id"])

    def decisions(
        self, *, rule: str | None = None, program_id: str | None = None, case_id: str | None = None
    ) -> list[Decision]:
        """In the order they were made."""
        given = {"rule": rule, "program_id": program_id, "case_id": case_id}
        wanted = [decisions.c[name] == value for name, value in given.items() if value is not None]
        with self._read() as connection:
            rows = connection.execute(select(decisions).where(*wanted).order_by(decisions.c.seq)).mappings().all()
        return [decision_from_row(dict(row)) for row in rows]

    def decided_on(self, decision: Decision, *, payload: bool = False) -> list[StoredSample]:
        """The samples that a decision looked at, in the order in which rules look at them: that of drawing."""
        out: list[StoredSample] = []
        for seqs in chunks(decision.samples):
            out += self._stored(select(samples).where(samples.c.seq.in_(seqs)), payload)
        return sorted(out, key=lambda s: s.idx)
