"""The command that tries fixes: every one on the same four sets, with the same scorecard."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reroll.arguments import Common, Pictures, Spending
from reroll.case import Case
from reroll.errors import UsageError
from reroll.fix import Fix
from reroll.halves import halves
from reroll.ideas import Idea, author_of, fix_to_try
from reroll.ideas_file import read_ideas
from reroll.lever_claims import conflicts
from reroll.levers import fitting
from reroll.match import nearest
from reroll.measuring import with_sessions
from reroll.numbers import counts
from reroll.opening import project_of, store_of
from reroll.options import options_of
from reroll.pictures import can_be_drawn, present
from reroll.piling import earlier_fixes, worths
from reroll.project import Project, load_fix
from reroll.scorecard import Rules, verdict_of
from reroll.scored import Tried, TryPrice, Worth
from reroll.session import Session
from reroll.trial import only_adds_steps
from reroll.tried import concluded, remember_fixes
from reroll.trying import Asked, Course, Sets, may_go_on, price_of, try_fixes
from reroll.variant import changed_part

__all__ = ["GATES", "TryWhat", "conflicting", "fixes_named", "named_again", "sets_of", "try_them"]

BROKE_OFF = 4
GATES = {"accept": 0, "reject": 1, "undecided": 3}
# What PART=VALUE is as a fix, by the beginning of the part.
TYPED = {"params": "params.set", "model": "model.pin", "base_url": "serving.pin"}


@dataclass(frozen=True)
class TryWhat:
    """What `try` is told: fixes by name, file or PART=VALUE, the case, and the margins."""

    fixes: tuple[str, ...]
    case: str
    margin: float | None = None
    lookalike_margin: float | None = None


def try_them(what: TryWhat, common: Common, spending: Spending, pictures: Pictures) -> int:
    from reroll.render.tried import show_tried

    if spending.horizon is not None:
        raise UsageError("what `try` says holds however often one looks; leave --horizon out", slug="horizon")
    can_be_drawn(pictures)
    project = project_of(common)
    case = project.case(what.case)
    ideas: dict[str, Idea] = {}
    fixes = fixes_named(project, what.fixes, ideas)
    fixed = [(fix, replace(project, program=fitting(fix, project.program))) for fix in fixes]
    sets = sets_of(project, case)
    rules = _rules(what, options_of(spending).alpha)
    programs = [project, *(changed for _, changed in fixed)]
    with store_of(common, project) as store:

        async def work(sessions: Sequence[Session]) -> Tried:
            first, *others = sessions
            asked = Asked(sets, rules, first, [(f.fix, f, s) for (f, _), s in zip(fixed, others, strict=True)])
            store.put_program(project.program)
            for changed in programs[1:]:
                store.put_program(changed.program)
            for one in sets.all:
                store.put_case(one)
            shared = [f.fix for f, changed in fixed if only_adds_steps(project.program, changed.program)]
            reject, accept = price_of(asked, shared)
            price = TryPrice(reject, accept, first.options.budget)
            _told(price, rules)
            course = await try_fixes(asked)
            pile_up = await _piled_up(asked, course)
            found = named_again(concluded(asked, course, price, pile_up), ideas)
            remember_fixes(asked, found, course.trials)
            return found

        names = ["baseline", *(fix.fix for fix in fixes)]
        found = with_sessions(programs, store, spending, sets.all, (case,), work, names=names)
    present(f"reroll try {case.id}", found.as_json, lambda page: show_tried(found, page), common, pictures)
    return GATES[found.verdict] if found.finished else BROKE_OFF


async def _piled_up(asked: Asked, course: Course) -> dict[str, tuple[Worth, ...]]:
    """What earlier fixes still earn beside the one that is accepted."""
    best = course.best
    if best is None or not course.finished or verdict_of(course.fixes[best].states) != "accept":
        return {}
    session = next(s for name, _, s in asked.fixed if name == best)
    earlier = earlier_fixes(session, session.project.program, asked.sets.case[0])
    if not earlier:
        return {}
    stopped = course.stopped
    found = await worths(session, earlier, asked.rules.alpha, lambda calls: may_go_on(asked, course, calls))
    course.stopped = stopped or course.stopped
    return {best: found}


def named_again(found: Tried, ideas: Mapping[str, Idea]) -> Tried:
    """The answer with the names of those whose ideas were tried, once there is a verdict, not before."""
    cards = tuple(
        replace(card, author=author_of(ideas[card.fix]), idea=ideas[card.fix].idea)
        if card.fix in ideas and card.verdict != "undecided"
        else card
        for card in found.fixes
    )
    return replace(found, fixes=cards)


def _told(price: TryPrice, rules: Rules) -> None:
    """What it will take, before the first run."""
    print(
        "where the case fails half of the time, rejecting a special case takes up to about "
        f"{counts('call', price.reject)}, accepting a good fix about "
        f"{price.accept:,} (most of them to rule out a harm of {rules.margin:.1%} on ordinary requests; --margin), "
        f"at the very most {price.most:,}; Ctrl-C stops it, --budget limits it",
        file=sys.stderr,
    )


def _rules(what: TryWhat, alpha: float) -> Rules:
    usual = Rules()
    for name, value in (("--margin", what.margin), ("--lookalike-margin", what.lookalike_margin)):
        if value is not None and not 0.001 <= value <= 0.5:
            raise UsageError(
                f"{name} is a rise of the failure rate between 0.001 and 0.5, such as 0.02; got {value:g}", slug="try"
            )
    return Rules(
        alpha=alpha,
        margin=usual.margin if what.margin is None else what.margin,
        lookalike_margin=usual.lookalike_margin if what.lookalike_margin is None else what.lookalike_margin,
    )


# ---------------------------------------------------------------- which cases


def sets_of(project: Project, case: Case) -> Sets:
    """The four sets of a case, its neighbours in two halves. Raises: UsageError where a fix could not be judged."""
    if not case.checks:
        raise UsageError(f"case `{case.id}` has no checks, so nothing says what a right answer is", slug="no-check")
    of = [c for c in project.cases if c.of == case.id and c.checks]
    neighbours = [c for c in of if c.set == "neighbour"]
    if len(neighbours) < 2:
        have = "no neighbours" if not neighbours else "one neighbour only"
        raise UsageError(
            f"case `{case.id}` has {have}, so nothing tells a fix from a special case; "
            f"`reroll neighbours {case.id}` makes some, or write cases with `set: neighbour` and `of: {case.id}`",
            slug="no-neighbours",
        )
    choosing, sealed = halves(neighbours)
    lookalikes = tuple(c for c in of if c.set == "lookalike")
    control = tuple(c for c in project.cases if c.set == "control" and c.checks and c.id != case.id)
    return Sets((case,), tuple(choosing), tuple(sealed), lookalikes, control)


# ---------------------------------------------------------------- which fixes


def fixes_named(project: Project, names: Sequence[str], ideas: dict[str, Idea] | None = None) -> list[Fix]:
    """The fixes of these names: those of the project, files, PART=VALUE, or ideas, which are tried blind.

    Args:    ideas: is told whose ideas they are, by the name under which each is tried; None: no ideas are taken.
    Raises:  UsageError.
    """
    if not names:
        known = ", ".join(f"`{fix.fix}`" for fix in project.fixes) or "none"
        raise UsageError(
            f"name a fix to try: one of {project.path / 'fixes'} ({known}), a file, or PART=VALUE", slug="fix"
        )
    found = [_fix(project, name, ideas) for name in names]
    seen: dict[str, str] = {}
    for fix in found:
        other = seen.setdefault(fix.id, fix.fix)
        if other != fix.fix or sum(fix.fix == one.fix for one in found) > 1:
            raise UsageError(f"`{other}` and `{fix.fix}` are the same fix, so there is nothing to choose", slug="fix")
    return found


def _fix(project: Project, name: str, ideas: dict[str, Idea] | None) -> Fix:
    if name.startswith("idea:") and ideas is not None:
        idea, fix = fix_to_try(name, read_ideas(project), project.fixes)
        ideas[fix.fix] = idea
        return fix
    for fix in project.fixes:
        if fix.fix == name:
            return fix
    path = Path(name)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return load_fix(path)
    if (change := changed_part(name)) is not None:
        return _typed(project, name, *change)
    known = [fix.fix for fix in project.fixes]
    hint = nearest(name, known) or f"; there are {', '.join(known) or 'none'}"
    raise UsageError(f"no fix `{name}` in {project.path / 'fixes'}{hint}", slug="fix")


def _typed(project: Project, name: str, part: str, value: object) -> Fix:
    """PART=VALUE as a fix of the catalogue."""
    root, _, rest = part.partition(".")
    there = {p.id for p in project.program.parts()}
    if root == "params":
        return Fix(fix=name, kind="params.set", target=part, value=value)
    if root in TYPED:
        return Fix(fix=name, kind=TYPED[root], target=root, text=str(value))
    if root == "system":
        kind = "clause.delete" if value == "" else "clause.edit" if part in there else "clause.add"
    elif root == "documents":
        kind = "document.add"
    elif root == "examples" and value == "":
        kind = "example.remove"
    elif rest.endswith(".description"):
        kind = "field.describe"
    elif rest.endswith(".type"):
        return Fix(fix=name, kind="type.narrow", target=part, type=value)
    else:
        raise UsageError(f"`{part}` is no part that can be changed on the command line; write a fix file", slug="fix")
    return Fix(fix=name, kind=kind, target=part, text=None if value == "" else str(value))


def conflicting(fixes: Sequence[Fix]) -> str:
    """Why these cannot be used together, in words; empty where they can."""
    return "; ".join(conflicts(fixes))
