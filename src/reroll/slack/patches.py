"""“Can't we just hard-code it?” as a fix that can be tried: one of the project's own, else one made for the case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reroll.case import Case
from reroll.check import Check
from reroll.errors import RerollError, UsageError
from reroll.fix import Fix
from reroll.ideas_file import keep_fix
from reroll.levers import fitting
from reroll.project import Project
from reroll.step_forms import NOT_HERE

__all__ = ["guard_for", "special_case_for"]

JSON = Any
SAYS = "I am not sure about this one; please say it in other words."


def special_case_for(project: Project, case: Case) -> str:
    """The name of a fix that hard-codes the case, written into `fixes` where there is none.

    Raises: UsageError where nothing says what the right answer is.
    """
    mine = [fix for fix in project.fixes if fix.kind == "patch.special_case" and _acts_on(fix, case)]
    if mine:
        return mine[0].fix
    fields, text = _right(case)
    if not fields and text is None:
        raise UsageError(
            f"nothing says what the whole right answer to `{case.id}` is, so it cannot be hard-coded; write a fix of "
            "the kind patch.special_case into the folder `fixes`",
            slug="slack-patch",
        )
    what: dict[str, JSON] = {"set": fields} if fields else {"text": text}
    return _kept(project, "hard-code", "patch.special_case", case, {"when": {"input": _input(case)}, **what})


def guard_for(project: Project, case: Case) -> str:
    """The name of a fix that withholds wrong answers to the case, written into `fixes` where there is none.

    Raises: UsageError where no check can look at an answer while the product runs.
    """
    mine = [fix for fix in project.fixes if fix.kind == "guard.block" and _acts_on(fix, case)]
    if mine:
        return mine[0].fix
    checks = [check.form() for check in case.checks if _looks_alone(check)]
    if not checks:
        raise UsageError(
            f"no check of `{case.id}` can look at an answer while the product runs, so nothing can be stopped; give "
            "the case a check that is no person and no judge",
            slug="slack-patch",
        )
    settings = {"on": "completion", "when": {"input": _input(case), "checks": checks}, "says": SAYS}
    return _kept(project, "guard", "guard.block", case, settings)


def _kept(project: Project, word: str, kind: str, case: Case, settings: Mapping[str, JSON]) -> str:
    name = f"{word}-{re.sub(r'[^a-z0-9-]+', '-', case.id.lower())[:40]}"
    fix = Fix.model_validate({"fix": name, "kind": kind, "author": "slack", **settings})
    fitting(fix, project.program)
    there = next((one for one in project.fixes if one.id == fix.id), None)
    if there is not None:
        return there.fix
    keep_fix(project, fix, "Asked for on Slack; `reroll try` says what it does and what it breaks.")
    return name


def _acts_on(fix: Fix, case: Case) -> bool:
    import re2

    pattern = (fix.settings.get("when") or {}).get("input")
    try:
        return pattern is None or any(re2.search(pattern, str(value)) for value in case.input.values())
    except RerollError:
        return False


def _input(case: Case) -> str:
    longest = max((str(value) for value in case.input.values()), key=len, default="")
    if not longest.strip():
        raise UsageError(f"case `{case.id}` has no input that could be recognised", slug="slack-patch")
    return f"(?i){re.escape(longest.strip())}"


def _right(case: Case) -> tuple[dict[str, JSON], str | None]:
    """The fields that the case's checks ask for, or the whole text."""
    fields: dict[str, JSON] = {}
    text = case.expected if isinstance(case.expected, str) else None
    if isinstance(case.expected, Mapping):
        fields |= dict(case.expected)
    for check in case.checks:
        value = check.value
        if check.kind == "json" and isinstance(value, Mapping):
            fields |= {k: v for k, v in value.items() if "{" not in str(v)}
        elif check.kind == "equals" and isinstance(value, str) and "{" not in value:
            text = value
    return fields, text


def _looks_alone(check: Check) -> bool:
    return all(inner.kind not in NOT_HERE and "expected" not in inner.names_used() for inner in check.walk())
