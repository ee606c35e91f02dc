"""Every request, sample, attempt, outcome and decision, kept in one SQLite file.

What a method was given is durable when it returns: it survives a crash or kill of any process.
Several processes may use one file at once; so may several threads use one `Store`.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from sqlalchemy import ColumnElement, Connection, Select, and_, func, make_url, or_, select, update
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from reroll import store_sqlite as sql
from reroll.case import Case, Report
from reroll.check import Outcome
from reroll.errors import StoreError, UsageError
from reroll.program import Program, Request, content_id
from reroll.sample import Sample
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
    attempt_rows,
    clean,
    decision_from_row,
    from_row,
    pack_raw,
    pack_tokens,
    ranges,
    request_from_row,
    sample_row,
    to_json,
)
from reroll.store_schema import attempts, cases, decisions, outcomes, payloads, programs, reports, requests, samples
from reroll.store_schema import series as series_table
from reroll.store_secrets import refuse_secrets

__all__ = ["Decision", "NewSample", "Spend", "Store", "StoredReport", "StoredRequest", "StoredSample", "Where"]

JSON = Any  # what json.loads returns
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u to be misread
CHUNK = 1000  # values per IN list; SQLite allows 32,766 parameters


class Store:
    """One open database. Make it with `Store.open`; it is a context manager."""

    def __init__(self, path: Path | None, busy_seconds: float) -> None:
        self.path = path
        self._engine = sql.connect(path, busy_seconds)
        self._readers = self._engine.execution_options(**sql.READ)
        self._lock = threading.RLock()
        self._closed = False

    @classmethod
    def open(cls, url: str | Path, *, create: bool = True, busy_seconds: float = 10.0) -> Store:
        """The store at a path, `sqlite:///path`, or ":memory:" (gone when closed).

        A new file is made (with its folders) unless `create` is False; an older version is
        backed up next to the file and migrated. Another process's lock is waited for `busy_seconds`.

        Raises: StoreError, one sentence.
        """
        path = _path(url)
        if path is not None and not path.exists():
            if not create:
                raise StoreError(f"there is no store at {path}; check --store or --project", slug="store-missing")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"the folder {path.parent} of the store cannot be made ({error.strerror}); choose another --store",
                    slug="store-not-writable",
                ) from error
        store = cls(path, busy_seconds)
        try:
            with store._in_words():
                sql.prepare(store._engine, path, busy_seconds)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        self._closed = True
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- transactions --------------------------------------------------------------------------------------------------

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        if self._closed:
            raise StoreError(f"the store {self.path or 'in memory'} was closed; open it again", slug="store-closed")
        try:
            yield
        except DBAPIError as error:
            raise sql.explain(error, self.path) from error

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._lock, self._in_words(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """One unchanging view of the database, however many statements."""
        with self._lock, self._in_words(), self._readers.begin() as connection:
            yield connection

    # -- what was asked ------------------------------------------------------------------------------------------------

    def put_program(self, program: Program) -> str:
        """Its id. Putting an equal program again renews what is no part of its identity: name, target, ...

        Raises: UsageError if it holds a key or token.
        """
        body = program.model_dump(mode="json", exclude_defaults=True)
        refuse_secrets(body, f"the program `{program.program}`", raw=program.raw, url=program.base_url)
        row = {"id": program.id, "name": program.program, "body": to_json(body), "put_us": _now_us()}
        with self._write() as connection:
            if not connection.execute(sql.insert_new(programs), row).rowcount:
                connection.execute(
                    update(programs).where(programs.c.id == row["id"]).values(name=row["name"], body=row["body"])
                )
        return program.id

    def get_program(self, id: str) -> Program:
        """Raises: UsageError if unknown."""
        with self._read() as connection:
            row = connection.execute(select(programs.c.body).where(programs.c.id == id)).one_or_none()
        if row is None:
            raise UsageError(f"no stored program has the id `{id}`", slug="unknown-program")
        return Program.model_validate_json(row.body)

    def programs(self) -> list[Program]:
        """All, first put first."""
        with self._read() as connection:
            rows = connection.execute(select(programs.c.body).order_by(programs.c.put_us)).all()
        return [Program.model_validate_json(row.body) for row in rows]

    def put_case(self, case: Case) -> None:
        """Store the case as it is now; its earlier forms stay."""
        body = case.model_dump(mode="json", exclude_defaults=True)
        version, now = content_id("v1", body), _now_us()
        row = {"id": case.id, "version": version, "content_id": case.content_id, "body": to_json(body), "put_us": now}
        with self._write() as connection:
            if not connection.execute(sql.insert_new(cases), {**row, "seen_us": now}).rowcount:
                connection.execute(
                    update(cases).where(cases.c.id == case.id, cases.c.version == version).values(seen_us=now)
                )

    def get_case(self, id: str) -> Case:
        """The case as last put. Raises: UsageError if unknown."""
        query = select(cases.c.body).where(cases.c.id == id).order_by(cases.c.seen_us.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise UsageError(f"no stored case is called `{id}`", slug="unknown-case")
        return Case.model_validate_json(row.body)

    def cases(self) -> list[Case]:
        """Every case as last put."""
        with self._read() as connection:
            rows = connection.execute(select(cases.c.id, cases.c.body).order_by(cases.c.seen_us)).all()
        return [Case.model_validate_json(body) for body in {row.id: row.body for row in rows}.values()]

    def put_report(self, report: Report, program_id: str | None = None) -> str:
        """Its id, which is its content: the same report of the same program is one."""
        body = report.model_dump(mode="json")
        id = content_id("report1", [body, program_id])
        row = {"id": id, "program_id": program_id, "case_id": report.case_id, "body": to_json(body)}
        with self._write() as connection:
            connection.execute(sql.insert_new(reports), {**row, "put_us": _now_us()})
        return id

    def reports(self) -> list[StoredReport]:
        """All, in the order they came in."""
        with self._read() as connection:
            rows = connection.execute(select(reports).order_by(reports.c.seq)).all()
        return [
            StoredReport(row.id, row.program_id, Report.model_validate_json(row.body), row.put_us / 1e6) for row in rows
        ]

    def put_request(self, request_id: str, request: Request, identity: str) -> None:
        """Store the exact request once. Raises: UsageError if it holds a key or token."""
        refuse_secrets(request.body, "the request", raw=request.raw, url=request.base_url)
        row = {
            "id": request_id,
            "identity": identity,
            "model": request.model,
            "base_url": request.base_url,
            "body": to_json(request.body),
            "raw": None if request.raw is None else request.raw.encode(errors="surrogatepass"),
            "put_us": _now_us(),
        }
        with self._write() as connection:
            connection.execute(sql.insert_new(requests), row)

    def get_request(self, id: str) -> StoredRequest:
        """Raises: UsageError if unknown."""
        with self._read() as connection:
            row = connection.execute(select(requests).where(requests.c.id == id)).one_or_none()
        if row is None:
            raise UsageError(f"no stored request has the id `{id}`", slug="unknown-request")
        return request_from_row(row._asdict())

    # -- samples -------------------------------------------------------------------------------------------------------

    def reserve(self, request_id: str, series: str, count: int) -> range:
        """So many fresh indices of a series, never handed out twice, whatever process asks or dies.

        Indices whose draws never settled leave gaps, which mean nothing.
        """
        if count < 0:
            raise ValueError(f"count must be >= 0, got {count}")
        place = {"request_id": request_id, "series": series}
        here = and_(series_table.c.request_id == request_id, series_table.c.series == series)
        used = select(func.max(samples.c.idx)).where(samples.c.request_id == request_id, samples.c.series == series)
        with self._write() as connection:
            connection.execute(sql.insert_new(series_table), {**place, "next_index": 0})
            start = connection.execute(select(series_table.c.next_index).where(here).with_for_update()).scalar_one()
            last = connection.execute(used).scalar_one()  # imported samples bring indices of their own
            start = max(start, 0 if last is None else last + 1)
            connection.execute(update(series_table).where(here).values(next_index=start + count))
        return range(start, start + count)

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
        now = _now_us()
        rows = [sample_row(one, new_id("s"), now) for one in new]
        if not rows:
            return []
        with self._write() as connection:
            before = connection.execute(select(func.max(samples.c.seq))).scalar_one() or 0
            connection.execute(sql.insert_new(samples), rows)
            mine = select(samples.c.id, samples.c.seq).where(samples.c.seq > before)  # ours, and elsewhere others'
            seqs = dict(connection.execute(mine).tuples().all())
            self._add_parts(
                connection, [(seqs[r["id"]], n.sample) for r, n in zip(rows, new, strict=True) if r["id"] in seqs]
            )
            return [row["id"] if row["id"] in seqs else self._at(connection, row) for row in rows]

    @staticmethod
    def _add_parts(connection: Connection, stored: Iterable[tuple[int, Sample]]) -> None:
        """The rows that hang on samples: attempts and payloads."""
        tries: list[dict[str, Any]] = []
        large: list[dict[str, Any]] = []
        for seq, sample in stored:
            tries += attempt_rows(seq, sample.attempts)
            tokens = sample.completion.tokens if sample.completion else ()
            if tokens or sample.raw is not None:
                raw = None if sample.raw is None else pack_raw(sample.raw)
                large.append({"seq": seq, "tokens": pack_tokens(tokens) if tokens else None, "raw": raw})
        if tries:
            connection.execute(attempts.insert(), tries)
        if large:
            connection.execute(payloads.insert(), large)

    @staticmethod
    def _at(connection: Connection, row: Mapping[str, Any]) -> str:
        """The id of the sample in this row's slot."""
        slot = [samples.c[name] == row[name] for name in ("request_id", "series", "idx")]
        return str(connection.execute(select(samples.c.id).where(*slot)).scalar_one())

    def samples(
        self, *, payload: bool = False, limit: int | None = None, newest: bool = False, **where: Unpack[Where]
    ) -> list[StoredSample]:
        """Samples in the order they became known: the first `limit` of them, or the last if `newest`.

        Without `payload` they come without tokens and raw body.
        """
        query = select(samples).where(*_conditions(where))
        return self._stored(query.order_by(samples.c.seq.desc() if newest else samples.c.seq).limit(limit), payload)

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
        shown, escaped = clean(words), to_json(clean(words))[1:-1]
        in_requests = select(requests.c.id).where(sql.contains(requests.c.body, escaped))
        hit = or_(
            sql.contains(samples.c.text, shown),
            sql.contains(samples.c.refusal, shown),
            sql.contains(samples.c.tool_calls, escaped),
            samples.c.exact.is_not(None),
            samples.c.request_id.in_(in_requests),
        )
        found = self._stored(
            select(samples).where(hit, *_conditions({"program_id": program_id})).order_by(samples.c.seq)
        )
        bodies: dict[str, bool] = {}
        out = []
        for one in found:
            if one.request_id not in bodies:
                bodies[one.request_id] = self._quoted(one.request_id, words)
            if bodies[one.request_id] or _says(one.sample, words):
                out.append(one)
        return out if limit is None else out[:limit]

    def _quoted(self, request_id: str, words: str) -> bool:
        with self._read() as connection:
            row = connection.execute(select(requests).where(requests.c.id == request_id)).one_or_none()
        return row is not None and any(words in text for text in _strings(request_from_row(row._asdict()).request.body))

    def _stored(self, query: Select[Any], payload: bool = False) -> list[StoredSample]:
        """The samples that a query over table samples gives, in seq order, with what hangs on them."""
        with self._read() as connection:
            rows = sorted(connection.execute(query).mappings(), key=lambda row: row["seq"])
            tries: dict[int, list[Mapping[str, Any]]] = {row["seq"]: [] for row in rows}
            large: dict[int, tuple[bytes | None, bytes | None]] = {}
            for seqs in _chunks([row["seq"] for row in rows]):
                part = select(attempts).where(attempts.c.seq.in_(seqs)).order_by(attempts.c.seq, attempts.c.n)
                for one in connection.execute(part).mappings():
                    tries[one["seq"]].append(dict(one))
                if payload:
                    for seq, tokens, raw in connection.execute(
                        select(payloads).where(payloads.c.seq.in_(seqs))
                    ).tuples():
                        large[seq] = tokens, raw
        return [from_row(dict(row), tries[row["seq"]], *large.get(row["seq"], ())) for row in rows]

    # -- outcomes ------------------------------------------------------------------------------------------------------

    def add_outcomes(self, sample_id: str, judged: Iterable[tuple[str, Outcome]]) -> None:
        """Store what checks said, as (checks_id, outcome); one that is there already stays as it is.

        Raises: UsageError if no such sample is stored.
        """
        now = _now_us()
        rows = [
            {
                "sample_id": sample_id,
                "checks_id": checks_id,
                "check_name": one.check,
                "outcome": one.outcome,
                "reason": clean(one.reason),
                "marks": to_json(one.marks) if one.marks else None,
                "judged_us": now,
            }
            for checks_id, one in judged
        ]
        if not rows:
            return
        try:
            with self._write() as connection:
                connection.execute(sql.insert_new(outcomes), rows)
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise UsageError(f"no stored sample has the id `{sample_id}`", slug="unknown-sample") from error
            raise

    def outcomes(
        self, sample_ids: Iterable[str], checks_ids: Collection[str] | None = None
    ) -> dict[str, dict[str, Outcome]]:
        """By sample id, then by checks_id; `checks_ids` None means all. Samples without any are left out."""
        wanted = [] if checks_ids is None else [outcomes.c.checks_id.in_(list(checks_ids))]
        out: dict[str, dict[str, Outcome]] = {}
        with self._read() as connection:
            for ids in _chunks(list(sample_ids)):
                for row in connection.execute(select(outcomes).where(outcomes.c.sample_id.in_(ids), *wanted)):
                    marks = tuple((start, end) for start, end in json.loads(row.marks or "[]"))
                    said = Outcome(row.outcome, row.reason, row.check_name, marks)
                    out.setdefault(row.sample_id, {})[row.checks_id] = said
        return out

    def unjudged(
        self, checks_ids: Collection[str], *, limit: int | None = None, payload: bool = False, **where: Unpack[Where]
    ) -> list[StoredSample]:
        """Samples that lack an outcome for at least one of these checks, in seq order."""
        wanted = sorted(set(checks_ids))
        judged = (
            select(func.count())
            .select_from(outcomes)
            .where(outcomes.c.sample_id == samples.c.id, outcomes.c.checks_id.in_(wanted))
            .scalar_subquery()
        )
        query = select(samples).where(judged < len(wanted), *_conditions(where))
        return self._stored(query.order_by(samples.c.seq).limit(limit), payload)

    # -- decisions -----------------------------------------------------------------------------------------------------

    def add_decision(
        self,
        *,
        rule: str,
        question: str,
        verdict: str,
        evidence: JSON,
        sample_ids: Iterable[str],
        checks_ids: Iterable[str] = (),
        alpha: float | None = None,
        target: float | None = None,
        reference_rate: float | None = None,
        horizon: int | None = None,
        stop_reason: str | None = None,
        program_id: str | None = None,
        case_id: str | None = None,
    ) -> str:
        """Its id. Nothing ever changes or removes a decision. Raises: UsageError if a sample is unknown."""
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
            "made_us": _now_us(),
        }
        with self._write() as connection:
            seqs: dict[str, int] = {}
            for part in _chunks(ids):
                found = connection.execute(select(samples.c.id, samples.c.seq).where(samples.c.id.in_(part)))
                seqs.update(found.tuples().all())
            if missing := [id for id in ids if id not in seqs]:
                raise UsageError(f"no stored sample has the id `{missing[0]}`", slug="unknown-sample")
            connection.execute(decisions.insert(), {**row, "samples": to_json(ranges(seqs.values()))})
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
        """The samples that a decision looked at, in the order they became known: for its replay."""
        out: list[StoredSample] = []
        for seqs in _chunks(list(decision.samples)):
            out += self._stored(select(samples).where(samples.c.seq.in_(seqs)), payload)
        return out

    # -- totals and export ---------------------------------------------------------------------------------------------

    def spend(self, **where: Unpack[Where]) -> Spend:
        """What the matching samples took; by default only drawn ones count, as others cost us nothing."""
        where.setdefault("source", "draw")
        here = _conditions(where)
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

        `run` counts the samples of one case and variant from 0. Where there is something to say, a
        line also has `error`, `finish_reason`, `tool_calls`, `refusal`, `seed`, and with `payload` `logprobs`.
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


# -- helpers -----------------------------------------------------------------------------------------------------------


def _path(url: str | Path) -> Path | None:
    """The file that a path or URL names; None for a database in memory."""
    text = str(url)
    if text in (":memory:", "sqlite://"):
        return None
    if "://" not in text:
        return Path(url).expanduser()
    try:
        parsed = make_url(text)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite":
        raise StoreError(
            "only SQLite stores can be used yet; give a path, sqlite:///path or :memory:", slug="store-unknown-kind"
        )
    return None if parsed.database in (None, "", ":memory:") else Path(str(parsed.database)).expanduser()


def _now_us() -> int:
    return time.time_ns() // 1000


def new_id(prefix: str) -> str:
    """A short id that says nothing but can be pasted: 60 random bits."""
    number = secrets.randbits(60)
    return f"{prefix}_{''.join(ALPHABET[number >> shift & 31] for shift in range(0, 60, 5))}"


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _conditions(where: Where) -> list[ColumnElement[bool]]:
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
