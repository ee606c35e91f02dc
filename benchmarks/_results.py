"""benchmarks/results.json: the latest measured row of each number, with its date, machine, command and version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "read", "rows_of", "taken", "with_rows", "write"]

RESULTS = Path(__file__).parent / "results.json"
SCHEMA = "reroll.benchmarks/1"
OF_THE_RUN = ("machine", "load", "date", "command", "seconds", "cpu_seconds", "commit")
JSON = dict[str, Any]


def read(path: Path = RESULTS) -> JSON:
    if not path.exists():
        return {"schema": SCHEMA, "rows": []}
    found: JSON = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(results: Mapping[str, Any], path: Path = RESULTS) -> None:
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def taken(printed: str) -> JSON:
    """The JSON block of what a script printed, or that block alone.

    Raises:  ValueError: there is none.
    """
    text = printed.split("```json\n")[-1].split("\n```")[0]
    found = json.loads(text)
    if not isinstance(found, dict) or "rows" not in found:
        raise ValueError("no rows")
    return found


def rows_of(report: Mapping[str, Any]) -> list[JSON]:
    """Each row with the circumstances of its run: the machine, the load at the start, the date, the command."""
    run = {key: report.get(key) for key in OF_THE_RUN}
    return [{**row, **run} for row in report["rows"]]


def with_rows(results: Mapping[str, Any], new: list[JSON], *, whole: bool) -> JSON:
    """The results with these rows in place of older ones of the same ids.

    `whole`: the run measured all that its script measures, so rows of that script which it no longer gives are gone.
    """
    held = {row["id"]: row for row in results["rows"]}
    scripts = {row["id"].split("/")[0] for row in new}
    if whole:
        held = {name: row for name, row in held.items() if name.split("/")[0] not in scripts}
    held |= {row["id"]: row for row in new}
    return {"schema": SCHEMA, "rows": [held[name] for name in sorted(held)]}
