"""The part of the store that keeps what exporters send: a batch is here before it is acknowledged, until it is read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update

from reroll import store_sql as sql
from reroll.keys import hide, known_values
from reroll.store_base import Database, chunks, now_us
from reroll.store_evaluated import WAITING
from reroll.store_rows import clean
from reroll.store_schema import received_batches as batches
from reroll.store_schema import received_calls as calls
from reroll.store_schema import received_counts as counts

__all__ = ["MOST_REASONS", "MOST_TRIES", "BatchState", "NewBatch", "Received", "ReceivedBatch", "ReceivedBox"]

MOST_TRIES = 3  # whoever read it was ended so often while reading it: it is left alone
MOST_REASONS = 60  # that are counted each by itself
OTHER_REASONS = "was left out for another reason"
ENDED = f"whoever read it was ended {MOST_TRIES} times while reading it; import the calls from a file instead"
LOOKED_AT = 64  # batches that one claim looks at
MOST_BYTES = 2**23  # packed, that are read together


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What one request brought. spans: how many it holds; broken, refused: how many came besides and are not kept,
    since they cannot be read, or held a key in use."""

    signal: str
    encoding: str
    packing: str
    body: bytes
    spans: int
    broken: int = 0
    refused: int = 0
    sender: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedBatch:
    """A batch that somebody reads now."""

    seq: int
    signal: str
    encoding: str
    packing: str
    body: bytes
    spans: int
    broken: int
    refused: int
    tries: int


@dataclass(frozen=True, slots=True)
class BatchState:
    """A batch that could not be read, and why."""

    seq: int
    signal: str
    spans: int
    sender: str
    came_us: int
    problem: str


@dataclass(frozen=True, slots=True)
class Received:
    """What arrived and what became of it. waiting: spans that nobody read yet; taken: calls; stored: new samples;
    evaluations: of calls; awaiting: those in the store, from wherever they came, whose call is not here."""

    batches: int
    spans: int
    waiting: int
    taken: int
    stored: int
    skipped: tuple[tuple[str, int], ...]
    unreadable: tuple[BatchState, ...]
    last_us: int | None
    evaluations: int = 0
    awaiting: int = 0


READ = tuple(batches.c[name] for name in ReceivedBatch.__dataclass_fields__)
STATE = tuple(batches.c[name] for name in BatchState.__dataclass_fields__)
ADD_BATCH, ADD_CALL = batches.insert(), sql.insert_new(calls)
ADD_UP = sql.add_up(counts, ("what", "why"), ("n",), ("last_us",))


class ReceivedBox(Database):
    """What exporters sent, of a `Store`."""

    def keep_received(self, new: Sequence[NewBatch]) -> None:
        """All of them are on the disk when this returns, also if the machine then loses power; or none is kept."""
        now = now_us()
        rows = [
            {
                **{name: getattr(one, name) for name in NewBatch.__dataclass_fields__},
                "sender": clean(one.sender),
                "state": "waiting",
                "size": len(one.body),
                "came_us": now,
                "tries": 0,
                "problem": "",
            }
            for one in new
        ]
        if not rows:
            return
        with self._write() as connection:
            sql.add_all(connection, ADD_BATCH, rows)
        with self._in_words():
            self._sql.flush(self._place)

    def backlog(self) -> int:
        """How many bytes wait to be read."""
        query = select(func.coalesce(func.sum(batches.c.size), 0)).where(batches.c.state == "waiting")
        with self._read() as connection:
            return int(connection.execute(query).scalar_one())

    def claim_received(self, worker: str, stale_seconds: float, most_spans: int) -> list[ReceivedBatch]:
        """The oldest batches that nobody reads, of about so many spans together: this worker reads them from now on.

        One that somebody began to read, and did not get to the end of, comes alone.
        """
        now = now_us()
        silent = batches.c.claimed_us < now - round(stale_seconds * 1e6)
        free = and_(batches.c.state == "waiting", or_(batches.c.worker.is_(None), silent))
        oldest = (
            select(batches.c.seq, batches.c.spans, batches.c.size, batches.c.tries).where(free).order_by(batches.c.seq)
        )
        with self._read() as connection:  # most looks find nothing, and take no lock
            if connection.execute(oldest.limit(1)).one_or_none() is None:
                return []
        with self._write() as connection:
            connection.execute(
                update(batches).where(free, batches.c.tries >= MOST_TRIES).values(state="unreadable", problem=ENDED)
            )
            chosen = _group(connection.execute(oldest.limit(LOOKED_AT)).all(), most_spans)
            mine = batches.c.seq.in_(chosen)
            claimed = {"worker": worker, "claimed_us": now, "tries": batches.c.tries + 1}
            connection.execute(update(batches).where(mine).values(claimed))
            rows = connection.execute(select(*READ).where(mine).order_by(batches.c.seq)).all()
        return [ReceivedBatch(**row._asdict()) for row in rows]

    def beat_received(self, worker: str, seqs: Collection[int]) -> None:
        """Give a sign of life: these batches are still being read."""
        with self._write() as connection:
            connection.execute(update(batches).where(*_mine(worker, seqs)).values(claimed_us=now_us()))

    def first_in(self, found: Iterable[tuple[bytes, int]]) -> dict[bytes, int]:
        """The batch that each of these calls belongs to: the first that it was in, of all that ever came.

        Args: found: key of a call, and the batch that it was found in now; the earlier of two equal keys counts.
        """
        rows = list({key: {"key": key, "batch_seq": seq} for key, seq in reversed(list(found))}.values())
        if not rows:
            return {}
        with self._write() as connection:
            sql.add_all(connection, ADD_CALL, rows)
            return {
                key: seq
                for part in chunks([row["key"] for row in rows])
                for key, seq in connection.execute(select(calls).where(calls.c.key.in_(part)))
            }

    def end_received(self, worker: str, seqs: Collection[int], found: Mapping[tuple[str, str], int]) -> bool:
        """These batches were read and are removed; what became of them is counted. False: another reads one of them.

        Args: found: how many, by what and why (see the table received_counts).
        """
        mine = _mine(worker, seqs)
        with self._write() as connection:
            held = connection.execute(select(func.count()).select_from(batches).where(*mine)).scalar_one()
            if held != len(seqs):
                return False
            connection.execute(delete(batches).where(*mine))
            known = {tuple(row) for row in connection.execute(select(counts.c.what, counts.c.why))}
            rows = _counted(found, {why for what, why in known if what == "skipped"})
            if rows:
                connection.execute(ADD_UP, rows)
        return True

    def free_received(self, worker: str, seqs: Collection[int]) -> None:
        """Somebody may read them anew; that it went wrong was not theirs."""
        free = {"worker": None, "claimed_us": None, "tries": batches.c.tries - 1}
        with self._write() as connection:
            connection.execute(update(batches).where(*_mine(worker, seqs)).values(free))

    def spoil_received(self, worker: str, seq: int, problem: str, freed: Sequence[bytes] = ()) -> None:
        """It cannot be read: it is kept with its reason. freed: calls of it that may come by another batch."""
        said = clean(hide(problem, *known_values().values()))
        with self._write() as connection:
            here = update(batches).where(*_mine(worker, [seq]))
            spoilt = connection.execute(here.values(state="unreadable", problem=said, worker=None, claimed_us=None))
            for part in chunks(freed) if spoilt.rowcount else ():
                connection.execute(delete(calls).where(calls.c.key.in_(part), calls.c.batch_seq == seq))

    def retry_received(self) -> int:
        """How many batches that could not be read are to be read again."""
        anew = {"state": "waiting", "problem": "", "worker": None, "claimed_us": None, "tries": 0}
        with self._write() as connection:
            return connection.execute(update(batches).where(batches.c.state == "unreadable").values(anew)).rowcount

    def received(self, most_unreadable: int = 20) -> Received:
        """What arrived so far, and what became of it."""
        here = select(batches.c.state, func.count(), func.sum(batches.c.spans + batches.c.broken + batches.c.refused))
        unread = select(*STATE).where(batches.c.state == "unreadable").order_by(batches.c.seq.desc())
        with self._read() as connection:
            states = connection.execute(here.group_by(batches.c.state)).all()
            last = connection.execute(select(func.max(batches.c.came_us))).scalar_one()
            spoilt = tuple(BatchState(*row) for row in connection.execute(unread.limit(most_unreadable)))
            rows = connection.execute(select(counts)).all()
            awaiting = connection.execute(WAITING).scalar_one()
        kept = {state: (int(n), int(spans)) for state, n, spans in states}
        read = {row.what: row.n for row in rows if row.what != "skipped"}
        skipped = sorted(((row.why, row.n) for row in rows if row.what == "skipped"), key=lambda one: -one[1])
        times = [row.last_us for row in rows] + ([last] if last is not None else [])
        return Received(
            batches=read.get("batches", 0) + sum(n for n, _ in kept.values()),
            spans=read.get("spans", 0) + sum(spans for _, spans in kept.values()),
            waiting=kept.get("waiting", (0, 0))[1],
            taken=read.get("taken", 0),
            stored=read.get("stored", 0),
            skipped=tuple(skipped),
            unreadable=spoilt,
            last_us=max(times, default=None),
            evaluations=read.get("evaluations", 0),
            awaiting=awaiting,
        )


def _mine(worker: str, seqs: Collection[int]) -> tuple[ColumnElement[bool], ...]:
    return batches.c.seq.in_(list(seqs)), batches.c.worker == worker, batches.c.state == "waiting"


def _group(rows: Sequence[Any], most_spans: int) -> list[int]:
    """The first of these rows (seq, spans, size, tries) that are read together."""
    chosen: list[int] = []
    spans = size = 0
    for seq, holds, bytes_, tries in rows:
        if chosen and (tries or spans + holds > most_spans or size + bytes_ > MOST_BYTES):
            break
        chosen.append(seq)
        spans, size = spans + holds, size + bytes_
        if tries:
            break
    return chosen


def _counted(found: Mapping[tuple[str, str], int], reasons: set[str]) -> list[dict[str, str | int]]:
    """The rows of these counts; where there are too many reasons, new ones are counted together."""
    now, sums = now_us(), dict[tuple[str, str], int]()
    for (what, why), n in found.items():
        if what == "skipped" and why not in reasons:
            if len(reasons) < MOST_REASONS:
                reasons.add(why)
            else:
                why = OTHER_REASONS
        sums[what, why] = sums.get((what, why), 0) + n
    return [{"what": what, "why": clean(why), "n": n, "last_us": now} for (what, why), n in sums.items() if n]
