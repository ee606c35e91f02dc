"""The time of a command: nothing starts after it, what came back counts, and what was not decided did not finish."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.background import Ran, reroll, write_project
from tests.test_fire import fake, stored

CASES = (
    'cases:\n  - {id: greet, input: {request: "Say yes"}, checks: [{name: says-yes, contains: "yes"}]}\n'
    '  - {id: other, set: control, input: {request: "Say yes!"}, checks: [{contains: "yes"}]}\n'
)
COMMANDS = {
    "certify": ("certify", "greet", "--target", 0.99),
    "certify-suite": ("certify", "--about", "suite", "--target", 0.99),
    "rerun": ("rerun", "greet"),
    "investigate": ("investigate", "--case", "greet"),
    "compare": ("compare", "system.role=", "--case", "greet", "--yes"),
}


def timed(capsys: Any, folder: Path, seconds: float, *command: object) -> Ran:
    return reroll(
        capsys, *command, "--max-seconds", seconds, "--concurrency", 4, "--json", "--project", folder, "--quiet"
    )  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_had_not_decided_when_its_time_was_up_did_not_finish_and_goes_on(
    name: str, capsys: Any, tmp_path: Path
) -> None:
    program = "" if name in ("rerun", "investigate") else "reference_rate: 0.02\n"
    with fake(latency=0.03) as (server, url):
        folder = write_project(tmp_path / "p", url, program=program, cases=CASES)
        ran = timed(capsys, folder, 0.15, *COMMANDS[name])
        assert ran.code == 4
        assert ran.json["finished"] is False
        assert ran.json["stopped"] == "the time was up (--max-seconds 0.15); the same command goes on from here"
        first = len(stored(folder))
        assert 0 < first == server.calls < 60
        assert ran.json["cost"]["calls"] + ran.json["cost"]["control_calls"] == first
        again = timed(capsys, folder, 0.15, *COMMANDS[name])
        assert again.json["cost"]["reused"] > 0
        assert len(stored(folder)) > first


def test_calls_that_hang_when_the_time_is_up_are_ended_after_the_grace_and_named(capsys: Any, tmp_path: Path) -> None:
    with fake(faults={"hang": 0.2}, seed=3) as (server, url):
        folder = write_project(tmp_path / "p", url)
        started = time.monotonic()
        ran = timed(capsys, folder, 0.2, *COMMANDS["certify"])
        assert time.monotonic() - started < 10  # far below the 120 seconds that a try may take
    assert ran.code == 4
    lost, hung = server.done["hang"], ran.json["rate"]["invalid"]
    assert ran.json["rate"]["n"] == len(stored(folder)) == server.calls - lost + hung > 0
    said = [c for c in ran.json["caveats"] if "not come back" in c]
    assert len(said) == (hung < lost)
    assert all("calls that take long are missing more often" in one for one in said)


def test_a_call_that_waits_for_a_server_that_is_busy_does_not_outlast_the_time(capsys: Any, tmp_path: Path) -> None:
    with fake(faults={"429": 1.0}, retry_after=200) as (server, url):
        folder = write_project(tmp_path / "p", url)
        started = time.monotonic()
        ran = timed(capsys, folder, 0.1, *COMMANDS["rerun"])
        assert time.monotonic() - started < 10
    assert (ran.code, ran.json["finished"], ran.json["rate"]["n"]) == (4, False, 0)
    assert server.calls > 0


def test_a_verdict_that_falls_with_what_comes_back_after_the_time_counts(capsys: Any, tmp_path: Path) -> None:
    with fake(latency=0.2, fail=1.0) as (_, url):
        folder = write_project(tmp_path / "p", url)
        ran = timed(capsys, folder, 0.1, *COMMANDS["certify"])
    assert ran.code == 1
    assert ran.json["finished"] is True
    assert ran.json["stopped"] == "the question was decided"


def test_a_budget_that_is_spent_ends_the_run_before_its_time_does(capsys: Any, tmp_path: Path) -> None:
    with fake(latency=0.2) as (_, url):
        folder = write_project(tmp_path / "p", url)
        ran = timed(capsys, folder, 0.1, *COMMANDS["certify"], "--budget", 2)
    assert (ran.code, ran.json["finished"]) == (3, True)


def test_stored_runs_that_decide_need_no_time(capsys: Any, tmp_path: Path) -> None:
    with fake(fail=1.0) as (server, url):
        folder = write_project(tmp_path / "p", url)
        assert timed(capsys, folder, 30, *COMMANDS["certify"]).code == 1
        calls = server.calls
        assert timed(capsys, folder, 1e-6, *COMMANDS["certify"]).code == 1
        assert server.calls == calls


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf"])
def test_a_time_that_cannot_be_is_refused(wrong: str, capsys: Any, tmp_path: Path) -> None:
    folder = write_project(tmp_path / "p", "http://127.0.0.1:9")
    ran = reroll(capsys, "rerun", "greet", "--project", folder, "--max-seconds", wrong)
    assert "--max-seconds must be more than 0" in ran.complaint
    assert ran.complaint.endswith("[max-seconds]")
