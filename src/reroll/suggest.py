"""What to try against a case's failures, from what was found about it: no model is asked, and no answer given away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reroll.answer import CauseSection
from reroll.case import Case
from reroll.copying import copies
from reroll.errors import UsageError
from reroll.levers import fitting
from reroll.program import Program, canonical
from reroll.sample import Sample
from reroll.suggest_answers import from_answers
from reroll.suggest_cause import Ranked, expectation, from_cause, from_suspects
from reroll.suggestion import Material, Other, Suggestion

__all__ = ["Other", "Suggestion", "suggestions"]

NOTHING = ("checker", "not_reproduced")  # verdicts after which there is nothing in the program to change
MOVING = ("clause.delete", "clause.move", "clause.deconflict", "example.remove", "field.rename")


def suggestions(
    program: Program,
    case: Case,
    cause: CauseSection | None,
    failing: Sequence[Sample],
    passing: Sequence[Sample],
    failing_checks: Sequence[str] = (),
    most: int = 8,
    *,
    others: Sequence[Other] = (),
) -> tuple[Suggestion, ...]:
    """Fixes worth trying, the one that the finding supports most directly first; each does something else.

    None says a value of the case or copies its words (copying.py), none touches a part that passing cases cannot do
    without, and each can be applied to a program of this form.  Where the check is at fault, or the failure did not
    come back, there is nothing to change, and so none.

    Args:    failing, passing: runs of the case as reported; failing_checks: names of the checks that fail (default:
             all); others: other cases with their runs: an example is only ever taken from these.
    """
    if most < 1 or (cause is not None and cause.verdict in NOTHING):
        return ()
    material = Material(program, case, cause, tuple(failing), tuple(passing), tuple(failing_checks), tuple(others))
    known = _known(program)
    found: list[Suggestion] = []
    ids: set[str] = set()
    for _, one in sorted(_all(material), key=lambda ranked: -ranked[0]):
        if len(found) == most:
            break
        # A closed list is made of other cases' answers alone, so one of its values may also be this case's.
        said = f"{known}\n{' '.join(map(str, one.fix.settings['values']))}" if one.fix.kind == "type.enum" else known
        if one.fix.id in ids or not _can(program, one) or _needed(material, one) or copies(one.fix, case, said):
            continue
        ids.add(one.fix.id)
        found.append(_renamed(one, [other.fix.fix for other in found]))
    return tuple(found)


def _all(material: Material) -> Iterator[Ranked]:
    yield from expectation(material)
    yield from from_cause(material)
    yield from from_suspects(material)
    if material.failing or material.cause is not None:
        yield from from_answers(material)


def _can(program: Program, one: Suggestion) -> bool:
    """Whether the fix can be applied to this program, and changes it."""
    try:
        fitting(one.fix, program)
    except UsageError:
        return False
    return True


def _needed(material: Material, one: Suggestion) -> bool:
    """Whether it takes away what passing cases cannot do without."""
    bearing = set(material.cause.load_bearing) if material.cause else set()
    gone = [one.fix.target, *(f"system.{name}" for name in one.fix.settings.get("over", ()))]
    if one.fix.kind == "clause.deconflict":
        gone = gone[1:]
    return one.fix.kind in MOVING and any(part in bearing for part in gone)


def _known(program: Program) -> str:
    """All that the program says, which is no copy of the case."""
    return "\n".join(part.text for part in program.parts()) + canonical(program.response or {})


def _renamed(one: Suggestion, taken: Sequence[str]) -> Suggestion:
    name, k = one.fix.fix, 2
    while name in taken:
        name, k = f"{one.fix.fix}-{k}", k + 1
    return Suggestion(one.fix.model_copy(update={"fix": name}), one.because, one.predicted)
