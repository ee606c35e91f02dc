"""Whether the next calls should go to the control cases or to the case: as few as the answer needs, both together.

A reference rate need not be known better than the case demands: a case that always fails is told
from a reference of "at most 30 %", which ten control calls show; one that fails 5 % of the time
needs a hundred.  The reference may therefore shrink while the case is being run.

Why that is valid: the limit over the controls holds at any time, and the boundaries of the luck
tests only move one way with the reference (`REFERENCE_RATES`; a test holds it).  So "worse than
the limit", whatever the limit was when it fell, also crosses the boundary of the true reference
rate, and "below the bound" that of the largest bound under the case's true rate: each has chance
alpha at most.  The second says nothing of the true reference rate, only of the bound as printed;
so bad luck is said only when the limit is tight or the controls are fully measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from reroll.evidence import Evidence, upper_limit
from reroll.verdict import luck_path

__all__ = ["LOOK_FIRST", "REFERENCE_RATES", "TIGHT", "controls_wanted", "reference_limit"]

REFERENCE_RATES = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.06, 0.08, 0.1, 0.125,
    0.15, 0.2, 0.25, 0.3,
)  # fmt: skip
"""The rates that a limit over controls is rounded up to. Above 0.3 a reference is of no use."""

LOOK_FIRST = 4  # runs of the case before anything is spent on controls, unless two have failed
TIGHT = 0.04  # a reference at most this is good enough to call something bad luck
APART = 2.5  # controls are worth calls until their limit is so many times below what the case seems to fail


def reference_limit(controls: Evidence, alpha: float) -> float | None:
    """The upper limit over control cases, rounded up to `REFERENCE_RATES`; None above them all.

    Assumes: whole rounds over a fixed set of controls, or one draw each; holds at any time of looking.

    >>> reference_limit(Evidence(failures=0, n=100), 0.05)
    0.04
    >>> reference_limit(Evidence(failures=9, n=10), 0.05) is None
    True
    """
    if not controls.n:
        return None
    limit = upper_limit(controls.at_worst, controls.n, alpha)
    return next((rate for rate in REFERENCE_RATES if limit <= rate), None)


def controls_wanted(
    outcomes: Sequence[str], controls: Evidence, most: int, target: float | None = None, alpha: float = 0.05
) -> int:
    """How many more control calls to make before the case is drawn again; 0: none now.

    Args:    outcomes: of the case, in the order drawn; controls: of all control runs so far;
             most: control calls at most; target, alpha: as for `luck`.

    >>> controls_wanted(["fail", "fail"], Evidence(), most=100)
    11
    >>> controls_wanted(["fail", "fail"], Evidence(0, 15), most=100)
    0
    >>> controls_wanted(["pass"] * 4, Evidence(0, 40), most=100)
    52
    """
    left = most - controls.n
    case = Evidence.of(outcomes)
    if left <= 0 or (case.n < LOOK_FIRST and case.failures < 2):
        return 0
    limit, needed = reference_limit(controls, alpha), _needed(case)
    if limit is not None:
        verdict = luck_path(outcomes, limit, target, alpha).verdict
        if verdict == "worse_than_reference" or limit <= min(needed, TIGHT):
            return 0
        if verdict == "undecided" and limit <= needed:
            return 0
        if verdict != "undecided":
            needed = TIGHT  # so far it looks like luck, which a loose reference would make too easy
    return _until(controls, needed, most, alpha) - controls.n


def _needed(case: Evidence) -> float:
    """The reference limit that tells this case apart in a reasonable number of calls, if it keeps failing as seen."""
    return (case.failures + 0.5) / (case.n + 1) / APART


def _until(controls: Evidence, needed: float, most: int, alpha: float) -> int:
    """So many control runs in all that their limit falls to `needed`, if they keep failing as seen; at most `most`."""
    share = controls.failures / controls.n if controls.n else 0.0
    low, high = controls.n, most
    while high - low > 1:
        n = (low + high) // 2
        limit = reference_limit(Evidence(min(n, round(share * n)), n), alpha)
        low, high = (low, n) if limit is not None and limit <= needed else (n, high)
    return high
