"""Every request, sample, attempt, outcome and decision, kept in one SQLite file.

What a method was given is durable when it returns: it survives a crash or kill of any process.
Several processes may use one file at once; so may several threads use one `Store`.

store_base.py opens; store_asked.py, store_samples.py and store_concluded.py hold most methods;
store_schema.py says what each column means; store_sqlite.py has all that is SQLite's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Unpack

from sqlalchemy import func, select

from reroll.store_asked import Asked
from reroll.store_base import CHUNK
from reroll.store_concluded import Concluded
from reroll.store_export import exported
from reroll.store_rows import (
    Decision,
    NewSample,
    Source,
    Spend,
    StoredReport,
    StoredRequest,
    StoredSample,
    Where,
    request_from_row,
)
from reroll.store_samples import conditions
from reroll.store_schema import attempts, requests, samples

__all__ = [
    "Decision",
    "NewSample",
    "Source",
    "Spend",
    "Store",
    "StoredReport",
    "StoredRequest",
    "StoredSample",
    "Where",
]


class Store(Asked, Concluded):
    """One open database. Make it with `Store.open`; it is a context manager."""

    def spend(self, **where: Unpack[Where]) -> Spend:
        """What the matching samples took; by default only drawn ones count, as others cost us nothing."""
        where.setdefault("source", "draw")
        here = conditions(where)
        known = ("prompt_tokens", "completion_tokens", "usd")
        sums = [part for name in known for part in (func.sum(samples.c[name]), func.count(samples.c[name]))]
        tries = select(func.count()).select_from(attempts.join(samples, attempts.c.seq == samples.c.seq)).where(*here)
        with self._read() as connection:
            calls, seconds, *rest = connection.execute(
                select(func.count(), func.sum(samples.c.seconds), *sums).select_from(samples).where(*here)
            ).one()
            total = connection.execute(tries).scalar_one()
        parts = {name: (rest[2 * i] or 0) if rest[2 * i + 1] == calls else None for i, name in enumerate(known)}
        return Spend(calls=calls, attempts=total, seconds=seconds or 0.0, **parts)

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
