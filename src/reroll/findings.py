"""What a command found is kept in the project's store, so that pages can show it again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reroll.case import Report
from reroll.errors import RerollError
from reroll.numbers import counts
from reroll.settings import setting
from reroll.store import Store
from reroll.store_asked import report_id

__all__ = ["KEPT", "job", "keep_finding", "last"]

# Commands whose result is kept. Listings can be made again at any time and are not.
KEPT = frozenset(
    "investigate rerun certify compare futures surprise forks phrase audit cause neighbours try check".split()
)
FIRST = 400  # characters of a line at most

_job: str | None = None
_of_report: str | None = None
_last: str | None = None


def job(id: str, report: str | None = None) -> None:
    """From now on what this process finds belongs to this job, and to the report that it is for."""
    global _job, _of_report
    _job, _of_report = id, report


def last() -> str | None:
    """The id of what this process found last."""
    return _last


def keep_finding(command: str, body: Mapping[str, Any], project: Path, store: str | None) -> None:
    """Store what a command printed. A store that cannot take it costs a line on stderr, never the command."""
    global _last
    if command not in KEPT:
        return
    try:
        with Store.open(setting("store", store) or project / ".reroll" / "store.sqlite", create=False) as opened:
            known = about(body)
            known["report_id"] = _of_report or known["report_id"]
            _last = opened.add_finding(command, body, **known, job_id=_job)
    except RerollError as error:
        print(f"warning: what was found could not be kept for the pages: {error}", file=sys.stderr)


def about(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a finding is about: its case, program, report and sample, its verdict and one line, as far as it says so.

    >>> about({"case": "a", "verdict": "dud", "sample": "s_1", "text": "It went wrong. At a place."})["line"]
    'It went wrong.'
    """
    case, program = body.get("case"), body.get("program") or {}
    program_id = program.get("id") if isinstance(program, Mapping) else None
    luck = body.get("luck") or {}
    return {
        "case_id": case.get("id") if isinstance(case, Mapping) else case,
        "program_id": program_id,
        "report_id": _report(body.get("report"), program_id),
        "sample_id": body.get("sample") if isinstance(body.get("sample"), str) else None,
        "verdict": str(body.get("verdict") or luck.get("verdict") or ""),
        "line": line_of(body),
    }


def _report(report: Any, program_id: str | None) -> str | None:
    if not isinstance(report, Mapping):
        return None
    known = {name: value for name, value in report.items() if name in Report.model_fields}
    return report_id(Report.model_validate(known), program_id)


def line_of(body: Mapping[str, Any]) -> str:
    """One plain sentence: the first of its text, else how many runs failed."""
    text = " ".join(str(body.get("text") or "").split())
    if text:
        first, stop, _ = text.partition(". ")
        return (first + stop.strip())[:FIRST]
    rate = body.get("rate") or {}
    if not isinstance(rate, Mapping) or not rate.get("n"):
        return ""
    return f"{rate['failures']:,} of {counts('run', rate['n'])} failed."
