"""Every request, sample, attempt, outcome and decision, kept in one SQLite file or PostgreSQL database.

What a method was given is durable when it returns: it survives a crash or kill of any process.
Several processes may use one file at once; so may several threads use one `Store`.

store_base.py opens; store_asked.py, store_samples.py, store_concluded.py, store_probes.py, store_findings.py,
store_jobs.py, store_glance.py, store_slack.py, store_watch.py, store_origins.py and store_received.py hold most
methods;
store_schema.py says what each column means; store_sqlite.py and store_postgres.py have what is each one's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack, get_args

from sqlalchemy import Executable, and_, bindparam, func, select

from reroll.check import OutcomeWord
from reroll.store_asked import Asked
from reroll.store_base import CHUNK
from reroll.store_concluded import Concluded
from reroll.store_export import exported
from reroll.store_findings import Findings
from reroll.store_glance import Glances
from reroll.store_jobs import Jobs
from reroll.store_probes import Probes
from reroll.store_received import ReceivedBox
from reroll.store_rows import (
    Decision,
    NewSample,
    Rates,
    Source,
    Spend,
    StoredReport,
    StoredRequest,
    StoredSample,
    Where,
    request_from_row,
    several,
)
from reroll.store_samples import LAST_SEQ, conditions
from reroll.store_schema import attempts, outcomes, requests, samples
from reroll.store_slack import SlackBox
from reroll.store_watch import WatchBox

__all__ = [
    "Decision",
    "NewSample",
    "Opening",
    "Rates",
    "Source",
    "Spend",
    "Store",
    "StoredReport",
    "StoredRequest",
    "StoredSample",
    "Where",
    "several",
]

SENT_AWAY = (429, 503, 529)
CALLS = func.count().filter(func.coalesce(samples.c.choice, 0) == 0)  # a call's first sample stands for it
NEWEST = select(func.max(samples.c.seq), func.sum(samples.c.usd)).where(samples.c.seq > bindparam("seen"))


def rates_query(walks: bool) -> Executable:
    """Per variant how many outcomes of one check and source are pass, fail, invalid: from `outcomes_rates` alone.

    Where the database `walks`, it finds the few variants by jumps and counts runs of equal entries, which takes
    SQLite an eighth of the time of grouping; others group well.
    """
    here = and_(outcomes.c.checks_id == bindparam("check"), outcomes.c.source == bindparam("origin"))
    if not walks:
        counts: list[Any] = [func.count().filter(outcomes.c.outcome == word) for word in get_args(OutcomeWord)]
        return select(outcomes.c.variant, *counts).where(here).group_by(outcomes.c.variant)
    first = select(func.min(outcomes.c.variant).label("variant")).where(here).cte("variants", recursive=True)
    later = select(func.min(outcomes.c.variant)).where(here, outcomes.c.variant > first.c.variant).scalar_subquery()
    variants = first.union_all(select(later).where(first.c.variant.is_not(None)))
    counts = [
        select(func.count())
        .where(here, outcomes.c.variant == variants.c.variant, outcomes.c.outcome == word)
        .scalar_subquery()
        for word in get_args(OutcomeWord)
    ]
    return select(variants.c.variant, *counts).where(variants.c.variant.is_not(None))


@dataclass(frozen=True, slots=True)
class Opening:
    """What another process needs to open the same store: with a server's password, so for nobody's eyes."""

    place: str = field(repr=False)
    busy_seconds: float
    rescue: Path | None
    opened: tuple[int, int] | None  # which file it is, where it is one

    def open(self) -> Store:
        """Raises: StoreError; whatever is then done with it does so, too, if another file lies in its place by now."""
        store = Store.open(self.place, create=False, busy_seconds=self.busy_seconds, rescue=self.rescue)
        store._opened = self.opened
        return store


class Store(Asked, Concluded, Probes, Findings, Jobs, Glances, SlackBox, WatchBox, ReceivedBox):
    """One open database. Make it with `Store.open`; it is a context manager."""

    @property
    def opening(self) -> Opening | None:
        """How another process opens it, too; None for a database in memory, which is this process's own."""
        place = self._place
        if place is None:
            return None
        text = str(place) if isinstance(place, Path) else place.render_as_string(hide_password=False)
        return Opening(text, self._patience, self._rescue.parent if self._rescue else None, self._opened)

    def spend(self, **where: Unpack[Where]) -> Spend:
        """What the matching samples took; by default only drawn ones count, as others cost us nothing."""
        where.setdefault("source", "draw")
        here = conditions(where)
        known = ("prompt_tokens", "completion_tokens", "usd", "cached_tokens")
        sums = [part for name in known for part in (func.sum(samples.c[name]), func.count(samples.c[name]))]
        tries = select(func.count()).select_from(attempts.join(samples, attempts.c.seq == samples.c.seq)).where(*here)
        with self._read() as connection:
            n, calls, seconds, *rest = connection.execute(
                select(func.count(), CALLS, func.sum(samples.c.seconds), *sums).select_from(samples).where(*here)
            ).one()
            total = connection.execute(tries).scalar_one()
        parts = {name: (rest[2 * i] or 0) if rest[2 * i + 1] == n else None for i, name in enumerate(known)}
        return Spend(calls=calls, attempts=total, seconds=seconds or 0.0, samples=n, **parts)

    def at_a_later_try(self, request_id: str, series: str) -> int:
        """How many draws of a series brought a completion after a try that failed; being sent away is no failure."""
        here = conditions({"request_id": request_id, "series": series, "source": "draw"})
        failed = and_(attempts.c.error.is_not(None), func.coalesce(attempts.c.status, 0).not_in(SENT_AWAY))
        tries = select(func.count(attempts.c.seq.distinct())).select_from(
            attempts.join(samples, attempts.c.seq == samples.c.seq)
        )
        with self._read() as connection:
            return int(connection.execute(tries.where(*here, samples.c.error.is_(None), failed)).scalar_one())

    def newest(self) -> int:
        """The newest `seq`, 0 for an empty store."""
        with self._read() as connection:
            return connection.execute(LAST_SEQ).scalar_one() or 0

    def since(self, seq: int) -> tuple[int, float]:
        """The newest `seq`, and what the samples after the given one cost in US dollars, as far as that is known."""
        with self._read() as connection:
            last, usd = connection.execute(NEWEST, {"seen": seq}).one()
        return last or seq, usd or 0.0

    def rates(self, checks_id: str, source: Source = "draw") -> dict[str, Rates]:
        """What one check said of the samples of every variant; a million samples take less than 0.1 s."""
        with self._read() as connection:
            counted = connection.execute(rates_query(self._sql.WALKS), {"check": checks_id, "origin": source}).all()
        return {
            variant: Rates(passed + failed + invalid, failed, invalid) for variant, passed, failed, invalid in counted
        }

    def export(self, *, payload: bool = True, **where: Unpack[Where]) -> Iterator[dict[str, Any]]:
        """Samples in the shape of recorded completions, one at a time, in seq order.

        `run` counts the samples of one case and variant from 0. `completion` is a text, or an object where
        there is more to say than text; a line also has `error`, `seed` and (with `payload`) `logprobs` if known.
        """
        counts: dict[tuple[str, str], int] = {}
        asked: dict[str, StoredRequest | None] = {}
        expected: dict[str, Any] = {case.id: case.expected for case in self.cases()}
        while page := self.samples(payload=payload, limit=CHUNK, **where):
            where["after"] = page[-1].seq
            for one in page:
                if one.request_id not in asked:
                    asked[one.request_id] = self._request_or_none(one.request_id)
                run = counts.get((one.case_id, one.variant), 0)
                counts[one.case_id, one.variant] = run + 1
                yield exported(one, run, asked[one.request_id], expected.get(one.case_id))

    def _request_or_none(self, id: str) -> StoredRequest | None:
        with self._read() as connection:
            row = connection.execute(select(requests).where(requests.c.id == id)).one_or_none()
        return None if row is None else request_from_row(row._asdict())
