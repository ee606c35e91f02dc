"""benchmarks/results.json: the latest measured row of each number, with its date, machine, command and version.

The tables that scripts print beside their rows are kept in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "read", "rows_of", "tables_of", "taken", "with_report", "with_rows", "without", "write"]

RESULTS = Path(__file__).parent / "results.json"
SCHEMA = "reroll.benchmarks/1"
OF_THE_RUN = ("machine", "load", "date", "command", "seconds", "cpu_seconds", "commit")
JSON = dict[str, Any]


def read(path: Path = RESULTS) -> JSON:
    if not path.exists():
        return {"schema": SCHEMA, "rows": [], "tables": {}}
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


def tables_of(report: Mapping[str, Any]) -> dict[str, JSON]:
    """The tables of a report by `script/name`, each with the circumstances of its run."""
    script = str(report["schema"]).split(".")[-1].split("/")[0]
    run = {key: report.get(key) for key in OF_THE_RUN}
    return {f"{script}/{name}": {**shown, **run} for name, shown in report.get("tables", {}).items()}


def without(results: Mapping[str, Any], script: str) -> JSON:
    """The results but for this script's rows and tables: what a run of all that it measures begins with."""
    tables = {name: shown for name, shown in results.get("tables", {}).items() if name.split("/")[0] != script}
    rows = [row for row in results["rows"] if row["id"].split("/")[0] != script]
    return {"schema": SCHEMA, "rows": rows, "tables": tables}


def with_report(results: Mapping[str, Any], report: Mapping[str, Any]) -> JSON:
    """The results with the rows and the tables of this report in place of older ones of the same names."""
    tables = {**results.get("tables", {}), **tables_of(report)}
    return {**with_rows(results, rows_of(report)), "tables": {name: tables[name] for name in sorted(tables)}}


def with_rows(results: Mapping[str, Any], new: list[JSON]) -> JSON:
    """The results with these rows in place of older ones of the same ids."""
    held = {row["id"]: row for row in (*results["rows"], *new)}
    return {"schema": SCHEMA, "rows": [held[name] for name in sorted(held)], "tables": results.get("tables", {})}
