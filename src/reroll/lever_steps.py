"""The entry of `steps` that a sampling strategy or a patch appends to a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reroll.fix import Fix

__all__ = ["step_of"]

JSON = Any  # what json.loads returns


def step_of(fix: Fix) -> dict[str, JSON]:
    """The entry of `steps` that a sampling strategy or a patch appends.

    >>> step_of(Fix(fix="f", kind="sample.vote", n=3, by="/label"))
    {'step': 'vote', 'n': 3, 'by': '/label'}
    """
    given = fix.settings | ({} if fix.text is None else {"text": fix.text})
    match fix.kind:
        case "sample.best":
            return {"step": "best", **_ordered(given, "when", "n", "checks")}
        case "sample.vote":
            return {"step": "vote", **_ordered(given, "when", "n", "by")}
        case "sample.verify" | "patch.retry":
            return {"step": "retry", **_ordered(given, "when", "checks", "times")}
        case "patch.special_case":
            return {"step": "answer", **_ordered(given, "when", "text", "set")}
        case "guard.block":
            return {"step": "block", **_ordered(given, "on", "when", "says")}
        case "guard.rewrite":
            return {"step": "rewrite", **_ordered(given, "on", "when", "replace", "text")}
        case "patch.postprocess":
            keys = ("when", "strip_fences", "replace", "rename", "drop", "set")
            return {"step": "rewrite", "on": "completion", **_ordered(given, *keys)}
        case "patch.python":
            return {"step": "python", **_ordered(given, "on", "when", "function")}
    raise AssertionError(fix.kind)


def _ordered(given: Mapping[str, JSON], *keys: str) -> dict[str, JSON]:
    return {key: given[key] for key in keys if key in given}
