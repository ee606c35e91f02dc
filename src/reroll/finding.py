"""What an inquiry into a cause asks, and what it has found, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reroll.evidence import Est, Evidence
from reroll.screen import Logic

__all__ = ["Ask", "Found", "Phase", "Verdict"]

Verdict = Literal["systematic", "nothing", "not_reproduced", "undecided"]
Phase = Literal["base", "map", "screen", "verify", "together"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One call to make.

    on:      the case, or a control case drawn by the caller.
    neutral: factors put to their neutral level; the others are as reported.
    pair:    calls of one number are one interleaved block; None outside trials.
    """

    on: Literal["case", "control"]
    neutral: frozenset[int]
    phase: Phase
    pair: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What is known: `verdict`, and what it rests on.

    verdict:          `systematic`: fresh, interleaved calls show that the named factors carry the
                      failure (a wrong name has chance at most alpha); `nothing`: every factor was screened
                      and a drop of `smallest_visible` would have shown; `not_reproduced`: the rate as
                      reported is shown to be below the tolerable one; else `undecided`.
    logic:            how the named ones act: `one`; `and`: either alone cures; `or`: only all of
                      them together do; `additive`: each takes a part away.
    factors:          (factor, drop of the failure rate when it alone is neutral).
    joint:            drop when all named are neutral; the interval holds at every look.
    cleared:          screened and not to blame; load_bearing: not screened, the request breaks without them.
    suspected:        (factor, posterior share) where undecided, the likeliest first.
    smallest_visible: the smallest drop that one factor would have shown in four of five such screens.
    base:             all calls on the case as reported.
    calls:            by phase; calls_needed: about how many more would decide, None where decided or unknown.
    why:              one sentence: why it stopped, or that it has not.
    """

    verdict: Verdict
    logic: Logic | None
    factors: tuple[tuple[int, Est], ...]
    joint: Est | None
    cleared: tuple[int, ...]
    load_bearing: tuple[int, ...]
    suspected: tuple[tuple[int, float], ...]
    smallest_visible: float | None
    base: Evidence
    calls: Mapping[str, int]
    calls_needed: int | None
    why: str
