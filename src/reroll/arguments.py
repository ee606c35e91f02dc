"""What commands can be told: the options that all share, and those of commands that make calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cyclopts import Parameter

__all__ = ["About", "CaseSet", "Certify", "Common", "Spending"]

About = Literal["case", "suite", "population"]
CaseSet = Literal["case", "neighbour", "lookalike", "control"]


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """What every command takes."""

    json: bool = False
    "Print exactly one JSON object on stdout; progress goes to stderr."
    project: Path = Path(".")
    "Project folder (program.yaml, cases.yaml); `reroll init DIR` makes one."
    store: str | None = None
    "Where samples are kept (path or URL); default: .reroll/store.sqlite in the project."


@Parameter(name="*")
@dataclass(frozen=True)
class Spending:
    """What every command takes that makes calls."""

    alpha: float | None = None
    "Allowed chance that one verdict is ever wrong (default 0.05)."
    budget: int | None = None
    "Calls to make at most (default 400). Not binding: the run may be continued."
    horizon: int | None = None
    "Declared end in calls, binding: fewer calls, but such a run cannot be extended."
    max_usd: float | None = None
    "Stop when this much money is spent."
    seed: int | None = None
    "Give every call a seed of its own from this block, so that the run can be repeated."
    concurrency: int | None = None
    "Calls in flight at once (default: what suits the model)."
    fresh: bool = False
    "Start from zero: count no run of an earlier command."
    yes: bool = False
    "Do not ask before a long or unpriced run."
    gate: bool = False
    "Exit 1 when the answer is worse or not met, 3 when undecided."
    person: str | None = None
    "A command that answers for the person: a sample as JSON on its stdin, pass, fail or unsure on its stdout."
    quiet: bool = False
    "No progress line."


@dataclass(frozen=True)
class Certify:
    """What `certify` is told: about what, how reliable, and whether check by check or only explained."""

    cases: tuple[str, ...] = ()
    target: float | None = None
    about: About | None = None
    sets: tuple[CaseSet, ...] = ()
    each_check: bool = False
    explain: bool = False
