"""Sample into outcome: what counts as right. Foreign code (python, judge) runs elsewhere; see checking.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["KINDS", "Check", "Outcome"]

KINDS = ("equals", "contains", "matches", "json", "schema", "tool_call", "python", "judge", "reward", "all", "any", "not")
OutcomeWord = Literal["pass", "fail", "invalid"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check says of one sample, with the reason in words."""

    outcome: OutcomeWord
    reason: str
    check: str = ""


class Check(BaseModel):
    """One requirement on a completion (placeholder until the whole file lands)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str | None = None
    kind: str = "contains"
    value: Any = None
