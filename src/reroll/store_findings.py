"""The part of the store that keeps what commands found, and what people say of reports."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import select

from reroll.errors import UsageError
from reroll.keys import hide, known_values
from reroll.store_base import Database, chunks, new_id, now_us
from reroll.store_rows import clean
from reroll.store_rows_web import Finding, Mark, finding_bytes, finding_json
from reroll.store_schema import findings, report_marks, reports

__all__ = ["Findings"]

JSON = Any
FIELDS = tuple(findings.c[name] for name in Finding.__dataclass_fields__)


class Findings(Database):
    """Findings and marks of a `Store`."""

    def add_finding(
        self,
        command: str,
        body: Mapping[str, JSON],
        *,
        case_id: str | None = None,
        program_id: str | None = None,
        report_id: str | None = None,
        sample_id: str | None = None,
        job_id: str | None = None,
        verdict: str = "",
        line: str = "",
    ) -> str:
        """Its id. Nothing ever changes or removes a finding. Keys in use are hidden."""
        hidden = hide(dict(body), *known_values().values())
        row = {
            "id": new_id("f"),
            "command": command,
            "case_id": case_id,
            "program_id": program_id,
            "report_id": report_id,
            "sample_id": sample_id,
            "job_id": job_id,
            "verdict": verdict,
            "line": clean(line),
            "body": finding_bytes(hidden),
            "made_us": now_us(),
        }
        with self._write() as connection:
            connection.execute(findings.insert(), row)
        return str(row["id"])

    def finding(self, id: str) -> Finding:
        """Raises: UsageError if unknown."""
        with self._read() as connection:
            row = connection.execute(select(*FIELDS).where(findings.c.id == id)).one_or_none()
        if row is None:
            raise UsageError(f"no stored finding has the id `{id}`", slug="unknown-finding")
        return Finding(**row._asdict())

    def finding_body(self, id: str) -> dict[str, JSON]:
        """The command's JSON, as it printed it. Raises: UsageError if unknown."""
        with self._read() as connection:
            row = connection.execute(select(findings.c.body).where(findings.c.id == id)).one_or_none()
        if row is None:
            raise UsageError(f"no stored finding has the id `{id}`", slug="unknown-finding")
        return finding_json(row.body)

    def findings(
        self,
        *,
        command: str | Collection[str] | None = None,
        case_id: str | None = None,
        report_id: str | None = None,
        sample_id: str | None = None,
        job_id: str | None = None,
        limit: int | None = None,
    ) -> list[Finding]:
        """The matching ones, the newest first."""
        query = select(*FIELDS).order_by(findings.c.seq.desc()).limit(limit)
        given = {"case_id": case_id, "report_id": report_id, "sample_id": sample_id, "job_id": job_id}
        for name, value in given.items():
            if value is not None:
                query = query.where(findings.c[name] == value)
        if command is not None:
            query = query.where(findings.c.command.in_([command] if isinstance(command, str) else list(command)))
        with self._read() as connection:
            return [Finding(**row._asdict()) for row in connection.execute(query)]

    def newest_of_reports(self, report_ids: Iterable[str]) -> dict[str, Finding]:
        """The newest finding of each report that has one, by report."""
        found: dict[str, Finding] = {}
        with self._read() as connection:
            for part in chunks(list(report_ids)):
                query = select(*FIELDS).where(findings.c.report_id.in_(part)).order_by(findings.c.seq)
                found.update({row.report_id: Finding(**row._asdict()) for row in connection.execute(query)})
        return found

    # -- what people say of reports ------------------------------------------------------------------------------------

    def mark_report(self, report_id: str, what: str, value: str, by: str) -> None:
        """Say something of a report: its `status`, its `owner`, or which it is the `same_as`.

        Raises: UsageError if there is no such report.
        """
        with self._write() as connection:
            if connection.execute(select(reports.c.id).where(reports.c.id == report_id)).one_or_none() is None:
                raise UsageError(f"no stored report has the id `{report_id}`", slug="unknown-report")
            row = {"report_id": report_id, "what": what, "value": clean(value), "by": clean(by), "at_us": now_us()}
            connection.execute(report_marks.insert(), row)

    def report_marks(self, report_ids: Iterable[str]) -> dict[str, dict[str, str]]:
        """By report what was said last of it: {"status": "mended", "owner": "ana"}."""
        said: dict[str, dict[str, str]] = {}
        with self._read() as connection:
            for part in chunks(list(report_ids)):
                query = select(report_marks).where(report_marks.c.report_id.in_(part)).order_by(report_marks.c.seq)
                for row in connection.execute(query):
                    said.setdefault(row.report_id, {})[row.what] = row.value
        return said

    def marks_said(self, report_ids: Iterable[str]) -> list[Mark]:
        """All that was ever said of these reports, in the order in which it was said."""
        said: list[Mark] = []
        with self._read() as connection:
            for part in chunks(list(report_ids)):
                query = select(report_marks).where(report_marks.c.report_id.in_(part)).order_by(report_marks.c.seq)
                said += [Mark(row.what, row.value, row.by, row.at_us) for row in connection.execute(query)]
        return sorted(said, key=lambda one: one.at_us)
