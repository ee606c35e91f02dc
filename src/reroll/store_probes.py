"""The part of the store that keeps what models were found to be able to do, and which version of them answered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from reroll.keys import hide, known_values
from reroll.sample import served
from reroll.store_base import Database, chunks, now_us
from reroll.store_rows import clean, to_json
from reroll.store_schema import probes, requests, samples

__all__ = ["Probes", "StoredProbe"]


@dataclass(frozen=True, slots=True)
class StoredProbe:
    """What a version of a model could do when it was asked. `probe`: the probe's own version; `probed`: Unix time."""

    identity: str
    version: str
    probe: int
    capabilities: Mapping[str, Any]
    probed: float


class Probes(Database):
    """What a `Store` knows of models: probes, and the versions that answered."""

    def put_probe(self, identity: str, versions: Iterable[str], probe: int, capabilities: Mapping[str, Any]) -> float:
        """When it was stored (Unix time): for each version that answered the probe, one row, all at the same time."""
        now, body = now_us(), to_json(hide(dict(capabilities), *known_values().values()))
        row = {"identity": identity, "probe": probe, "capabilities": body, "probed_us": now}
        with self._write() as connection:
            connection.execute(probes.insert(), [{**row, "version": clean(version)} for version in versions])
        return now / 1e6

    def probes(self, identity: str) -> list[StoredProbe]:
        """All of this model, in the order in which they were made."""
        with self._read() as connection:
            rows = connection.execute(select(probes).where(probes.c.identity == identity).order_by(probes.c.seq)).all()
        return [
            StoredProbe(row.identity, row.version, row.probe, json.loads(row.capabilities), row.probed_us / 1e6)
            for row in rows
        ]

    def last_answer(self, identity: str) -> tuple[str, float]:
        """The version that the newest answer of this model names, and when it came; ("", 0) where none does."""
        newest: Any = None
        asked = select(requests.c.id).where(requests.c.identity == identity)
        with self._read() as connection:
            for part in chunks([row.id for row in connection.execute(asked)]):
                here = (
                    samples.c.request_id.in_(part),
                    samples.c.model.is_not(None) | samples.c.fingerprint.is_not(None),
                )
                query = select(samples.c.seq, samples.c.model, samples.c.fingerprint, samples.c.settled_us)
                # Imported and reported samples name a version that answered somebody else, at some other time.
                query = query.where(*here, samples.c.source.in_(("draw", "replay")))
                row = connection.execute(query.order_by(samples.c.seq.desc()).limit(1)).one_or_none()
                if row is not None and (newest is None or row.seq > newest.seq):
                    newest = row
        return ("", 0.0) if newest is None else (served(newest.model, newest.fingerprint), newest.settled_us / 1e6)
