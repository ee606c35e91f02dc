"""Eight kinds of lever tried by `reroll try` on the bundled model, held against the model's exact rates.

    python benchmarks/levers.py [--seed N] [--out X.json]

Each on a cause that it should help and on one that it should not.  Exact: the model's own chance of the one right
answer, token by token, before and after; measured: what the whole command says of the case, of the sealed half of its
neighbours and of control cases.  About five minutes on two busy cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.exact import exact_pass

from _meetings import ATTEMPTS, Attempt, write
from _report import Report
from reroll.cli import main as reroll
from reroll.halves import halves
from reroll.levers import fitting
from reroll.models.local import LocalModel, bundled_file
from reroll.program import Program
from reroll.project import Project, load_project

Sets = dict[str, tuple[float, float]]  # exact failure rate before and after, by set
DRIFT = 0.005  # what llama.cpp gives for the same prompt moves by so much: cached or not, decoded or read
WITHIN = "inside"


async def exact_rates(projects: list[Project]) -> list[Sets]:
    """By attempt and set; a program and a case that stand in several attempts are read once."""
    model = LocalModel(bundled_file(), "bundled")
    known: dict[tuple[str, str], asyncio.Task[float]] = {}

    async def fails(program: Program, case: Any) -> float:
        key = (program.render(case.input, case.history).id(""), case.content_id)
        if key not in known:
            known[key] = asyncio.ensure_future(exact_pass(model, program, case))
        return 1 - await known[key]

    async def of_one(project: Project) -> Sets:
        programs = (project.program, fitting(project.fixes[0], project.program))
        out = {}
        for name, cases in sets(project).items():
            rates = [await asyncio.gather(*(fails(program, case) for case in cases)) for program in programs]
            out[name] = (statistics.fmean(rates[0]), statistics.fmean(rates[1]))
        return out

    try:
        return [await of_one(project) for project in projects]
    finally:
        await model.close()


def sets(project: Project) -> dict[str, list[Any]]:
    """The case, the sealed half of its neighbours, and the control cases."""
    _, sealed = halves([c for c in project.cases if c.set == "neighbour"])
    control = [c for c in project.cases if c.set == "control"]
    return {"case": [project.cases[0]], "neighbours": list(sealed), "control": control}


def tried(folder: Path, attempt: Attempt, seed: int) -> dict[str, Any]:
    """What `reroll try` prints, as JSON."""
    case = load_project(folder).cases[0].id
    line = ["try", "lever", "--case", case, "--project", str(folder), "--json", "--yes", "--quiet"]
    line += ["--margin", "0.1", "--lookalike-margin", "0.2", "--budget", str(attempt.budget), "--seed", str(seed)]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = reroll(line)
    if code not in (0, 1, 3):
        raise RuntimeError(f"{' '.join(line)}: exit {code}: {out.getvalue()[-300:]}")
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def claims(card: dict[str, Any], exact: Sets) -> list[tuple[str, float, float, float]]:
    """Every range that the scorecard states, with the exact value: (what, low, exact, high)."""
    out = []
    for name, key in (("case", "case"), ("neighbours", "neighbours"), ("control", "control")):
        shown = card[key]
        if shown and shown["before"]["n"]:
            for when, true in zip(("before", "after"), exact[name], strict=True):
                out.append((f"{name} {when}", shown[when]["low"], true, shown[when]["high"]))
    gain = {}
    for name, key in (("case", "case_gain"), ("neighbours", "neighbour_gain")):
        before, after = exact[name]
        gain[name] = 1 - after / before
        out.append((f"{name}, gain", card[key]["low"], gain[name], card[key]["high"]))
    if gain["case"] > 0:
        high = card["generalisation"]["high"]
        general = max(0.0, gain["neighbours"] / gain["case"])
        out.append(("generalisation", card["generalisation"]["low"], general, general if high is None else high))
    if card["control"] and card["control"]["before"]["n"]:
        before, after = exact["control"]
        out.append(("harm to control cases", -1.0, after - before, card["control_harm"]["high"]))
    return out


def moved(shown: dict[str, Any]) -> float:
    """After minus before, as measured."""
    return float(shown["after"]["estimate"] - shown["before"]["estimate"])


def row(attempt: Attempt, exact: Sets, found: dict[str, Any], outside: list[str]) -> list[Any]:
    card = found["fixes"][0]
    cells: list[Any] = [attempt.lever, attempt.words, attempt.cause, "helps" if attempt.helps else "should not"]
    for name in ("case", "neighbours"):
        shown, (before, after) = card[name], exact[name]
        gain = card[{"case": "case_gain", "neighbours": "neighbour_gain"}[name]]
        cells.append(f"{before:.3f} → {after:.3f}")
        rates = f"{shown['before']['estimate']:.3f} → {shown['after']['estimate']:.3f} ({shown['after']['n']})"
        cells.append(f"{rates}; {1 - after / before:+.2f} in {gain['low']:+.2f}…{gain['high']:+.2f}")
    why = ", ".join(card["reasons"])
    verdict = f"{card['verdict']}{f' ({why})' if why else ''}"
    return [*cells, ", ".join(outside) or WITHIN, verdict, found["cost"]["calls"]]


def main() -> int:
    report = Report("levers", __doc__, seed=1)
    with tempfile.TemporaryDirectory() as home:
        folders = [Path(home) / str(k) for k in range(len(ATTEMPTS))]
        for folder, attempt in zip(folders, ATTEMPTS, strict=True):
            write(folder, attempt)
        exact = asyncio.run(exact_rates([load_project(folder) for folder in folders]))
        found = [tried(f, attempt, report.args.seed) for f, attempt in zip(folders, ATTEMPTS, strict=True)]
    judge(report, exact, found)
    return report.finish()


def judge(report: Report, exact: list[Sets], found: list[dict[str, Any]]) -> None:
    rows, stated, off, deviations = [], 0, 0, []
    verdicts: dict[bool, list[str]] = {True: [], False: []}
    for attempt, true, one in zip(ATTEMPTS, exact, found, strict=True):
        card = one["fixes"][0]
        ranges = claims(card, true)
        outside = [what for what, low, value, high in ranges if not low - DRIFT <= value <= high + DRIFT]
        stated, off = stated + len(ranges), off + len(outside)
        verdicts[attempt.helps].append(card["verdict"])
        for name in ("case", "neighbours"):
            deviations.append(moved(card[name]) - (true[name][1] - true[name][0]))
        rows.append(row(attempt, true, one, outside))
    head = ["lever", "kind", "cause", "it", "case, exact", "case, measured (runs); exact gain in its range"]
    head += ["neighbours, exact", "neighbours, measured; gain", "ranges", "verdict", "calls"]
    report.add(
        "levers", "Eight kinds of lever, each on a cause that it should help and on one that it should not", head, rows
    )
    report.report["deviation"] = {
        "of": "measured minus exact effect on case and neighbours",
        "mean": round(statistics.fmean(deviations), 4),
        "sd": round(statistics.stdev(deviations), 4),
        "n": len(deviations),
    }
    print(f"measured minus exact effect: {report.report['deviation']}\n")
    report.bar(
        "exact rates and effects inside the ranges that the scorecard states",
        1 - off / stated,
        0.95,
        most=False,
    )
    wrong = verdicts[False].count("accept")
    report.bar("levers accepted on a cause that they should not help", wrong, 0)
    right = verdicts[True].count("reject")
    report.bar("levers rejected on the cause that they should help", right, 0)


if __name__ == "__main__":
    sys.exit(main())
