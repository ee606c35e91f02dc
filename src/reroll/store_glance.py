"""The part of the store that looks at thousands of samples at once: counted by outcome and reason, and paged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.sql.selectable import Subquery

from reroll.store_base import Database
from reroll.store_schema import outcomes, samples

__all__ = ["CaseCount", "Glance", "Glances", "Reason"]

RUNS = ("draw", "imported", "reported")
WORST = {2: "fail", 1: "invalid", 0: "pass", None: "unjudged"}
MOST_REASONS = 40


@dataclass(frozen=True, slots=True)
class Reason:
    """Why samples did not pass, as a check said it; how many, and one of them."""

    check: str
    reason: str
    outcome: str
    n: int
    example: str


@dataclass(frozen=True, slots=True)
class Glance:
    """Samples of one case by what its checks say, as they are now. unjudged: those that these checks have not seen."""

    passes: int
    failures: int
    invalid: int
    unjudged: int
    reasons: tuple[Reason, ...]
    variants: tuple[tuple[str, int, int], ...]  # name, how many, how many failed

    @property
    def n(self) -> int:
        return self.passes + self.failures + self.invalid + self.unjudged


@dataclass(frozen=True, slots=True)
class CaseCount:
    """How many samples of a case are stored, and when the last one came (UTC microseconds)."""

    case_id: str
    n: int
    last_us: int


class Glances(Database):
    """Counts and pages of a `Store`; nothing is judged here."""

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

    def glance(self, case_id: str, checks_ids: Collection[str], variant: str | None = None) -> Glance:
        """What these checks said of the case's samples, of one variant or of all."""
        worst = _worst(checks_ids)
        here = _here(case_id, variant)
        joined = samples.outerjoin(worst, worst.c.sample_id == samples.c.id)
        by_variant = (
            select(samples.c.variant, worst.c.worst, func.count())
            .select_from(joined)
            .where(*here)
            .group_by(samples.c.variant, worst.c.worst)
        )
        said = outcomes.join(samples, samples.c.id == outcomes.c.sample_id)
        reasons = (
            select(
                outcomes.c.check_name,
                outcomes.c.reason,
                outcomes.c.outcome,
                func.count(),
                func.min(outcomes.c.sample_id),
            )
            .select_from(said)
            .where(*here, outcomes.c.checks_id.in_(list(checks_ids)), outcomes.c.outcome != "pass")
            .group_by(outcomes.c.check_name, outcomes.c.reason, outcomes.c.outcome)
            .order_by(func.count().desc())
            .limit(MOST_REASONS)
        )
        counts = dict.fromkeys(("pass", "fail", "invalid", "unjudged"), 0)
        variants: dict[str, tuple[int, int]] = {}
        with self._read() as connection:
            for name, word, n in connection.execute(by_variant):
                counts[WORST[word]] += n
                total, failed = variants.get(name, (0, 0))
                variants[name] = total + n, failed + (n if word == 2 else 0)
            why = tuple(Reason(*row) for row in connection.execute(reasons))
        told = tuple((name, n, failed) for name, (n, failed) in sorted(variants.items(), key=lambda item: -item[1][0]))
        return Glance(counts["pass"], counts["fail"], counts["invalid"], counts["unjudged"], why, told)

    def outcome_words(self, case_id: str, checks_ids: Collection[str], variant: str | None = None) -> list[str]:
        """The overall outcome of each of the case's judged samples, in seq order."""
        worst = _worst(checks_ids)
        query = select(worst.c.worst).select_from(samples.join(worst, worst.c.sample_id == samples.c.id))
        with self._read() as connection:
            return [
                WORST[row[0]]
                for row in connection.execute(query.where(*_here(case_id, variant)).order_by(samples.c.seq))
            ]

    def outcome_times(
        self, case_id: str, checks_ids: Collection[str], variant: str | None = None
    ) -> list[tuple[float, str]]:
        """When each of the case's judged samples settled (Unix time) and its overall outcome, in the order of time."""
        worst = _worst(checks_ids)
        query = select(samples.c.settled_us, worst.c.worst).select_from(
            samples.join(worst, worst.c.sample_id == samples.c.id)
        )
        here = query.where(*_here(case_id, variant)).order_by(samples.c.settled_us, samples.c.seq)
        with self._read() as connection:
            return [(us / 1e6, WORST[word]) for us, word in connection.execute(here)]

    def glance_page(
        self,
        case_id: str,
        checks_ids: Collection[str],
        *,
        outcome: str | None = None,
        reason: tuple[str, str] | None = None,
        variant: str | None = None,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[int]:
        """The `seq` of samples of this outcome, reason (check and words) and variant: the newest first.

        before, after: only those with a smaller, or a larger `seq`; with `after` those next to it.
        """
        worst = _worst(checks_ids)
        query: Select[Any] = select(samples.c.seq).select_from(
            samples.outerjoin(worst, worst.c.sample_id == samples.c.id)
        )
        wanted: Sequence[ColumnElement[bool]] = _here(case_id, variant)
        if outcome is not None:
            code = next((k for k, word in WORST.items() if word == outcome), -1)
            wanted = [*wanted, worst.c.worst.is_(None) if code is None else worst.c.worst == code]
        if reason is not None:
            said = select(outcomes.c.sample_id).where(
                outcomes.c.checks_id.in_(list(checks_ids)),
                outcomes.c.check_name == reason[0],
                outcomes.c.reason == reason[1],
            )
            wanted = [*wanted, samples.c.id.in_(said)]
        wanted = [*wanted, *([] if before is None else [samples.c.seq < before])]
        wanted = [*wanted, *([] if after is None else [samples.c.seq > after])]
        order = samples.c.seq if after is not None else samples.c.seq.desc()
        with self._read() as connection:
            found = [row.seq for row in connection.execute(query.where(*wanted).order_by(order).limit(limit))]
        return found[::-1] if after is not None else found


def _here(case_id: str, variant: str | None) -> list[ColumnElement[bool]]:
    wanted = [samples.c.case_id == case_id, samples.c.source.in_(RUNS)]
    return [*wanted, *([] if variant is None else [samples.c.variant == variant])]


def _worst(checks_ids: Collection[str]) -> Subquery:
    """Per sample the worst that any of these checks said: 2 fail, 1 invalid, 0 pass."""
    code = case((outcomes.c.outcome == "fail", 2), (outcomes.c.outcome == "invalid", 1), else_=0)
    query = select(outcomes.c.sample_id, func.max(code).label("worst")).where(
        outcomes.c.checks_id.in_(list(checks_ids))
    )
    return query.group_by(outcomes.c.sample_id).subquery("worst")
