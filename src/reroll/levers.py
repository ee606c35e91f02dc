"""A fix applied to a program: pure, idempotent, and seen part by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from reroll.errors import UsageError
from reroll.fix import Fix
from reroll.lever_kinds import KINDS, kind_problem
from reroll.lever_parts import ORDER, pieces
from reroll.levers_form import FORM_LEVERS
from reroll.levers_text import TEXT_LEVERS, nowhere
from reroll.program import Program
from reroll.step_forms import WrongStep, steps_of

__all__ = ["apply", "changes", "checked", "diff", "fitting", "touched"]

LEVERS = {**TEXT_LEVERS, **FORM_LEVERS}
# What takes parts out: applied a second time it finds them gone, so that only `fitting` asks whether they are there.
TAKES_OUT = {"clause.delete": "system", "example.remove": "examples"}


def apply(fix: Fix, program: Program) -> Program:
    """The program with the fix in it. Once it is, applying it again changes nothing.

    What the program says elsewhere stays as it is, but for what stands in for a part (`neutral`, `alternatives`)
    that is no longer there.

    Raises:  UsageError: no such target, a setting that is wrong or missing, or a program that it cannot be used on.

    >>> brief = Fix(fix="brief", kind="clause.add", target="system.length", text="At most ten words.")
    >>> apply(brief, Program(program="p", system={"role": "Be kind."})).system
    {'role': 'Be kind.', 'length': 'At most ten words.'}
    """
    checked(fix)
    _usable(fix, program)
    change = LEVERS[fix.kind](program, fix)
    try:
        found = Program.model_validate({**program.model_dump(), **change}) if change else program
    except ValidationError as error:
        words = error.errors()[0]["msg"]
        raise UsageError(f"the fix `{fix.fix}` makes no program: {words[:1].lower()}{words[1:]}", slug="fix") from None
    if found.id == program.id:
        return program
    try:
        steps_of(found)
    except WrongStep as wrong:
        raise UsageError(
            f"the fix `{fix.fix}` does not go with the program's steps: {wrong.problem}", slug="fix"
        ) from None
    return _without_stand_ins(program, found)


def checked(fix: Fix) -> None:
    """Raises: UsageError for a fix that is wrong by itself: kind, form of its target, settings."""
    if problem := kind_problem(fix):
        key, words = problem
        raise UsageError(f"the fix `{fix.fix}`: {f'`{key}`: ' if key else ''}{words}", slug="fix")


def changes(fix: Fix, program: Program) -> bool:
    """Whether the program with the fix in it can answer otherwise. Raises: UsageError as `apply` does."""
    return apply(fix, program).id != program.id


def fitting(fix: Fix, program: Program) -> Program:
    """The program with the fix in it, which is another one.

    Raises:  UsageError: as `apply` does, where what it takes out is not there, and where it changes nothing.
    """
    found = apply(fix, program)
    root = TAKES_OUT.get(fix.kind)
    gone = [str(fix.target).partition(".")[2]] if root else []
    if fix.kind == "clause.deconflict" and found.id != program.id:
        root, gone = "system", list(fix.settings["over"])
    known = {"system": list(program.clauses()), "examples": [e.name for e in program.examples]}.get(root or "", [])
    for name in gone:
        if name not in known:
            raise nowhere(str(root), name, known)
    if found.id == program.id:
        raise UsageError(
            f"the fix `{fix.fix}` changes nothing: the program says this already; change what it says, or its target",
            slug="fix-nothing",
        )
    return found


def _usable(fix: Fix, program: Program) -> None:
    """Raises: UsageError where the program is not written in the parts that this kind changes."""
    kind = KINDS[fix.kind]
    if program.raw is not None and not kind.stored:
        what = "the program is a stored request, sent as it is"
        usable = [name for name, one in KINDS.items() if one.stored and not one.step]
    elif program.is_product and not kind.product:
        what = f"the program is a product of its own (`{program.model}`), which gets the inputs as they are"
        usable = [name for name, one in KINDS.items() if one.product and not one.step]
    else:
        return
    raise UsageError(
        f"{what}, so `{fix.kind}` cannot change it; what can be used are {', '.join(usable)}, sampling strategies and "
        "patches",
        slug="fix",
    )


def _without_stand_ins(before: Program, after: Program) -> Program:
    """Without stand-ins for parts that the change took out: a file that names them would be refused."""
    gone = {p.id for p in before.parts()} - {p.id for p in after.parts()}
    if not gone & {*before.neutral, *before.alternatives}:
        return after
    return after.model_copy(
        update={
            "neutral": {k: v for k, v in after.neutral.items() if k not in gone},
            "alternatives": {k: v for k, v in after.alternatives.items() if k not in gone},
        }
    )


# -- seen part by part -------------------------------------------------------------------------------------------------


def touched(before: Program, after: Program) -> tuple[str, ...]:
    """The ids of the parts in which two programs differ: those of `Program.parts`, and `steps.1`, `system.order`, ...

    An order is another one where parts that both have stand in another order.
    """
    return tuple(_differences(before, after))


def diff(before: Program, after: Program) -> str:
    """What differs, part by part, for a person to read; empty where nothing does.

    >>> a = Program(program="p", system={"role": "Be kind."}, params={"temperature": 1})
    >>> print(diff(a, a.model_copy(update={"system": {"role": "Be brief."}, "params": {}})))
    - system.role: Be kind.
    + system.role: Be brief.
    - params.temperature: 1
    """
    lines = []
    for part, (was, now) in _differences(before, after).items():
        for sign, text in (("-", was), ("+", now)):
            if text is not None:
                first, *rest = text.split("\n")
                lines += [f"{sign} {part}: {first}", *(f"{sign}   {line}" for line in rest)]
    return "\n".join(lines)


def _differences(before: Program, after: Program) -> dict[str, tuple[str | None, str | None]]:
    """By part: what each of two programs says there, None where it has no such part."""
    was, now = pieces(before), pieces(after)
    texts: list[Mapping[str, str]] = [_texts(was, now), _texts(now, was)]
    ids = list(dict.fromkeys([*texts[0], *texts[1]]))
    return {id: (texts[0].get(id), texts[1].get(id)) for id in ids if texts[0].get(id) != texts[1].get(id)}


def _texts(said: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, str]:
    """What is said by part; of an order only the names that the other has too."""
    out = {}
    for id, value in said.items():
        if id.endswith(ORDER) and isinstance(value, tuple):
            shared = [name for name in value if name in (other.get(id) or ())]
            if len(shared) > 1:
                out[id] = ", ".join(shared)
        else:
            out[id] = value
    return out
