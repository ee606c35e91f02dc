"""Four prompts of GPT-4o ranked from recorded completions by `reroll compare`, beside the same table computed apart.

    python benchmarks/recorded.py [--out X.json]

100 questions in mathematics at temperature 0, REROLL_DATA or ../shared/data.  Runs 0 and 1 are there for every question
and prompt; later ones only where all earlier ones had agreed, so that only the first two are pooled: `--repeats 2
--about population` takes just those, question by question.  Under two checks: the letter must stand in the form that
each prompt asked for, or anywhere, the last one counting.  Nothing is printed where the data is absent.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from _report import Report
from reroll.cli import main as reroll

DATA = Path(os.environ.get("REROLL_DATA", Path(__file__).parents[2] / "shared" / "data"))
MATHS = DATA / "gpt4o-math-variants.jsonl.gz"
VARIANTS = ("plain", "answer-schema", "be-competent", "be-brief")
CHECKS = {
    "letter at the end": r"(?s)(?:[Aa]nswer[^A-D]*|^\W*|\n\W*)\(?{expected}\b[^\n]*\W*$",
    "last letter": r"(?s)(?:\({expected}\)|\*\*{expected}\b|[Aa]nswer\W+(?:is\W+)?{expected}\b|(?:^|\n)\W*{expected}\b)"
    r"(?:[^(*]|\([^A-E]|\([A-E][^)]|\*[^*])*$",
}
BEYOND = 1.96


def told(*line: object) -> Any:
    """What a command prints as JSON."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = reroll([*map(str, line), "--json"])
    if code not in (0, 1, 3):
        raise RuntimeError(f"{line}: exit {code}: {out.getvalue()[-300:]}")
    return json.loads(out.getvalue())


def failures(check: str) -> dict[str, Any]:
    """By variant (100, 2) bool: whether runs 0 and 1 of each question failed, judged here by Python's `re`."""
    found: dict[str, dict[tuple[str, int], bool]] = {v: {} for v in VARIANTS}
    with gzip.open(MATHS, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            if row["run"] < 2:
                pattern = check.replace("{expected}", re.escape(row["expected"]))
                found[row["variant"]][row["case_id"], row["run"]] = not re.search(pattern, row["completion"])
    ids = sorted({case for case, _ in found["plain"]})
    return {v: np.array([[of[case, 0], of[case, 1]] for case in ids]) for v, of in found.items()}


def apart(a: Any, b: Any) -> tuple[float, float]:
    """The mean difference of failures, B minus A, and its standard error, the question being the unit."""
    d = b.mean(axis=1) - a.mean(axis=1)
    return float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d)))


def ranked(report: Report, name: str, check: str, home: Path) -> None:
    truth = failures(check)
    project = home / name.replace(" ", "-")
    told("import", f"{MATHS}#variant=plain", "--into", project, "--check", f"matches: {json.dumps(check)}")

    def named(variant: str) -> str:
        return "baseline" if variant == "plain" else f"model=recorded:{MATHS}#variant={variant}"

    order = sorted(VARIANTS, key=lambda v: truth[v].mean())
    rows, agree, wrong, inside = [], 0, 0, 0
    pairs = list(itertools.combinations(order, 2))
    for better, worse in pairs:
        line = ["compare", named(worse), named(better), "--project", project, "--about", "population", "--set", "case"]
        said = told(*line, "--repeats", 2, "--budget", 400, "--yes", "--quiet")
        (pair,) = said["pairs"]
        mean, error = apart(truth[worse], truth[better])
        real, verdict = abs(mean) > BEYOND * error, pair["verdict"]
        agree += (verdict == "better") == real
        wrong += verdict == "worse"
        inside += pair["difference"]["low"] <= mean <= pair["difference"]["high"]
        estimate = pair["difference"]
        rows.append(
            [
                f"{better} against {worse}",
                f"{100 * mean:+.1f} ± {100 * BEYOND * error:.1f}",
                "real" if real else "could be chance",
                verdict,
                f"{100 * estimate['value']:+.1f} in {100 * estimate['low']:+.0f}…{100 * estimate['high']:+.0f}",
                said["cost"]["calls"],
            ]
        )
    shares = ", ".join(f"{v} {100 * truth[v].mean():.1f} %" for v in order)
    report.add(
        name.replace(" ", "_"),
        f"Check: {name}. Failures in runs 0 and 1: {shares}",
        ["pair", "runs 0 and 1, points (± 95 %, one look)", "so it is", "reroll", "points, at every look", "runs read"],
        rows,
    )
    line = ["--project", project, "--about", "population", "--set", "case", "--budget", 1600, "--yes", "--quiet"]
    all_four = told("compare", *map(named, VARIANTS), *line)
    best = next(v for v in VARIANTS if named(v) == all_four["best"]) if all_four["best"] else None
    dropped = {v: one["dropped_after"] for v, one in zip(VARIANTS, all_four["variants"], strict=True)}
    beaten = ", ".join(f"{v} after {n}" for v, n in dropped.items() if n) or "none"
    print(f"All four at once, run 0 of new questions: best {best}; beaten: {beaten}; {all_four['stopped']}\n")
    report.report[f"four, {name}"] = {"best": best, "dropped": dropped, "calls": all_four["cost"]["calls"]}
    report.bar(f"{name}: another than the one that fails least is named best", float(best not in (None, order[0])), 0)
    report.bar(f"{name}: pairs said the wrong way round, of {len(pairs)}", wrong, 0)
    report.bar(f"{name}: the difference is inside the range, of {len(pairs)}", inside, len(pairs), most=False)
    report.report[f"agree, {name}"] = f"{agree} of {len(pairs)} pairs as a clustered z-test at one look"


def main() -> int:
    report = Report("recorded", __doc__)
    if not MATHS.exists():
        print(f"no recorded data in {DATA}; set REROLL_DATA to it", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as home:
        for name, check in CHECKS.items():
            ranked(report, name, check, Path(home))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
