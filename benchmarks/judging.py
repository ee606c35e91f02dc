"""What a model as judge takes: CPU for each answer that it is asked about, and calls that equal answers save.

    python benchmarks/judging.py [--calls N] [--out X.json]

Judged are N different answers, over a real wire, by a server on this machine that says the same verdict at once: its
time is not counted. Then the same again, from the store.  How many answers are equal is a matter of the model: it is
counted in recorded runs at temperature 0, from REROLL_DATA or ../shared/data; those rows are left out where these are
absent.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import kills
from _report import Report
from reroll.case import Case
from reroll.check import Check
from reroll.checking import Checker
from reroll.judge_calls import JudgeCalls
from reroll.program import Program
from reroll.sample import Completion, Sample
from reroll.store import Store

DATA = Path(os.environ.get("REROLL_DATA", Path(__file__).parents[2] / "shared" / "data"))
RECORDED = {"gpt4o-math-variants": "GPT-4o, mathematics", "temperature-zero-reruns": "short tasks, several models"}
VERDICT = json.dumps({"reason": "It greets the customer by name and stays polite.", "verdict": "pass"})
PAGE = 500  # as commands judge


def judged(report: Report, calls: int) -> None:
    with kills.fake_server("--answer", VERDICT) as url, tempfile.TemporaryDirectory() as home:
        check = Check.of("judge", {"model": "openai:judge", "base_url": url, "rubric": "It greets by name, politely."})
        case, program = Case(id="greet", input={"request": "Greet Ana"}, checks=(check,)), Program(program="p")
        texts = (f"Dear Ana, hello for the {n}th time. " + "x" * 200 for n in range(calls))
        answers = [Sample(completion=Completion(text)) for text in texts]
        took = []
        for _ in range(2):  # the second finds every verdict stored
            with (
                Store.open(Path(home) / "s.sqlite") as store,
                JudgeCalls(store, Path(home)) as judges,
                Checker(home, judges=judges) as checker,
            ):
                judge = checker.judging(case, program)
                checker.judge(case, program, Sample(completion=Completion(f"warm up {len(took)}")))
                before = judges.calls
                cpu = time.process_time()
                for start in range(0, calls, PAGE):
                    page = answers[start : start + PAGE]
                    checker.ahead(case, program, page)
                    if any(judge(one)[0].outcome != "pass" for one in page):
                        sys.exit("the judge said something else than pass")
                took.append((judges.calls - before, (time.process_time() - cpu) / calls * 1000))
    report.add(
        "cpu", "CPU of reroll for each answer", ["", "answers", "calls of the judge", "ms"],
        [[what, calls, made, f"{ms:.2f}"] for what, (made, ms) in zip(("asked", "from the store"), took, strict=True)],
    )  # fmt: skip
    report.number("CPU for an answer that is asked about", took[0][1], unit="ms")
    report.number("CPU for an answer whose verdict is stored", took[1][1], unit="ms")


def alike(report: Report) -> None:
    rows = []
    for name, what in RECORDED.items():
        path = DATA / f"{name}.jsonl.gz"
        if not path.exists():
            print(f"{path} is not there: its row is left out", file=sys.stderr)
            continue
        runs, different = 0, set()
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for row in map(json.loads, file):
                if row.get("completion") is not None:
                    runs += 1
                    different.add(hash((json.dumps(row["messages"]), row.get("model"), row["completion"])))
        rows.append([what, runs, len(different), f"{100 * len(different) / runs:.0f} %"])
        report.number(f"calls of a judge, of what every run would take: {what}", 100 * len(different) / runs, unit="%")
    if rows:
        head = ["recorded at temperature 0", "runs", "different answers: calls of a judge", "share"]
        report.add("alike", "What equal answers save", head, rows)


if __name__ == "__main__":
    report = Report("judging", __doc__, calls=4000)
    judged(report, report.args.calls)
    alike(report)
    sys.exit(report.finish())
