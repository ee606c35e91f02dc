"""What a pytest run was told: its ini keys and options, and the rule of each marked test."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

import pytest

from reroll.errors import UsageError
from reroll.suite_gate import Rule, problem

__all__ = ["RunSettings", "Yellow", "rule_of", "settings_of"]

Yellow = Literal["xfail", "pass", "fail"]
YELLOWS = ("xfail", "pass", "fail")
NUMBERS = {"target": float, "unacceptable": float, "alpha": float, "budget": int}


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What holds for a whole run.

    tests: how many tests share alpha, where it is more than this run collects (a suite that is split over machines).
    store: path or URL; None: `.reroll/store.sqlite` in the root folder, "none": nothing is kept.
    run:   names what is drawn; the same name goes on with what is stored under it.
    """

    rule: Rule = field(default_factory=Rule)
    yellow: Yellow = "xfail"
    store: str | None = None
    tests: int | None = None
    max_usd: float | None = None
    run: str = ""


def settings_of(config: pytest.Config) -> RunSettings:
    """The settings in force: options before ini keys. Raises: UsageError for one that makes no sense."""
    numbers = {name: _number(config, name, kind) for name, kind in NUMBERS.items()}
    rule = Rule(**{name: value for name, value in numbers.items() if value is not None})
    if wrong := problem(rule):
        raise UsageError(f"pytest settings: {wrong}; mend reroll_* in pytest's ini file or --reroll-*", slug="pytest")
    yellow = _told(config, "yellow") or "xfail"
    if yellow not in YELLOWS:
        raise UsageError(f"reroll_yellow is pass, fail or xfail, got {yellow!r}", slug="pytest")
    tests = _number(config, "tests", int)
    if tests is not None and tests < 1:
        raise UsageError(f"reroll_tests is a number of tests, 1 or more; got {tests}", slug="pytest")
    usd = _number(config, "max_usd", float)
    if usd is not None and not 0 < usd < float("inf"):
        raise UsageError(f"--reroll-max-usd must be more than 0, a sum in US dollars, got {usd:g}", slug="max-usd")
    worker: Mapping[str, Any] = getattr(config, "workerinput", {})
    run = _told(config, "run") or worker.get("testrunuid") or uuid.uuid4().hex
    return RunSettings(rule, cast(Yellow, yellow), _told(config, "store") or None, tests, usd, str(run)[:64])


def rule_of(mark: pytest.Mark, usual: Rule) -> Rule:
    """The rule that this mark states, the rest as usual. Raises: UsageError."""
    names = [one.name for one in fields(Rule)]
    if mark.args:
        raise UsageError(
            f"the mark takes names, as in @pytest.mark.reroll(target=0.95); got {mark.args[0]!r} without one",
            slug="pytest",
        )
    if odd := next((name for name in mark.kwargs if name not in names), None):
        raise UsageError(f"the mark has no `{odd}`; it takes {', '.join(names)}", slug="pytest")
    told = {name: mark.kwargs.get(name, getattr(usual, name)) for name in names}
    rule = Rule(**told)
    if wrong := problem(rule):
        raise UsageError(f"{wrong}; mend the mark, or what it leaves to the ini file", slug="pytest")
    return rule


def _told(config: pytest.Config, name: str) -> str:
    option = config.getoption(f"reroll_{name}", None)
    if option is not None:
        return str(option)
    try:
        return str(config.getini(f"reroll_{name}") or "").strip()
    except (KeyError, ValueError):
        return ""  # an option only


def _number(config: pytest.Config, name: str, kind: type[float] | type[int]) -> Any:
    text = _told(config, name)
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"reroll_{name} is a number, got {text!r}", slug="pytest") from None
