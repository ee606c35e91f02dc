"""A test's verdict as plain values that any pytest process can carry, its words, and how pytest is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from reroll.job_summary import one_line
from reroll.numbers import percent
from reroll.pytest_settings import Yellow
from reroll.suite_gate import Gate, stand

__all__ = ["RESULT", "Result", "conclude", "result_of", "words"]

Result = dict[str, Any]
RESULT = pytest.StashKey[Result]()


def result_of(
    nodeid: str, bounds: Gate, outcomes: Sequence[str], run: str, reason: str = "", broken: bool = False
) -> Result:
    """What the trials of one test come to. `broken`: it ended before its gate knew, for `reason`."""
    found = stand(bounds, outcomes)
    rule = bounds.rule
    return {
        "test": nodeid,
        "shade": "invalid" if broken else found.shade,
        "trials": found.n,
        "passed": found.passes,
        "failed": found.failures,
        "invalid": found.invalid,
        "at_least": found.at_least,
        "at_most": found.at_most,
        "smallest_drop": None if broken else found.smallest_drop,
        "target": rule.target,
        "unacceptable": rule.unacceptable,
        "alpha": rule.alpha,
        "tests": bounds.tests,
        "share": bounds.share,
        "budget": rule.budget,
        "run": run,
        "reason": reason,
        "note": "",
    }


def words(result: Result) -> str:
    """One line: what was seen and what it shows."""
    seen = f"{result['passed']} of {result['trials']} passed"
    if result["invalid"]:
        seen += f", {result['invalid']} invalid"
    shade = result["shade"]
    if shade == "green":
        least = result["at_least"]
        drop = result["smallest_drop"]
        return (
            f"{seen}, at least {percent(least, 'down')}: no drop of {_points(drop)} below {percent(result['target'])}"
        )
    if shade == "red":
        return f"{seen}: worse than {percent(result['target'])}"
    if shade == "yellow":
        stopped = f" ({result['stopped']})" if result.get("stopped") else ""
        return (
            f"{seen}{stopped}: neither better than {percent(result['unacceptable'])} nor worse than "
            f"{percent(result['target'])} was shown"
        )
    return f"{seen}: this says too little about the model: {result['reason']}"


def conclude(result: Result, yellow: Yellow, details: str = "") -> None:
    """Passes, or raises what pytest understands as the verdict."""
    shade = result["shade"]
    if shade == "green" or (shade == "yellow" and yellow == "pass"):
        return
    text = f"reroll: {one_line(words(result))}"
    if shade == "yellow" and yellow == "xfail":
        raise pytest.xfail.Exception(text)
    last = f"\n\nthe last trial that did not pass:\n{details}" if details else ""
    raise pytest.fail.Exception(f"{text}{last}", pytrace=False)


def _points(drop: float) -> str:
    points = -(-round(1000 * drop, 6) // 1) / 10
    return f"{points:g} point{'' if points == 1 else 's'} or more"
