"""The part of the store that knows where imported samples were made: trace, span, the server's name for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, select

from reroll import store_sql as sql
from reroll.store_base import Database, chunks
from reroll.store_rows import Origin, clean
from reroll.store_schema import origins

__all__ = ["LONGEST", "Origins", "add_origins", "as_kept"]

ADD = sql.insert_new(origins)
LONGEST = 200  # characters; ids are hexadecimal or a few letters


def as_kept(origin: Origin) -> Origin:
    """The origin as the tables have it."""
    return Origin(*(clean(value)[:LONGEST] for value in (origin.trace, origin.span, origin.response)))


def add_origins(connection: Connection, found: Sequence[tuple[str, Origin]]) -> None:
    """Keep where these samples were made, by sample id; what is known already stays as it is."""
    rows = [{"sample_id": id, **asdict(as_kept(origin))} for id, origin in found]
    if rows:
        sql.add_all(connection, ADD, rows)


class Origins(Database):
    """The origins of the samples of a `Store`."""

    def origins(self, sample_ids: Iterable[str]) -> dict[str, Origin]:
        """By sample id; those of which nothing is known are left out."""
        out: dict[str, Origin] = {}
        with self._read() as connection:
            for ids in chunks(list(sample_ids)):
                for row in connection.execute(select(origins).where(origins.c.sample_id.in_(ids))):
                    out[row.sample_id] = Origin(row.trace, row.span, row.response)
        return out
