"""What helps, as a section of an answer: fixes are suggested and tried, or offered with what that would take."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from reroll.answer import CauseSection, NotExamined, Price
from reroll.case import Case
from reroll.causing import is_wanted
from reroll.errors import ModelError, NotCompleted, UsageError
from reroll.gathering import Wanted, gather
from reroll.numbers import counts
from reroll.runs import Runs
from reroll.scorecard import Rules
from reroll.scored import Tried, margin_words
from reroll.session import Session, too_dear
from reroll.trying import price_of
from reroll.tryout import candidates_of, sets_of, try_out

__all__ = ["LEAST", "for_fixes", "what_helps"]

SUGGESTED, EACH = 4, 150  # fixes that are tried at most: one for so many calls of the whole budget, so that a small
# one is not spread over fixes that all stay undecided
LEAST = 120  # calls without which no fix is tried beside other questions
FOR_FIXES = 0.3  # of the budget, and no less than fixes take: what the search for the cause leaves to them
NOTHING = Price(None, None)


def for_fixes(left: int) -> int:
    """Calls that the search for the cause leaves where fixes are asked for, of so many that are left.

    >>> [for_fixes(left) for left in (1000, 380, 150, 100)]
    [300, 120, 120, 100]
    """
    return min(max(0, left), max(LEAST, int(FOR_FIXES * left)))


async def what_helps(
    session: Session,
    case: Case,
    runs: Runs,
    cause: CauseSection | NotExamined,
    wanted: bool | None,
    told: Callable[[str], None],
    margin: float = Rules().margin,
) -> Tried | NotExamined:
    """The fixes that were suggested and tried on a case, or why none was, and what it would take.

    Args:   cause: what was found just now; wanted: None: where calls cost nothing, since the model runs here; told: is
            given the price beforehand; margin: the rise on control cases that is harm.
    """
    if not any(word == "fail" for word in runs.words()):
        return NotExamined("no run failed", NOTHING)
    try:
        sets = sets_of(session.project, case)
    except UsageError as problem:
        if any(case.id == one.id for one in session.project.cases):
            return NotExamined(str(problem), NOTHING)
        return NotExamined("the request is no case of cases.yaml, so it has no neighbours to try a fix on", NOTHING)
    rules = Rules(alpha=session.options.alpha, margin=margin)
    most = max(
        1, min(SUGGESTED, session.options.budget // EACH)
    )  # not of what is left: the same command, the same fixes
    _, accept = price_of(sets, rules, most)
    these = f"--suggest{margin_words(margin)}"
    offer = NotExamined(
        f"`reroll try --case {case.id} {these}` tries changes on it, on requests like it and on ordinary ones",
        session.spent.price(accept),
    )
    if not is_wanted(session, wanted) or session.stopped or too_dear(session) or session.spent.out_of_time():
        return offer
    if session.left < LEAST:
        left = counts("call", max(0, session.left))
        return NotExamined(f"{offer.not_examined}; {left} were left of the budget", offer.price)
    found = cause if isinstance(cause, CauseSection) else None
    try:
        async with AsyncExitStack() as opened:
            gathered = await gather(session, case, sets.choosing, sets.control, Wanted(suggest=most), found)
            candidates, gathered = await candidates_of(session, gathered, (), opened)
            if not candidates:
                return NotExamined("; ".join(gathered.said) or "nothing that was found suggests a change", NOTHING)
            return await try_out(session, sets, rules, candidates, told, gathered)
    except (ModelError, NotCompleted, UsageError) as problem:
        return NotExamined(str(problem), NOTHING)
