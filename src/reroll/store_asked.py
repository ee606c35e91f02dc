"""The part of the store that keeps what was asked: programs, cases, reports and requests."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import exists, select, update

from reroll import store_sql as sql
from reroll.case import Case, Report
from reroll.errors import UsageError
from reroll.keys import known_values
from reroll.program import Program, Request, content_id
from reroll.store_base import Database, chunks, now_us
from reroll.store_rows import StoredReport, StoredRequest, clean, request_from_row, to_json
from reroll.store_schema import cases, programs, reports, requests, samples
from reroll.store_secrets import refuse_keys, refuse_secrets

__all__ = ["Asked", "report_id", "report_row"]

BASELINE = "baseline"

ADD_REQUEST = sql.insert_new(requests)
ADD_CASE = sql.insert_or_change(cases, ("id", "version"), ("seen_us",))


def report_id(report: Report, program_id: str | None) -> str:
    """The id of a report of a program: their content."""
    return content_id("report1", [report.model_dump(mode="json"), program_id])


def report_row(report: Report, program_id: str | None) -> dict[str, Any]:
    """The row of table reports. Raises: UsageError if the report holds a key in use."""
    body = report.model_dump(mode="json")
    refuse_keys(body, "the report")
    id = report_id(report, program_id)
    return {
        "id": id,
        "program_id": program_id,
        "case_id": report.case_id,
        "body": to_json(body),
        "put_us": now_us(),
    }


class Asked(Database):
    """Programs, cases, reports and requests of a `Store`."""

    def put_program(self, program: Program) -> str:
        """Its id. Putting an equal program again renews what is no part of its identity: name, target, ...

        Raises: UsageError if it holds a key or token.
        """
        body = program.model_dump(mode="json", exclude_defaults=True)
        refuse_secrets(body, f"the program `{program.program}`", raw=program.raw, url=program.base_url)
        row = {"id": program.id, "name": program.program, "body": to_json(body), "put_us": now_us()}
        with self._write() as connection:
            if connection.execute(sql.insert_new(programs).returning(programs.c.id), row).one_or_none() is None:
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

    def versions(self, name: str, most: int) -> list[Program]:
        """What the program of this name was when commands measured it as it stood, newest first; at most `most`."""
        measured = exists().where(samples.c.program_id == programs.c.id, samples.c.variant == BASELINE)
        query = select(programs.c.body).where(programs.c.name == name, measured).order_by(programs.c.put_us.desc())
        with self._read() as connection:
            rows = connection.execute(query.limit(most)).all()
        return [Program.model_validate_json(row.body) for row in rows]

    def put_case(self, case: Case) -> None:
        """Store the case as it is now; its earlier forms stay. Raises: UsageError if it holds a key in use."""
        self.put_cases([case])

    def put_cases(self, given: Iterable[Case]) -> None:
        """The same for many, in one transaction: all or none are stored."""
        now, rows = now_us(), []
        keys = known_values()  # looked up once, not for each of many
        for case in given:
            body = case.model_dump(mode="json", exclude_defaults=True)
            if keys:
                refuse_keys(body, f"the case `{case.id}`", keys)
            row = {"id": case.id, "version": content_id("v1", body), "content_id": case.content_id}
            rows.append({**row, "body": to_json(body), "put_us": now, "seen_us": now})
        if not rows:
            return
        with self._write() as connection:
            sql.add_all(connection, ADD_CASE, rows)

    def get_case(self, id: str) -> Case:
        """The case as last put. Raises: UsageError if unknown."""
        query = select(cases.c.body).where(cases.c.id == id).order_by(cases.c.seen_us.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise UsageError(f"no stored case is called `{id}`", slug="unknown-case")
        return Case.model_validate_json(row.body)

    def cases_of(self, ids: Collection[str]) -> dict[str, Case]:
        """Those of these cases that are stored, as last put."""
        out: dict[str, Case] = {}
        with self._read() as connection:
            for part in chunks(sorted(ids)):
                query = select(cases.c.id, cases.c.body).where(cases.c.id.in_(part)).order_by(cases.c.seen_us)
                newest = {row.id: row.body for row in connection.execute(query)}
                out.update({id: Case.model_validate_json(body) for id, body in newest.items()})
        return out

    def cases(self) -> list[Case]:
        """Every case as last put."""
        with self._read() as connection:
            rows = connection.execute(select(cases.c.id, cases.c.body).order_by(cases.c.seen_us)).all()
        return [Case.model_validate_json(body) for body in {row.id: row.body for row in rows}.values()]

    def put_report(self, report: Report, program_id: str | None = None) -> str:
        """Its id, which is its content: the same report of the same program is one.

        Raises: UsageError if it holds a key in use.
        """
        row = report_row(report, program_id)
        with self._write() as connection:
            connection.execute(sql.insert_new(reports), row)
        return str(row["id"])

    def reports(self) -> list[StoredReport]:
        """All, in the order they came in."""
        with self._read() as connection:
            rows = connection.execute(select(reports).order_by(reports.c.seq)).all()
        return [
            StoredReport(row.id, row.program_id, Report.model_validate_json(row.body), row.put_us / 1e6) for row in rows
        ]

    def put_request(self, request_id: str, request: Request, identity: str) -> None:
        """Store the exact request once. Raises: UsageError if it holds a key or token."""
        self.put_requests([(request_id, request, identity)])

    def put_requests(self, asked: Iterable[tuple[str, Request, str]]) -> None:
        """The same for many, as (id, request, identity), in one transaction: all or none are stored."""
        now, rows = now_us(), []
        keys = known_values()
        for request_id, request, identity in asked:
            body = to_json(request.body)
            refuse_secrets(request.body, "the request", raw=request.raw, url=request.base_url, text=body, keys=keys)
            refuse_keys([request.model, identity], "the model's name", keys)
            row = {
                "id": request_id,
                "identity": clean(identity),
                "model": clean(request.model),
                "base_url": None if request.base_url is None else clean(request.base_url),
                "body": body,
                "raw": None if request.raw is None else request.raw.encode(errors="surrogatepass"),
                "put_us": now,
            }
            rows.append(row)
        if rows:
            with self._write() as connection:
                sql.add_all(connection, ADD_REQUEST, rows)

    def get_request(self, id: str) -> StoredRequest:
        """Raises: UsageError if unknown."""
        with self._read() as connection:
            row = connection.execute(select(requests).where(requests.c.id == id)).one_or_none()
        if row is None:
            raise UsageError(f"no stored request has the id `{id}`", slug="unknown-request")
        return request_from_row(row._asdict())
