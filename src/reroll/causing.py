"""The cause of one case's failures: asked for by itself, or as a section of an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reroll.answer import CauseSection, NotExamined, Price
from reroll.case import Case
from reroll.caused import Caused, section_of, why_open
from reroll.errors import ModelError, NotCompleted, UsageError
from reroll.hunt import AskedCause, Hunt
from reroll.hunting import hunt_down
from reroll.models.local import LocalModel
from reroll.models.model import bare
from reroll.numbers import counts
from reroll.program import Program, same_kind
from reroll.runs import Runs
from reroll.session import Session, too_dear

__all__ = ["find_cause", "is_wanted", "other_models", "why_it_fails"]

TYPICAL = 200  # calls until a cause is shown, or that there is none
LEAST = 60  # calls without which it is not begun beside other questions


def other_models(program: Program) -> list[Program]:
    """The program with each other model that it names, so that a factor `model` has somewhere to go."""
    named = [same_kind(program, v) for v in program.alternatives.get("model", ()) if isinstance(v, str)]
    if own := program.neutral.get("model"):
        named = [same_kind(program, own)]
    named = [name for name in named if name != program.model]
    return [program.model_copy(update={"model": name}) for name in dict.fromkeys(named)]


def is_wanted(session: Session, wanted: bool | None) -> bool:
    """Whether the cause is looked for, or fixes are tried: where nobody said so, if calls cost nothing, since the model
    runs here."""
    return isinstance(bare(session.model), LocalModel) if wanted is None else wanted


async def find_cause(sessions: Sequence[Session], case: Case, asked: AskedCause) -> Caused:
    """Which part of the request carries the failure, or that nothing does; every draw and the decision are stored.

    Args:    sessions: the program's own, then one for each other model that it names.
    Raises:  UsageError, ModelError: one sentence each.
    """
    hunt = Hunt(sessions, case, asked)
    broken = ""
    try:
        await hunt_down(hunt)
    except NotCompleted as error:
        broken = str(error)
    session, section = sessions[0], section_of(hunt.state)
    hunt.keep(section, broken)
    return Caused(
        section=section,
        case=case.id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        cost=session.spent.cost(),
        caveats=tuple(hunt.caveats(section)),
        stopped=broken or why_open(hunt.state) or hunt.why,
        finished=not broken and hunt.finished,
        alpha_total=min(1.0, section.alpha),
    )


async def why_it_fails(
    sessions: Sequence[Session],
    case: Case,
    runs: Runs,
    wanted: bool | None,
    told: Callable[[str], None],
    leave: int = 0,
) -> CauseSection | NotExamined:
    """The cause as a section of an answer, or why nobody looked, and what it would take.

    Args:   wanted: as `is_wanted` has it; told: is given the price beforehand;
            leave: calls of the budget that are not touched.
    """
    session = sessions[0]
    if not any(word == "fail" for word in runs.words()):
        return NotExamined("no run failed", Price(None, None))
    own = session.project.has(case.id)
    # A request that was only handed over is found again by that alone.
    command = f"`reroll cause {case.id}`" if own else "`reroll investigate` of the same request, with --cause,"
    offer = NotExamined(f"{command} finds which part of the request carries it", session.spent.price(TYPICAL))
    if not is_wanted(session, wanted) or session.stopped or too_dear(session) or session.spent.out_of_time():
        return offer
    if session.left - leave < LEAST:
        left = counts("call", max(0, session.left))
        return NotExamined(f"{offer.not_examined}; {left} were left of the budget", offer.price)
    most = counts("call", session.left - leave)
    about = f"about {counts('call', TYPICAL)}, " if session.left - leave > TYPICAL else ""
    told(f"looking for the cause takes {about}at most {most}")
    try:
        return (await find_cause(sessions, case, AskedCause(alone=False, leave=leave))).section
    except (ModelError, NotCompleted, UsageError) as problem:
        return NotExamined(str(problem), Price(None, None))
