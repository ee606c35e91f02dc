"""Every bar of every issue has a measured row with its circumstances, and the page is what the rows give."""

from __future__ import annotations

import ast
import json
import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from benchmarks._claims import FALSE, POWER
from benchmarks._page import BLOCK, PAGE, SECTIONS, made, pages, plots, rows_for, stale
from benchmarks._plan import COUNTS, PLAN, WAITS, jobs, scripts
from benchmarks._plots import Line, chart
from benchmarks._promises import PROMISES, WHY, Promise
from benchmarks._report import Report, Row, slug
from benchmarks._results import read, rows_of, taken, with_report, with_rows, without

ROOT = Path(__file__).parent.parent
ROWS: dict[str, dict[str, Any]] = {row["id"]: row for row in read()["rows"]}
REPORT = {
    "date": "2026-01-02T03:04:05+00:00",
    "command": "python benchmarks/certify.py",
    "machine": "a machine",
    "load": 0.1,
    "commit": "abc",
    "seconds": 1.0,
    "cpu_seconds": 1.0,
}


def report_of(*rows: Row) -> dict[str, Any]:
    return {**REPORT, "rows": [row.named("certify") for row in rows]}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: f"{p.issue}-{slug(p.says)[:60]}")
def test_every_bar_of_every_issue_has_its_rows_or_the_test_that_holds_it(promise: Promise) -> None:
    assert bool(promise.rows) + bool(promise.test) + bool(promise.open) == 1
    if promise.rows:
        assert rows_for(promise, ROWS)
    if promise.test:
        file, _, name = promise.test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_issue_has_bars() -> None:
    assert {promise.issue for promise in PROMISES} == set(range(2, 12))


def test_every_row_says_when_where_and_by_which_command_it_was_measured() -> None:
    for name, row in ROWS.items():
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", row["date"]), name
        assert row["command"].startswith("python "), name
        assert "cores" in row["machine"], name
        assert row["load"] is not None, name
        assert name.split("/")[0] == "model" or re.fullmatch(r"[0-9a-f]{9}\+?", str(row["commit"])), name
        assert name.split("/")[0] in jobs() or name.split("/")[0] in ("model", "bench_quick"), name


def test_whether_a_row_meets_its_bar_is_what_its_numbers_say() -> None:
    for name, row in ROWS.items():
        if row["bound"] is not None:
            bound, most = row["bound"]["value"], row["bound"]["most"]
            again = Row(row["what"], row["ours"], bound, most, of=row.get("of"), exact=row.get("exact"))
            assert row["met"] == again.met or abs(row["ours"] - bound) < 1e-5, name


def test_a_bar_that_is_missed_is_said_with_its_reason() -> None:
    missed = {name for name, row in ROWS.items() if row["met"] is False}
    assert missed <= set(WHY), missed - set(WHY)
    page = PAGE.read_text(encoding="utf-8")
    assert all(WHY[name] in page for name in missed)


def test_the_page_and_its_plots_are_what_the_rows_give() -> None:
    assert not stale(), "run python -m benchmarks --page"
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"images/{name}" in page or f"images/{name}" in nothing_wrong() for name in plots(read()))


def nothing_wrong() -> str:
    path = ROOT / "docs" / "nothing-wrong.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_the_plan_names_benchmarks_that_exist_and_leaves_none_out() -> None:
    assert set(PLAN) <= set(scripts()) == set(jobs())
    assert set(PLAN) > COUNTS | WAITS
    assert not COUNTS & WAITS


def test_the_parts_of_a_run_that_is_cut_are_all_its_rows() -> None:
    told = [dict(zip(part[::2], map(int, part[1::2]), strict=True)) for part in jobs()["nothing_wrong"].parts]
    rows = [range(part.get("--first", 0), part.get("--last", len([*FALSE, *POWER]) - 1) + 1) for part in told]
    assert [i for part in rows for i in part] == list(range(len([*FALSE, *POWER])))


def test_the_small_run_of_all_of_them_takes_less_than_ten_minutes_of_cpu() -> None:
    assert sum(job.seconds[1] for job in PLAN.values() if job.quick is not None) < 600


def test_a_new_row_takes_the_place_of_the_old_one_and_keeps_its_own_date() -> None:
    old = with_rows({"rows": []}, rows_of(report_of(Row("calls", 3, 5), Row("errors", 1, 5))))
    later = {**report_of(Row("calls", 4, 5)), "date": "2026-02-02T00:00:00+00:00"}
    assert [(r["ours"], r["date"][:7]) for r in with_rows(old, rows_of(later))["rows"]] == [
        (4, "2026-02"),
        (1, "2026-01"),
    ]
    assert [r["ours"] for r in with_rows(without(old, "certify"), rows_of(later))["rows"]] == [4]
    assert without(old, "audit")["rows"] == old["rows"]


def test_a_table_that_a_script_printed_stands_on_a_page_with_its_run_and_is_replaced_by_the_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["certify.py"])
    results: dict[str, Any] = {"rows": []}
    for calls in (7, 8):
        report = Report("certify", None)
        report.add("calls", "What it took", ["target", "calls"], [["99 %", calls]])
        report.number("calls", calls)
        report.finish()
        results = with_report(results, taken(capsys.readouterr().out))
    shown = made("table", results, "certify/calls")
    assert BLOCK.fullmatch(shown)
    assert "`python benchmarks/certify.py`, 20" in shown
    assert "| target | calls |\n|---|---|\n| 99 % | 8 |" in shown
    assert "| 7 |" not in shown
    report = Report("certify", None)
    report.number("calls", 9)
    report.finish()
    gone = with_report(without(results, "certify"), taken(capsys.readouterr().out))
    assert "Not measured yet" in made("table", gone, "certify/calls")


def test_every_table_that_a_page_names_has_been_measured() -> None:
    named = [(path.name, m["of"]) for path in pages() for m in BLOCK.finditer(path.read_text("utf-8")) if m["of"]]
    known = {*read()["tables"], *(name.split("/")[0] for name in ROWS)}
    assert [pair for pair in named if pair[1] not in known] == []


def test_what_a_script_printed_is_read_and_what_holds_no_rows_is_refused() -> None:
    printed = f"### Table\n\n```json\n{json.dumps(report_of(Row('calls', 3, 5)))}\n```\n"
    assert taken(printed)["rows"][0]["met"] is True
    with pytest.raises(ValueError):
        taken("it broke")


@pytest.mark.parametrize(
    ("row", "met"), [(Row("a", 2, 1), False), (Row("a", 2, 1, most=False), True), (Row("a", 2, None), None)]
)
def test_a_row_is_met_by_the_side_on_which_its_bar_lies(row: Row, met: bool | None) -> None:
    assert row.met is met


def test_a_missed_bar_is_on_the_page_with_how_far_it_is_missed() -> None:
    results = with_rows({"rows": []}, rows_of(report_of(Row("calls", 6, 5))))
    assert "| `certify/calls` | 6 | ≤ 5 | by 20 % |" in made("missed", results)
    assert "No row misses" in made("missed", {"rows": []})
    assert {"bars", "missed", "beside", "every", "plan", "wrong", "power", "how"} == set(SECTIONS)


def test_a_plot_is_the_same_each_time_and_shows_names_as_text() -> None:
    lines = [Line("<script>", 1.0, 2.0, 1.5), Line("b", 0.5)]
    drawn = chart("Title", "s", lines, names=("ours", "theirs", "bar"))
    assert drawn == chart("Title", "s", lines, names=("ours", "theirs", "bar"))
    assert "&lt;script&gt;" in drawn
    assert drawn.count("<circle") == 3  # two lines and the key
    with pytest.raises(ValueError):
        chart("Title", "s", [], names=("", "", ""))


def test_no_benchmark_imports_itself_by_way_of_others() -> None:
    imports = {}
    for path in (ROOT / "benchmarks").rglob("*.py"):
        named = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        taken_from = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
        imports[named] = {
            name for node in taken_from for name in (node.module, *(f"{node.module}.{one.name}" for one in node.names))
        }
    assert list(TopologicalSorter(imports).static_order())  # raises CycleError
