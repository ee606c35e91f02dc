"""The command that tries fixes: every one on the same four sets, with the same scorecard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from reroll.arguments import Common, Pictures, Spending
from reroll.errors import UsageError
from reroll.evolving import can_evolve
from reroll.fix import Fix
from reroll.gathering import MOST, USUAL, Gathered, Wanted, gather
from reroll.ideas import Idea, author_of, fix_to_try
from reroll.ideas_file import read_ideas
from reroll.lever_claims import conflicts
from reroll.levers import fitting
from reroll.match import excerpt, nearest
from reroll.measuring import with_sessions
from reroll.opening import project_of, store_of
from reroll.options import margin_of, options_of
from reroll.output import say
from reroll.pictures import can_be_drawn, present
from reroll.project import Project, load_fix
from reroll.proposing import writer_of
from reroll.scorecard import Rules
from reroll.scored import Tried
from reroll.session import Session
from reroll.tryout import Candidate, candidates_of, sets_of, try_out
from reroll.variant import added_part, changed_part
from reroll.wording import BASELINE

__all__ = ["GATES", "USUAL", "TryWhat", "Wanted", "conflicting", "fixes_named", "named_again", "try_them"]

BROKE_OFF = 4
GATES = {"accept": 0, "reject": 1, "undecided": 3}
# What PART=VALUE is as a fix, by the beginning of the part.
TYPED = {"params": "params.set", "model": "model.pin", "base_url": "serving.pin"}


@dataclass(frozen=True)
class TryWhat:
    """What `try` is told: fixes by name, file or PART=VALUE, the case, the margins, and what else is to be tried."""

    fixes: tuple[str, ...]
    case: str
    margin: float | None = None
    lookalike_margin: float | None = None
    wanted: Wanted = field(default_factory=Wanted)


def try_them(what: TryWhat, common: Common, spending: Spending, pictures: Pictures) -> int:
    from reroll.render.tried import show_tried

    if spending.horizon is not None:
        raise UsageError("what `try` says holds however often one looks; leave --horizon out", slug="horizon")
    can_be_drawn(pictures)
    project = project_of(common)
    case = project.case(what.case)
    _can_be_asked(what, project)
    ideas: dict[str, Idea] = {}
    fixes = fixes_named(project, what.fixes, ideas) if what.fixes or not what.wanted else []
    fixed = [(fix, replace(project, program=fitting(fix, project.program))) for fix in fixes]
    sets = sets_of(project, case)
    rules = _rules(what, options_of(spending).alpha, project.program.margin)
    with store_of(common, project) as store:

        async def work(sessions: Sequence[Session]) -> Tried:
            first, *others = sessions
            candidates = [Candidate(fix, s) for (fix, _), s in zip(fixed, others, strict=True)]
            gathered = None
            async with AsyncExitStack() as opened:
                if what.wanted:
                    gathered = await gather(first, case, sets.choosing, sets.control, what.wanted)
                    candidates, gathered = await candidates_of(first, gathered, candidates, opened)
                    _suggested(gathered, candidates, spending)
                return await try_out(first, sets, rules, candidates, say, gathered, lambda t: named_again(t, ideas))

        names = ["baseline", *(fix.fix for fix in fixes)]
        programs = [project, *(changed for _, changed in fixed)]
        found = with_sessions(programs, store, spending, sets.all, (case,), work, names=names)
    present(f"reroll try {case.id}", found.as_json, lambda page: show_tried(found, page), common, pictures)
    return GATES[found.verdict] if found.finished else BROKE_OFF


def _can_be_asked(what: TryWhat, project: Project) -> None:
    """Raises: UsageError, before any call, where as many cannot be suggested, or the model can write none."""
    for name, n in (("--suggest", what.wanted.suggest), ("--write", what.wanted.write)):
        if not 0 <= n <= MOST:
            raise UsageError(f"{name} takes a number from 1 to {MOST}, got {n}", slug="propose")
    if what.wanted.write or what.wanted.gepa:
        writer_of(project, what.wanted.model)
        if what.wanted.gepa:
            can_evolve()
    elif what.wanted.model is not None:
        raise UsageError("--with names a model that is to write changes; add --write N or --gepa", slug="propose")


def _suggested(gathered: Gathered, candidates: Sequence[Candidate], spending: Spending) -> None:
    """Say what is tried and why. Raises: UsageError where there is nothing to try."""
    if not candidates:
        useless = dict.fromkeys(
            f"{excerpt(one.said, 60)} {one.why}" if one.said else one.why for one in gathered.dropped
        )
        why = "; ".join([*gathered.said, *(f"no use: {words}" for words in list(useless)[:2])])
        raise UsageError(f"{why or 'nothing was suggested'}; name a fix to try", slug="no-suggestion")
    for one in candidates if not spending.quiet else ():
        if one.because:
            say(f"to be tried, since {one.because}: `{one.fix.fix}` ({one.fix.kind})")


def named_again(found: Tried, ideas: Mapping[str, Idea]) -> Tried:
    """The answer with the names of those whose ideas were tried, once there is a verdict, not before."""
    cards = tuple(
        replace(card, author=author_of(ideas[card.fix]), idea=ideas[card.fix].idea)
        if card.fix in ideas and card.verdict != "undecided"
        else card
        for card in found.fixes
    )
    return replace(found, fixes=cards)


def _rules(what: TryWhat, alpha: float, margin: float | None) -> Rules:
    usual = Rules() if margin is None else Rules(margin=margin)
    return Rules(
        alpha=alpha,
        margin=margin_of(what.margin, usual.margin),
        lookalike_margin=margin_of(what.lookalike_margin, usual.lookalike_margin, "--lookalike-margin"),
    )


# ---------------------------------------------------------------- which fixes


def fixes_named(
    project: Project, names: Sequence[str], ideas: dict[str, Idea] | None = None, *, to: str = "try"
) -> list[Fix]:
    """The fixes of these names: those of the project, files, PART=VALUE, or ideas, which are tried blind.

    Args:    to: what is to be done with them; ideas: is told whose ideas they are, by the name under which each is
             tried; None: no ideas are taken.
    Raises:  UsageError.
    """
    if not names:
        known = ", ".join(f"`{fix.fix}`" for fix in project.fixes) or "none"
        how = f"one of {project.path / 'fixes'} ({known}), a file, or PART=VALUE"
        suggest = "; or let some be suggested with --suggest" if to == "try" else ""
        raise UsageError(f"name a fix to {to}: {how}{suggest}", slug="fix")
    found = [_fix(project, name, ideas) for name in names]
    seen: dict[str, str] = {}
    for fix in found:
        if fix.fix == BASELINE:
            raise UsageError(
                f"a fix cannot be called `{BASELINE}`, which is the program as it is; rename it", slug="fix"
            )
        if any(one.fix == fix.fix and one.id != fix.id for one in found):
            raise UsageError(f"two different fixes are called `{fix.fix}`; rename one", slug="fix")
        if sum(fix.fix == one.fix for one in found) > 1:
            raise UsageError(f"`{fix.fix}` is named twice; name each fix once", slug="fix")
        other = seen.setdefault(fix.id, fix.fix)
        if other != fix.fix:
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
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return load_fix(path)
        raise UsageError(f"there is no file {name}; a fix in {project.path / 'fixes'} goes by its name", slug="fix")
    if (change := changed_part(name)) is not None:
        return _typed(project, name, *change)
    known = [fix.fix for fix in project.fixes]
    hint = nearest(name, known) or f"; there are {', '.join(known) or 'none'}"
    raise UsageError(f"no fix `{name}` in {project.path / 'fixes'}{hint}", slug="fix")


def _typed(project: Project, name: str, part: str, value: object) -> Fix:
    """PART=VALUE as a fix of the catalogue."""
    root, _, rest = part.partition(".")
    there = {p.id for p in project.program.parts()}
    if new := added_part(project.program, part, value):
        say(new)
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
