"""What a suite of tests that call a model comes to: false alarms, caught regressions, trials, and what pytest costs.

    python benchmarks/suite_gate.py              (about two minutes)
    python benchmarks/suite_gate.py --rounds 1   fewer measurements of time

The tables of chances are exact (a walk over every count of failures). The share of red suites is also simulated, and a
suite is run by pytest itself: every test calls a model that takes 10 ms, marked and, in turns with that, as so many
plain tests of the same body.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # as a script

from _report import Report
from reroll.suite_gate import Rule, first_shown, gate, outlook

RATES = (0.99, 0.95, 0.90, 0.85, 0.80, 0.75, 0.70)
TESTS, CALL = 100, 0.01
INSTALLED = any(entry.value == "reroll.pytest_plugin" for entry in entry_points(group="pytest11"))
PYTEST = [sys.executable, "-m", "pytest", *([] if INSTALLED else ["-p", "reroll.pytest_plugin"]), "-q"]
PYTEST += ["-p", "no:cacheprovider", "-p", "no:randomly"]
CONFTEST = f"""
import json, time, pytest
took, calls = [], [0.0]
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    calls[0], cpu, started = 0.0, time.process_time(), time.perf_counter()
    result = yield
    took.append((time.perf_counter() - started - calls[0], time.process_time() - cpu))
    return result
def pytest_sessionfinish():
    open("took.json", "w").write(json.dumps(took))
@pytest.fixture
def ask():
    def call():
        started = time.perf_counter()
        time.sleep({CALL})
        calls[0] += time.perf_counter() - started
        return "yes"
    return call
"""
MARKED = """
import pytest
@pytest.mark.reroll
@pytest.mark.parametrize("k", range(20))
def test_it(k, ask, reroll_sample):
    assert reroll_sample.record(ask(), prompt="Say yes") == "yes"
"""
PLAIN = """
import pytest
@pytest.mark.parametrize("k", range(320))
def test_it(k, ask, reroll_sample):
    assert reroll_sample.record(ask(), prompt="Say yes") == "yes"
"""


def chances(report: Report) -> None:
    for tests in (1, 10, TESTS, 1000):
        rows = []
        for rate in RATES:
            found = outlook(gate(Rule(), tests), rate)
            shares = (found.met, found.not_met, found.undecided)
            rows.append(
                [f"{100 * rate:g} %", *(f"{100 * share:.3g} %" for share in shares), f"{found.expected_calls:.1f}"]
            )
        report.add(
            f"outlook_{tests}",
            f"One test of a run with {tests}, {Rule().budget} trials at most (exact)",
            ["true success rate", "green", "red", "undecided", "mean trials"],
            rows,
        )


def budgets(report: Report) -> None:
    rows = []
    for budget in (40, 60, 80, 100, 120, 150, 200):
        bounds = gate(Rule(budget=budget), TESTS)
        at = {rate: outlook(bounds, rate) for rate in (0.99, 0.95, 0.75)}
        rows.append(
            [
                budget,
                f"{100 * at[0.95].undecided:.2g} %",
                f"{100 * at[0.75].not_met:.1f} %",
                f"{at[0.99].expected_calls:.1f}",
                f"{at[0.95].expected_calls:.1f}",
            ]
        )
    head = ["budget", "undecided at 95 %", "red at 75 %", "mean trials at 99 %", "at 95 %"]
    report.add("budgets", "Why the budget is 120: a run of 100 tests (exact)", head, rows)


def others(report: Report) -> None:
    rows = []
    for target, unacceptable in ((0.99, 0.95), (0.99, 0.90), (0.98, 0.90), (0.95, 0.85), (0.95, 0.80), (0.90, 0.70)):
        budget = next(
            b
            for b in range(20, 3000, 20)
            if outlook(gate(Rule(target, unacceptable, budget=max(b, 60)), TESTS), target).undecided <= 0.01
        )
        bounds = gate(Rule(target, unacceptable, budget=max(budget, 60)), TESTS)
        first = int((bounds.green >= 0).argmax())
        found = outlook(bounds, target)
        rows.append(
            [
                f"{100 * target:g} %",
                f"{100 * unacceptable:g} %",
                bounds.rule.budget,
                first,
                f"{found.expected_calls:.0f}",
            ]
        )
    head = ["target", "unacceptable", "budget", "passes that show green", "mean trials at the target"]
    report.add(
        "rules", "Other rates: the budget at which 1 % of tests at their target stay undecided, of 100", head, rows
    )


def simulated(report: Report, suites: int) -> None:
    rng, bounds = random.Random(20), gate(Rule(), TESTS)
    red = 0
    for _ in range(suites):
        found = (first_shown(bounds, rng.choices(("fail", "pass"), (5, 95), k=Rule().budget)) for _ in range(TESTS))
        red += any(shown is not None and shown[0] == "red" for shown in found)
    exact = 1 - (1 - outlook(bounds, 0.95).not_met) ** TESTS
    single = 1 - 0.95**TESTS
    rows = [
        ["every test once", f"{100 * single:.1f} %", "–"],
        ["reroll", f"{100 * exact:.2f} %", f"{100 * red / suites:.2f} % of {suites}"],
    ]
    report.add(
        "suites", "Healthy suites that are red: 100 independent tests of 95 % each", ["", "exact", "simulated"], rows
    )
    report.bar("A healthy suite of 100 tests at 95 % is red", exact, 0.05)
    report.bar("A regression to 75 % is red, of 100 tests", outlook(bounds, 0.75).not_met, 0.90, most=False)
    report.bar("Mean trials of a test at 99 %, of 100 tests", outlook(bounds, 0.99).expected_calls, 30)


def run(source: str, *arguments: str) -> tuple[float, float]:
    """Milliseconds that a test takes beside its calls, and those of CPU: medians, so without what comes once a run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in (("conftest.py", CONFTEST), ("test_it.py", source), ("pytest.ini", "[pytest]\n")):
            (folder / file).write_text(text)
        done = subprocess.run([*PYTEST, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        took = json.loads((folder / "took.json").read_text())
    return 1000 * statistics.median(t for t, _ in took), 1000 * statistics.median(cpu for _, cpu in took)


def overheads(report: Report, rounds: int) -> None:
    """What a marked test takes beside its calls, and beside what as many plain tests take."""
    ways = {"marked, kept in a store": (MARKED, (), 1), "marked, kept nowhere": (MARKED, ("--reroll-store", "none"), 1)}
    ways["16 plain tests"] = (PLAIN, (), 16)
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (source, arguments, times) in ways.items():
            wall, cpu = run(source, *arguments)
            found[way].append((times * wall, times * cpu))
    walls = {way: statistics.median(wall for wall, _ in each) for way, each in found.items()}
    cpus = {way: statistics.median(cpu for _, cpu in each) for way, each in found.items()}
    rows = [[way, f"{walls[way]:.1f}", f"{cpus[way]:.1f}"] for way in ways]
    head = ["a test of 16 trials", "ms beside its calls", "ms of CPU"]
    report.add("overhead", f"What a test takes, its calls of 10 ms left aside (medians, {rounds} rounds)", head, rows)
    more = walls["marked, kept in a store"] - walls["16 plain tests"]
    report.bar("Milliseconds a test beside its calls and what pytest takes to run 16 plain tests", more, 5)


def importing(report: Report) -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import pytest, reroll.pytest_plugin"]
    took = []
    for _ in range(11):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = re.search(r"\|\s*(\d+) \| reroll\.pytest_plugin", done.stderr)
        assert found
        took.append(int(found[1]) / 1000)
    report.bar("Milliseconds to import the plugin where pytest is loaded", statistics.median(took), 20)


def main() -> int:
    report = Report("suite_gate", __doc__, suites=1000, rounds=5)
    chances(report)
    budgets(report)
    others(report)
    simulated(report, report.args.suites)
    overheads(report, report.args.rounds)
    importing(report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
