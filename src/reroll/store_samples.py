"""The part of the store that keeps what came back: samples, their attempts and payloads."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Unpack

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, or_, select, tuple_, update

from reroll import store_sql as sql
from reroll.errors import StoreError, UsageError
from reroll.sample import Attempt, Sample, Token
from reroll.store_base import CHUNK, MANY, chunks, new_ids, now_us
from reroll.store_evaluated import Evaluated, join_waiting
from reroll.store_origins import Origins, add_origins
from reroll.store_rows import (
    ATTEMPT,
    NewSample,
    Packed,
    Source,
    StoredSample,
    Where,
    attempt_from,
    attempt_rows,
    clean,
    from_row,
    request_from_row,
    sample_row,
    text_of,
    to_json,
    to_us,
    unpacked_row,
)
from reroll.store_schema import attempts, outcomes, payloads, requests, samples
from reroll.store_schema import series as series_table
from reroll.store_tokens import base_of, pack_text, pack_tokens, unpack_all, unpack_text

__all__ = ["LAST_SEQ", "Sampled", "conditions"]

# Built once: building costs more than SQLite needs to run them.
LAST_SEQ = select(func.max(samples.c.seq))
NEWER = select(samples.c.id, samples.c.seq).where(samples.c.seq > bindparam("before"))
SLOT = tuple(samples.c[name] for name in ("request_id", "series", "idx"))
MOVED = (
    update(series_table)
    .where(series_table.c.request_id == bindparam("id"), series_table.c.series == bindparam("name"))
    .values(next_index=bindparam("next"))
)
# Imported samples bring indices of their own. One look at the end of an index for each, however long its series is.
LAST_INDEX = (
    select(func.max(samples.c.idx))
    .where(samples.c.request_id == series_table.c.request_id, samples.c.series == series_table.c.series)
    .scalar_subquery()
)
RESERVED = select(series_table.c.request_id, series_table.c.next_index, LAST_INDEX)
ADD_ONE = sql.insert_new(samples).returning(samples.c.seq)
TRIES = select(attempts.c.seq, *(attempts.c[name] for name in ATTEMPT)).order_by(attempts.c.seq, attempts.c.n)
ADD_SAMPLE, ADD_ATTEMPT, ADD_PAYLOAD = sql.insert_new(samples), attempts.insert(), payloads.insert()


def _drawn(by_index: bool) -> Select[Any]:
    """A page of a series after the `last` one seen, by index or by seq, whichever the database is to walk along."""
    seq: ColumnElement[Any] = samples.c.seq
    here = [samples.c[name] == bindparam(name) for name in ("request_id", "series", "source")]
    if by_index:
        seq = sql.unindexed(seq)
    else:
        here = [sql.unindexed(samples.c[name]) == bindparam(name) for name in ("request_id", "series", "source")]
    at = samples.c.idx if by_index else samples.c.seq
    bounds = (seq > bindparam("after"), seq <= bindparam("until"), at > bindparam("last"))
    return select(samples).where(*here, *bounds).order_by(at).limit(bindparam("size"))


DRAWN = {by_index: _drawn(by_index) for by_index in (False, True)}

DRAWN_SEQS = (
    select(samples.c.seq)
    .where(
        *(sql.unindexed(samples.c[name]) == bindparam(name) for name in ("request_id", "series", "source")),
        samples.c.seq > bindparam("after"),
        samples.c.seq <= bindparam("until"),
    )
    .order_by(samples.c.seq)
)

LOOKED_AT = 50  # earlier samples of a request whose beginnings a new process learns
TAKEN = ("rescued", "taken in")  # the series that counts which rescued samples were taken in


Slot = tuple[str, str, int]  # request_id, series, idx
Row = Mapping[str, Any]


class _Put(NamedTuple):
    """What became of a sample that was to be stored: the id in its slot, and whether it has the slot since now.

    `seq` is None where it has not, and where nobody wanted to know; `row` is what it is, or would be, stored as.
    """

    id: str
    is_new: bool
    seq: int | None
    row: Row


class Sampled(Origins, Evaluated):
    """Series and samples of a `Store`."""

    def reserve(self, request_id: str, series: str, count: int) -> range:
        """So many fresh indices of a series, never handed out twice, whatever process asks or dies.

        A gap is a draw that never came back (`unsettled` counts them).
        """
        return self.reserve_all([(request_id, series, count)])[0]

    def reserve_all(self, wanted: Sequence[tuple[str, str, int]]) -> list[range]:
        """As `reserve` for each (request_id, series, count), in one transaction; a place may come more than once."""
        for _, _, count in wanted:
            if count < 0:
                raise ValueError(f"count must be >= 0, got {count}")
        ids: dict[str, dict[str, None]] = {}
        for request_id, name, _ in sorted(wanted):  # in one order, so that no two processes wait for each other
            ids.setdefault(name, {})[request_id] = None
        starts: dict[tuple[str, str], int] = {}
        with self._write() as connection:
            for name, all_ids in ids.items():
                for part in chunks(list(all_ids)):
                    new = [{"request_id": id, "series": name, "next_index": 0} for id in part]
                    connection.execute(sql.insert_new(series_table), new)
                    here = (series_table.c.series == name, series_table.c.request_id.in_(part))
                    for id, start, last in connection.execute(RESERVED.where(*here).with_for_update()):
                        starts[id, name] = max(start, 0 if last is None else last + 1)
            out = []
            for request_id, name, count in wanted:
                start = starts[request_id, name]
                out.append(range(start, start + count))
                starts[request_id, name] = start + count
            if starts:
                moved = [{"id": id, "name": name, "next": start} for (id, name), start in starts.items()]
                connection.execute(MOVED, moved)
        return out

    def reserved(self, request_id: str, series: str) -> int:
        """How many indices of a series were ever handed out."""
        here = and_(series_table.c.request_id == request_id, series_table.c.series == series)
        with self._read() as connection:
            return connection.execute(select(series_table.c.next_index).where(here)).scalar_one_or_none() or 0

    def unsettled(self, request_id: str, series: str) -> int:
        """How many of the indices that were handed out have no sample: in flight, or never came back."""
        mine = and_(samples.c.request_id == request_id, samples.c.series == series)
        there = select(func.count()).where(mine, samples.c.idx < series_table.c.next_index).scalar_subquery()
        missing = select(series_table.c.next_index - there)
        with self._read() as connection:
            here = and_(series_table.c.request_id == request_id, series_table.c.series == series)
            return connection.execute(missing.where(here)).scalar_one_or_none() or 0

    def mark_outage(self, sample_ids: Sequence[str]) -> None:
        """Take draws that a dead server left behind out of the count; they stay stored, with their errors."""
        with self._write() as connection:
            for part in chunks(sample_ids):
                connection.execute(update(samples).where(samples.c.id.in_(part)).values(source="outage"))
                connection.execute(update(outcomes).where(outcomes.c.sample_id.in_(part)).values(source="outage"))

    def add_sample(
        self,
        sample: Sample,
        *,
        request_id: str,
        series: str,
        idx: int,
        program_id: str,
        case_id: str,
        variant: str = "baseline",
        source: Source = "draw",
        settled: float | None = None,
    ) -> str:
        """Its id. A second sample for the same slot is ignored and the first one's id returned."""
        new = NewSample(sample, request_id, series, idx, program_id, case_id, variant, source, settled)
        return self.add_samples([new])[0]

    def add_samples(self, new: Sequence[NewSample]) -> list[str]:
        """Their ids, in order; all or none are stored. Slots that were taken give the id they have."""
        return [id for id, _ in self.put_samples(new)]

    def add_known(self, new: Sequence[NewSample]) -> list[tuple[str, StoredSample | None]]:
        """The same, each with what reading it without its payload would give; None where its slot was taken."""
        return [
            (put.id, None if put.seq is None else from_row({**put.row, "seq": put.seq}, _as_kept(one.sample.attempts)))
            for put, one in zip(self._put_surely(new, seqs=True), new, strict=True)
        ]

    def put_samples(self, new: Sequence[NewSample | Packed]) -> list[tuple[str, bool]]:
        """The same, and for each whether it was stored now: False where its slot was taken."""
        return [(put.id, put.is_new) for put in self._put_surely(new)]

    def _put_surely(self, new: Sequence[NewSample | Packed], seqs: bool = False) -> list[_Put]:
        """Store them.

        A server that is lost in the middle is asked again (a slot is taken once, so nothing comes twice). If it does
        not come back, the samples go into the file for that, which `take_in` empties later, and the error says so.
        """
        try:
            return self._put(new, seqs)
        except StoreError as error:
            if error.slug != "store-gone" or self._rescue is None:
                raise
            lost = error
        try:
            if self._patience:
                return self._put(new, seqs)
        except StoreError as error:
            if error.slug != "store-gone":
                raise
            lost = error
        self._patience = 0.0  # what else is in flight comes back soon: no time to wait for each
        with type(self).open(self._rescue) as kept:
            kept.put_samples(new)
        raise StoreError(
            f"{str(lost).split(';')[0]}; what came back is kept in {self._rescue} and the next command on this store "
            "takes it in",
            slug="store-gone",
        ) from lost

    def take_in(self) -> int:
        """How many samples were taken in that came back while the server was gone, and were kept in a file."""
        if self._rescue is None or not self._rescue.exists():
            return 0
        taken = 0
        with type(self).open(self._rescue) as kept:
            while page := kept.samples(payload=True, limit=CHUNK, after=kept.reserved(*TAKEN)):
                names = [name for name in NewSample.__dataclass_fields__ if name != "origin"]
                made = kept.origins([one.id for one in page])
                new = [
                    NewSample(**{name: getattr(one, name) for name in names}, origin=made.get(one.id)) for one in page
                ]
                taken += sum(is_new for _, is_new in self.put_samples(new))
                kept.reserve(*TAKEN, page[-1].seq - kept.reserved(*TAKEN))
        return taken

    def _put(self, new: Sequence[NewSample | Packed], seqs: bool) -> list[_Put]:
        self._look_back(new)
        now = now_us()
        rows = [
            unpacked_row(one, id, now) if isinstance(one, Packed) else sample_row(one, id, now)
            for one, id in zip(new, new_ids("s", len(new)), strict=True)
        ]
        if not rows:
            return []
        with self._write() as connection:
            if len(rows) >= MANY:
                self._sql.expect_many(connection)
            stored, begun = self._put_rows(connection, rows, new, seqs)
            made = [(put.id, one.origin) for put, one in zip(stored, new, strict=True) if one.origin is not None]
            add_origins(connection, made)
            join_waiting(connection, [origin for _, origin in made])
        self._beginnings.learn(begun)
        return stored

    def _put_rows(
        self, connection: Connection, rows: Sequence[Row], new: Sequence[NewSample | Packed], wanted: bool
    ) -> tuple[list[_Put], dict[int, int]]:
        """What became of these, and the beginnings that are new with them. `wanted`: so are their `seq`."""
        if len(rows) == 1:  # the usual batch, worth a way of its own
            seq = connection.execute(ADD_ONE, rows[0]).scalar_one_or_none()
            seqs = {} if seq is None else {rows[0]["id"]: seq}
        else:
            before = connection.execute(LAST_SEQ).scalar_one() or 0
            all_new = sql.add_all(connection, ADD_SAMPLE, rows) == len(rows)
            if all_new and not wanted and not any(map(_has_parts, new)):
                return [_Put(row["id"], True, None, row) for row in rows], {}
            seqs = {row.id: row.seq for row in connection.execute(NEWER, {"before": before})}  # maybe others' too
        fresh = [(seqs[row["id"]], one) for row, one in zip(rows, new, strict=True) if row["id"] in seqs]
        begun = self._add_parts(connection, fresh)
        taken = self._at(connection, [row for row in rows if row["id"] not in seqs])
        return [
            _Put(row["id"], True, seqs[row["id"]], row)
            if row["id"] in seqs
            else _Put(taken[_slot(row)], False, None, row)
            for row in rows
        ], begun

    def _look_back(self, new: Sequence[NewSample | Packed]) -> None:
        """Know how earlier samples of these requests begin: those that other processes stored before this one."""
        whole = [one for one in new if isinstance(one, NewSample)]
        listed = {n.request_id for n in whole if n.sample.completion and any(t.top for t in n.sample.completion.tokens)}
        for request_id in set() if self._beginnings.full else listed - self._beginnings.requests:
            self._beginnings.requests.add(request_id)
            earlier = self.samples(request_id=request_id, payload=True, limit=LOOKED_AT)
            begun: dict[int, int] = {}
            for one in earlier:
                if one.sample.completion and any(t.top for t in one.sample.completion.tokens):
                    self._beginnings.place(request_id, one.sample.completion.tokens, one.seq, begun)
            self._beginnings.learn(begun)

    def _add_parts(self, connection: Connection, stored: Iterable[tuple[int, NewSample | Packed]]) -> dict[int, int]:
        """The rows that hang on samples: attempts and payloads. Returns the beginnings that are new with them."""
        tries: list[dict[str, Any]] = []
        large: list[dict[str, Any]] = []
        begun: dict[int, int] = {}
        for seq, new in stored:
            if isinstance(new, Packed):
                continue
            sample = new.sample
            tries += attempt_rows(seq, sample.attempts)
            tokens = sample.completion.tokens if sample.completion else ()
            if tokens or sample.raw is not None:
                raw = None if sample.raw is None else pack_text(sample.raw)
                base, text = None, sample.completion.text if sample.completion else ""
                if any(t.top for t in tokens):
                    base = self._beginnings.place(new.request_id, tokens, seq, begun)
                packed = pack_tokens(tokens, text, base) if tokens else None
                large.append({"seq": seq, "tokens": packed, "raw": raw})
        if tries:
            sql.add_all(connection, ADD_ATTEMPT, tries)
        if large:
            sql.add_all(connection, ADD_PAYLOAD, large)
        return begun

    @staticmethod
    def _at(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> dict[Slot, str]:
        """The ids of the samples in the slots of these rows, by slot."""
        found: dict[Slot, str] = {}
        for part in chunks([_slot(row) for row in rows]):
            here = select(samples.c.id, *SLOT).where(tuple_(*SLOT).in_(part))
            found |= {(request_id, name, idx): id for id, request_id, name, idx in connection.execute(here)}
        return found

    def samples(
        self, *, payload: bool = False, limit: int | None = None, newest: bool = False, **where: Unpack[Where]
    ) -> list[StoredSample]:
        """Samples in the order they became known: the first `limit` of them, or the last if `newest`.

        Without `payload` they come without tokens and raw body.
        """
        query = select(samples).where(*conditions(where))
        return self._stored(query.order_by(samples.c.seq.desc() if newest else samples.c.seq).limit(limit), payload)

    def drawn(
        self, request_id: str, series: str, *, after: int = 0, until: int, by_index: bool = False, size: int = CHUNK
    ) -> Iterator[list[StoredSample]]:
        """What was drawn of one series with `after` < seq <= `until`, in pages of at most `size`.

        In the order of storing, which looks at everything that was stored since `after`; or `by_index`, in the order
        of their indices, which looks at the whole series. Nothing that is stored meanwhile comes between.
        """
        place = {"request_id": request_id, "series": series, "source": "draw", "after": after, "until": until}
        last = -1 if by_index else after
        while page := self._stored(DRAWN[by_index], given={**place, "last": last, "size": size}):
            yield page
            if len(page) < size:
                return
            last = max(one.idx for one in page) if by_index else page[-1].seq

    def drawn_seqs(self, request_id: str, series: str, *, after: int, until: int) -> list[int]:
        """The `seq` of what was drawn of one series with `after` < seq <= `until`, in order, looking at all between."""
        given = {"request_id": request_id, "series": series, "source": "draw", "after": after, "until": until}
        with self._read() as connection:
            return [seq for (seq,) in connection.execute(DRAWN_SEQS, given)]

    def of_requests(self, request_ids: Sequence[str], series: str) -> list[StoredSample]:
        """What was drawn of one series for any of these requests, in seq order."""
        out: list[StoredSample] = []
        for part in chunks(request_ids):
            mine = (samples.c.request_id.in_(part), samples.c.series == series, samples.c.source == "draw")
            out += self._stored(select(samples).where(*mine))
        return sorted(out, key=lambda one: one.seq)

    def of_seqs(self, seqs: Sequence[int], payload: bool = False) -> list[StoredSample]:
        """The samples with these `seq`, in seq order; those that are not stored are left out.

        Without `payload` they come without tokens and raw body.
        """
        out: list[StoredSample] = []
        for part in chunks(sorted(seqs)):
            out += self._stored(select(samples).where(samples.c.seq.in_(part)), payload)
        return out

    def last_before(self, time: float, **where: Unpack[Where]) -> int:
        """The `seq` of the last sample that was stored before the first one that settled at this Unix time or later."""
        mine = conditions(where)
        first = select(func.min(samples.c.seq)).where(*mine, samples.c.settled_us >= to_us(time)).scalar_subquery()
        before = or_(first.is_(None), samples.c.seq < first)
        with self._read() as connection:
            found = connection.execute(select(func.max(samples.c.seq)).where(*mine, before)).scalar_one()
        return found or 0

    def sample(self, id: str) -> StoredSample:
        """The one sample whose id is, or begins with, this (the `s_` may be left out), with its payload.

        Raises: UsageError if none or several do.
        """
        wanted = id.strip().lower()
        wanted = wanted if wanted.startswith("s_") else f"s_{wanted}"
        if len(wanted) > 2:
            if found := self._stored(select(samples).where(samples.c.id == wanted), payload=True):
                return found[0]
            query = select(samples).where(samples.c.id.startswith(wanted, autoescape=True))
            found = self._stored(query.order_by(samples.c.seq).limit(5), payload=True)
            if len(found) == 1:
                return found[0]
            if found:
                ids = ", ".join(s.id for s in found[:4]) + (", ..." if len(found) > 4 else "")
                raise UsageError(f"several samples begin with `{id}`: {ids}; give more letters", slug="unknown-sample")
        raise UsageError(f"no stored sample has the id `{id}`; `reroll samples` lists them", slug="unknown-sample")

    def find_quotation(self, words: str, program_id: str | None = None, limit: int | None = None) -> list[StoredSample]:
        """Samples whose completion or request contains exactly these words, in seq order.

        Completion: text, refusal, or a string in its tool calls; request: any string in its body.
        """
        if not words.strip():
            raise UsageError("a quotation needs some words; give the exact words of the call", slug="empty-quotation")
        # Inside JSON the words stand escaped, in one of two ways (see to_json).
        escaped = {to_json(clean(words))[1:-1], json.dumps(words)[1:-1]}
        in_requests = select(requests.c.id).where(or_(*(sql.contains(requests.c.body, form) for form in escaped)))
        # What was asked of judges quotes answers, and is no call of the product's.
        chosen = [*conditions({"program_id": program_id}), samples.c.source != "judge"]
        hit = or_(
            sql.contains(samples.c.text, clean(words)),
            sql.contains(samples.c.refusal, clean(words)),
            *(sql.contains(samples.c.tool_calls, form) for form in escaped),
            samples.c.request_id.in_(in_requests),
        )
        found = {s.seq: s for s in self._stored(select(samples).where(hit, *chosen))}
        for part in chunks(self._long_texts(words, chosen)):
            found |= {s.seq: s for s in self._stored(select(samples).where(samples.c.seq.in_(part)))}
        bodies: dict[str, bool] = {}
        out = []
        for _, one in sorted(found.items()):
            if one.request_id not in bodies:
                bodies[one.request_id] = self._quoted(one.request_id, words)
            if bodies[one.request_id] or _says(one.sample, words):
                out.append(one)
        return out if limit is None else out[:limit]

    def _long_texts(self, words: str, chosen: Sequence[ColumnElement[bool]]) -> list[int]:
        """The `seq` of samples whose packed text contains these words."""
        query = select(samples.c.seq, samples.c.long_text).where(samples.c.long_text.is_not(None), *chosen)
        with self._read() as connection:
            rows = connection.execution_options(yield_per=CHUNK).execute(query)
            return [row.seq for row in rows if words in unpack_text(row.long_text)]

    def _quoted(self, request_id: str, words: str) -> bool:
        with self._read() as connection:
            row = connection.execute(select(requests).where(requests.c.id == request_id)).one_or_none()
        return row is not None and any(words in text for text in _strings(request_from_row(row._asdict()).request.body))

    def _stored(
        self, query: Select[Any], payload: bool = False, given: Mapping[str, Any] | None = None
    ) -> list[StoredSample]:
        """The samples that a query over table samples gives, in seq order, with what hangs on them."""
        with self._read() as connection:
            found = connection.execute(query, given)
            names = tuple(found.keys())
            rows = sorted((dict(zip(names, row, strict=True)) for row in found), key=lambda row: row["seq"])
            tries: dict[int, list[Attempt]] = {row["seq"]: [] for row in rows}
            for seqs in chunks(list(tries)):
                for seq, *one in connection.execute(TRIES.where(attempts.c.seq.in_(seqs))):
                    tries[seq].append(attempt_from(*one))
            tokens, raws = _payloads(connection, rows) if payload else ({}, {})
        return [from_row(row, tries[row["seq"]], tokens.get(row["seq"], ()), raws.get(row["seq"])) for row in rows]


def _as_kept(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """The attempts as they are read again."""
    return tuple(attempt_from(*(row[name] for name in ATTEMPT)) for row in attempt_rows(0, attempts))


def _slot(row: Mapping[str, Any]) -> Slot:
    return row["request_id"], row["series"], row["idx"]


def _has_parts(new: NewSample | Packed) -> bool:
    """Whether rows of other tables hang on its row."""
    if isinstance(new, Packed):
        return False
    sample = new.sample
    return bool(sample.attempts or sample.raw is not None or (sample.completion and sample.completion.tokens))


def _payloads(
    connection: Connection, rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[int, tuple[Token, ...]], dict[int, bytes]]:
    """Tokens and packed bodies of these rows of samples, by seq."""
    packed: dict[int, tuple[bytes, str]] = {}
    raws: dict[int, bytes] = {}
    texts = {row["seq"]: text_of(row) or "" for row in rows}
    for seqs in chunks(list(texts)):
        for row in connection.execute(select(payloads).where(payloads.c.seq.in_(seqs))):
            if row.tokens:
                packed[row.seq] = row.tokens, texts[row.seq]
            if row.raw:
                raws[row.seq] = row.raw
    new = set(packed)
    while missing := sorted({b.seq for seq in new if (b := base_of(packed[seq][0]))} - packed.keys()):
        new = set(missing)  # samples that these begin like, and then those that they in turn begin like
        for seqs in chunks(missing):
            of = select(samples.c.text, samples.c.exact, samples.c.long_text, payloads.c.seq, payloads.c.tokens)
            of = of.join(payloads, payloads.c.seq == samples.c.seq)
            for one in connection.execute(of.where(samples.c.seq.in_(seqs))).mappings():
                packed[one["seq"]] = one["tokens"], text_of(dict(one)) or ""
    return unpack_all(packed), raws


def conditions(where: Where) -> list[ColumnElement[bool]]:
    out: list[ColumnElement[bool]] = []
    for name, value in where.items():
        if name not in Where.__annotations__:
            raise TypeError(f"samples cannot be chosen by `{name}`, only by {', '.join(Where.__annotations__)}")
        if value is None:
            continue
        if name == "after":
            out.append(samples.c.seq > value)
        elif isinstance(value, str):
            out.append(samples.c[name] == value)
        elif isinstance(value, Collection):
            out.append(samples.c[name].in_(list(value)))
    return out


def _strings(value: Any) -> Iterator[str]:
    """Every string inside a JSON value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def _says(sample: Sample, words: str) -> bool:
    """Whether the completion holds these words, tool calls' arguments also as the JSON that they are."""
    if (completion := sample.completion) is None:
        return False
    return any(words in text for text in (completion.text, completion.refusal or "", *_strings(completion.tool_calls)))
